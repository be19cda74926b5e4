//! The labels of an environment: what an operator sorts the fleet by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most labels of one environment.
const LABELS_MAX: usize = 32;
/// Longest key, in characters.
const KEY_MAX: usize = 63;
/// Longest value, in bytes.
const VALUE_MAX: usize = 255;

/// At most 32 labels. A key has 1 to 63 of `a-z A-Z 0-9 . _ - /` and starts
/// with a letter or digit; a value has at most 255 bytes on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// These cannot be labels.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidLabels {
    /// There are too many.
    #[error("at most {LABELS_MAX} labels are kept")]
    TooMany,
    /// A key is none.
    #[error(
        "a label's key has 1 to {KEY_MAX} letters, digits, dots, dashes, underscores or slashes \
         and starts with a letter or digit"
    )]
    Key,
    /// A value is too long or has more than one line.
    #[error("a label's value has at most {VALUE_MAX} bytes on one line")]
    Value,
}

impl Labels {
    /// Takes labels as they are.
    ///
    /// # Errors
    /// [`InvalidLabels`] for what an operator may not set.
    pub fn parse(labels: BTreeMap<String, String>) -> Result<Self, InvalidLabels> {
        if labels.len() > LABELS_MAX {
            return Err(InvalidLabels::TooMany);
        }
        if !labels.keys().all(|key| is_key(key)) {
            return Err(InvalidLabels::Key);
        }
        if !labels.values().all(|value| value.len() <= VALUE_MAX && !value.chars().any(char::is_control)) {
            return Err(InvalidLabels::Value);
        }
        Ok(Self(labels))
    }

    /// Labels that are there already, whoever made them: an agent may name its
    /// own.
    pub const fn stored(labels: BTreeMap<String, String>) -> Self {
        Self(labels)
    }
}

/// Whether `wanted` is among labels: a key, or `key=value`.
pub fn have(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
    labels.get(key).is_some_and(|found| value.is_none_or(|value| value == found))
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(BTreeMap::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn is_key(key: &str) -> bool {
    let starts = key.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'));
    starts && rest && key.len() <= KEY_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Result<Labels, InvalidLabels> {
        Labels::parse(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_are_found_by_key_and_by_key_and_value() {
        let Labels(labels) = labels(&[("site", "fra"), ("example.com/tier", "a=b"), ("empty", "")]).unwrap();
        let have = |wanted| have(&labels, wanted);
        assert!(have("site") && have("site=fra") && have("example.com/tier=a=b") && have("empty="));
        assert!(!have("site=ams") && !have("sit") && !have(""));
    }

    #[test]
    fn what_is_no_label_is_refused() {
        for key in ["", "-a", "a b", "a=b", "é", "a\n", &"a".repeat(64)] {
            assert_eq!(labels(&[(key, "x")]), Err(InvalidLabels::Key), "{key:?}");
        }
        for value in ["a\nb", "\u{1b}[2J", &"x".repeat(256)] {
            assert_eq!(labels(&[("a", value)]), Err(InvalidLabels::Value), "{value:?}");
        }
        let many = |count: usize| Labels::parse((0..count).map(|n| (n.to_string(), String::new())).collect());
        assert!(many(32).is_ok());
        assert_eq!(many(33), Err(InvalidLabels::TooMany));
    }
}
