//! Small things the hub remembers by name: its id, its salts, and what the vault
//! seals.

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::on_tx;

/// The value stored under `key`.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, key: &str) -> Result<Option<Vec<u8>>, DbError> {
    let value = on_tx!(tx, |c| {
        sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key).fetch_optional(c).await
    })?;
    Ok(value)
}

/// When the value under `key` was stored.
///
/// # Errors
/// When the database fails.
pub async fn changed_at(tx: &mut Tx, key: &str) -> Result<Option<Timestamp>, DbError> {
    let changed = on_tx!(tx, |c| {
        sqlx::query_scalar("SELECT updated_at FROM settings WHERE key = $1").bind(key).fetch_optional(c).await
    })?;
    Ok(changed)
}

/// Stores `value` under `key`, replacing what was there.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, key: &str, value: &[u8], now: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
    on_tx!(tx, |c| sqlx::query(sql).bind(key).bind(value).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// The value under `key`, which is `fresh` if there was none. Whoever comes
/// first wins, also on PostgreSQL.
///
/// # Errors
/// When the database fails.
pub async fn get_or_insert(tx: &mut Tx, key: &str, fresh: &[u8], now: Timestamp) -> Result<Vec<u8>, DbError> {
    // The usual case writes nothing, so that a hub starts on a full disk.
    if let Some(present) = find(tx, key).await? {
        return Ok(present);
    }
    let sql = "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3)
               ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING value";
    let value = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(key).bind(fresh).bind(now).fetch_one(c).await)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000).unwrap()
    }

    on_both_engines! {
        async fn the_last_value_put_is_found(db) {
            let mut tx = db.write().await.unwrap();
            put(&mut tx, "a", b"one", now()).await.unwrap();
            put(&mut tx, "a", b"two", now()).await.unwrap();
            assert_eq!(find(&mut tx, "a").await.unwrap().as_deref(), Some(&b"two"[..]));
            assert_eq!(find(&mut tx, "b").await.unwrap(), None);
        }

        async fn the_first_value_inserted_stays(db) {
            let mut tx = db.write().await.unwrap();
            assert_eq!(get_or_insert(&mut tx, "a", b"one", now()).await.unwrap(), b"one");
            assert_eq!(get_or_insert(&mut tx, "a", b"two", now()).await.unwrap(), b"one");
        }
    }
}
