//! The tables of recordings and their parts.

use sqlx::types::Json;
use uuid::Uuid;

use super::model::{NewRecording, Recording, RecordingFilter, RecordingState};
use crate::clock::Timestamp;
use crate::db::dialect::among;
use crate::db::{DbError, Tx};
use crate::http::{Page, Visible};
use crate::on_tx;

const COLUMNS: &str = "id, environment_id, environment_name, container, container_name, user_id, user_name, command,
    wide, high, state, is_cut, millis, bytes, stored_bytes, chunks, began_at, ended_at";
const MATCHES: &str = "($1 IS NULL OR environment_id = $1) AND ($2 IS NULL OR container = $2 OR container_name = $2)
    AND ($3 IS NULL OR LOWER(user_name) = LOWER($3))";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    environment_id: Uuid,
    environment_name: String,
    container: String,
    container_name: Option<String>,
    user_id: Option<Uuid>,
    user_name: String,
    command: Option<Json<Vec<String>>>,
    wide: i64,
    high: i64,
    #[sqlx(try_from = "String")]
    state: RecordingState,
    is_cut: bool,
    millis: i64,
    bytes: i64,
    stored_bytes: i64,
    chunks: i64,
    began_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl From<Row> for Recording {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            environment_id: row.environment_id,
            environment_name: row.environment_name,
            container: row.container,
            container_name: row.container_name,
            user_id: row.user_id,
            user_name: row.user_name,
            command: row.command.map(|command| command.0),
            columns: row.wide,
            rows: row.high,
            state: row.state,
            is_cut: row.is_cut,
            seconds: row.millis as f64 / 1_000.0,
            bytes: row.bytes,
            stored_bytes: row.stored_bytes,
            began_at: row.began_at,
            ended_at: row.ended_at,
            chunks: row.chunks,
        }
    }
}

/// How far a recording is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub millis: i64,
    pub bytes: i64,
    pub stored_bytes: i64,
    pub chunks: i64,
    pub is_cut: bool,
}

pub async fn insert(tx: &mut Tx, new: &NewRecording, now: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO recordings (id, environment_id, environment_name, container, container_name, user_id,
                   user_name, command, wide, high, state, is_cut, millis, bytes, stored_bytes, chunks, began_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', $11, 0, 0, 0, 0, $12)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(new.id)
            .bind(new.environment)
            .bind(&new.environment_name)
            .bind(&new.container)
            .bind(&new.container_name)
            .bind(new.user.map(|user| user.0))
            .bind(&new.user_name)
            .bind(new.command.as_ref().map(Json))
            .bind(i64::from(new.size.0))
            .bind(i64::from(new.size.1))
            .bind(false)
            .bind(now)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Adds a part. One that is there already, since nobody heard that it was
/// taken, stays.
pub async fn insert_chunk(tx: &mut Tx, id: Uuid, number: i64, sealed: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO recording_chunks (recording_id, number, content_sealed) VALUES ($1, $2, $3)
               ON CONFLICT (recording_id, number) DO NOTHING";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(number).bind(sealed).execute(c).await.map(drop))?;
    Ok(())
}

/// Notes how far a recording is that is being written.
pub async fn set_progress(tx: &mut Tx, id: Uuid, progress: &Progress) -> Result<(), DbError> {
    let sql = "UPDATE recordings SET millis = $2, bytes = $3, stored_bytes = $4, chunks = $5, is_cut = $6
               WHERE id = $1 AND state = 'running'";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id).bind(progress.millis).bind(progress.bytes);
        let query = query.bind(progress.stored_bytes).bind(progress.chunks).bind(progress.is_cut);
        query.execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Ends a recording; false where it is over.
pub async fn end(tx: &mut Tx, id: Uuid, state: RecordingState, at: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE recordings SET state = $2, ended_at = $3 WHERE id = $1 AND state = 'running'";
    let done = on_tx!(tx, |c| sqlx::query(sql)
        .bind(id)
        .bind(state.as_str())
        .bind(at)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(done > 0)
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Recording>, DbError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM recordings WHERE id = $1"));
    let row: Option<Row> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?;
    Ok(row.map(Recording::from))
}

/// One sealed part.
pub async fn find_chunk(tx: &mut Tx, id: Uuid, number: i64) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT content_sealed FROM recording_chunks WHERE recording_id = $1 AND number = $2";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).bind(number).fetch_optional(c).await)?)
}

/// Those that are wanted, the newest first.
pub async fn list(
    tx: &mut Tx,
    filter: &RecordingFilter,
    visible: &Visible,
    page: Page,
) -> Result<Vec<Recording>, DbError> {
    let (shown, ids) = among("environment_id", visible.ids(), 6);
    let sql =
        format!("SELECT {COLUMNS} FROM recordings WHERE {MATCHES} AND {shown} ORDER BY id DESC LIMIT $4 OFFSET $5");
    let sql = sqlx::AssertSqlSafe(sql);
    let rows: Vec<Row> = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(filter.environment).bind(&filter.container).bind(&filter.user);
        let query = query.bind(page.limit).bind(page.offset);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })?;
    Ok(rows.into_iter().map(Recording::from).collect())
}

pub async fn count(tx: &mut Tx, filter: &RecordingFilter, visible: &Visible) -> Result<i64, DbError> {
    let (shown, ids) = among("environment_id", visible.ids(), 4);
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM recordings WHERE {MATCHES} AND {shown}"));
    Ok(on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(filter.environment).bind(&filter.container).bind(&filter.user);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_one(c).await
    })?)
}

/// Those that are not over.
pub async fn list_running(tx: &mut Tx) -> Result<Vec<Recording>, DbError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM recordings WHERE state = 'running'"));
    let rows: Vec<Row> = on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?;
    Ok(rows.into_iter().map(Recording::from).collect())
}

/// Deletes a recording with its parts. Whether there was one.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<bool, DbError> {
    let sql = "DELETE FROM recordings WHERE id = $1";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(done > 0)
}

/// Deletes what ended before `moment`.
pub async fn delete_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM recordings WHERE ended_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}

/// The environments that have more than so many.
pub async fn list_above(tx: &mut Tx, most: i64) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT environment_id FROM recordings GROUP BY environment_id HAVING COUNT(*) > $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(most).fetch_all(c).await)?)
}

/// Deletes those of an environment that are over, but for the newest so many of
/// all it has.
pub async fn delete_above(tx: &mut Tx, environment: Uuid, most: i64) -> Result<u64, DbError> {
    let sql = "DELETE FROM recordings WHERE environment_id = $1 AND ended_at IS NOT NULL
               AND id <= (SELECT id FROM recordings WHERE environment_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(environment).bind(most).execute(c).await.map(|done| done.rows_affected()))?)
}

/// What all recordings take together.
pub async fn stored_bytes(tx: &mut Tx) -> Result<i64, DbError> {
    let sql = "SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM recordings";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

/// The oldest that are over, each with what it takes.
pub async fn list_oldest(tx: &mut Tx, most: i64) -> Result<Vec<(Uuid, i64)>, DbError> {
    let sql = "SELECT id, stored_bytes FROM recordings WHERE ended_at IS NOT NULL ORDER BY id LIMIT $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(most).fetch_all(c).await)?)
}
