//! Where a hub is, as the operator wrote it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The port of a hub where its URL names none.
const DEFAULT_PORT: u16 = 8443;

/// The address of a hub: `https://host[:port][/path]`, or `http://` where
/// nothing but the tunnel's own TLS is wanted. `wss` and `ws` mean the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HubUrl {
    /// What the outermost layer is.
    pub outer: Outer,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port of the WebSocket, and UDP port of QUIC.
    pub port: u16,
    /// What a reverse proxy put before the hub's own paths; without a slash at
    /// its end.
    pub base: String,
}

/// What a WebSocket travels in on its way to the hub or the proxy before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// TLS, to get through the network; the tunnel's own is inside.
    Tls,
    /// Plain HTTP; the tunnel's own TLS is inside.
    Plain,
}

/// A text that is no hub's address. It is not repeated: there may be a password
/// in it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is not a hub's address: use https://HOST[:PORT], without a user name")]
pub struct HubUrlError;

impl FromStr for HubUrl {
    type Err = HubUrlError;

    fn from_str(text: &str) -> Result<Self, HubUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(HubUrlError)?;
        let outer = match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => Outer::Tls,
            "http" | "ws" => Outer::Plain,
            _ => return Err(HubUrlError),
        };
        // A scheme without a default port, so that :443 and no port differ.
        let url = Url::parse(&format!("hub://{rest}")).map_err(|_| HubUrlError)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let host = url.host_str().filter(|host| bare && !host.is_empty()).ok_or(HubUrlError)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Host::parse(&bracketed(&host)).map_err(|_| HubUrlError)?;
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Self { outer, host, port: url.port().unwrap_or(DEFAULT_PORT), base })
    }
}

impl HubUrl {
    /// Host and port as they stand in a `Host` header or a CONNECT request.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.outer {
            Outer::Tls => "https",
            Outer::Plain => "http",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
    }
}

impl TryFrom<String> for HubUrl {
    type Error = HubUrlError;

    fn try_from(text: String) -> Result<Self, HubUrlError> {
        text.parse()
    }
}

impl From<HubUrl> for String {
    fn from(url: HubUrl) -> Self {
        url.to_string()
    }
}

/// Host and port in one text.
pub(super) fn authority(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_schemes_mean_two_things_and_the_port_has_a_default() {
        for (text, shown) in [
            ("https://hub.example", "https://hub.example:8443"),
            ("HTTPS://Hub.Example:443/", "https://hub.example:443"),
            ("wss://hub.example:9000/fleet/", "https://hub.example:9000/fleet"),
            ("http://10.0.0.1", "http://10.0.0.1:8443"),
            ("ws://[::1]:80", "http://[::1]:80"),
        ] {
            let url: HubUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.to_string().parse::<HubUrl>().unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_form() {
        for text in
            ["", "hub.example", "ftp://hub", "https://", "https://user:secret@hub", "https://hub?x=1", "https://a b"]
        {
            let error = text.parse::<HubUrl>().unwrap_err().to_string();
            assert!(error.contains("https://HOST[:PORT]"), "{text}: {error}");
        }
    }
}
