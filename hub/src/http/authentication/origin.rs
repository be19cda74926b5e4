//! Where a browser's request came from. A page of another site can make a
//! browser send its cookies here; it cannot make it lie in `Origin` or
//! `Sec-Fetch-Site`.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};

use super::super::peer::{Peer, Scheme};
use crate::error::ApiError;

/// Whether a request without an `Origin` is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingOrigin {
    /// It carries no credential that a browser adds by itself.
    Accepted,
    /// It is authenticated by a cookie.
    Refused,
}

/// Whether a request changes something or opens a channel over which something
/// can be changed.
pub fn needs_check(parts: &Parts) -> bool {
    let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    !safe || parts.headers.contains_key(header::UPGRADE)
}

/// Refuses a request that a page of another origin made.
///
/// # Errors
/// 403 when `Origin` is foreign, `null`, repeated, or missing where it must
/// not be.
pub fn check(parts: &Parts, peer: Peer, missing: MissingOrigin) -> Result<(), ApiError> {
    let headers = &parts.headers;
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(foreign());
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next(), missing) {
        (None, _, MissingOrigin::Accepted) => Ok(()),
        (Some(origin), None, _) if is_own(origin.as_bytes(), headers, peer.scheme()) => Ok(()),
        (_, _, MissingOrigin::Accepted | MissingOrigin::Refused) => Err(foreign()),
    }
}

fn is_own(origin: &[u8], headers: &HeaderMap, scheme: Scheme) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let own = format!("{}://{host}", scheme.as_str());
    origin.eq_ignore_ascii_case(own.as_bytes())
}

fn foreign() -> ApiError {
    let message = "The request comes from a page of another origin. Use the console at the hub's own address.";
    ApiError::forbidden("foreign_origin", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::post("/api/v1/users").header("host", "hub.example:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn https() -> Peer {
        Peer::Tcp { address: "192.0.2.1:5".parse().unwrap(), scheme: Scheme::Https }
    }

    #[test]
    fn only_the_hubs_own_origin_passes() {
        let own = parts(&[("origin", "https://hub.example:8443"), ("sec-fetch-site", "same-origin")]);
        assert!(check(&own, https(), MissingOrigin::Refused).is_ok());
        for foreign in [
            "null",
            "https://hub.example",
            "http://hub.example:8443",
            "https://evil.hub.example:8443",
            "https://hub.example:8443.evil.example",
            "",
        ] {
            for missing in [MissingOrigin::Refused, MissingOrigin::Accepted] {
                assert!(check(&parts(&[("origin", foreign)]), https(), missing).is_err(), "{foreign}");
            }
        }
    }

    #[test]
    fn two_origins_are_foreign() {
        let two = parts(&[("origin", "https://hub.example:8443"), ("origin", "https://hub.example:8443")]);
        assert!(check(&two, https(), MissingOrigin::Accepted).is_err());
    }

    #[test]
    fn a_missing_origin_passes_only_without_a_cookie() {
        assert!(check(&parts(&[]), https(), MissingOrigin::Accepted).is_ok());
        assert!(check(&parts(&[]), https(), MissingOrigin::Refused).is_err());
        let cross_site = parts(&[("sec-fetch-site", "cross-site")]);
        assert!(check(&cross_site, https(), MissingOrigin::Accepted).is_err());
    }

    #[test]
    fn reading_needs_no_check_and_a_websocket_does() {
        let read = |headers: &[(&str, &str)]| {
            Parts::clone(&{
                let mut p = parts(headers);
                p.method = Method::GET;
                p
            })
        };
        assert!(!needs_check(&read(&[])));
        assert!(needs_check(&read(&[("upgrade", "websocket")])));
        assert!(needs_check(&parts(&[])));
    }
}
