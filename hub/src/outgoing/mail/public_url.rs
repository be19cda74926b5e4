//! Where links in mails lead. It is set, never taken from a request: whoever
//! asks for a link could name a host of their own there.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Longest address, in bytes.
const LENGTH_MAX: usize = 512;

/// The console's address as people reach it, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

/// The text is no such address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the public address is http:// or https://, a host, and at most a port")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// The address of a page. A secret goes behind the `#`, which no browser
    /// sends to anybody.
    pub fn page(&self, path: &str, secret: &str) -> String {
        format!("{}{path}#{secret}", self.0)
    }

    /// The name under which the hub greets mail servers: its own, where it has
    /// one.
    pub(super) fn domain(&self) -> Option<String> {
        match Url::parse(&self.0).ok()?.host()? {
            Host::Domain(name) => Some(name.to_owned()),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Url::parse(text).ok().filter(|_| text.len() <= LENGTH_MAX).ok_or(InvalidPublicUrl)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let bare = plain && url.fragment().is_none() && url.path() == "/" && url.host_str().is_some();
        let harmless = !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
        let fit = matches!(url.scheme(), "http" | "https") && bare && harmless;
        fit.then(|| Self(url.as_str().trim_end_matches('/').to_owned())).ok_or(InvalidPublicUrl)
    }
}

impl Display for PublicUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_secret_behind_the_mark_that_browsers_keep_to_themselves() {
        let url: PublicUrl = "https://Hub.Example:8443/".parse().unwrap();
        assert_eq!(url.page("/invitation", "wfl1_x"), "https://hub.example:8443/invitation#wfl1_x");
        assert_eq!(url.domain().as_deref(), Some("hub.example"));
        assert_eq!("http://[::1]:80".parse::<PublicUrl>().unwrap().domain(), None);
    }

    #[test]
    fn c37_only_a_bare_address_of_a_hub_is_taken() {
        for wrong in [
            "",
            "hub.example",
            "//evil.example",
            "/\\evil.example",
            "data:text/html,x",
            "javascript:alert(1)",
            "ftp://hub.example",
            "https://ada:secret@hub.example",
            "https://hub.example/console",
            "https://hub.example/?next=x",
            "https://hub.example/#x",
            "https://hub.example\r\nBcc: eve@example.com",
            "https://hub .example",
        ] {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{wrong:?}");
        }
    }
}
