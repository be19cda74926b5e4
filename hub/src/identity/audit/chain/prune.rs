//! Deletes the records whose time is over, from the begin of the chain, and
//! keeps the last one's number and hash as its anchor. That it was done is a
//! record itself.

use std::time::Duration;

use serde_json::json;

use super::{ChainHash, ChainKey, take_head};
use crate::app::App;
use crate::clock::Timestamp;
use crate::db::{Db, DbError, Tx};
use crate::identity::audit::{Action, Actor, Entry, record};
use crate::on_tx;

/// Records that are deleted in one transaction.
const DELETED_AT_ONCE: i64 = 10_000;

/// A record may stay this much longer, so that deleting is one record a day and
/// not one each hour.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

impl App {
    /// Deletes the records whose time is over. How many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_old_records(&self) -> Result<u64, DbError> {
        let now = self.clock.now();
        let end = now - self.audit.options.life();
        if !has_older(&mut self.db.read().await?, end - PATIENCE).await? {
            return Ok(0);
        }
        let mut deleted = 0;
        loop {
            match prune(&self.db, end, now).await? {
                Pruned { records, is_all: true } => return Ok(deleted + records),
                Pruned { records, is_all: false } => deleted += records,
            }
        }
    }
}

/// What was deleted, and whether that was all there is to delete.
pub(in crate::identity::audit) struct Pruned {
    pub records: u64,
    pub is_all: bool,
}

/// Deletes records from before `end`. One is kept as long as one before it in
/// the chain is, so that a clock that was wrong for a while costs no record.
pub(in crate::identity::audit) async fn prune(db: &Db, end: Timestamp, now: Timestamp) -> Result<Pruned, DbError> {
    let mut tx = db.write_vital().await?;
    let key = ChainKey::of(&tx)?;
    // Before the records: another hub that prunes waits here, and not for them.
    let mut head = take_head(&mut tx, &key, now).await?;
    let unchained = delete_unchained(&mut tx, end).await?;
    let oldest = list_oldest(&mut tx).await?;
    let over = oldest.iter().take_while(|(_, at, _)| *at < end).count();
    let mut chained = 0;
    if let Some((seq, _, hash)) = over.checked_sub(1).and_then(|last| oldest.get(last)) {
        chained = delete_to(&mut tx, *seq).await?;
        (head.anchor_seq, head.anchor_hash) = (*seq, hash.clone());
    }
    if chained + unchained == 0 {
        return Ok(Pruned { records: 0, is_all: true });
    }
    head.unchained -= i64::try_from(unchained).unwrap_or(i64::MAX);
    head.store_begin(&mut tx, &key).await?;
    let entry = Entry::new(&Actor::System, Action::AuditPrune, "chain").fact("records", json!(chained + unchained));
    let entry = entry.fact("to_seq", json!(head.anchor_seq)).fact("unchained", json!(unchained));
    record(&mut tx, entry, now).await?;
    tx.commit().await?;
    let is_all = i64::try_from(over).is_ok_and(|over| over < DELETED_AT_ONCE);
    Ok(Pruned { records: chained + unchained, is_all })
}

async fn has_older(tx: &mut Tx, end: Timestamp) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM audit WHERE at < $1 LIMIT 1) AS older";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(end).fetch_one(c).await)?;
    Ok(count > 0)
}

async fn list_oldest(tx: &mut Tx) -> Result<Vec<(i64, Timestamp, ChainHash)>, DbError> {
    let sql = "SELECT seq, at, COALESCE(hash, $1) FROM audit WHERE seq IS NOT NULL ORDER BY seq LIMIT $2";
    let records = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(ChainHash::default());
        query.bind(DELETED_AT_ONCE).fetch_all(c).await
    })?;
    Ok(records)
}

async fn delete_to(tx: &mut Tx, seq: i64) -> Result<u64, DbError> {
    let sql = "DELETE FROM audit WHERE seq <= $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(seq).execute(c).await.map(|done| done.rows_affected()))?)
}

async fn delete_unchained(tx: &mut Tx, end: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM audit WHERE seq IS NULL AND at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(end).execute(c).await.map(|done| done.rows_affected()))?)
}
