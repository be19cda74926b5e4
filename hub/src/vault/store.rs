//! The table of the data keys, and what stands in the settings about the master
//! key.

use super::{Generation, VaultError};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx, dialect};
use crate::on_tx;

const TABLE: &str = "vault_keys";

/// A data key as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub struct KeyRow {
    generation: i64,
    /// The key, sealed with what comes from the master key.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When nothing was sealed with it any more.
    pub emptied_at: Option<Timestamp>,
}

impl KeyRow {
    /// Which one it is.
    pub fn generation(&self) -> Result<Generation, VaultError> {
        u32::try_from(self.generation).map(Generation).map_err(|_| VaultError::Format)
    }
}

/// Whether the database's schema has data keys already.
pub async fn exists(tx: &mut Tx) -> Result<bool, DbError> {
    dialect::has_table(tx, TABLE).await
}

/// All of them, the oldest first; none where the schema does not have them.
pub async fn list(tx: &mut Tx) -> Result<Vec<KeyRow>, DbError> {
    if !exists(tx).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT generation, wrapped, created_at, emptied_at FROM vault_keys ORDER BY generation";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

/// Writes one down that is not there yet.
pub async fn insert(tx: &mut Tx, generation: Generation, wrapped: &[u8], now: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO vault_keys (generation, wrapped, created_at) VALUES ($1, $2, $3)
               ON CONFLICT (generation) DO NOTHING";
    on_tx!(tx, |c| sqlx::query(sql).bind(i64::from(generation.0)).bind(wrapped).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Wraps one anew.
pub async fn set_wrapped(tx: &mut Tx, generation: Generation, wrapped: &[u8]) -> Result<(), DbError> {
    let sql = "UPDATE vault_keys SET wrapped = $2 WHERE generation = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(i64::from(generation.0)).bind(wrapped).execute(c).await.map(drop))?;
    Ok(())
}

/// Remembers since when nothing is sealed with one.
pub async fn set_emptied(tx: &mut Tx, generation: Generation, at: Option<Timestamp>) -> Result<(), DbError> {
    let sql = "UPDATE vault_keys SET emptied_at = $2 WHERE generation = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(i64::from(generation.0)).bind(at).execute(c).await.map(drop))?;
    Ok(())
}

/// Forgets one for ever.
pub async fn delete(tx: &mut Tx, generation: Generation) -> Result<(), DbError> {
    let sql = "DELETE FROM vault_keys WHERE generation = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(i64::from(generation.0)).execute(c).await.map(drop))?;
    Ok(())
}
