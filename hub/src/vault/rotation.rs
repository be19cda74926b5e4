//! New keys. A rotation makes a data key and seals with it, batch by batch,
//! whatever older ones sealed; each batch is a transaction, and none needs
//! another, so that one that was cut off just goes on. A new master key wraps
//! the same data keys anew, in one transaction.
//!
//! ```text
//! make_key ─► adopt_key ─► reseal, until nothing is left ─► settle ┄ a while ┄► drop_emptied
//! rewrap   ─► adopt_master
//! ```
//! An old data key is kept for a while after it is empty: somebody may have
//! sealed with it just before, and write that down only now.

mod columns;
#[cfg(test)]
pub mod failpoint;

use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

#[cfg(test)]
use self::failpoint::at as failpoint;
use super::keyring::KeyBytes;
use super::register::{RowKey, SEALED_COLUMNS, SealedColumn};
use super::settings;
use super::{
    CANARY_KEY, Generation, KeyCost, MASTER_KEY_ID, MasterKey, Place, Root, SALT_KEY, Vault, VaultError, head, store,
};
use crate::clock::{Random, Timestamp};
use crate::db::dialect::{Exclusive, lock_exclusive};
use crate::db::{Db, Tx};

/// Nothing fails outside of tests.
#[cfg(not(test))]
const fn failpoint(_point: &str) {}

/// A data key that is written down and not used yet.
#[must_use]
pub struct Fresh {
    generation: Generation,
    key: KeyBytes,
}

impl Fresh {
    /// Which one it is.
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// What is derived from another master key, which is not in use yet.
#[derive(Debug)]
pub struct Rewrapped {
    root: Root,
    salt: [u8; 16],
}

impl Rewrapped {
    /// Derives it, with a salt of its own.
    pub async fn derive(master: MasterKey, cost: KeyCost) -> Self {
        let salt = Random::default().bytes::<16>();
        Self { root: Root::derive(master, salt.to_vec(), cost).await, salt }
    }

    /// What the other master key is called.
    pub const fn root(&self) -> &Root {
        &self.root
    }
}

/// What was sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    /// Values that were.
    pub values: u64,
    /// Values that do not open, and were left as they are.
    pub unreadable: u64,
}

/// How a data key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// What is sealed now is sealed with it.
    Current,
    /// Older values may be sealed with it.
    InUse,
    /// Nothing is sealed with it any more; it is removed within hours.
    Emptied,
}

/// A data key, for those who look at them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedKey {
    /// Which one; 0 is the master key itself, from before there were data keys.
    pub generation: Generation,
    /// When it was made, where that is known.
    pub created_at: Option<Timestamp>,
    /// How it is used.
    pub state: KeyState,
}

impl Vault {
    /// Makes a new data key, which is used once the transaction is committed
    /// and the key is [adopted](Self::adopt_key).
    ///
    /// # Errors
    /// [`VaultError::Changed`] where another program changed the keys.
    pub async fn make_key(&self, tx: &mut Tx, now: Timestamp) -> Result<Fresh, VaultError> {
        let rows = self.lock_keys(tx).await?;
        let ring = self.ring();
        if rows.is_empty() {
            let wrapped = ring.root.wrap(Generation::ROOT, ring.root.bytes(), &self.random);
            store::insert(tx, Generation::ROOT, &wrapped, now).await?;
        }
        let (generation, key) = (ring.current.next(), Zeroizing::new(self.random.bytes::<32>()));
        store::insert(tx, generation, &ring.root.wrap(generation, &key, &self.random), now).await?;
        failpoint("key.made");
        Ok(Fresh { generation, key })
    }

    /// Seals with a data key from now on that is committed.
    pub fn adopt_key(&self, fresh: &Fresh) {
        failpoint("key.committed");
        self.set_ring(|ring| ring.with(fresh.generation, &fresh.key));
    }

    /// Seals with the current data key whatever older ones sealed. `told` hears
    /// after each batch how far it has come. It can be dropped at any moment,
    /// and begun again.
    ///
    /// # Errors
    /// When the database fails; what was sealed anew stays so.
    pub async fn reseal(
        &self,
        db: &Db,
        mut told: impl FnMut(&SealedColumn, Resealed) + Send,
    ) -> Result<Resealed, VaultError> {
        let current = head(self.generation());
        let mut total = Resealed::default();
        for column in SEALED_COLUMNS {
            let mut after = None;
            loop {
                let mut tx = db.write().await?;
                let found = columns::next(&mut tx, column, &current, after.as_ref()).await?;
                let Some((last, _)) = found.last() else { break };
                after = Some(last.clone());
                for (key, sealed) in found {
                    self.reseal_value(&mut tx, column, &key, &sealed, &mut total).await?;
                }
                failpoint("reseal.batch");
                tx.commit().await?;
                failpoint("reseal.committed");
                told(column, total);
            }
        }
        failpoint("reseal.done");
        Ok(total)
    }

    async fn reseal_value(
        &self,
        tx: &mut Tx,
        column: &SealedColumn,
        key: &RowKey,
        sealed: &[u8],
        total: &mut Resealed,
    ) -> Result<(), VaultError> {
        let row = key.to_string();
        match self.open_of(column, &row, sealed) {
            Ok(Some(opened)) => {
                let place = Place { table: column.table, row: &row, column: column.column };
                let fresh = self.seal(&place, &opened);
                // Where somebody else wrote meanwhile, they sealed it anew.
                total.values += u64::from(columns::replace(tx, column, key, sealed, &fresh).await?);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(table = column.table, row, %error, "a sealed value does not open, and is left as it is");
                total.unreadable += 1;
            }
        }
        Ok(())
    }

    /// The secret in a column; `None` where the value is none: it stands among
    /// others, and does not open, or it is the master key's own.
    fn open_of(
        &self,
        column: &SealedColumn,
        row: &str,
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        if column.is_mixed && row == CANARY_KEY {
            return Ok(None);
        }
        match self.open(&Place { table: column.table, row, column: column.column }, sealed) {
            Ok(opened) => Ok(Some(opened)),
            Err(_) if column.is_mixed => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes down of each older data key whether something is sealed with it
    /// still. Those that are in use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self, db: &Db, now: Timestamp) -> Result<Vec<Generation>, VaultError> {
        let mut used = Vec::new();
        for row in self.older_keys(db).await? {
            let generation = row.generation()?;
            let is_used = self.is_used(db, generation).await?;
            if is_used {
                used.push(generation);
            }
            if is_used == row.emptied_at.is_some() {
                let mut tx = db.write_vital().await?;
                store::set_emptied(&mut tx, generation, (!is_used).then_some(now)).await?;
                tx.commit().await?;
            }
        }
        failpoint("settle.done");
        Ok(used)
    }

    /// Removes the data keys that were empty at `until` already, and are still.
    /// How many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_emptied(&self, db: &Db, until: Timestamp, now: Timestamp) -> Result<u64, VaultError> {
        let is_due = |at: Timestamp| at <= until;
        let due: Vec<_> =
            self.older_keys(db).await?.into_iter().filter(|row| row.emptied_at.is_some_and(is_due)).collect();
        if due.is_empty() {
            return Ok(0);
        }
        let used = self.settle(db, now).await?;
        let mut dropped = 0;
        for row in due {
            let generation = row.generation()?;
            if used.contains(&generation) {
                continue;
            }
            let mut tx = db.write_vital().await?;
            store::delete(&mut tx, generation).await?;
            failpoint("key.dropping");
            tx.commit().await?;
            failpoint("key.dropped");
            self.set_ring(|ring| ring.without(generation));
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Whether older data keys are in use, as far as is known: a rotation was
    /// cut off.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_rotating(&self, db: &Db) -> Result<bool, VaultError> {
        Ok(self.older_keys(db).await?.iter().any(|row| row.emptied_at.is_none()))
    }

    /// Every data key, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_keys(&self, db: &Db) -> Result<Vec<ListedKey>, VaultError> {
        let current = self.generation();
        let mut listed = Vec::new();
        for row in store::list(&mut db.read().await?).await? {
            let generation = row.generation()?;
            let state = match row.emptied_at {
                _ if generation == current => KeyState::Current,
                Some(_) => KeyState::Emptied,
                None => KeyState::InUse,
            };
            // Generation 0 was there before its row.
            let created_at = (generation != Generation::ROOT).then_some(row.created_at);
            listed.push(ListedKey { generation, created_at, state });
        }
        if listed.is_empty() {
            listed.push(ListedKey { generation: current, created_at: None, state: KeyState::Current });
        }
        Ok(listed)
    }

    /// Wraps every data key with another master key. It counts once the
    /// transaction is committed; then it is [adopted](Self::adopt_master).
    ///
    /// # Errors
    /// [`VaultError::Changed`] where another program changed the keys.
    pub async fn rewrap(&self, tx: &mut Tx, fresh: &Rewrapped, now: Timestamp) -> Result<(), VaultError> {
        let rows = self.lock_keys(tx).await?;
        let ring = self.ring();
        if rows.is_empty() {
            let wrapped = fresh.root.wrap(Generation::ROOT, ring.root.bytes(), &self.random);
            store::insert(tx, Generation::ROOT, &wrapped, now).await?;
        }
        for row in rows {
            let (generation, key) = (row.generation()?, ring.root.unwrap(&row)?);
            store::set_wrapped(tx, generation, &fresh.root.wrap(generation, &key, &self.random)).await?;
        }
        settings::put(tx, SALT_KEY, &fresh.salt, now).await?;
        settings::put(tx, CANARY_KEY, &fresh.root.seal_canary(&self.random), now).await?;
        settings::put(tx, MASTER_KEY_ID, fresh.root.id().0.as_bytes(), now).await?;
        failpoint("master.wrapped");
        Ok(())
    }

    /// Uses a master key from now on whose transaction is committed.
    pub fn adopt_master(&self, fresh: Rewrapped) {
        failpoint("master.committed");
        self.set_ring(|ring| ring.under(fresh.root));
    }

    /// The data keys as they are stored, which nobody else changes until the
    /// transaction ends.
    async fn lock_keys(&self, tx: &mut Tx) -> Result<Vec<store::KeyRow>, VaultError> {
        lock_exclusive(tx, Exclusive::VaultKeys).await?;
        let (ring, rows) = (self.ring(), store::list(tx).await?);
        let canary = settings::find(tx, CANARY_KEY).await?.unwrap_or_default();
        let newest = rows.last().map_or(Ok(Generation::ROOT), store::KeyRow::generation)?;
        if ring.root.recognises(&canary) && newest == ring.current { Ok(rows) } else { Err(VaultError::Changed) }
    }

    async fn older_keys(&self, db: &Db) -> Result<Vec<store::KeyRow>, VaultError> {
        let current = self.generation();
        let mut rows = store::list(&mut db.read().await?).await?;
        rows.retain(|row| row.generation().is_ok_and(|generation| generation < current));
        Ok(rows)
    }

    /// Whether something is sealed with this data key.
    async fn is_used(&self, db: &Db, generation: Generation) -> Result<bool, VaultError> {
        let (mut tx, head) = (db.read().await?, head(generation));
        for column in SEALED_COLUMNS {
            let is_used = if column.is_mixed {
                let values = columns::list_with(&mut tx, column, &head).await?;
                let opens =
                    |(row, sealed): &(String, Vec<u8>)| matches!(self.open_of(column, row, sealed), Ok(Some(_)));
                values.iter().any(opens)
            } else {
                columns::has(&mut tx, column, &head).await?
            };
            if is_used {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
