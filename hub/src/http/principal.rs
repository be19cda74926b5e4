//! Who a request acts for.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One user of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A new id that sorts by its time of creation.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<Uuid> for UserId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Look, and change nothing but their own credentials.
    Viewer,
}

/// The text is no role.
#[derive(Debug, thiserror::Error)]
#[error("the role must be administrator or viewer")]
pub struct UnknownRole;

impl Role {
    /// The role's name in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Administrator, Self::Viewer].into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl TryFrom<String> for Role {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By what a user was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialUsed {
    /// A browser's cookie session.
    Session(Uuid),
    /// An API token, by its public id.
    ApiToken(String),
}

impl std::fmt::Display for CredentialUsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session:{id}"),
            Self::ApiToken(id) => write!(f, "api-token:{id}"),
        }
    }
}

/// A user who proved who they are with this very request.
#[derive(Clone, Debug)]
pub struct SignedInUser {
    /// The user.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they proved it.
    pub credential: CredentialUsed,
}

/// Who a request acts for.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A user.
    User(SignedInUser),
    /// Whoever may use the Unix socket in the data directory: root, or the
    /// user that the hub runs as.
    LocalRoot,
}

impl Principal {
    /// What the principal may do.
    pub fn role(&self) -> Role {
        match self {
            Self::User(user) => user.role,
            Self::LocalRoot => Role::Administrator,
        }
    }

    /// The user, where it is one.
    pub fn user(&self) -> Option<&SignedInUser> {
        match self {
            Self::User(user) => Some(user),
            Self::LocalRoot => None,
        }
    }
}
