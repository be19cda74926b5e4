//! Reverse proxies that the operator trusts, and what they say of those behind
//! them. Nobody else is listened to: anybody can write a header.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

use crate::config::{ProxyHeaders, ProxyOptions};
use crate::http::{Peer, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The proxies that are believed; usually none.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    headers: ProxyHeaders,
}

/// What a proxy says of the hop before it.
#[derive(Debug, Default)]
struct Hop {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
}

impl TrustedProxies {
    /// Those that the options name.
    pub fn new(options: &ProxyOptions) -> Self {
        Self { networks: options.trusted_proxies.as_slice().into(), headers: options.proxy_headers }
    }

    /// Whether what comes from this address is believed.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request that `peer` passed on: the hop nearest to the hub
    /// that is not trusted. `Host` becomes what that one wrote.
    pub fn caller(&self, peer: Peer, headers: &mut HeaderMap) -> Peer {
        let Peer::Tcp { address, scheme } = peer else { return peer };
        if !self.trust(address.ip()) {
            return peer;
        }
        let said = match self.headers {
            ProxyHeaders::XForwarded => self.walk(x_forwarded(headers)),
            ProxyHeaders::Forwarded => self.walk(forwarded(headers)),
        };
        if let Some(host) = said.host {
            headers.insert(header::HOST, host);
        }
        let address = said.address.map_or(address, |found| SocketAddr::new(found, 0));
        Peer::Tcp { address, scheme: said.scheme.unwrap_or(scheme) }
    }

    /// Goes from the hub outwards for as long as the one that speaks is
    /// trusted. Beyond what cannot be read nobody is known.
    fn walk(&self, hops: impl Iterator<Item = Hop>) -> Hop {
        let mut said = Hop::default();
        for hop in hops {
            said.scheme = hop.scheme.or(said.scheme);
            said.host = hop.host.or(said.host);
            let Some(address) = hop.address else { break };
            said.address = Some(address);
            if !self.trust(address) {
                break;
            }
        }
        said
    }
}

/// The hops of the `X-Forwarded-` headers, the nearest first. Their scheme and
/// host are written for the whole way; the nearest proxy's word counts.
fn x_forwarded(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    let mut scheme = list(headers, &X_FORWARDED_PROTO).next().flatten().and_then(parse_scheme);
    let mut host = list(headers, &X_FORWARDED_HOST).next().flatten().and_then(parse_host);
    let unaddressed = (!headers.contains_key(&X_FORWARDED_FOR)).then_some(None);
    let addresses = list(headers, &X_FORWARDED_FOR).chain(unaddressed);
    addresses.map(move |text| Hop { address: text.and_then(parse_address), scheme: scheme.take(), host: host.take() })
}

/// The hops of the `Forwarded` header, the nearest first.
fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Hop> {
    list(headers, &header::FORWARDED).map(|element| element.and_then(parse_element).unwrap_or_default())
}

/// What the headers of this name list, the last first; `None` for what is no
/// text.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines.into_iter().rev().flat_map(|line| match line.to_str() {
        Ok(line) => line.rsplit(',').map(|item| Some(item.trim())).collect(),
        Err(_) => vec![None],
    })
}

/// One element of `Forwarded`: pairs, of which each kind comes once. Commas in
/// quotes are not known, as none belongs there: half an element is none.
fn parse_element(element: &str) -> Option<Hop> {
    let mut hop = Hop::default();
    for pair in element.split(';') {
        let (key, value) = pair.trim().split_once('=')?;
        let value = unquoted(value)?;
        match key.to_ascii_lowercase().as_str() {
            "for" if hop.address.is_none() => hop.address = parse_address(value),
            "proto" if hop.scheme.is_none() => hop.scheme = parse_scheme(value),
            "host" if hop.host.is_none() => hop.host = parse_host(value),
            "for" | "proto" | "host" => return None,
            _ => {}
        }
    }
    Some(hop)
}

fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// An address, alone or with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse::<IpAddr>().ok();
    let address = alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

/// Some proxies name the scheme of a WebSocket.
fn parse_scheme(text: &str) -> Option<Scheme> {
    match text.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(Scheme::Https),
        "http" | "ws" => Some(Scheme::Http),
        _ => None,
    }
}

fn parse_host(text: &str) -> Option<HeaderValue> {
    let authority = text.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'))?;
    authority.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:40000";

    fn proxies(headers: ProxyHeaders) -> TrustedProxies {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:a::/48".parse().unwrap()];
        TrustedProxies::new(&ProxyOptions { trusted_proxies, proxy_headers: headers })
    }

    fn lines(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn caller(kind: ProxyHeaders, from: &str, headers: &mut HeaderMap) -> (String, Scheme) {
        let peer = Peer::Tcp { address: from.parse().unwrap(), scheme: Scheme::Http };
        let caller = proxies(kind).caller(peer, headers);
        (caller.address().unwrap().to_string(), caller.scheme())
    }

    fn x_forwarded_for(value: &str) -> String {
        caller(ProxyHeaders::XForwarded, PROXY, &mut lines(&[("x-forwarded-for", value)])).0
    }

    fn forwarded(value: &str) -> (String, Scheme) {
        caller(ProxyHeaders::Forwarded, PROXY, &mut lines(&[("forwarded", value)]))
    }

    #[test]
    fn whoever_is_not_trusted_is_not_believed() {
        for kind in [ProxyHeaders::XForwarded, ProxyHeaders::Forwarded] {
            let mut headers = lines(&[
                ("host", "hub.example"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil.example"),
                ("forwarded", "for=192.0.2.7;proto=https;host=evil.example"),
            ]);
            let before = headers.clone();
            let from = "203.0.113.5:1";
            assert_eq!(caller(kind, from, &mut headers), ("203.0.113.5".to_owned(), Scheme::Http));
            assert_eq!(headers, before);
        }
    }

    #[test]
    fn the_nearest_hop_that_is_not_trusted_is_the_caller() {
        for (value, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            // What the caller wrote stands left of what the proxy saw.
            ("127.0.0.1, 192.0.2.7", "192.0.2.7"),
            ("198.51.100.1, 192.0.2.7, 10.9.9.9", "192.0.2.7"),
            ("192.0.2.7:61000", "192.0.2.7"),
            ("2001:db8:b::5", "2001:db8:b::5"),
            ("[2001:db8:b::5]:443, 2001:db8:a::1", "2001:db8:b::5"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            // All of the way is trusted: whoever began it is the caller.
            ("10.5.5.5, 10.6.6.6", "10.5.5.5"),
        ] {
            assert_eq!(x_forwarded_for(value), expected, "{value}");
        }
    }

    #[test]
    fn beyond_what_cannot_be_read_nobody_is_known() {
        for value in ["unknown", "", "192.0.2.7, unknown", "192.0.2.7, ", "1.2.3", "192.0.2.7 198.51.100.1"] {
            assert_eq!(x_forwarded_for(value), "10.0.0.1", "{value}");
        }
        assert_eq!(x_forwarded_for("192.0.2.7, unknown, 10.2.2.2"), "10.2.2.2");
    }

    #[test]
    fn a_second_line_continues_the_first() {
        let mut headers = lines(&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.7")]);
        assert_eq!(caller(ProxyHeaders::XForwarded, PROXY, &mut headers).0, "192.0.2.7");
    }

    #[test]
    fn a_header_of_the_other_kind_says_nothing() {
        let mut headers = lines(&[("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=127.0.0.1;proto=https")]);
        let expected = ("192.0.2.7".to_owned(), Scheme::Http);
        assert_eq!(caller(ProxyHeaders::XForwarded, PROXY, &mut headers), expected);
        let mut headers = lines(&[("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=192.0.2.7;proto=https")]);
        let expected = ("192.0.2.7".to_owned(), Scheme::Https);
        assert_eq!(caller(ProxyHeaders::Forwarded, PROXY, &mut headers), expected);
    }

    #[test]
    fn scheme_and_host_are_what_the_nearest_proxy_says() {
        for (scheme, expected) in [
            ("https", Scheme::Https),
            ("wss", Scheme::Https),
            ("http, HTTPS", Scheme::Https),
            ("https, http", Scheme::Http),
            ("gopher", Scheme::Http),
        ] {
            let mut headers = lines(&[
                ("host", "10.0.0.2:8443"),
                ("x-forwarded-proto", scheme),
                ("x-forwarded-host", "evil.example, hub.example"),
            ]);
            assert_eq!(caller(ProxyHeaders::XForwarded, PROXY, &mut headers), ("10.0.0.1".to_owned(), expected));
            assert_eq!(headers["host"], "hub.example");
        }
        let mut headers = lines(&[("host", "hub.example"), ("x-forwarded-host", "user@evil.example")]);
        caller(ProxyHeaders::XForwarded, PROXY, &mut headers);
        assert_eq!(headers["host"], "hub.example");
    }

    #[test]
    fn an_element_of_forwarded_is_read_as_its_proxy_wrote_it() {
        for (value, address, scheme) in [
            ("for=192.0.2.7;proto=https;by=10.0.0.1", "192.0.2.7", Scheme::Https),
            ("For=\"[2001:db8:b::5]:4711\"; Proto=HTTPS", "2001:db8:b::5", Scheme::Https),
            ("for=127.0.0.1;proto=https, for=192.0.2.7", "192.0.2.7", Scheme::Http),
            ("for=192.0.2.7;proto=https, for=10.3.3.3;proto=http", "192.0.2.7", Scheme::Https),
            ("for=_hidden;proto=https", "10.0.0.1", Scheme::Https),
            ("for=unknown, for=10.3.3.3", "10.3.3.3", Scheme::Http),
        ] {
            assert_eq!(forwarded(value), (address.to_owned(), scheme), "{value}");
        }
    }

    #[test]
    fn a_caller_cannot_hide_behind_quotes() {
        for value in [
            // What a caller opened, the proxy's element does not close.
            "for=\"127.0.0.1, for=192.0.2.7",
            "for=127.0.0.1;x=\", for=192.0.2.7",
        ] {
            assert_eq!(forwarded(value).0, "192.0.2.7", "{value}");
        }
        for value in [
            "for=192.0.2.7;host=\"a, for=127.0.0.1\"",
            "for=192.0.2.7;host=\"a, for=127.0.0.1;x=\\\"\"",
            "for=127.0.0.1;for=192.0.2.7",
            "192.0.2.7",
        ] {
            assert_eq!(forwarded(value).0, "10.0.0.1", "{value}");
        }
    }
}
