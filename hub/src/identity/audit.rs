//! Who did what to what, written in the transaction that does it: what is not
//! recorded has not happened.
//!
//! `actor`, `action` and `entry` are what a record says, `store` is its table,
//! `chain` shows that nobody changed it, `routes` who may read it; `witness`
//! writes the records of jobs, `denials` those of who was refused; `shipping`
//! sends all of them elsewhere.

mod action;
mod actor;
mod chain;
mod denials;
mod entry;
mod routes;
pub mod shipping;
mod store;
#[cfg(test)]
mod tests;
mod witness;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

pub use self::action::{Action, Outcome};
pub use self::actor::Actor;
pub use self::chain::{Comparison, Expected, Fault, FaultKind, Verification, unlock, verify};
use self::denials::Denials;
pub use self::denials::note_denials;
pub use self::entry::Entry;
pub use self::routes::routes;
use self::shipping::Shipping;
pub use self::store::{AuditRecord, ChainHash, WantedRecords, list_since, list_wanted, record};
pub use self::witness::CutOff;
use crate::config::AuditOptions;

/// Files of records that are made at once.
const EXPORTS_MAX: usize = 8;

/// How long records are kept, who reads many of them just now, and who was
/// refused a moment ago.
#[derive(Debug)]
pub struct Audit {
    options: AuditOptions,
    exports: Arc<Semaphore>,
    /// The chain is walked by one at a time.
    walks: Semaphore,
    denials: Denials,
    shipping: Shipping,
}

impl Audit {
    /// Keeps records as the options say.
    pub fn new(options: AuditOptions) -> Self {
        Self {
            options,
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            walks: Semaphore::new(1),
            denials: Denials::default(),
            shipping: Shipping::default(),
        }
    }

    /// Has its numbers shown among those of the hub.
    pub fn register(&self, registry: &mut Registry) {
        self.shipping.register(registry);
    }
}
