//! The groups table.

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::model::{Group, GroupId};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::Title;
use crate::on_tx;

const SELECT: &str = "SELECT environment_groups.id, environment_groups.name, environment_groups.created_at,
    (SELECT COUNT(*) FROM environments WHERE environments.group_id = environment_groups.id) AS environments
    FROM environment_groups";

pub async fn insert(tx: &mut Tx, id: GroupId, name: &Title, at: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO environment_groups (id, name, folded, created_at) VALUES ($1, $2, $3, $4)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id.0).bind(name.as_str()).bind(name.folded()).bind(at);
        query.execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Every group, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<Group>, DbError> {
    let sql = AssertSqlSafe(format!("{SELECT} ORDER BY environment_groups.folded"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

pub async fn find(tx: &mut Tx, id: GroupId) -> Result<Option<Group>, DbError> {
    let sql = AssertSqlSafe(format!("{SELECT} WHERE environment_groups.id = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?)
}

/// What a group is called.
pub async fn find_name(tx: &mut Tx, id: GroupId) -> Result<Option<String>, DbError> {
    let sql = "SELECT name FROM environment_groups WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.0).fetch_optional(c).await)?)
}

pub async fn count(tx: &mut Tx) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM environment_groups";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

/// Whether there was one to rename.
pub async fn rename(tx: &mut Tx, id: GroupId, name: &Title) -> Result<bool, DbError> {
    tx.outdate_fleet();
    let sql = "UPDATE environment_groups SET name = $2, folded = $3 WHERE id = $1 RETURNING id";
    let renamed: Option<Uuid> = on_tx!(tx, |c| {
        sqlx::query_scalar(sql).bind(id.0).bind(name.as_str()).bind(name.folded()).fetch_optional(c).await
    })?;
    Ok(renamed.is_some())
}

/// Removes a group; its environments are in none then. What it was called.
pub async fn delete(tx: &mut Tx, id: GroupId) -> Result<Option<String>, DbError> {
    tx.outdate_fleet();
    let sql = "DELETE FROM environment_groups WHERE id = $1 RETURNING name";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.0).fetch_optional(c).await)?)
}
