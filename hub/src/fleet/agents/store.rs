//! The agents and their certificates, in the database.

use sqlx::AssertSqlSafe;
use uuid::Uuid;
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::ids::AgentId;
use windflow_protocol::message::hello::HostFacts;

use super::model::{AgentRow, AgentState, NewAgent};
use super::ticket::FIRST_TICKET;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::fleet::authority::IssuedCertificate;
use crate::on_tx;

const SELECT: &str = "SELECT agents.id, agents.environment_id, environments.name, agents.state, agents.key_digest,
    agents.generation, agents.ticket_current, agents.ticket_pending, agents.ticket_previous, agents.forgiven_at,
    agents.hostname, agents.os, agents.arch, agents.machine, agents.enrolled_with, agents.enrolled_at,
    agents.connected_at, agents.revoked_at, agents.revoke_reason, environments.agent_version,
    environments.last_seen_at
    FROM agents JOIN environments ON environments.id = agents.environment_id";

pub async fn insert(tx: &mut Tx, new: &NewAgent) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "INSERT INTO agents (id, environment_id, state, key_digest, generation, ticket_current, hostname, os,
                   arch, machine, enrolled_with, enrolled_at)
               VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $11)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(new.id.0)
            .bind(new.environment.0)
            .bind(new.state.as_str())
            .bind(&new.key.0[..])
            .bind(FIRST_TICKET)
            .bind(&new.host.hostname)
            .bind(&new.host.os)
            .bind(&new.host.arch)
            .bind(&new.host.machine[..])
            .bind(&new.enrolled_with)
            .bind(new.enrolled_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: AgentId) -> Result<Option<AgentRow>, DbError> {
    let sql = AssertSqlSafe(format!("{SELECT} WHERE agents.id = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?)
}

pub async fn find_by_key(tx: &mut Tx, key: KeyDigest) -> Result<Option<AgentRow>, DbError> {
    let sql = AssertSqlSafe(format!("{SELECT} WHERE agents.key_digest = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(&key.0[..]).fetch_optional(c).await)?)
}

/// Every agent, by name; `name` narrows it to that one.
pub async fn list(tx: &mut Tx, name: Option<&str>) -> Result<Vec<AgentRow>, DbError> {
    let sql = AssertSqlSafe(format!(
        "{SELECT} WHERE $1 IS NULL OR LOWER(environments.name) = LOWER($1) ORDER BY LOWER(environments.name)"
    ));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(name).fetch_all(c).await)?)
}

pub async fn set_state(tx: &mut Tx, id: AgentId, state: AgentState) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE agents SET state = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(state.as_str()).execute(c).await.map(drop))?;
    Ok(())
}

/// Whether the agent was there and not revoked yet.
pub async fn revoke(tx: &mut Tx, id: AgentId, reason: &str, at: Timestamp) -> Result<bool, DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE agents SET state = 'revoked', revoked_at = $2, revoke_reason = $3
               WHERE id = $1 AND state <> 'revoked' RETURNING id";
    let revoked: Option<Uuid> =
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.0).bind(at).bind(reason).fetch_optional(c).await)?;
    Ok(revoked.is_some())
}

/// Gives an agent a new key, as a replacement token allows. Its new generation.
pub async fn replace_key(tx: &mut Tx, id: AgentId, key: KeyDigest, host: &HostFacts) -> Result<i64, DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE agents SET key_digest = $2, generation = generation + 1,
                   state = CASE WHEN state = 'pending' THEN 'pending' ELSE 'active' END,
                   ticket_current = $3, ticket_pending = NULL, ticket_previous = NULL, ticket_refused = NULL,
                   forgiven_at = NULL, hostname = $4, os = $5, arch = $6, machine = $7, connected_at = NULL,
                   revoked_at = NULL, revoke_reason = NULL
               WHERE id = $1 RETURNING generation";
    let generation = on_tx!(tx, |c| {
        sqlx::query_scalar(sql)
            .bind(id.0)
            .bind(&key.0[..])
            .bind(FIRST_TICKET)
            .bind(&host.hostname)
            .bind(&host.os)
            .bind(&host.arch)
            .bind(&host.machine[..])
            .fetch_one(c)
            .await
    })?;
    Ok(generation)
}

/// Hands out the ticket `pending`, after the ticket `shown` was accepted, which
/// is thereby the current one.
pub async fn hand_out_ticket(tx: &mut Tx, id: AgentId, shown: i64, pending: i64) -> Result<(), DbError> {
    let sql = "UPDATE agents SET
                   ticket_previous = CASE WHEN ticket_current = $2 THEN ticket_previous ELSE ticket_current END,
                   ticket_current = $2, ticket_pending = $3
               WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(shown).bind(pending).execute(c).await.map(drop))?;
    Ok(())
}

/// The agent has stored the pending ticket: it is the current one from now on.
pub async fn promote_ticket(tx: &mut Tx, id: AgentId, ticket: i64) -> Result<(), DbError> {
    let sql = "UPDATE agents SET ticket_previous = ticket_current, ticket_current = $2, ticket_pending = NULL,
                   ticket_refused = NULL
               WHERE id = $1 AND ticket_pending = $2";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(ticket).execute(c).await.map(drop))?;
    Ok(())
}

/// A lost ticket was forgiven.
pub async fn mark_forgiven(tx: &mut Tx, id: AgentId, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE agents SET forgiven_at = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(at).execute(c).await.map(drop))?;
    Ok(())
}

/// Remembers the ticket that a quarantined session showed, for an
/// administrator who vouches for it.
pub async fn note_refused_ticket(tx: &mut Tx, id: AgentId, shown: Option<i64>) -> Result<(), DbError> {
    let sql = "UPDATE agents SET ticket_refused = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(shown).execute(c).await.map(drop))?;
    Ok(())
}

/// An administrator vouches for the quarantined session: its ticket counts, and
/// none of those up to `highest`. Changes nothing where no ticket was refused.
pub async fn accept_refused_ticket(tx: &mut Tx, id: AgentId, highest: i64) -> Result<(), DbError> {
    let sql = "UPDATE agents SET ticket_current = ticket_refused, ticket_refused = NULL, ticket_pending = NULL,
                   ticket_previous = $2
               WHERE id = $1 AND ticket_refused IS NOT NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(highest).execute(c).await.map(drop))?;
    Ok(())
}

/// A session of the agent began.
pub async fn mark_connected(tx: &mut Tx, id: AgentId, host: &HostFacts, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE agents SET connected_at = $2, hostname = $3, os = $4, arch = $5, machine = $6 WHERE id = $1";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(at)
            .bind(&host.hostname)
            .bind(&host.os)
            .bind(&host.arch)
            .bind(&host.machine[..])
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn insert_certificate(
    tx: &mut Tx,
    agent: AgentId,
    certificate: &IssuedCertificate,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO agent_certificates (serial, agent_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)";
    let expires = Timestamp::from(certificate.not_after);
    on_tx!(tx, |c| {
        sqlx::query(sql).bind(&certificate.serial).bind(agent.0).bind(at).bind(expires).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Forgets certificates that ended before `before`. How many.
pub async fn delete_expired_certificates(tx: &mut Tx, before: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM agent_certificates WHERE expires_at < $1";
    let gone = on_tx!(tx, |c| sqlx::query(sql).bind(before).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(gone)
}
