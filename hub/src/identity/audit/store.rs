//! The records in their table.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use sqlx::types::Json as SqlJson;
use uuid::Uuid;

use super::actor::Described;
use super::chain::{self, Pending};
use super::entry::TARGET_NAME;
use super::{Action, Entry, Outcome};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::on_tx;

/// The columns of what a record says.
macro_rules! said {
    () => {
        "id, at, actor_kind, actor_id, actor_name, credential, action, outcome, target_kind, target_id, environment_id,
         address, request_id, details"
    };
}

/// A hash in the chain of the records. Prints and serialises in hexadecimal
/// digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct ChainHash(pub Vec<u8>);

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Serialize for ChainHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HEXLOWER.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct AuditRecord {
    /// The record.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// `user`, `local`, `agent`, `system` or `nobody`.
    pub actor_kind: String,
    /// The user or agent.
    pub actor_id: Option<String>,
    /// The user's name at that time.
    pub actor_name: String,
    /// By what the user was recognised.
    pub credential: Option<String>,
    /// What was done.
    pub action: String,
    /// `done`, `denied`, `begun` or `failed`.
    pub outcome: String,
    /// The kind of what it was done to.
    pub target_kind: Option<String>,
    /// What it was done to.
    pub target_id: Option<String>,
    /// The environment it happened in.
    pub environment_id: Option<Uuid>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request, as it stands in the log.
    pub request_id: Option<String>,
    /// What else there is to say.
    #[schema(value_type = Object)]
    pub details: SqlJson<Map<String, Value>>,
    /// Its number in the chain; none where it is older than the chain.
    #[sqlx(default)]
    pub seq: Option<i64>,
    /// Its hash in the chain, in hexadecimal digits.
    #[schema(value_type = Option<String>)]
    #[sqlx(default)]
    pub hash: Option<ChainHash>,
}

impl AuditRecord {
    /// The record of an entry, which has no place in the chain yet.
    pub(super) fn of(entry: &Entry, now: Timestamp) -> Self {
        let actor = Described::of(&entry.actor);
        let action = entry.action.as_str();
        Self {
            id: Uuid::nil(),
            at: now,
            actor_kind: actor.kind.to_owned(),
            actor_id: actor.id,
            actor_name: actor.name,
            credential: actor.credential,
            action: action.to_owned(),
            outcome: entry.outcome.as_str().to_owned(),
            target_kind: action.split('.').next().map(str::to_owned),
            target_id: Some(entry.target.clone()),
            environment_id: entry.environment.map(|environment| environment.0),
            address: entry.address.or(actor.address).map(|address| address.to_string()),
            request_id: actor.request_id,
            details: SqlJson(chain::steady(entry.details.clone())),
            seq: None,
            hash: None,
        }
    }

    /// Takes out what the target was called.
    pub fn take_target_name(&mut self) -> Option<String> {
        self.details.0.remove(TARGET_NAME).and_then(|name| Some(name.as_str()?.to_owned()))
    }
}

/// Writes `entry` in the transaction of what it records, at its end, where it
/// gets its place in the chain. Those who look at what happened are told once
/// that is committed.
///
/// # Errors
/// Never: what fails, fails the commit.
pub async fn record(tx: &mut Tx, entry: Entry, now: Timestamp) -> Result<(), DbError> {
    // What has only begun is not listed among what happened.
    if entry.outcome != Outcome::Begun {
        tx.announce(entry.environment.map(|environment| environment.0));
    }
    tx.do_last(Box::new(Pending(AuditRecord::of(&entry, now))));
    Ok(())
}

/// Which records are wanted, checked.
#[derive(Clone, Debug, Default)]
pub(super) struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only actions like this, in SQL's terms.
    pub action_pattern: Option<String>,
    /// Only what was done to this.
    pub target_id: Option<String>,
    /// Only what this one did, by id.
    pub actor_id: Option<String>,
    /// Only what one of this name did.
    pub actor: Option<String>,
    /// Only what ended so.
    pub outcome: Option<Outcome>,
    /// Only in this environment.
    pub environment_id: Option<Uuid>,
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Only where this is in a name, the action or the details, in SQL's terms.
    pub pattern: Option<String>,
}

/// One page of the records that match, newest first.
pub(super) async fn list(
    tx: &mut Tx,
    filter: &AuditFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditRecord>, DbError> {
    let sql = concat!(
        "SELECT ",
        said!(),
        ", seq, hash FROM audit
          WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR action = $2)
            AND ($3 IS NULL OR action LIKE $3 ESCAPE '!')
            AND ($4 IS NULL OR target_id = $4) AND ($5 IS NULL OR actor_id = $5)
            AND ($6 IS NULL OR LOWER(actor_name) = LOWER($6)) AND ($7 IS NULL OR outcome = $7)
            AND ($8 IS NULL OR environment_id = $8) AND ($9 IS NULL OR at >= $9) AND ($10 IS NULL OR at < $10)
            AND ($11 IS NULL
                 OR LOWER(actor_name || ' ' || COALESCE(target_id, '') || ' ' || action || ' '
                          || CAST(details AS TEXT)) LIKE LOWER($11) ESCAPE '!')
          ORDER BY id DESC LIMIT $12"
    );
    let records = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(before).bind(&filter.action).bind(&filter.action_pattern);
        let query = query.bind(&filter.target_id).bind(&filter.actor_id).bind(&filter.actor);
        let query = query.bind(filter.outcome.map(Outcome::as_str)).bind(filter.environment_id);
        let query = query.bind(filter.from).bind(filter.until).bind(&filter.pattern);
        query.bind(limit).fetch_all(c).await
    })?;
    Ok(records)
}

/// One page of the records of the chain behind this number, in its order.
pub(super) async fn list_chained(tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<AuditRecord>, DbError> {
    let sql = concat!("SELECT ", said!(), ", seq, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(after).bind(limit).fetch_all(c).await)?)
}

/// Which records are wanted of those that say how something ended.
#[derive(Clone, Debug, Default)]
pub struct WantedRecords {
    /// Only in this environment.
    pub environment: Option<Uuid>,
    /// Only what was done to this kind of thing.
    pub kind: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only what was done to this.
    pub target: Option<String>,
    /// Only where the target, who acted or the action is like this, in SQL's
    /// terms, with `!` before what stands for itself.
    pub pattern: Option<String>,
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Before the record of this moment and id.
    pub before: Option<(Timestamp, Uuid)>,
}

/// The newest records that are wanted, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list_wanted(tx: &mut Tx, wanted: &WantedRecords, limit: i64) -> Result<Vec<AuditRecord>, DbError> {
    let sql = concat!(
        "SELECT ",
        said!(),
        " FROM audit
          WHERE outcome <> 'begun'
            AND ($1 IS NULL OR environment_id = $1) AND ($2 IS NULL OR target_kind = $2)
            AND ($3 IS NULL OR action = $3) AND ($4 IS NULL OR target_id = $4)
            AND ($5 IS NULL OR LOWER(COALESCE(target_id, '') || ' ' || actor_name || ' ' || action)
                               LIKE LOWER($5) ESCAPE '!')
            AND ($6 IS NULL OR at >= $6) AND ($7 IS NULL OR at < $7)
            AND ($8 IS NULL OR at < $8 OR (at = $8 AND id < $9))
          ORDER BY at DESC, id DESC LIMIT $10"
    );
    let records = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(wanted.environment).bind(&wanted.kind).bind(&wanted.action);
        let query = query.bind(&wanted.target).bind(&wanted.pattern).bind(wanted.from).bind(wanted.to);
        let query = query.bind(wanted.before.map(|(at, _)| at)).bind(wanted.before.map(|(_, id)| id));
        query.bind(limit).fetch_all(c).await
    })?;
    Ok(records)
}

/// What was done of these actions after `moment`, oldest first. Asks for nothing
/// that the database of an earlier hub does not have.
///
/// # Errors
/// When the database fails.
pub async fn list_since(
    tx: &mut Tx,
    moment: Timestamp,
    actions: &[Action],
    limit: i64,
) -> Result<Vec<AuditRecord>, DbError> {
    let names: Vec<String> = actions.iter().map(|action| format!("'{}'", action.as_str())).collect();
    let sql = format!(
        "SELECT {} FROM audit WHERE at > $1 AND outcome = 'done' AND action IN ({}) ORDER BY id LIMIT $2",
        said!(),
        names.join(", ")
    );
    let records = on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(moment).bind(limit).fetch_all(c).await)?;
    Ok(records)
}
