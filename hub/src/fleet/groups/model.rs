//! What a group is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;

/// Longest name of a group, in characters.
const NAME_MAX: usize = 63;

/// The id of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub Uuid);

impl GroupId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A name for people: 1 to 63 characters on one line with no blank at its
/// ends, unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub struct GroupName(String);

/// The text cannot be a group's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a group's name has 1 to {NAME_MAX} characters on one line, none of them a blank at its ends")]
pub struct InvalidGroupName;

impl GroupName {
    /// Takes a valid name as it is.
    ///
    /// # Errors
    /// [`InvalidGroupName`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidGroupName> {
        let fits = (1..=NAME_MAX).contains(&text.chars().count());
        let is_clean = text.trim() == text && !text.chars().any(char::is_control);
        (fits && is_clean).then(|| Self(text.to_owned())).ok_or(InvalidGroupName)
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

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A group of environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Group {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many environments are in it.
    pub environments: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The name of a group that is made, or its new one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// What it is called.
    #[schema(value_type = String)]
    pub name: GroupName,
}

/// Which groups to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupFilter {
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only those with this text in their name.
    pub search: Option<String>,
}

impl GroupFilter {
    /// Whether this group is wanted.
    pub fn wants(&self, group: &Group) -> bool {
        let name = group.name.to_lowercase();
        self.name.as_ref().is_none_or(|wanted| wanted.to_lowercase() == name)
            && self.search.as_ref().is_none_or(|text| name.contains(&text.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_people_write_on_one_line() {
        for name in ["Paris", "Site 2 / rack-b", "Zürich", &"é".repeat(63)] {
            assert!(GroupName::parse(name).is_ok(), "{name:?}");
        }
        for wrong in ["", " ", " a", "a ", "a\nb", "\u{1b}[2J", &"a".repeat(64)] {
            assert_eq!(GroupName::parse(wrong), Err(InvalidGroupName), "{wrong:?}");
        }
        assert_eq!(GroupName::parse("ZÜRICH").unwrap().folded(), "zürich");
    }
}
