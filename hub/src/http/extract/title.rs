//! Names that people give.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest name, in characters.
const LENGTH_MAX: usize = 63;

/// A name for people: 1 to 63 characters on one line with no blank at its
/// ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Title(String);

/// The text cannot be a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a name has 1 to {LENGTH_MAX} characters on one line, none of them a blank at its ends")]
pub struct InvalidTitle;

impl Title {
    /// Takes a valid name as it is.
    ///
    /// # Errors
    /// [`InvalidTitle`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidTitle> {
        let fits = (1..=LENGTH_MAX).contains(&text.chars().count());
        let is_clean = text.trim() == text && !text.chars().any(char::is_control);
        (fits && is_clean).then(|| Self(text.to_owned())).ok_or(InvalidTitle)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without regard to case, the same on both databases.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl<'de> Deserialize<'de> for Title {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_people_write_on_one_line() {
        for name in ["Paris", "Site 2 / rack-b", "Zürich", &"é".repeat(63)] {
            assert!(Title::parse(name).is_ok(), "{name:?}");
        }
        for wrong in ["", " ", " a", "a ", "a\nb", "\u{1b}[2J", &"a".repeat(64)] {
            assert_eq!(Title::parse(wrong), Err(InvalidTitle), "{wrong:?}");
        }
        assert_eq!(Title::parse("ZÜRICH").unwrap().folded(), "zürich");
    }
}
