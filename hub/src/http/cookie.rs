//! The session cookie. On TLS it carries the `__Host-` prefix, which a browser
//! sets and sends only over TLS, for this host alone; on plain HTTP, which is
//! served to this machine only, it has another name.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use zeroize::Zeroizing;

use super::peer::Scheme;

/// What a cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Session,
    Attempt,
    Passkey,
}

fn name(scheme: Scheme, purpose: Purpose) -> &'static str {
    match (scheme, purpose) {
        (Scheme::Https, Purpose::Session) => "__Host-windflow",
        (Scheme::Http, Purpose::Session) => "windflow-loopback",
        (Scheme::Https, Purpose::Attempt) => "__Host-windflow-sign-in",
        (Scheme::Http, Purpose::Attempt) => "windflow-loopback-sign-in",
        (Scheme::Https, Purpose::Passkey) => "__Host-windflow-passkey",
        (Scheme::Http, Purpose::Passkey) => "windflow-loopback-passkey",
    }
}

/// The session secret in a request's cookies. Two of them are none: which one
/// is meant cannot be known.
pub fn find(headers: &HeaderMap, scheme: Scheme) -> Option<Zeroizing<String>> {
    find_named(headers, name(scheme, Purpose::Session))
}

/// What a request says of the attempt to sign in elsewhere that its browser is
/// in the middle of.
pub fn find_attempt(headers: &HeaderMap, scheme: Scheme) -> Option<Zeroizing<String>> {
    find_named(headers, name(scheme, Purpose::Attempt))
}

/// What a request says of the challenge that its browser was given for a passkey.
pub fn find_passkey(headers: &HeaderMap, scheme: Scheme) -> Option<Zeroizing<String>> {
    find_named(headers, name(scheme, Purpose::Passkey))
}

fn find_named(headers: &HeaderMap, name: &str) -> Option<Zeroizing<String>> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| Zeroizing::new(value.to_owned()))
}

/// The header that gives a browser its session.
pub fn set(scheme: Scheme, secret: &str, lifetime: Duration) -> HeaderValue {
    render(scheme, Purpose::Session, secret, lifetime.as_secs())
}

/// The header that takes a browser's session away.
pub fn clear(scheme: Scheme) -> HeaderValue {
    render(scheme, Purpose::Session, "", 0)
}

/// The header that has a browser remember an attempt to sign in elsewhere.
pub fn set_attempt(scheme: Scheme, value: &str, lifetime: Duration) -> HeaderValue {
    render(scheme, Purpose::Attempt, value, lifetime.as_secs())
}

/// The header that has a browser forget it.
pub fn clear_attempt(scheme: Scheme) -> HeaderValue {
    render(scheme, Purpose::Attempt, "", 0)
}

/// The header that binds a challenge for a passkey to its browser.
pub fn set_passkey(scheme: Scheme, value: &str, lifetime: Duration) -> HeaderValue {
    render(scheme, Purpose::Passkey, value, lifetime.as_secs())
}

fn render(scheme: Scheme, purpose: Purpose, value: &str, seconds: u64) -> HeaderValue {
    let secure = match scheme {
        Scheme::Https => "; Secure",
        Scheme::Http => "",
    };
    let name = name(scheme, purpose);
    let text = Zeroizing::new(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"));
    let mut header = HeaderValue::from_str(&text).expect("secrets and sealed values are base32 or base64");
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
    fn an_attempt_has_a_cookie_of_its_own() {
        let headers = with_cookies(&["__Host-windflow=secret; __Host-windflow-sign-in=sealed"]);
        assert_eq!(find_attempt(&headers, Scheme::Https).unwrap().as_str(), "sealed");
        assert_eq!(find(&headers, Scheme::Https).unwrap().as_str(), "secret");
        let set = set_attempt(Scheme::Https, "x", Duration::from_secs(600));
        assert_eq!(set, "__Host-windflow-sign-in=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure");
        assert!(
            find_attempt(&with_cookies(&["__Host-windflow-sign-in=a; __Host-windflow-sign-in=b"]), Scheme::Https)
                .is_none()
        );
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
