//! Who a request acts for, and what they may do.

mod permission;
mod role;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::permission::Permission;
pub use self::role::Role;

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
    /// Whether the principal may do this. The one place that decides it.
    pub fn may(&self, permission: Permission) -> bool {
        self.role().may(permission)
    }

    /// The principal's role.
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
