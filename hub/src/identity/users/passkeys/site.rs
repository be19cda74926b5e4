//! Under which name browsers know the hub. A passkey is made for a name and is
//! offered there only; an IP address has none.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use serde::Serialize;
use url::{Host, Url};

use crate::error::ApiError;
use crate::http::Scheme;
use crate::mail::PublicUrl;

/// Where a passkey is made or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The name that passkeys are made for: the relying party's id.
    pub rp_id: String,
    /// The console's origin, as a browser writes it.
    pub origin: String,
}

/// Why there are no passkeys at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoSite {
    /// It is an IP address, or the public address is.
    #[error("Passkeys need a name: browsers make none for an IP address. Open the console by the hub's name.")]
    Address,
    /// The hub has a public address with another name.
    #[error("Passkeys work only at the hub's public address. Open the console there.")]
    OtherName,
    /// It is plain HTTP, and not this machine.
    #[error("Passkeys need HTTPS.")]
    Insecure,
    /// There is none in the request.
    #[error("Send one `Host` header with the hub's name.")]
    Unknown,
}

impl Site {
    /// The site of a request: its host, if that is a name, and the one of the
    /// public address where there is one. What a browser says of its origin was
    /// compared with the host before.
    pub fn of(headers: &HeaderMap, scheme: Scheme, public_url: Option<&PublicUrl>) -> Result<Self, NoSite> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(NoSite::Unknown) };
        let host = Authority::try_from(host.as_bytes()).ok().filter(|host| !host.as_str().contains('@'));
        let url = host.and_then(|host| Url::parse(&format!("{}://{host}/", scheme.as_str())).ok());
        let url = url.ok_or(NoSite::Unknown)?;
        let name = name_of(&url)?;
        let is_this_machine = name == "localhost" || name.ends_with(".localhost");
        if scheme == Scheme::Http && !is_this_machine {
            return Err(NoSite::Insecure);
        }
        if let Some(public_url) = public_url {
            let public = Url::parse(&public_url.to_string()).map_err(|_| NoSite::Address)?;
            if name_of(&public)? != name {
                return Err(NoSite::OtherName);
            }
        }
        Ok(Self { rp_id: name, origin: url.origin().ascii_serialization() })
    }
}

fn name_of(url: &Url) -> Result<String, NoSite> {
    match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() && !name.ends_with('.') => Ok(name.to_owned()),
        Some(_) => Err(NoSite::Address),
        None => Err(NoSite::Unknown),
    }
}

impl From<NoSite> for ApiError {
    fn from(why: NoSite) -> Self {
        Self::conflict("no_passkeys_here", why.to_string()).with_details(serde_json::json!({ "reason": why }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, scheme: Scheme, public_url: Option<&str>) -> Result<Site, NoSite> {
        let headers = [(header::HOST, host.parse().unwrap())].into_iter().collect();
        let public_url = public_url.map(|url| url.parse().unwrap());
        Site::of(&headers, scheme, public_url.as_ref())
    }

    fn site(rp_id: &str, origin: &str) -> Result<Site, NoSite> {
        Ok(Site { rp_id: rp_id.into(), origin: origin.into() })
    }

    #[test]
    fn a_site_is_the_name_in_the_address_without_its_port() {
        assert_eq!(of("Hub.Example:8443", Scheme::Https, None), site("hub.example", "https://hub.example:8443"));
        assert_eq!(of("hub.example:443", Scheme::Https, None), site("hub.example", "https://hub.example"));
        assert_eq!(of("localhost:8080", Scheme::Http, None), site("localhost", "http://localhost:8080"));
    }

    #[test]
    fn there_is_none_at_an_address_and_none_without_tls() {
        for address in ["192.0.2.1", "192.0.2.1:8443", "[::1]:8443", "0x7f.1", "2130706433", "hub.example."] {
            assert_eq!(of(address, Scheme::Https, None), Err(NoSite::Address), "{address}");
        }
        assert_eq!(of("hub.example", Scheme::Http, None), Err(NoSite::Insecure));
        assert_eq!(of("localhost.evil.example", Scheme::Http, None), Err(NoSite::Insecure));
        for strange in ["ada@hub.example", ""] {
            assert_eq!(of(strange, Scheme::Https, None), Err(NoSite::Unknown), "{strange}");
        }
        assert_eq!(Site::of(&HeaderMap::new(), Scheme::Https, None), Err(NoSite::Unknown));
    }

    #[test]
    fn where_there_is_a_public_address_only_its_name_counts() {
        let public = Some("https://hub.example");
        assert_eq!(of("hub.example:8443", Scheme::Https, public), site("hub.example", "https://hub.example:8443"));
        for other in ["example", "www.hub.example", "evil.example", "localhost"] {
            assert_eq!(of(other, Scheme::Https, public), Err(NoSite::OtherName), "{other}");
        }
        assert_eq!(of("hub.example", Scheme::Https, Some("https://192.0.2.1")), Err(NoSite::Address));
    }
}
