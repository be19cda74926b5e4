//! What a transaction does last, once it has nothing left to wait for.
//!
//! The order of locks on PostgreSQL: [`lock_exclusive`](super::dialect) first,
//! then rows as a feature needs them, and what every transaction needs at the
//! very end, in here. Who holds that asks for no further lock and is about to
//! commit, so nobody waits for anybody in a circle, however early a feature
//! said that it wants it done.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use ring::hmac;

use super::announcements::{Announcements, Announcer};
use super::{DbError, Tx};

/// Something that a transaction does right before it is committed. There is one
/// kind of it; a second one would need an order between the two.
pub trait Last: Debug + Send + Sync {
    /// Does it. When it fails, the transaction is undone.
    fn run<'a>(self: Box<Self>, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>>;
}

/// The key that shows that rows were written by this hub. It is known once the
/// vault is open.
#[derive(Clone, Debug, Default)]
pub struct RowKey(Arc<RwLock<Option<hmac::Key>>>);

impl RowKey {
    /// Uses this secret from now on, in every transaction of the database.
    pub fn set(&self, secret: &[u8]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// The key.
    ///
    /// # Errors
    /// [`DbError::Keyless`] while it is not known.
    pub fn get(&self) -> Result<hmac::Key, DbError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(DbError::Keyless)
    }
}

/// How often the rows of the fleet were changed: whoever holds some in memory
/// knows by it that they are as they were. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Revision(Arc<AtomicU64>);

impl Revision {
    /// The count now. To be looked at before rows are read.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// To be called once a change is committed.
    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What all transactions of a database share. Clones share it too.
#[derive(Clone, Debug)]
pub struct Finisher {
    pub(super) announcer: Announcer,
    pub(super) row_key: RowKey,
    pub(super) fleet: Revision,
}

impl Finisher {
    pub(super) fn new() -> Self {
        Self { announcer: Announcer::new(), row_key: RowKey::default(), fleet: Revision::default() }
    }

    pub(super) fn begin(&self) -> Finish {
        Finish {
            announcements: self.announcer.begin(),
            last: Vec::new(),
            row_key: self.row_key.clone(),
            fleet: self.fleet.clone(),
            outdates_fleet: false,
        }
    }
}

/// What one transaction does at its end.
#[derive(Debug)]
pub(super) struct Finish {
    pub announcements: Announcements,
    pub last: Vec<Box<dyn Last>>,
    pub row_key: RowKey,
    pub fleet: Revision,
    /// Whether it changed rows of the fleet.
    pub outdates_fleet: bool,
}

impl Finish {
    /// Tells everybody, once it is committed.
    pub fn tell(self) {
        if self.outdates_fleet {
            self.fleet.advance();
        }
        self.announcements.send();
    }
}
