//! What roles, teams and grants are.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::http::{Permission, Role, Scope, Title};

/// What a grant gives: a role that comes with the hub, or one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleRef {
    /// It comes with the hub.
    BuiltIn(Role),
    /// Somebody made it.
    Own(Uuid),
}

/// The text names no role.
#[derive(Debug, thiserror::Error)]
#[error("a role is administrator, operator, viewer, or the id of one that was made")]
pub struct UnknownRole;

impl RoleRef {
    /// The name of a role that comes with the hub.
    pub const fn built_in(self) -> Option<Role> {
        match self {
            Self::BuiltIn(role) => Some(role),
            Self::Own(_) => None,
        }
    }

    /// The id of a role that somebody made.
    pub const fn own(self) -> Option<Uuid> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Own(id) => Some(id),
        }
    }
}

impl FromStr for RoleRef {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text.parse() {
            Ok(Role::Restricted) => Err(UnknownRole),
            Ok(role) => Ok(Self::BuiltIn(role)),
            Err(_) => text.parse().map(Self::Own).map_err(|_| UnknownRole),
        }
    }
}

impl TryFrom<String> for RoleRef {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, UnknownRole> {
        text.parse()
    }
}

impl<'de> Deserialize<'de> for RoleRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for RoleRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for RoleRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn(role) => role.fmt(f),
            Self::Own(id) => id.fmt(f),
        }
    }
}

/// To whom something is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// A user.
    User(Uuid),
    /// Everyone in a team.
    Team(Uuid),
}

impl Grantee {
    /// The user and the team, of which one is none.
    pub const fn ids(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::User(id) => (Some(id), None),
            Self::Team(id) => (None, Some(id)),
        }
    }
}

/// A role that can be granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccessRole {
    /// Its id; of a role that comes with the hub, its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it comes with the hub and stays as it is.
    pub built_in: bool,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// How many grants give it.
    pub grants: i64,
    /// When it was made; null where it comes with the hub.
    pub created_at: Option<Timestamp>,
}

/// A role that is made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccessRole {
    /// What it is called: 1 to 63 characters on one line, unique without regard
    /// to case.
    #[schema(value_type = String)]
    pub name: Title,
    /// What it allows. Whoever may do something in an environment sees it.
    pub permissions: Vec<Permission>,
}

/// What changes of a role; what is not named stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRolePatch {
    /// What it is called from now on.
    #[schema(value_type = Option<String>)]
    pub name: Option<Title>,
    /// What it allows from now on.
    pub permissions: Option<Vec<Permission>>,
}

/// Users to whom something is granted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Team {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many users are in it.
    pub members: i64,
    /// How many grants it has.
    pub grants: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The name of a team that is made, or its new one.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// What it is called: 1 to 63 characters on one line, unique without regard
    /// to case.
    #[schema(value_type = String)]
    pub name: Title,
}

/// A user in a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TeamMember {
    /// The user.
    pub user_id: Uuid,
    /// Their name.
    pub user_name: String,
    /// Since when they are in it.
    pub joined_at: Timestamp,
}

/// What somebody was granted, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// The user who has it; null where a team does.
    pub user_id: Option<Uuid>,
    /// Their name.
    pub user_name: Option<String>,
    /// The team that has it; null where a user does.
    pub team_id: Option<Uuid>,
    /// Its name.
    pub team_name: Option<String>,
    /// The role that it gives; of one that comes with the hub, its name.
    pub role_id: String,
    /// What that is called.
    pub role_name: String,
    /// Where it counts.
    pub scope: Scope,
    /// What the group or the environment is called, where it is one.
    pub scope_name: Option<String>,
    /// The identity provider whose mapping made it, and takes it away; null
    /// where somebody granted it.
    pub provider_id: Option<Uuid>,
    /// What that is called.
    pub provider_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A grant that is made: to a user or to a team.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The user who gets it.
    pub user_id: Option<Uuid>,
    /// The team that gets it.
    pub team_id: Option<Uuid>,
    /// `administrator`, `operator`, `viewer`, or the id of another role.
    #[schema(value_type = String)]
    pub role: RoleRef,
    /// Where it counts.
    pub scope: Scope,
}

/// Which grants to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GrantFilter {
    /// Only those of this user, not those of their teams.
    pub user: Option<Uuid>,
    /// Only those of this team.
    pub team: Option<Uuid>,
    /// Only those that give this role.
    #[param(value_type = Option<String>)]
    pub role: Option<RoleRef>,
    /// Only those for this environment by name, not those for its group or
    /// labels.
    pub environment: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_by_its_word_or_its_id() {
        assert_eq!("viewer".parse::<RoleRef>().unwrap(), RoleRef::BuiltIn(Role::Viewer));
        let id = Uuid::from_u128(7);
        assert_eq!(id.to_string().parse::<RoleRef>().unwrap(), RoleRef::Own(id));
        for wrong in ["restricted", "", "owner", "Viewer"] {
            assert!(wrong.parse::<RoleRef>().is_err(), "{wrong:?}");
        }
    }
}
