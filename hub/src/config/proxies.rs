//! The reverse proxies before the hub.

use std::net::IpAddr;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

/// Which proxies are believed, and by which headers.
#[derive(Args, Clone, Debug, Default)]
pub struct ProxyOptions {
    /// Address or network of a reverse proxy that is believed when it says for whom it asks; may be repeated
    #[arg(long = "trusted-proxy", env = "WINDFLOW_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The headers in which trusted proxies say so; the others are ignored
    #[arg(long, env = "WINDFLOW_PROXY_HEADERS", value_enum, default_value_t, value_name = "KIND")]
    pub proxy_headers: ProxyHeaders,
}

/// The headers of a proxy. One kind alone is believed: a proxy that writes the
/// one kind passes on what a caller wrote into the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProxyHeaders {
    /// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host
    #[default]
    XForwarded,
    /// Forwarded (RFC 7239)
    Forwarded,
}

/// A network, or one address as the smallest network.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || IpAddr::from_str(text).map(IpNet::from);
    let network = IpNet::from_str(text).or_else(|_| address());
    network.map(|network| network.trunc()).map_err(|_| "write an address or a network, such as 10.0.0.0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_the_smallest_network() {
        for (text, network) in [("10.1.2.3", "10.1.2.3/32"), ("10.1.2.3/8", "10.0.0.0/8"), ("::1", "::1/128")] {
            assert_eq!(parse_network(text).unwrap().to_string(), network);
        }
        assert!(parse_network("proxy.example").unwrap_err().contains("10.0.0.0/8"));
    }
}
