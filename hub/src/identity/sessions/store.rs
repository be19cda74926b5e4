//! Cookie sessions in the database.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, UserId};
use crate::identity::users::User;
use crate::on_tx;

/// One session. Its secret is not part of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Session {
    /// The session.
    pub id: Uuid,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// Where it was started from.
    pub address: Option<String>,
    /// What the browser called itself.
    pub user_agent: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
}

pub async fn insert(tx: &mut Tx, session: &Session, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO sessions (id, user_id, secret_hash, address, user_agent, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(session.id)
            .bind(session.user_id.0)
            .bind(secret_hash)
            .bind(&session.address)
            .bind(&session.user_agent)
            .bind(session.created_at)
            .bind(session.expires_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// The session with this secret and its user, if both are still good.
pub async fn find_user(tx: &mut Tx, secret_hash: &[u8], now: Timestamp) -> Result<Option<(Uuid, User)>, DbError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        session_id: Uuid,
        #[sqlx(flatten)]
        user: User,
    }
    let sql = "SELECT s.id AS session_id, u.id, u.name, u.role, u.created_at, u.updated_at, u.disabled_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.secret_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL";
    let row: Option<Row> = on_tx!(tx, |c| sqlx::query_as(sql).bind(secret_hash).bind(now).fetch_optional(c).await)?;
    Ok(row.map(|row| (row.session_id, row.user)))
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at
               FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

pub async fn list(tx: &mut Tx, filter: &SessionFilter, page: Page, now: Timestamp) -> Result<Vec<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.expires_at > $1 AND ($2 IS NULL OR s.user_id = $2)
               ORDER BY s.created_at DESC, s.id LIMIT $3 OFFSET $4";
    let user = filter.user.map(|user| user.0);
    let sessions = on_tx!(tx, |c| {
        sqlx::query_as(sql).bind(now).bind(user).bind(page.limit).bind(page.offset).fetch_all(c).await
    })?;
    Ok(sessions)
}

pub async fn count(tx: &mut Tx, filter: &SessionFilter, now: Timestamp) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND ($2 IS NULL OR user_id = $2)";
    let user = filter.user.map(|user| user.0);
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(now).bind(user).fetch_one(c).await)?)
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM sessions WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_by_hash(tx: &mut Tx, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "DELETE FROM sessions WHERE secret_hash = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(secret_hash).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_of_user(tx: &mut Tx, user: UserId) -> Result<u64, DbError> {
    let sql = "DELETE FROM sessions WHERE user_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(|done| done.rows_affected()))?)
}

pub async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM sessions WHERE expires_at <= $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(|done| done.rows_affected()))?)
}
