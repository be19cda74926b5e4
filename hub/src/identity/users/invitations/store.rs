//! The table of invitations.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Invitation, InvitationKind, InvitationState, InvitedGrant};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, Role};
use crate::mail::{Language, MailAddress};
use crate::on_tx;

/// An invitation to be written.
#[derive(Debug)]
pub struct NewRow {
    pub id: Uuid,
    pub kind: InvitationKind,
    pub email: Option<String>,
    pub language: Language,
    pub role: Role,
    pub teams: Vec<Uuid>,
    pub grants: Vec<InvitedGrant>,
    pub invited_by: String,
    pub invited_by_id: Option<Uuid>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// An invitation as it stands in the database.
#[derive(Debug, sqlx::FromRow)]
pub struct InvitationRow {
    pub id: Uuid,
    #[sqlx(try_from = "String")]
    pub kind: InvitationKind,
    pub email: Option<String>,
    #[sqlx(try_from = "String")]
    pub language: Language,
    #[sqlx(try_from = "String")]
    pub role: Role,
    pub teams: Json<Vec<Uuid>>,
    pub grants: Json<Vec<InvitedGrant>>,
    pub invited_by: String,
    pub invited_by_id: Option<Uuid>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub accepted_at: Option<Timestamp>,
    pub accepted_by: Option<String>,
    pub revoked_at: Option<Timestamp>,
}

impl InvitationRow {
    /// The invitation as it stands now.
    pub fn told(self, now: Timestamp) -> Invitation {
        let state = match (self.accepted_at, self.revoked_at) {
            (Some(_), _) => InvitationState::Accepted,
            (None, Some(_)) => InvitationState::Revoked,
            (None, None) if self.expires_at <= now => InvitationState::Expired,
            (None, None) => InvitationState::Waiting,
        };
        Invitation {
            id: self.id,
            kind: self.kind,
            email: self.email,
            role: self.role,
            team_ids: self.teams.0,
            grants: self.grants.0,
            invited_by: self.invited_by,
            state,
            created_at: self.created_at,
            expires_at: self.expires_at,
            accepted_by: self.accepted_by,
        }
    }
}

const COLUMNS: &str = "id, kind, email, language, role, teams, grants, invited_by, invited_by_id, created_at,
    expires_at, accepted_at, accepted_by, revoked_at";

pub async fn insert(tx: &mut Tx, new: &NewRow, digest: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO invitations (id, kind, secret_hash, email, language, role, teams, grants, invited_by,
                                        invited_by_id, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(new.id).bind(new.kind.as_str()).bind(digest).bind(&new.email);
        let query = query.bind(new.language.as_str()).bind(new.role.as_str());
        let query = query.bind(Json(&new.teams)).bind(Json(&new.grants)).bind(&new.invited_by);
        query.bind(new.invited_by_id).bind(new.created_at).bind(new.expires_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<InvitationRow>, DbError> {
    let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM invitations WHERE id = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// The invitation with this secret, while its link works.
pub async fn find_working(tx: &mut Tx, digest: &[u8], now: Timestamp) -> Result<Option<InvitationRow>, DbError> {
    let sql = AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM invitations
         WHERE secret_hash = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2"
    ));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(digest).bind(now).fetch_optional(c).await)?)
}

/// Uses an invitation up. Of many who try at once, one succeeds.
pub async fn consume(tx: &mut Tx, digest: &[u8], user: &str, now: Timestamp) -> Result<Option<InvitationRow>, DbError> {
    let sql = AssertSqlSafe(format!(
        "UPDATE invitations SET accepted_at = $2, accepted_by = $3
         WHERE secret_hash = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2
         RETURNING {COLUMNS}"
    ));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(digest).bind(now).bind(user).fetch_optional(c).await)?)
}

/// Whether it waited.
pub async fn revoke(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE invitations SET revoked_at = $2
               WHERE id = $1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(c).await?.rows_affected());
    Ok(done > 0)
}

/// Ends the registrations of an address that wait: the newest link counts.
pub async fn end_registrations(tx: &mut Tx, email: &MailAddress, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE invitations SET revoked_at = $2
               WHERE kind = 'registration' AND email = $1 AND accepted_at IS NULL AND revoked_at IS NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(email.as_str()).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Ends all that wait.
pub async fn end_all(tx: &mut Tx, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE invitations SET revoked_at = $1 WHERE accepted_at IS NULL AND revoked_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(drop))?)
}

pub async fn count_waiting(tx: &mut Tx, now: Timestamp) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM invitations
               WHERE accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(now).fetch_one(c).await)?)
}

/// The invitations, the newest first.
pub async fn list(tx: &mut Tx, page: Page) -> Result<Vec<InvitationRow>, DbError> {
    let sql = AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM invitations ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2"
    ));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(page.limit).bind(page.offset).fetch_all(c).await)?)
}

pub async fn count(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(on_tx!(tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM invitations").fetch_one(c).await)?)
}

pub async fn delete_ended_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM invitations WHERE expires_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}
