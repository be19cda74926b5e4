//! Addresses of mail, as they are taken at the door: what is one has nothing in
//! it that could begin another header, another command or another recipient.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest address, as SMTP has it.
const LENGTH_MAX: usize = 254;
/// Longest part before the `@`.
const LOCAL_MAX: usize = 64;

/// One address, in small letters: `name@example.com`. Plain ASCII, no quotes, no
/// display name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct MailAddress(String);

/// The text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an e-mail address looks like name@example.com")]
pub struct InvalidAddress;

impl MailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before the `@`.
    pub fn local(&self) -> &str {
        self.parts().0
    }

    /// What is behind the `@`.
    pub fn domain(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').expect("an address has an @")
    }
}

/// Whether this is the name of a domain: letters, digits and hyphens between
/// dots. One in other letters is written as `xn--…`.
pub(super) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_local(text: &str) -> bool {
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let dotted = !text.starts_with('.') && !text.ends_with('.') && !text.contains("..");
    (1..=LOCAL_MAX).contains(&text.len()) && dotted && text.bytes().all(is_atom)
}

impl FromStr for MailAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (local, domain) = text.split_once('@').ok_or(InvalidAddress)?;
        let is_one = text.len() <= LENGTH_MAX && is_local(local) && is_domain(domain);
        is_one.then(|| Self(text.to_ascii_lowercase())).ok_or(InvalidAddress)
    }
}

impl TryFrom<String> for MailAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl Display for MailAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MailAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_small_letters() {
        let address: MailAddress = "Ada.Lovelace+hub@Example.COM".parse().unwrap();
        assert_eq!(address.as_str(), "ada.lovelace+hub@example.com");
        assert_eq!((address.local(), address.domain()), ("ada.lovelace+hub", "example.com"));
        assert!("root@localhost".parse::<MailAddress>().is_ok());
    }

    /// C-20 and ASVS 1.3.11: nothing that ends a line, and nothing that names
    /// two, is an address.
    #[test]
    fn c20_what_could_begin_a_header_or_another_recipient_is_no_address() {
        let long = format!("{}@example.com", "a".repeat(65));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@example.com\nBcc: eve@example.com",
            "ada@example.com\r",
            "\nada@example.com",
            "ada\0@example.com",
            "ada@exam\rple.com",
            "ada@example.com, eve@example.com",
            "ada@example.com;eve@example.com",
            "ada@example.com eve@example.com",
            "Ada <ada@example.com>",
            "<ada@example.com>",
            "\"ada\\\r\n\"@example.com",
            "ada@eve@example.com",
            "ada@[127.0.0.1]",
            "ada@-example.com",
            "ada@example..com",
            ".ada@example.com",
            "a..da@example.com",
            "ada@exämple.com",
            "ädä@example.com",
            "ada@example.com\u{2028}x",
            "ada%0d%0abcc:eve@example.com\u{85}",
            "ada@example.com ",
            &long,
        ] {
            assert_eq!(wrong.parse::<MailAddress>(), Err(InvalidAddress), "{wrong:?}");
        }
    }
}
