//! Where an engine takes orders over the network from whoever comes. Docker says
//! so itself, among the warnings of its `/info`: one for each TCP address at which
//! it asks for no client certificate.

use std::net::IpAddr;

use http::Uri;
use windflow_protocol::limits::EXPOSED_MAX;
use windflow_protocol::text::sanitize;

/// What stands before the address, in all versions since 18.09.
const SAID_BEFORE: &str = "API is accessible on ";

/// The addresses that these warnings name. One on the loopback is not among
/// them: nobody comes there over the network.
pub(super) fn of(warnings: &[String]) -> Vec<String> {
    let named = warnings.iter().filter_map(|warning| warning.split_once(SAID_BEFORE)?.1.split_whitespace().next());
    named.filter(|address| !is_loopback(address)).take(EXPOSED_MAX).map(sanitize).collect()
}

fn is_loopback(address: &str) -> bool {
    let Ok(uri) = address.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(warnings: &[&str]) -> Vec<String> {
        of(&warnings.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn c47_an_address_without_client_certificates_is_found_in_the_words_of_old_and_new_versions() {
        let found = exposed(&[
            "WARNING: bridge-nf-call-iptables is disabled",
            "WARNING: API is accessible on http://0.0.0.0:2375 without encryption.\n         Access to the remote API",
            "[DEPRECATION NOTICE]: API is accessible on https://[::]:2376 without TLS client verification.\n  Access",
        ]);
        assert_eq!(found, ["http://0.0.0.0:2375", "https://[::]:2376"]);
        assert_eq!(exposed(&["WARNING: No swap limit support", ""]), [""; 0]);
    }

    #[test]
    fn c47_the_loopback_is_no_network() {
        for host in ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"] {
            let warning = format!("WARNING: API is accessible on http://{host}:2375 without encryption.");
            assert_eq!(exposed(&[&warning]), [""; 0], "{host}");
        }
    }

    #[test]
    fn what_an_engine_says_is_bounded_and_cleaned() {
        let warning = "API is accessible on http://0.0.0.0:1\u{1b}[31m without encryption.";
        let found = exposed(&[warning; 3 * EXPOSED_MAX]);
        assert_eq!(found.len(), EXPOSED_MAX);
        assert!(!found[0].contains('\u{1b}'), "{found:?}");
    }
}
