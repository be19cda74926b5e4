//! Jobs in the database.

use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Failure, Job, JobFilter, JobId, JobState, Progress, StateFilter};
use super::output::Output;
use crate::clock::Timestamp;
use crate::db::dialect::among;
use crate::db::{DbError, Tx};
use crate::http::{Page, UserId, Visible};
use crate::on_tx;

/// The jobs that a filter wants.
const MATCHES: &str = "($1 IS NULL OR environment_id = $1) AND ($2 IS NULL OR state IN ($2, $3))
    AND ($4 IS NULL OR kind = $4)";

/// A job as it stands in a row, without its output.
#[derive(sqlx::FromRow)]
struct JobRow {
    id: Uuid,
    kind: String,
    environment_id: Option<Uuid>,
    subject: String,
    asked_by: String,
    asked_by_id: Option<Uuid>,
    #[sqlx(try_from = "String")]
    state: JobState,
    progress: Json<Progress>,
    result: Option<Json<Value>>,
    failure: Option<Json<Failure>>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: JobId(row.id),
            kind: row.kind,
            environment_id: row.environment_id,
            subject: row.subject,
            asked_by: row.asked_by,
            asked_by_id: row.asked_by_id.map(UserId),
            state: row.state,
            progress: row.progress.0,
            result: row.result.map(|result| result.0),
            failure: row.failure.map(|failure| failure.0),
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
        }
    }
}

pub async fn insert(tx: &mut Tx, job: &Job) -> Result<(), DbError> {
    let sql = "INSERT INTO jobs (id, kind, environment_id, subject, asked_by, asked_by_id, state, progress, result,
                                 failure, output, output_skipped, created_at, started_at, ended_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', 0, $11, $12, $13)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(job.id.0)
            .bind(&job.kind)
            .bind(job.environment_id)
            .bind(&job.subject)
            .bind(&job.asked_by)
            .bind(job.asked_by_id.map(|user| user.0))
            .bind(job.state.as_str())
            .bind(Json(&job.progress))
            .bind(job.result.as_ref().map(Json))
            .bind(job.failure.as_ref().map(Json))
            .bind(job.created_at)
            .bind(job.started_at)
            .bind(job.ended_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Writes down how far a job has come and what it said. One that is over stays
/// as it ended: false then.
pub async fn update(tx: &mut Tx, job: &Job, output: &Output) -> Result<bool, DbError> {
    let sql = "UPDATE jobs SET state = $2, progress = $3, result = $4, failure = $5, output = $6, output_skipped = $7,
                               started_at = $8, ended_at = $9
               WHERE id = $1 AND state IN ('queued', 'running')";
    let changed = on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(job.id.0)
            .bind(job.state.as_str())
            .bind(Json(&job.progress))
            .bind(job.result.as_ref().map(Json))
            .bind(job.failure.as_ref().map(Json))
            .bind(output.text())
            .bind(i64::try_from(output.skipped()).unwrap_or(i64::MAX))
            .bind(job.started_at)
            .bind(job.ended_at)
            .execute(c)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(changed > 0)
}

/// Ends a job of which nothing but its row is left; false where it is over.
pub async fn end(tx: &mut Tx, id: JobId, failure: &Failure, now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE jobs SET state = 'failed', failure = $2, ended_at = $3
               WHERE id = $1 AND state IN ('queued', 'running')";
    let changed = on_tx!(tx, |c| {
        let done = sqlx::query(sql).bind(id.0).bind(Json(failure)).bind(now).execute(c).await;
        done.map(|done| done.rows_affected())
    })?;
    Ok(changed > 0)
}

pub async fn find(tx: &mut Tx, id: JobId) -> Result<Option<Job>, DbError> {
    let sql = "SELECT id, kind, environment_id, subject, asked_by, asked_by_id, state, progress, result, failure,
                      created_at, started_at, ended_at
               FROM jobs WHERE id = $1";
    let row: Option<JobRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?;
    Ok(row.map(Job::from))
}

pub async fn find_output(tx: &mut Tx, id: JobId) -> Result<Option<Output>, DbError> {
    let sql = "SELECT output, output_skipped FROM jobs WHERE id = $1";
    let row: Option<(String, i64)> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?;
    Ok(row.map(|(text, skipped)| Output::restored(&text, u64::try_from(skipped).unwrap_or_default())))
}

/// The newest first.
pub async fn list(tx: &mut Tx, filter: &JobFilter, visible: &Visible, page: Page) -> Result<Vec<Job>, DbError> {
    let (shown, ids) = among("environment_id", visible.ids(), 7);
    let sql = format!(
        "SELECT id, kind, environment_id, subject, asked_by, asked_by_id, state, progress, result, failure,
                created_at, started_at, ended_at
         FROM jobs WHERE {MATCHES} AND {shown} ORDER BY id DESC LIMIT $5 OFFSET $6"
    );
    let [one, other] = states(filter);
    let rows: Vec<JobRow> = on_tx!(tx, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(filter.environment).bind(one).bind(other);
        let query = query.bind(&filter.kind).bind(page.limit).bind(page.offset);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })?;
    Ok(rows.into_iter().map(Job::from).collect())
}

pub async fn count(tx: &mut Tx, filter: &JobFilter, visible: &Visible) -> Result<i64, DbError> {
    let (shown, ids) = among("environment_id", visible.ids(), 5);
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM jobs WHERE {MATCHES} AND {shown}"));
    let [one, other] = states(filter);
    Ok(on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(filter.environment).bind(one).bind(other).bind(&filter.kind);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_one(c).await
    })?)
}

fn states(filter: &JobFilter) -> [Option<&'static str>; 2] {
    let states = filter.state.map(StateFilter::states);
    states.map_or([None; 2], |states| states.map(|state| Some(state.as_str())))
}

/// The jobs that are not over.
pub async fn list_active(tx: &mut Tx) -> Result<Vec<JobId>, DbError> {
    let sql = "SELECT id FROM jobs WHERE state IN ('queued', 'running')";
    let ids: Vec<Uuid> = on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_all(c).await)?;
    Ok(ids.into_iter().map(JobId).collect())
}

/// Deletes the jobs that ended before `moment`, and all but the `kept` newest
/// of those that are over.
pub async fn delete_ended(tx: &mut Tx, moment: Timestamp, kept: i64) -> Result<u64, DbError> {
    let old = "DELETE FROM jobs WHERE ended_at < $1";
    let old = on_tx!(tx, |c| sqlx::query(old).bind(moment).execute(c).await.map(|done| done.rows_affected()))?;
    let many = "DELETE FROM jobs WHERE ended_at IS NOT NULL
                AND id <= (SELECT id FROM jobs WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET $1)";
    let many = on_tx!(tx, |c| sqlx::query(many).bind(kept).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(old + many)
}
