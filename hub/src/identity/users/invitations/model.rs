//! What invitations are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::http::{Role, Scope};
use crate::identity::grants::RoleRef;
use crate::mail::{Language, MailAddress};

/// Who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationKind {
    /// Somebody who manages users.
    Invitation,
    /// Whoever it is for.
    Registration,
}

/// The text names no kind.
#[derive(Debug, thiserror::Error)]
#[error("an unknown kind of invitation")]
pub struct UnknownKind;

impl InvitationKind {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Registration => "registration",
        }
    }
}

impl TryFrom<String> for InvitationKind {
    type Error = UnknownKind;

    fn try_from(text: String) -> Result<Self, UnknownKind> {
        [Self::Invitation, Self::Registration].into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// How it stands with an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Its link works.
    Waiting,
    /// It made a user.
    Accepted,
    /// It was ended.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A role that comes with an invitation, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitedGrant {
    /// `administrator`, `operator`, `viewer`, or the id of another role.
    #[schema(value_type = String)]
    pub role: RoleRef,
    /// Where it counts.
    pub scope: Scope,
}

/// An invitation, without its link.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Who made it.
    pub kind: InvitationKind,
    /// The address that it was mailed to; null for a link that was handed over.
    pub email: Option<String>,
    /// What the user may do everywhere.
    pub role: Role,
    /// The teams that they come into.
    pub team_ids: Vec<Uuid>,
    /// What is granted to them.
    pub grants: Vec<InvitedGrant>,
    /// Who invited them.
    pub invited_by: String,
    /// How it stands with it.
    pub state: InvitationState,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when its link works.
    pub expires_at: Timestamp,
    /// The user that it made.
    pub accepted_by: Option<String>,
}

/// An invitation that is made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Where it is mailed to. Without it, the answer has the link, this once.
    #[schema(value_type = Option<String>)]
    pub email: Option<MailAddress>,
    /// The language of the mail, and of those to the user.
    #[serde(default)]
    pub language: Language,
    /// What the user may do everywhere.
    #[serde(default = "restricted")]
    pub role: Role,
    /// The teams that they come into.
    #[serde(default)]
    pub team_ids: Vec<Uuid>,
    /// What is granted to them.
    #[serde(default)]
    pub grants: Vec<InvitedGrant>,
    /// How long the link works: 7 days unless said, 30 days at most.
    pub ttl_seconds: Option<u64>,
}

const fn restricted() -> Role {
    Role::Restricted
}
