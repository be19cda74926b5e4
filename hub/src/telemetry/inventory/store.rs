//! The inventories table: what every engine had when it was last written.

use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::on_tx;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    pub environment_id: Uuid,
    pub heard_at: Timestamp,
    pub reports: Vec<u8>,
}

/// Writes a row in the place of the one before. An environment that is gone
/// meanwhile gets none.
pub async fn put(
    tx: &mut Tx,
    environment: EnvironmentId,
    heard_at: Timestamp,
    reports: &[u8],
) -> Result<bool, DbError> {
    let sql = "INSERT INTO inventories (environment_id, heard_at, reports)
               SELECT id, $2, $3 FROM environments WHERE id = $1
               ON CONFLICT (environment_id) DO UPDATE SET heard_at = excluded.heard_at, reports = excluded.reports";
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(environment.0).bind(heard_at).bind(reports);
        query.execute(c).await?.rows_affected()
    });
    Ok(done > 0)
}

/// Every environment that has a row.
pub async fn list(tx: &mut Tx) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT environment_id FROM inventories";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_all(c).await)?)
}

/// The row of an environment.
pub async fn find(tx: &mut Tx, environment: EnvironmentId) -> Result<Option<Row>, DbError> {
    let sql = "SELECT environment_id, heard_at, reports FROM inventories WHERE environment_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(environment.0).fetch_optional(c).await)?)
}
