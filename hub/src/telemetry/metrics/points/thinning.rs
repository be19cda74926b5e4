//! Points grow fewer with their age: from tier to tier, and then they go.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windflow_protocol::ids::EnvironmentId;

use super::super::store::{self, ChunkKey};
use super::super::subject::{CHUNKS_MAX, Lives, TIERS, Tier, moment, seconds};
use super::Points;
use crate::clock::Timestamp;
use crate::db::{Db, DbError, Tx};

/// Chunks that are thinned out in one transaction.
const BATCH: i64 = 100;

/// Thins out what is older than its tier lives, and what is too much. Gives
/// how many chunks that were. Stops between two batches when told to.
///
/// # Errors
/// When the database fails; what was done until then is done.
pub async fn thin(db: &Db, lives: Lives, now: Timestamp, stop: &CancellationToken) -> Result<u64, DbError> {
    let mut thinned = 0;
    for (number, (tier, life)) in TIERS.into_iter().zip(lives).enumerate() {
        // The whole chunk must be old.
        let until = now - life - Duration::from_secs(tier.chunk.unsigned_abs());
        let next = TIERS.get(number + 1).copied();
        while !stop.is_cancelled() {
            let mut tx = db.write_vital().await?;
            let done = thin_some(&mut tx, tier, next, until).await?;
            tx.commit().await?;
            thinned += done;
            if done < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    let environments = store::list_environments(&mut db.read().await?).await?;
    for environment in environments.into_iter().map(EnvironmentId) {
        if stop.is_cancelled() {
            break;
        }
        thinned += limit(db, environment, CHUNKS_MAX).await?;
    }
    Ok(thinned)
}

async fn thin_some(tx: &mut Tx, tier: Tier, next: Option<Tier>, until: Timestamp) -> Result<u64, DbError> {
    let rows = store::list_older(tx, tier.step, until, BATCH).await?;
    for row in &rows {
        let key = row.key();
        let start = seconds(row.starts_at);
        if let (Some(next), Ok(points)) = (next, Points::decode(&row.points, start)) {
            let starts_at = moment(next.start(start));
            let target = ChunkKey { step_seconds: next.step, starts_at, ..key.clone() };
            add(tx, &target, points.spread(next.step)).await?;
        }
        store::delete_chunk(tx, &key).await?;
    }
    Ok(rows.len() as u64)
}

/// Adds points to a chunk. One that cannot be read is begun anew.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut Tx, key: &ChunkKey, points: Points) -> Result<(), DbError> {
    let start = seconds(key.starts_at);
    let before = store::find_chunk(tx, key).await?;
    let mut all = before.and_then(|bytes| Points::decode(&bytes, start).ok()).unwrap_or_default();
    all.extend(points);
    store::put_chunk(tx, key, &all.encode(start)).await
}

/// Removes the oldest chunks of an environment that has more than `most`.
pub async fn limit(db: &Db, environment: EnvironmentId, most: i64) -> Result<u64, DbError> {
    let found = store::find_excess(&mut db.read().await?, environment, most).await?;
    let Some(newest) = found else {
        return Ok(0);
    };
    let mut tx = db.write_vital().await?;
    let removed = store::delete_older(&mut tx, environment, newest + Duration::from_secs(1)).await?;
    tx.commit().await?;
    tracing::info!(environment.id = %environment, removed, "removed the oldest measurements: there were too many");
    Ok(removed)
}
