//! The rows of sealed columns, whatever their tables are.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::super::register::{Key, RowKey, SealedColumn};
use crate::db::{DbError, Tx};
use crate::on_tx;

/// The next values behind `after` that do not begin with `head`.
pub async fn next(
    tx: &mut Tx,
    column: &SealedColumn,
    head: &[u8],
    after: Option<&RowKey>,
) -> Result<Vec<(RowKey, Vec<u8>)>, DbError> {
    let SealedColumn { table, column: value, batch, .. } = column;
    // The very first key may be the lowest there can be.
    let behind = if after.is_some() { ">" } else { ">=" };
    let other = format!("{value} IS NOT NULL AND substr({value}, 1, {}) <> $1", head.len());
    match column.key {
        Key::Text(key) => {
            let start = match after {
                Some(RowKey::Text(text)) => text.as_str(),
                _ => "",
            };
            let sql = format!(
                "SELECT {key}, {value} FROM {table} WHERE {other} AND {key} {behind} $2 ORDER BY {key} LIMIT {batch}"
            );
            let rows: Vec<(String, Vec<u8>)> =
                on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(head).bind(start).fetch_all(c).await)?;
            Ok(rows.into_iter().map(|(key, sealed)| (RowKey::Text(key), sealed)).collect())
        }
        Key::Id(key) => {
            let start = match after {
                Some(RowKey::Id(id)) => *id,
                _ => Uuid::nil(),
            };
            let sql = format!(
                "SELECT {key}, {value} FROM {table} WHERE {other} AND {key} {behind} $2 ORDER BY {key} LIMIT {batch}"
            );
            let rows: Vec<(Uuid, Vec<u8>)> =
                on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(head).bind(start).fetch_all(c).await)?;
            Ok(rows.into_iter().map(|(key, sealed)| (RowKey::Id(key), sealed)).collect())
        }
        Key::Part(id, number) => {
            let start = match after {
                Some(RowKey::Part(id, number)) => (*id, *number),
                _ => (Uuid::nil(), i64::MIN),
            };
            let sql = format!(
                "SELECT {id}, {number}, {value} FROM {table} WHERE {other} AND ({id}, {number}) {behind} ($2, $3)
                 ORDER BY {id}, {number} LIMIT {batch}"
            );
            let rows: Vec<(Uuid, i64, Vec<u8>)> = on_tx!(tx, |c| {
                sqlx::query_as(AssertSqlSafe(sql)).bind(head).bind(start.0).bind(start.1).fetch_all(c).await
            })?;
            Ok(rows.into_iter().map(|(id, number, sealed)| (RowKey::Part(id, number), sealed)).collect())
        }
    }
}

/// Puts another value into a row, unless the row has changed.
pub async fn replace(
    tx: &mut Tx,
    column: &SealedColumn,
    row: &RowKey,
    old: &[u8],
    new: &[u8],
) -> Result<bool, DbError> {
    let SealedColumn { table, column: value, .. } = column;
    let named = match column.key {
        Key::Text(key) | Key::Id(key) => format!("{key} = $3"),
        Key::Part(id, number) => format!("{id} = $3 AND {number} = $4"),
    };
    let sql = AssertSqlSafe(format!("UPDATE {table} SET {value} = $1 WHERE {value} = $2 AND {named}"));
    let changed = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(new).bind(old);
        let query = match row {
            RowKey::Text(key) => query.bind(key),
            RowKey::Id(id) => query.bind(id),
            RowKey::Part(id, number) => query.bind(id).bind(number),
        };
        query.execute(c).await.map(|done| done.rows_affected())
    })?;
    Ok(changed > 0)
}

/// Whether a value begins so.
pub async fn has(tx: &mut Tx, column: &SealedColumn, head: &[u8]) -> Result<bool, DbError> {
    let SealedColumn { table, column: value, .. } = column;
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE substr({value}, 1, {}) = $1 LIMIT 1) AS found",
        head.len()
    );
    let found: i64 = on_tx!(tx, |c| sqlx::query_scalar(AssertSqlSafe(sql)).bind(head).fetch_one(c).await)?;
    Ok(found > 0)
}

/// Every value that begins so, with its row, of a small table whose rows are
/// named by a text.
pub async fn list_with(tx: &mut Tx, column: &SealedColumn, head: &[u8]) -> Result<Vec<(String, Vec<u8>)>, DbError> {
    let SealedColumn { table, column: value, .. } = column;
    let Key::Text(key) = column.key else { return Ok(Vec::new()) };
    let sql = format!("SELECT {key}, {value} FROM {table} WHERE substr({value}, 1, {}) = $1", head.len());
    Ok(on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(head).fetch_all(c).await)?)
}
