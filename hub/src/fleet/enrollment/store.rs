//! The enrollment tokens and their uses, in the database.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::ids::AgentId;
use windflow_protocol::token::TokenId;

use super::model::{Approval, NewEnrollmentToken, TokenRow};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::on_tx;

const COLUMNS: &str = "id, name, secret_mac, replaces_agent, created_by, created_at, expires_at, max_uses, uses,
    labels, name_pattern, networks, needs_approval, revoked_at, revoke_reason, last_used_at, last_used_from";

/// What a new row holds beside what was asked for.
#[derive(Debug)]
pub struct Minted<'a> {
    pub id: &'a TokenId,
    pub secret_mac: Vec<u8>,
    pub replaces_agent: Option<AgentId>,
    pub created_by: &'a str,
    pub created_at: Timestamp,
}

pub async fn insert(tx: &mut Tx, minted: &Minted<'_>, new: &NewEnrollmentToken) -> Result<(), DbError> {
    let sql = "INSERT INTO enrollment_tokens (id, name, secret_mac, replaces_agent, created_by, created_at, expires_at,
                   max_uses, uses, labels, name_pattern, networks, needs_approval)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(minted.id.as_str())
            .bind(&new.name)
            .bind(&minted.secret_mac)
            .bind(minted.replaces_agent.map(|agent| agent.0))
            .bind(minted.created_by)
            .bind(minted.created_at)
            .bind(minted.created_at + new.life())
            .bind(new.max_uses())
            .bind(Json(&new.labels))
            .bind(new.name_pattern.as_deref())
            .bind(Json(&new.cidrs))
            .bind(new.approval == Approval::Manual)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: &TokenId) -> Result<Option<TokenRow>, DbError> {
    let sql = AssertSqlSafe(format!("SELECT {COLUMNS} FROM enrollment_tokens WHERE id = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.as_str()).fetch_optional(c).await)?)
}

/// Every token, newest first; `name` narrows it to those of that name.
pub async fn list(tx: &mut Tx, name: Option<&str>) -> Result<Vec<TokenRow>, DbError> {
    let sql = AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM enrollment_tokens WHERE $1 IS NULL OR name = $1 ORDER BY created_at DESC, id"
    ));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(name).fetch_all(c).await)?)
}

/// Uses the token once, if it may be used now. One statement, so that of many
/// at the same time exactly as many win as it has uses.
pub async fn consume(tx: &mut Tx, id: &TokenId, from: &str, now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE enrollment_tokens SET uses = uses + 1, last_used_at = $2, last_used_from = $3
               WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND uses < max_uses RETURNING id";
    let used: Option<String> =
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.as_str()).bind(now).bind(from).fetch_optional(c).await)?;
    Ok(used.is_some())
}

#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct UseRow {
    pub agent_id: Uuid,
    pub at: Timestamp,
}

pub async fn insert_use(
    tx: &mut Tx,
    id: &TokenId,
    key: KeyDigest,
    agent: AgentId,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO enrollment_uses (token_id, key_digest, agent_id, at) VALUES ($1, $2, $3, $4)";
    on_tx!(tx, |c| {
        sqlx::query(sql).bind(id.as_str()).bind(&key.0[..]).bind(agent.0).bind(at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn find_use(tx: &mut Tx, id: &TokenId, key: KeyDigest) -> Result<Option<UseRow>, DbError> {
    let sql = "SELECT agent_id, at FROM enrollment_uses WHERE token_id = $1 AND key_digest = $2";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.as_str()).bind(&key.0[..]).fetch_optional(c).await)?)
}

/// Whether the token was there and not revoked yet.
pub async fn revoke(tx: &mut Tx, id: &TokenId, reason: &str, at: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE enrollment_tokens SET revoked_at = $2, revoke_reason = $3
               WHERE id = $1 AND revoked_at IS NULL RETURNING id";
    let revoked: Option<String> =
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.as_str()).bind(at).bind(reason).fetch_optional(c).await)?;
    Ok(revoked.is_some())
}

/// Revokes every token that would replace this agent's identity.
pub async fn revoke_replacements(tx: &mut Tx, agent: AgentId, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET revoked_at = $2, revoke_reason = 'the agent was revoked'
               WHERE replaces_agent = $1 AND revoked_at IS NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(agent.0).bind(at).execute(c).await.map(drop))?;
    Ok(())
}

/// Revokes every token that could still be used.
pub async fn revoke_open(tx: &mut Tx, reason: &str, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE enrollment_tokens SET revoked_at = $1, revoke_reason = $2
               WHERE revoked_at IS NULL AND expires_at > $1 AND uses < max_uses";
    on_tx!(tx, |c| sqlx::query(sql).bind(at).bind(reason).execute(c).await.map(drop))?;
    Ok(())
}

/// Forgets tokens that ended before `before`. How many.
pub async fn delete_ended(tx: &mut Tx, before: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM enrollment_tokens WHERE expires_at < $1";
    let gone = on_tx!(tx, |c| sqlx::query(sql).bind(before).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(gone)
}
