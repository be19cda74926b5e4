//! The mails that wait, and what became of those that do not any more.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::Page;
use crate::on_tx;

/// How it stands with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried, or tried again.
    Waiting,
    /// A server took it.
    Sent,
    /// It was given up.
    Failed,
}

/// A mail without what it says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// What it is about, such as `invitation`.
    pub kind: String,
    /// To whom it goes.
    pub recipient: String,
    /// How it stands with it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it is tried next, while it waits.
    pub next_at: Option<Timestamp>,
    /// When it was sent or given up.
    pub ended_at: Option<Timestamp>,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// A mail that is to wait.
#[derive(Debug)]
pub(super) struct NewDelivery<'a> {
    pub id: Uuid,
    pub kind: &'static str,
    pub recipient: &'a str,
    pub letter_sealed: &'a [u8],
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A mail whose turn it is.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Due {
    pub id: Uuid,
    pub recipient: String,
    pub letter_sealed: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub attempts: i64,
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: Uuid,
    kind: String,
    recipient: String,
    created_at: Timestamp,
    attempts: i64,
    next_at: Timestamp,
    sent_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    error: Option<String>,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let state = match (row.sent_at, row.failed_at) {
            (Some(_), _) => DeliveryState::Sent,
            (None, Some(_)) => DeliveryState::Failed,
            (None, None) => DeliveryState::Waiting,
        };
        Self {
            id: row.id,
            kind: row.kind,
            recipient: row.recipient,
            state,
            attempts: row.attempts,
            created_at: row.created_at,
            next_at: Some(row.next_at).filter(|_| state == DeliveryState::Waiting),
            ended_at: row.sent_at.or(row.failed_at),
            error: row.error.filter(|_| state != DeliveryState::Sent),
        }
    }
}

pub(super) async fn insert(tx: &mut Tx, new: &NewDelivery<'_>) -> Result<(), DbError> {
    let sql = "INSERT INTO outbox (id, kind, recipient, letter_sealed, created_at, expires_at, attempts, next_at)
               VALUES ($1, $2, $3, $4, $5, $6, 0, $5)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(new.id).bind(new.kind).bind(new.recipient).bind(new.letter_sealed);
        query.bind(new.created_at).bind(new.expires_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub(super) async fn count_waiting(tx: &mut Tx) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

/// The mails whose turn it is, whose turn was first first.
pub(super) async fn list_due(tx: &mut Tx, now: Timestamp, most: i64) -> Result<Vec<Due>, DbError> {
    let sql = "SELECT id, recipient, letter_sealed, created_at, expires_at, attempts FROM outbox
               WHERE sent_at IS NULL AND failed_at IS NULL AND letter_sealed IS NOT NULL AND next_at <= $1
               ORDER BY next_at, id LIMIT $2";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(now).bind(most).fetch_all(c).await)?)
}

/// When a mail is due next.
pub(super) async fn next_due(tx: &mut Tx) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT MIN(next_at) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

/// A server took it: what it said is gone.
pub(super) async fn set_sent(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE outbox SET sent_at = $2, letter_sealed = NULL, attempts = attempts + 1, error = NULL
               WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// It is tried again later.
pub(super) async fn set_retry(tx: &mut Tx, id: Uuid, next: Timestamp, error: &str) -> Result<(), DbError> {
    let sql = "UPDATE outbox SET next_at = $2, attempts = attempts + 1, error = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(next).bind(error).execute(c).await.map(drop))?;
    Ok(())
}

/// It is given up: what it said is gone.
pub(super) async fn set_failed(tx: &mut Tx, id: Uuid, now: Timestamp, error: &str) -> Result<(), DbError> {
    let sql = "UPDATE outbox SET failed_at = $2, letter_sealed = NULL, attempts = attempts + 1, error = $3
               WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).bind(error).execute(c).await.map(drop))?;
    Ok(())
}

/// Gives up what is no longer of use to anybody. How many there were.
pub(super) async fn fail_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, DbError> {
    let sql = "UPDATE outbox SET failed_at = $1, letter_sealed = NULL, error = COALESCE(error, $2)
               WHERE sent_at IS NULL AND failed_at IS NULL AND expires_at <= $1";
    let why = "no mail server took it in time";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(now).bind(why).execute(c).await.map(|done| done.rows_affected()));
    Ok(done?)
}

/// Gives up all that waits.
pub(super) async fn fail_all(tx: &mut Tx, why: &str, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE outbox SET failed_at = $1, letter_sealed = NULL, error = $2
               WHERE sent_at IS NULL AND failed_at IS NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(now).bind(why).execute(c).await.map(drop))?;
    Ok(())
}

/// What waits is due now: the server is another one.
pub(super) async fn try_again_now(tx: &mut Tx, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE outbox SET next_at = $1 WHERE sent_at IS NULL AND failed_at IS NULL AND next_at > $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// The mails, the newest first.
pub(super) async fn list(tx: &mut Tx, page: Page) -> Result<Vec<Delivery>, DbError> {
    let sql = "SELECT id, kind, recipient, created_at, attempts, next_at, sent_at, failed_at, error FROM outbox
               ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2";
    let rows: Vec<DeliveryRow> =
        on_tx!(tx, |c| sqlx::query_as(sql).bind(page.limit).bind(page.offset).fetch_all(c).await)?;
    Ok(rows.into_iter().map(Delivery::from).collect())
}

pub(super) async fn count(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(on_tx!(tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(c).await)?)
}

pub(super) async fn delete_created_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM outbox WHERE created_at < $1 AND (sent_at IS NOT NULL OR failed_at IS NOT NULL)";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}
