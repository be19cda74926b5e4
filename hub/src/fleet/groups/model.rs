//! What a group is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::http::Title;

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
    /// What it is called: 1 to 63 characters on one line, unique without regard
    /// to case.
    #[schema(value_type = String)]
    pub name: Title,
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
