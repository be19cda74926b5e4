//! The session cookie. On TLS it carries the `__Host-` prefix, which a browser
//! sets and sends only over TLS, for this host alone; on plain HTTP, which is
//! served to this machine only, it has another name.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use super::peer::Scheme;

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => "__Host-windflow",
        Scheme::Http => "windflow-loopback",
    }
}

/// The session secret in a request's cookies. Two of them are none: which one
/// is meant cannot be known.
pub fn find(headers: &HeaderMap, scheme: Scheme) -> Option<Zeroizing<String>> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name(scheme)).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| Zeroizing::new(value.to_owned()))
}

/// The header that gives a browser its session.
pub fn set(scheme: Scheme, secret: &str, lifetime: Duration) -> HeaderValue {
    render(scheme, secret, lifetime.as_secs())
}

/// The header that takes a browser's session away.
pub fn clear(scheme: Scheme) -> HeaderValue {
    render(scheme, "", 0)
}

fn render(scheme: Scheme, value: &str, seconds: u64) -> HeaderValue {
    let secure = match scheme {
        Scheme::Https => "; Secure",
        Scheme::Http => "",
    };
    let text =
        Zeroizing::new(format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}", name(scheme)));
    let mut header = HeaderValue::from_str(&text).expect("a session secret is base32");
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookies(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::COOKIE, value.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_of_the_scheme_is_found_among_others() {
        let headers = with_cookies(&["a=b; __Host-windflow=secret; windflow-loopback=other"]);
        assert_eq!(find(&headers, Scheme::Https).unwrap().as_str(), "secret");
        assert_eq!(find(&headers, Scheme::Http).unwrap().as_str(), "other");
    }

    #[test]
    fn two_session_cookies_are_none() {
        for cookies in [&["__Host-windflow=a; __Host-windflow=b"][..], &["__Host-windflow=a", "__Host-windflow=b"]] {
            assert!(find(&with_cookies(cookies), Scheme::Https).is_none());
        }
    }

    #[test]
    fn only_the_cookie_of_tls_is_marked_secure_and_bound_to_the_host() {
        let tls = set(Scheme::Https, "s", Duration::from_secs(60));
        assert_eq!(tls, "__Host-windflow=s; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(clear(Scheme::Http), "windflow-loopback=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    }
}
