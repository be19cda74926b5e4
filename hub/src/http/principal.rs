//! Who a request acts for, and what they may do.

mod limits;
mod permission;
mod powers;
mod role;

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::limits::{Limits, TokenScope};
pub use self::permission::{Permission, Permissions};
pub use self::powers::{Decision, Place, Powers, Scope};
pub use self::role::Role;

/// What whoever has the local socket may do.
static ROOT: LazyLock<Arc<Powers>> = LazyLock::new(|| Arc::new(Powers::of(Role::Administrator)));

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialUsed {
    /// A browser's cookie session.
    Session(Uuid),
    /// An API token, by its public id.
    ApiToken(String),
    /// An access token, by the family of tokens that one sign-in began.
    AccessToken(Uuid),
}

impl std::fmt::Display for CredentialUsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session:{id}"),
            Self::ApiToken(id) => write!(f, "api-token:{id}"),
            Self::AccessToken(family) => write!(f, "access-token:{family}"),
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
    /// What they may do in all environments.
    pub role: Role,
    /// All that they may do, and where.
    pub powers: Arc<Powers>,
    /// How they proved it.
    pub credential: CredentialUsed,
    /// What their credential is limited to, where it is; the powers are what is
    /// left.
    pub limits: Option<Arc<Limits>>,
    /// Whether they have yet to set up the second factor that is asked of them.
    pub second_factor_due: bool,
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
    /// Whether the principal may do this in all environments, and to the hub.
    pub fn may(&self, permission: Permission) -> bool {
        self.powers().everywhere().has(permission)
    }

    /// All that the principal may do, and where.
    pub fn powers(&self) -> &Arc<Powers> {
        match self {
            Self::User(user) => &user.powers,
            Self::LocalRoot => &ROOT,
        }
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
