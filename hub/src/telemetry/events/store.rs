//! The events table.

use std::collections::BTreeMap;

use sqlx::types::Json;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::events::EventMark;

use super::model::{GAP, Wanted};
use crate::clock::Timestamp;
use crate::db::dialect::among;
use crate::db::{DbError, Tx};
use crate::fleet::environments::LastEvent;
use crate::on_tx;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    pub id: Uuid,
    pub environment_id: Uuid,
    pub at: Timestamp,
    /// The engine's own time.
    pub nanos: i64,
    pub kind: String,
    pub action: String,
    pub object_id: String,
    pub object_name: String,
    pub container_id: Option<String>,
    pub facts: Json<BTreeMap<String, String>>,
}

impl Row {
    /// What is told of it where there is little room.
    pub fn summary(&self) -> LastEvent {
        let target_name = Some(&self.object_name).filter(|name| !name.is_empty()).cloned();
        LastEvent { at: self.at, action: format!("{}.{}", self.kind, self.action), target_name }
    }

    /// Which event it is.
    pub fn into_mark(self) -> EventMark {
        EventMark { time: self.nanos, kind: self.kind, action: self.action, id: self.object_id }
    }
}

/// Writes a row, unless the event has one. How many were written.
pub async fn insert(tx: &mut Tx, row: &Row) -> Result<u64, DbError> {
    let sql = "INSERT INTO events (id, environment_id, at, nanos, kind, action, object_id, object_name, container_id,
                                   facts)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (environment_id, nanos, kind, action, object_id) DO NOTHING";
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(row.id).bind(row.environment_id).bind(row.at).bind(row.nanos);
        let query = query.bind(&row.kind).bind(&row.action).bind(&row.object_id).bind(&row.object_name);
        query.bind(&row.container_id).bind(&row.facts).execute(c).await?.rows_affected()
    });
    Ok(done)
}

/// The newest event of an environment by its engine's clock.
pub async fn find_last(tx: &mut Tx, environment: EnvironmentId) -> Result<Option<Row>, DbError> {
    let sql = "SELECT id, environment_id, at, nanos, kind, action, object_id, object_name, container_id, facts
               FROM events WHERE environment_id = $1 AND kind <> $2 ORDER BY nanos DESC LIMIT 1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(environment.0).bind(GAP).fetch_optional(c).await)?)
}

/// What is bound to a condition.
enum Bound {
    Id(Uuid),
    Text(String),
    Time(Timestamp),
}

/// The conditions of a query, each with what is bound to it.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    bound: Vec<Bound>,
}

impl Conditions {
    /// Adds a condition, where `?` stands for what is bound to it.
    fn add(&mut self, condition: &str, bound: Bound) {
        self.bound.push(bound);
        self.sql.push(condition.replace('?', &format!("${}", self.bound.len())));
    }

    fn of(wanted: &Wanted) -> Self {
        let mut all = Self::default();
        let text = |word: &String| Bound::Text(word.clone());
        if let Some(environment) = wanted.environment {
            all.add("environment_id = ?", Bound::Id(environment));
        }
        if let Some(kind) = &wanted.kind {
            all.add("kind = ?", text(kind));
        }
        if let Some(action) = &wanted.action {
            all.add("kind || '.' || action = ?", text(action));
        }
        if let Some(container) = &wanted.container {
            all.add("(container_id = ? OR (kind = 'container' AND object_name = ?))", text(container));
        }
        if let Some(found) = &wanted.text {
            let either =
                "LOWER(object_name || ' ' || object_id || ' ' || kind || '.' || action) LIKE LOWER(?) ESCAPE '!'";
            all.add(either, Bound::Text(pattern(found)));
        }
        if let Some(from) = wanted.from {
            all.add("at >= ?", Bound::Time(from));
        }
        if let Some(to) = wanted.to {
            all.add("at < ?", Bound::Time(to));
        }
        if let Some(before) = wanted.before {
            all.add("at <= ?", Bound::Time(before.at));
            let at = all.bound.len();
            all.add(&format!("(at < ${at} OR id < ?)"), Bound::Id(before.id));
        }
        all
    }
}

impl Conditions {
    /// The same in these environments alone; `None` is all of them.
    fn within(mut self, environments: Option<Vec<Uuid>>) -> Self {
        if environments.is_some() {
            let (condition, ids) = among("environment_id", environments, self.bound.len() + 1);
            self.sql.push(condition);
            self.bound.extend(ids.into_iter().map(Bound::Id));
        }
        self
    }
}

/// What `LIKE` finds this text with.
pub fn pattern(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

/// The newest that are wanted in these environments, newest first; `None` is all
/// of them.
pub async fn list(
    tx: &mut Tx,
    wanted: &Wanted,
    environments: Option<Vec<Uuid>>,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let Conditions { sql, bound } = Conditions::of(wanted).within(environments);
    let condition = if sql.is_empty() { String::new() } else { format!("WHERE {}", sql.join(" AND ")) };
    let sql = format!(
        "SELECT id, environment_id, at, nanos, kind, action, object_id, object_name, container_id, facts
         FROM events {condition} ORDER BY at DESC, id DESC LIMIT ${}",
        bound.len() + 1
    );
    let rows = on_tx!(tx, |c| {
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
        for bound in &bound {
            query = match bound {
                Bound::Id(id) => query.bind(*id),
                Bound::Text(text) => query.bind(text.clone()),
                Bound::Time(time) => query.bind(*time),
            };
        }
        query.bind(limit).fetch_all(c).await
    })?;
    Ok(rows)
}

/// Deletes what happened before `moment`.
pub async fn delete_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM events WHERE at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}

/// The environments that have more than so many.
pub async fn list_above(tx: &mut Tx, most: i64) -> Result<Vec<Uuid>, DbError> {
    let sql = "SELECT environment_id FROM events GROUP BY environment_id HAVING COUNT(*) > $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(most).fetch_all(c).await)?)
}

/// Deletes all but the newest so many of an environment.
pub async fn delete_above(tx: &mut Tx, environment: EnvironmentId, most: i64) -> Result<u64, DbError> {
    let sql = "SELECT at FROM events WHERE environment_id = $1 ORDER BY at DESC, id DESC LIMIT 1 OFFSET $2";
    let newest_too_many: Option<Timestamp> =
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(environment.0).bind(most).fetch_optional(c).await)?;
    let Some(moment) = newest_too_many else {
        return Ok(0);
    };
    let sql = "DELETE FROM events WHERE environment_id = $1 AND at <= $2";
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(environment.0).bind(moment);
        query.execute(c).await.map(|done| done.rows_affected())
    })?;
    Ok(done)
}
