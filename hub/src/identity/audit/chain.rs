//! The chain of the records. Each has a number, without gaps and in the order
//! of commits, and a hash: HMAC-SHA256 over all that it says, its number and
//! the hash of the one before. So what was changed, taken out or put in shows
//! from there on. The key is sealed in the vault: who has the database and not
//! the master key can make no record that fits.
//!
//! The one row of `audit_head` is the chain's end, its begin (the anchor: the
//! last record whose time was over) and how many records are older than the
//! chain, under a MAC of its own. It is locked at the very end of a transaction
//! (see [`Last`]), so numbers are given in the order of commits and nobody who
//! holds it waits for anything.

mod encode;
mod prune;
#[cfg(test)]
mod tests;
mod walk;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ring::hmac;
use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::types::Json as SqlJson;
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub(super) use self::encode::steady;
pub use self::walk::{Comparison, Expected, Fault, FaultKind, Verification, verify};
use super::store::{AuditRecord, ChainHash};
use super::{Action, Actor, Entry, Outcome};
use crate::clock::{Random, Timestamp};
use crate::db::{DbError, Last, Tx, dialect};
use crate::on_tx;
use crate::vault::{OwnKey, SealedSettingError, Vault, get_or_seal};

/// Lets records be written: takes the chain's key out of the vault, and makes
/// one where there is none.
///
/// # Errors
/// When the database fails, or the key does not open.
pub async fn unlock(tx: &mut Tx, vault: &Vault, random: &Random, now: Timestamp) -> Result<(), SealedSettingError> {
    let secret = get_or_seal(tx, vault, OwnKey::AuditChain, &random.bytes::<32>(), now).await?;
    tx.row_key().set(&secret);
    Ok(())
}

/// A record on its way: it gets its place in the chain at the end of its
/// transaction.
#[derive(Debug)]
pub(super) struct Pending(pub AuditRecord);

impl Last for Pending {
    fn run<'a>(self: Box<Self>, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> {
        async move {
            let Self(record) = *self;
            let key = ChainKey::of(tx)?;
            let mut head = take_head(tx, &key, record.at).await?;
            head.append(tx, &key, record).await
        }
        .boxed()
    }
}

/// Makes hashes.
pub(super) struct ChainKey(hmac::Key);

impl ChainKey {
    /// # Errors
    /// [`DbError::Keyless`] before [`unlock`].
    pub fn of(tx: &Tx) -> Result<Self, DbError> {
        tx.row_key().get().map(Self)
    }

    /// The hash of a record in this place, after one with that hash.
    fn of_record(&self, seq: i64, before: &ChainHash, record: &AuditRecord) -> ChainHash {
        self.sign(&encode::record(seq, before, record))
    }

    fn of_head(&self, head: &Head) -> ChainHash {
        self.sign(&encode::head(head))
    }

    fn sign(&self, bytes: &[u8]) -> ChainHash {
        ChainHash(hmac::sign(&self.0, bytes).as_ref().to_vec())
    }
}

/// Whether two hashes are the same, told in the same time wherever they differ.
fn is_same(one: &ChainHash, other: &ChainHash) -> bool {
    one.0.ct_eq(&other.0).into()
}

/// The end and the begin of the chain.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub(super) struct Head {
    /// The newest record's number; zero before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: ChainHash,
    /// The number of the last record that was deleted since its time was over.
    pub anchor_seq: i64,
    /// Its hash, which the first record that is left goes on from.
    pub anchor_hash: ChainHash,
    /// Records that are older than the chain.
    pub unchained: i64,
    mac: ChainHash,
}

impl Head {
    /// Whether this is what the hub wrote.
    fn is_genuine(&self, key: &ChainKey) -> bool {
        is_same(&self.mac, &key.of_head(self))
    }

    /// Writes a record behind the last one.
    async fn append(&mut self, tx: &mut Tx, key: &ChainKey, mut record: AuditRecord) -> Result<(), DbError> {
        let seq = self.seq + 1;
        // The order of ids is that of numbers, which a list relies on.
        record.id = Uuid::now_v7();
        let hash = key.of_record(seq, &self.hash, &record);
        (self.seq, self.hash) = (seq, hash);
        self.mac = key.of_head(self);
        let move_on = "UPDATE audit_head SET seq = $15, hash = $16, mac = $17";
        let insert = "INSERT INTO audit (id, at, actor_kind, actor_id, actor_name, credential, action, outcome,
                                         target_kind, target_id, environment_id, address, request_id, details,
                                         seq, hash)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
        let sql = dialect::at_once(tx, move_on, insert);
        on_tx!(tx, |c| {
            sqlx::query(AssertSqlSafe(sql))
                .bind(record.id)
                .bind(record.at)
                .bind(&record.actor_kind)
                .bind(&record.actor_id)
                .bind(&record.actor_name)
                .bind(&record.credential)
                .bind(&record.action)
                .bind(&record.outcome)
                .bind(&record.target_kind)
                .bind(&record.target_id)
                .bind(record.environment_id)
                .bind(&record.address)
                .bind(&record.request_id)
                .bind(SqlJson(&record.details.0))
                .bind(self.seq)
                .bind(&self.hash)
                .bind(&self.mac)
                .execute(c)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Writes a begin that has moved.
    async fn store_begin(&mut self, tx: &mut Tx, key: &ChainKey) -> Result<(), DbError> {
        self.mac = key.of_head(self);
        let sql = "UPDATE audit_head SET anchor_seq = $1, anchor_hash = $2, unchained = $3, mac = $4";
        on_tx!(tx, |c| {
            let query = sqlx::query(sql).bind(self.anchor_seq).bind(&self.anchor_hash);
            query.bind(self.unchained).bind(&self.mac).execute(c).await.map(drop)
        })?;
        Ok(())
    }
}

/// The head, and nobody else has it until the end of the transaction. The first
/// time, the chain begins; where somebody else wrote to it, that is recorded,
/// and the chain goes on behind the newest record that is there.
pub(super) async fn take_head(tx: &mut Tx, key: &ChainKey, now: Timestamp) -> Result<Head, DbError> {
    let lock = dialect::for_update(tx);
    if let Some(head) = find_head(tx, lock).await?
        && head.is_genuine(key)
    {
        return Ok(head);
    }
    let first = "INSERT INTO audit_head (id, seq, hash, anchor_seq, anchor_hash, unchained, mac)
                 VALUES (1, 0, $1, 0, $1, 0, $1) ON CONFLICT (id) DO NOTHING";
    on_tx!(tx, |c| sqlx::query(first).bind(ChainHash::default()).execute(c).await.map(drop))?;
    // Another transaction may have begun it meanwhile.
    let mut head = find_head(tx, lock).await?.unwrap_or_default();
    if head.is_genuine(key) {
        return Ok(head);
    }
    let newest = find_newest(tx).await?;
    let is_new = head.seq == 0 && head.mac.0.is_empty() && newest.is_none();
    let unchained = count_unchained(tx).await?;
    let entry = if is_new {
        head.unchained = unchained;
        Entry::new(&Actor::System, Action::AuditBegin, "chain").fact("unchained", json!(unchained))
    } else {
        tracing::error!(audit.seq = head.seq, "the head of the audit log is not as this hub left it");
        let said = json!({ "seq": head.seq, "hash": head.hash });
        if let Some((seq, hash)) = newest {
            (head.seq, head.hash) = (seq, hash);
        }
        let entry = Entry::new(&Actor::System, Action::AuditHeadChanged, "chain").outcome(Outcome::Failed);
        entry.fact("head", said)
    };
    head.append(tx, key, AuditRecord::of(&entry, now)).await?;
    head.store_begin(tx, key).await?;
    Ok(head)
}

async fn find_head(tx: &mut Tx, lock: &str) -> Result<Option<Head>, DbError> {
    let sql = format!("SELECT seq, hash, anchor_seq, anchor_hash, unchained, mac FROM audit_head{lock}");
    Ok(on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).fetch_optional(c).await)?)
}

async fn find_newest(tx: &mut Tx) -> Result<Option<(i64, ChainHash)>, DbError> {
    let sql = "SELECT seq, COALESCE(hash, $1) FROM audit WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(ChainHash::default()).fetch_optional(c).await)?)
}

async fn count_unchained(tx: &mut Tx) -> Result<i64, DbError> {
    Ok(on_tx!(tx, |c| sqlx::query_scalar("SELECT COUNT(*) FROM audit WHERE seq IS NULL").fetch_one(c).await)?)
}
