//! The tables of metrics: the points of each subject in chunks, and how far
//! each environment's agent has been heard.

use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::Position;

use super::subject::StoredSubject;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::on_tx;

/// Which chunk it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkKey {
    pub environment: EnvironmentId,
    pub subject: StoredSubject,
    pub step_seconds: i64,
    pub starts_at: Timestamp,
}

/// A chunk as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ChunkRow {
    pub environment_id: Uuid,
    pub kind: i64,
    pub name: String,
    pub step_seconds: i64,
    pub starts_at: Timestamp,
    pub points: Vec<u8>,
}

impl ChunkRow {
    pub fn key(&self) -> ChunkKey {
        ChunkKey {
            environment: EnvironmentId(self.environment_id),
            subject: StoredSubject { kind: self.kind, name: self.name.clone() },
            step_seconds: self.step_seconds,
            starts_at: self.starts_at,
        }
    }
}

/// The points of a chunk.
pub async fn find_chunk(tx: &mut Tx, key: &ChunkKey) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT points FROM metric_chunks
               WHERE environment_id = $1 AND kind = $2 AND name = $3 AND step_seconds = $4 AND starts_at = $5";
    Ok(on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(key.environment.0).bind(key.subject.kind).bind(&key.subject.name);
        query.bind(key.step_seconds).bind(key.starts_at).fetch_optional(c).await
    })?)
}

/// Writes a chunk in the place of the one before.
pub async fn put_chunk(tx: &mut Tx, key: &ChunkKey, points: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO metric_chunks (environment_id, kind, name, step_seconds, starts_at, points)
               VALUES ($1, $2, $3, $4, $5, $6)
               ON CONFLICT (environment_id, kind, name, step_seconds, starts_at) DO UPDATE SET points = excluded.points";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(key.environment.0).bind(key.subject.kind).bind(&key.subject.name);
        query.bind(key.step_seconds).bind(key.starts_at).bind(points).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Removes a chunk.
pub async fn delete_chunk(tx: &mut Tx, key: &ChunkKey) -> Result<(), DbError> {
    let sql = "DELETE FROM metric_chunks
               WHERE environment_id = $1 AND kind = $2 AND name = $3 AND step_seconds = $4 AND starts_at = $5";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(key.environment.0).bind(key.subject.kind).bind(&key.subject.name);
        query.bind(key.step_seconds).bind(key.starts_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// The chunks of one subject that start from `from` on and before `to`.
pub async fn list_of_subject(
    tx: &mut Tx,
    environment: EnvironmentId,
    subject: &StoredSubject,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<ChunkRow>, DbError> {
    let sql = "SELECT environment_id, kind, name, step_seconds, starts_at, points FROM metric_chunks
               WHERE environment_id = $1 AND kind = $2 AND name = $3 AND starts_at >= $4 AND starts_at < $5
               ORDER BY step_seconds DESC, starts_at";
    Ok(on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(environment.0).bind(subject.kind).bind(&subject.name);
        query.bind(from).bind(to).fetch_all(c).await
    })?)
}

/// The names of an environment's subjects of this kind.
pub async fn list_names(tx: &mut Tx, environment: EnvironmentId, kind: i64) -> Result<Vec<String>, DbError> {
    let sql = "SELECT DISTINCT name FROM metric_chunks WHERE environment_id = $1 AND kind = $2 ORDER BY name";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(environment.0).bind(kind).fetch_all(c).await)?)
}

/// Some chunks with this step that start before `until`, the oldest first.
pub async fn list_older(
    tx: &mut Tx,
    step_seconds: i64,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<ChunkRow>, DbError> {
    let sql = "SELECT environment_id, kind, name, step_seconds, starts_at, points FROM metric_chunks
               WHERE step_seconds = $1 AND starts_at < $2 ORDER BY starts_at LIMIT $3";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(step_seconds).bind(until).bind(limit).fetch_all(c).await)?)
}

/// Removes an environment's chunks that start before `until`.
pub async fn delete_older(tx: &mut Tx, environment: EnvironmentId, until: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM metric_chunks WHERE environment_id = $1 AND starts_at < $2";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(environment.0).bind(until).execute(c).await?.rows_affected()))
}

/// When the newest chunk starts that is beyond the newest `most`, in each
/// environment that has so many.
pub async fn find_excess(tx: &mut Tx, environment: EnvironmentId, most: i64) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT starts_at FROM metric_chunks WHERE environment_id = $1
               ORDER BY starts_at DESC LIMIT 1 OFFSET $2";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(environment.0).bind(most).fetch_optional(c).await)?)
}

/// Every environment that has chunks.
pub async fn list_environments(tx: &mut Tx) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT environment_id FROM metric_positions ORDER BY environment_id";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_all(c).await)?)
}

/// Writes how far an agent has been heard. Whether its environment is there.
pub async fn put_position(tx: &mut Tx, environment: EnvironmentId, position: Position) -> Result<bool, DbError> {
    let sql = "INSERT INTO metric_positions (environment_id, epoch, sequence)
               SELECT id, $2, $3 FROM environments WHERE id = $1
               ON CONFLICT (environment_id) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence";
    let sequence = i64::try_from(position.sequence).unwrap_or(i64::MAX);
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(environment.0).bind(&position.epoch[..]).bind(sequence);
        query.execute(c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// How far an agent has been heard.
pub async fn find_position(tx: &mut Tx, environment: EnvironmentId) -> Result<Option<Position>, DbError> {
    let sql = "SELECT epoch, sequence FROM metric_positions WHERE environment_id = $1";
    let row: Option<(Vec<u8>, i64)> = on_tx!(tx, |c| sqlx::query_as(sql).bind(environment.0).fetch_optional(c).await)?;
    Ok(row.and_then(|(epoch, sequence)| {
        Some(Position { epoch: epoch.try_into().ok()?, sequence: u64::try_from(sequence).ok()? })
    }))
}
