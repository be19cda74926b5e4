//! Families of tokens, their refresh tokens and the signing keys in the
//! database. A family that ends is deleted with all that belongs to it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, UserId};
use crate::identity::users::User;
use crate::on_tx;

/// What one sign-in of a program began. Its tokens are not part of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct TokenFamily {
    /// The family.
    pub id: Uuid,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// Where it was begun from.
    pub address: Option<String>,
    /// What the program called itself.
    pub user_agent: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it ends, if it is not refreshed before.
    pub expires_at: Timestamp,
    /// When it was begun or refreshed last.
    pub last_used_at: Timestamp,
}

/// Which families to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenFamilyFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
}

/// The user of a family that is not over.
#[derive(Debug, sqlx::FromRow)]
pub struct FamilyUser {
    pub family_created_at: Timestamp,
    #[sqlx(flatten)]
    pub user: User,
}

/// One refresh token.
#[derive(Debug, sqlx::FromRow)]
pub struct RefreshRow {
    pub family_id: Uuid,
    pub secret_hash: Vec<u8>,
    pub expires_at: Timestamp,
}

/// One signing key.
#[derive(Debug, sqlx::FromRow)]
pub struct KeyRow {
    pub id: String,
    pub public_key: Vec<u8>,
    pub secret_sealed: Vec<u8>,
    pub created_at: Timestamp,
}

pub async fn insert(tx: &mut Tx, family: &TokenFamily) -> Result<(), DbError> {
    let sql = "INSERT INTO token_families (id, user_id, address, user_agent, created_at, expires_at, last_used_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(family.id)
            .bind(family.user_id.0)
            .bind(&family.address)
            .bind(&family.user_agent)
            .bind(family.created_at)
            .bind(family.expires_at)
            .bind(family.last_used_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<TokenFamily>, DbError> {
    let sql = "SELECT f.id, f.user_id, u.name AS user_name, f.address, f.user_agent, f.created_at, f.expires_at,
                   f.last_used_at
               FROM token_families f JOIN users u ON u.id = f.user_id WHERE f.id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// The user of a family that is not over, unless disabled.
pub async fn find_user(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<Option<FamilyUser>, DbError> {
    let sql =
        "SELECT f.created_at AS family_created_at, u.id, u.name, u.role, u.created_at, u.updated_at, u.disabled_at
               FROM token_families f JOIN users u ON u.id = f.user_id
               WHERE f.id = $1 AND f.expires_at > $2 AND u.disabled_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).bind(now).fetch_optional(c).await)?)
}

pub async fn list(
    tx: &mut Tx,
    filter: TokenFamilyFilter,
    page: Page,
    now: Timestamp,
) -> Result<Vec<TokenFamily>, DbError> {
    let sql = "SELECT f.id, f.user_id, u.name AS user_name, f.address, f.user_agent, f.created_at, f.expires_at,
                   f.last_used_at
               FROM token_families f JOIN users u ON u.id = f.user_id
               WHERE f.expires_at > $1 AND ($2 IS NULL OR f.user_id = $2)
               ORDER BY f.created_at DESC, f.id LIMIT $3 OFFSET $4";
    let user = filter.user.map(|user| user.0);
    let families = on_tx!(tx, |c| {
        sqlx::query_as(sql).bind(now).bind(user).bind(page.limit).bind(page.offset).fetch_all(c).await
    })?;
    Ok(families)
}

pub async fn count(tx: &mut Tx, filter: TokenFamilyFilter, now: Timestamp) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM token_families WHERE expires_at > $1 AND ($2 IS NULL OR user_id = $2)";
    let user = filter.user.map(|user| user.0);
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(now).bind(user).fetch_one(c).await)?)
}

/// Has a family live until then; `false` if there is none any more.
pub async fn prolong(tx: &mut Tx, id: Uuid, until: Timestamp, now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE token_families SET expires_at = $2, last_used_at = $3 WHERE id = $1";
    let done = on_tx!(tx, |c| {
        sqlx::query(sql).bind(id).bind(until).bind(now).execute(c).await.map(|done| done.rows_affected())
    })?;
    Ok(done > 0)
}

/// Ends a family; `false` if there is none any more.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<bool, DbError> {
    let sql = "DELETE FROM token_families WHERE id = $1";
    let deleted = on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(deleted > 0)
}

/// Ends every family of everyone.
pub async fn delete_all(tx: &mut Tx) -> Result<(), DbError> {
    on_tx!(tx, |c| sqlx::query("DELETE FROM token_families").execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_of_user(tx: &mut Tx, user: UserId) -> Result<u64, DbError> {
    let sql = "DELETE FROM token_families WHERE user_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(|done| done.rows_affected()))?)
}

/// Deletes the families that are over, and of the others the refresh tokens
/// that would be refused for their age.
pub async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, DbError> {
    let mut deleted = 0;
    for sql in
        ["DELETE FROM token_families WHERE expires_at <= $1", "DELETE FROM refresh_tokens WHERE expires_at <= $1"]
    {
        deleted += on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(|done| done.rows_affected()))?;
    }
    Ok(deleted)
}

pub async fn insert_refresh(tx: &mut Tx, id: &str, row: &RefreshRow) -> Result<(), DbError> {
    let sql = "INSERT INTO refresh_tokens (id, family_id, secret_hash, expires_at) VALUES ($1, $2, $3, $4)";
    on_tx!(tx, |c| {
        let insert = sqlx::query(sql).bind(id).bind(row.family_id).bind(&row.secret_hash).bind(row.expires_at);
        insert.execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn find_refresh(tx: &mut Tx, id: &str) -> Result<Option<RefreshRow>, DbError> {
    let sql = "SELECT family_id, secret_hash, expires_at FROM refresh_tokens WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// Uses a refresh token up. Of many at the same time one wins, and is told.
pub async fn use_refresh(tx: &mut Tx, id: &str, now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE refresh_tokens SET used_at = $2 WHERE id = $1 AND used_at IS NULL";
    let used = on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(used > 0)
}

pub async fn insert_key(tx: &mut Tx, key: &KeyRow) -> Result<(), DbError> {
    let sql = "INSERT INTO signing_keys (id, public_key, secret_sealed, created_at) VALUES ($1, $2, $3, $4)";
    on_tx!(tx, |c| {
        let insert = sqlx::query(sql).bind(&key.id).bind(&key.public_key).bind(&key.secret_sealed);
        insert.bind(key.created_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// The keys, the newest first.
pub async fn list_keys(tx: &mut Tx) -> Result<Vec<KeyRow>, DbError> {
    let sql = "SELECT id, public_key, secret_sealed, created_at FROM signing_keys ORDER BY created_at DESC, id";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

pub async fn find_public_key(tx: &mut Tx, id: &str) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT public_key FROM signing_keys WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?)
}

/// Deletes the keys that are older than the one of that moment.
pub async fn delete_keys_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM signing_keys WHERE created_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}
