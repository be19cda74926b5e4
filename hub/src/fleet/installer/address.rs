//! How a host reaches this hub: what may stand in a command that somebody pastes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use url::Url;

use crate::error::ApiError;
use crate::http::{Peer, Query};

/// The port that a hub listens on unless told otherwise.
const USUAL_PORT: u16 = 8443;
/// Longest address that is taken, in bytes.
const ADDRESS_MAX: usize = 512;

/// The hub's URL as a host dials it, without a slash at its end. Its characters
/// mean nothing to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubAddress(String);

impl HubAddress {
    /// The address in `text`, if it is one that may stand in a command.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_[]~".contains(&byte);
        let url = Url::parse(text).ok().filter(|_| text.len() <= ADDRESS_MAX)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
        let address = url.as_str().trim_end_matches('/');
        let fit = matches!(url.scheme(), "http" | "https") && plain && address.bytes().all(harmless);
        fit.then(|| Self(address.to_owned()))
    }

    /// This machine's own name, when nobody says how hosts reach it.
    fn guess() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let fallback = || Self(format!("https://localhost:{USUAL_PORT}"));
        Self::parse(&format!("https://{name}:{USUAL_PORT}")).unwrap_or_else(fallback)
    }

    /// The address under which the caller reached the hub.
    fn seen_by(headers: &HeaderMap, peer: Peer) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let of_page = text(header::ORIGIN).and_then(Self::parse);
        of_page.or_else(|| Self::parse(&format!("{}://{}", peer.scheme().as_str(), text(header::HOST)?)))
    }
}

impl std::fmt::Display for HubAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressQuery {
    hub_url: Option<String>,
}

/// `hub_url` of the query, or else the address that the caller used.
impl<S: Send + Sync> FromRequestParts<S> for HubAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Query(AddressQuery { hub_url }) = Query::from_request_parts(parts, state).await?;
        if let Some(text) = hub_url {
            let message = "hub_url must be http:// or https://, a host, and at most a port and a path.";
            return Self::parse(&text).ok_or_else(|| ApiError::bad_request("invalid_hub_url", message));
        }
        let peer = parts.extensions.get::<Peer>().copied();
        let seen = match peer {
            Some(peer @ Peer::Tcp { .. }) => Self::seen_by(&parts.headers, peer),
            Some(Peer::Local { .. }) | None => None,
        };
        Ok(seen.unwrap_or_else(Self::guess))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Scheme;

    #[test]
    fn an_address_that_a_shell_would_read_is_refused() {
        for text in [
            "https://hub.example/$(id)",
            "https://hub.example/'",
            "https://hub.example/;id",
            "https://hub.example/a b",
            "https://u:p@hub.example",
            "https://hub.example/?x=1",
            "https://hub.example/#x",
            "ftp://hub.example",
            "file:///etc/passwd",
            "hub.example",
            "https://hub.example/\n",
        ] {
            assert!(HubAddress::parse(text).is_none_or(|address| address.0 == "https://hub.example"), "{text}");
        }
        for text in ["https://hub.example:8443/", "https://[2001:db8::1]:8443", "http://10.0.0.1/windflow"] {
            assert_eq!(HubAddress::parse(text).unwrap().0, text.trim_end_matches('/'));
        }
    }

    #[test]
    fn the_address_is_the_one_that_the_caller_used() {
        let peer = Peer::Tcp { address: "192.0.2.1:5".parse().unwrap(), scheme: Scheme::Https };
        let mut headers = HeaderMap::new();
        assert_eq!(HubAddress::seen_by(&headers, peer), None);
        headers.insert(header::HOST, "hub.example:8443".parse().unwrap());
        assert_eq!(HubAddress::seen_by(&headers, peer).unwrap().0, "https://hub.example:8443");
        headers.insert(header::ORIGIN, "https://console.example".parse().unwrap());
        assert_eq!(HubAddress::seen_by(&headers, peer).unwrap().0, "https://console.example");
        headers.insert(header::HOST, "a'; id".parse().unwrap());
        headers.remove(header::ORIGIN);
        assert_eq!(HubAddress::seen_by(&headers, peer), None);
    }
}
