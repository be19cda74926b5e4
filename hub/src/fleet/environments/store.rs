//! The environments table.

mod known;

use std::collections::BTreeMap;

use secrecy::SecretString;
use sqlx::types::Json;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

pub use self::known::{Known, Rows};
use super::labels::Labels;
use super::model::{EngineTarget, EnvironmentKind, EnvironmentName, TcpTls};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::fleet::groups::GroupId;
use crate::on_tx;
use crate::vault::{Place, Vault, VaultError};

/// Why the table did not give or take a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A stored key could not be opened.
    #[error("the stored key of an environment cannot be opened")]
    Sealed(#[from] VaultError),
    /// A stored name is not a name.
    #[error(transparent)]
    Name(#[from] super::model::InvalidName),
}

/// A row without its sealed key.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EnvironmentRow {
    pub id: Uuid,
    pub name: String,
    pub kind: String,
    pub address: Option<String>,
    pub insecure: bool,
    pub record_terminals: bool,
    pub labels: Json<BTreeMap<String, String>>,
    pub group_id: Option<Uuid>,
    pub group_name: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    pub agent_version: Option<String>,
    pub engine_version: Option<String>,
    /// The state of its agent, where it has one.
    pub agent_state: Option<String>,
}

impl EnvironmentRow {
    pub fn id(&self) -> EnvironmentId {
        EnvironmentId(self.id)
    }

    pub fn kind(&self) -> EnvironmentKind {
        EnvironmentKind::parse(&self.kind).unwrap_or(EnvironmentKind::Edge)
    }
}

/// What a new row holds.
#[derive(Clone, Debug)]
pub struct NewEnvironment {
    pub id: EnvironmentId,
    pub name: EnvironmentName,
    pub kind: EnvironmentKind,
    pub target: EngineTarget,
    pub insecure: bool,
    pub labels: Labels,
    pub created_at: Timestamp,
}

const COLUMNS: &str = "environments.id, environments.name, environments.kind, environments.address,
    environments.insecure, environments.record_terminals, environments.labels, environments.last_seen_at,
    environments.agent_version, environments.engine_version, environments.group_id, environment_groups.name AS group_name,
    agents.state AS agent_state";
const FROM: &str = "FROM environments LEFT JOIN agents ON agents.environment_id = environments.id
    LEFT JOIN environment_groups ON environment_groups.id = environments.group_id";

pub async fn insert(tx: &mut Tx, vault: &Vault, new: &NewEnvironment) -> Result<(), DbError> {
    tx.outdate_fleet();
    let (address, tls) = match &new.target {
        EngineTarget::Local => (None, None),
        EngineTarget::Tcp { address, tls } => (Some(address), tls.as_ref()),
    };
    let id = new.id.to_string();
    let sealed = tls.map(|tls| vault.seal(&key_place(&id), secrecy::ExposeSecret::expose_secret(&tls.key).as_bytes()));
    let sql = "INSERT INTO environments (id, name, kind, address, insecure, tls_authority, tls_certificate,
                   tls_key_sealed, labels, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(new.id.0)
            .bind(new.name.as_str())
            .bind(new.kind.as_str())
            .bind(address)
            .bind(new.insecure)
            .bind(tls.map(|tls| tls.authority.as_str()))
            .bind(tls.map(|tls| tls.certificate.as_str()))
            .bind(sealed)
            .bind(Json(&new.labels))
            .bind(new.created_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: EnvironmentId) -> Result<Option<EnvironmentRow>, DbError> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE environments.id = $1");
    let sql = sqlx::AssertSqlSafe(sql);
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?)
}

pub async fn name_taken(tx: &mut Tx, name: &EnvironmentName) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM environments WHERE LOWER(name) = LOWER($1)";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(name.as_str()).fetch_one(c).await)?;
    Ok(count > 0)
}

/// Every environment, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<EnvironmentRow>, DbError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} {FROM} ORDER BY LOWER(environments.name)"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

/// The environments that the hub reaches by itself.
pub async fn list_attached(tx: &mut Tx) -> Result<Vec<EnvironmentRow>, DbError> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE environments.kind <> 'edge' ORDER BY environments.created_at");
    let sql = sqlx::AssertSqlSafe(sql);
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

#[derive(sqlx::FromRow)]
struct TargetRow {
    address: Option<String>,
    tls_authority: Option<String>,
    tls_certificate: Option<String>,
    tls_key_sealed: Option<Vec<u8>>,
}

/// Where the engine is, its key opened.
pub async fn get_target(tx: &mut Tx, vault: &Vault, id: EnvironmentId) -> Result<EngineTarget, StoreError> {
    let sql = "SELECT address, tls_authority, tls_certificate, tls_key_sealed FROM environments WHERE id = $1";
    let row: TargetRow = on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_one(c).await).map_err(DbError::from)?;
    let Some(address) = row.address else {
        return Ok(EngineTarget::Local);
    };
    let (Some(authority), Some(certificate), Some(sealed)) =
        (row.tls_authority, row.tls_certificate, row.tls_key_sealed)
    else {
        return Ok(EngineTarget::Tcp { address, tls: None });
    };
    let key = vault.open(&key_place(&id.to_string()), &sealed)?;
    let key = SecretString::from(String::from_utf8_lossy(&key).into_owned());
    Ok(EngineTarget::Tcp { address, tls: Some(TcpTls { authority, certificate, key }) })
}

/// Removes an environment with its agent. Whether there was one.
pub async fn delete(tx: &mut Tx, id: EnvironmentId) -> Result<bool, DbError> {
    tx.outdate_fleet();
    let sql = "DELETE FROM environments WHERE id = $1 RETURNING id";
    let gone: Option<Uuid> = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.0).fetch_optional(c).await)?;
    Ok(gone.is_some())
}

pub async fn rename(tx: &mut Tx, id: EnvironmentId, name: &EnvironmentName) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET name = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(name.as_str()).execute(c).await.map(drop))?;
    Ok(())
}

/// Puts these labels in the place of those before.
pub async fn set_labels(tx: &mut Tx, id: EnvironmentId, labels: &Labels) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET labels = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(Json(labels)).execute(c).await.map(drop))?;
    Ok(())
}

/// Puts it into a group that is there, or in none.
pub async fn set_group(tx: &mut Tx, id: EnvironmentId, group: Option<GroupId>) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET group_id = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(group.map(|group| group.0)).execute(c).await.map(drop))?;
    Ok(())
}

/// Whether terminals in its containers are recorded from now on.
pub async fn set_recording(tx: &mut Tx, id: EnvironmentId, is_on: bool) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET record_terminals = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(is_on).execute(c).await.map(drop))?;
    Ok(())
}

/// A session began: what it said of the versions is remembered for when it is
/// offline.
pub async fn mark_connected(tx: &mut Tx, id: EnvironmentId, agent_version: &str, at: Timestamp) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET agent_version = $2, last_seen_at = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(agent_version).bind(at).execute(c).await.map(drop))?;
    Ok(())
}

/// A session ended at `at`; `engine_version` as last seen, if it ever was.
pub async fn mark_seen(
    tx: &mut Tx,
    id: EnvironmentId,
    engine_version: Option<&str>,
    at: Timestamp,
) -> Result<(), DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environments SET last_seen_at = $2, engine_version = COALESCE($3, engine_version)
               WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(at).bind(engine_version).execute(c).await.map(drop))?;
    Ok(())
}

fn key_place(id: &str) -> Place<'_> {
    Place { table: "environments", row: id, column: "tls_key_sealed" }
}
