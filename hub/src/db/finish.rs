//! What a transaction does last, once it has nothing left to wait for.
//!
//! The order of locks on PostgreSQL: [`lock_exclusive`](super::dialect) first,
//! then rows as a feature needs them, and what every transaction needs at the
//! very end, in here. Who holds that asks for no further lock and is about to
//! commit, so nobody waits for anybody in a circle, however early a feature
//! said that it wants it done.

use std::fmt::Debug;
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

/// What all transactions of a database share. Clones share it too.
#[derive(Clone, Debug)]
pub struct Finisher {
    pub(super) announcer: Announcer,
    pub(super) row_key: RowKey,
}

impl Finisher {
    pub(super) fn new() -> Self {
        Self { announcer: Announcer::new(), row_key: RowKey::default() }
    }

    pub(super) fn begin(&self) -> Finish {
        Finish { announcements: self.announcer.begin(), last: Vec::new(), row_key: self.row_key.clone() }
    }
}

/// What one transaction does at its end.
#[derive(Debug)]
pub(super) struct Finish {
    pub announcements: Announcements,
    pub last: Vec<Box<dyn Last>>,
    pub row_key: RowKey,
}
