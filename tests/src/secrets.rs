//! What no log, no record, no error and no process may tell.
//!
//! Whatever goes through the harness is read for secrets on its way: passwords,
//! codes and keys in what is asked and in what commands read, tokens and links
//! in what is answered and printed, cookies. Each is remembered for as long as
//! the tests run, under a label. Where a hub or an agent ends, at the end of
//! each scenario, its log, its files, its backups and its processes are
//! searched for all of them, as they are and in each form that programs give to
//! text; errors and live messages are searched when they come. What is found is
//! told by its label and its place, never by its value.

mod forms;
mod heard;
mod known;
mod processes;
mod search;

use std::sync::{LazyLock, PoisonError, RwLock};

pub use self::heard::{heard_answer, heard_input, heard_printed, heard_request};
use self::known::Known;
pub use self::processes::{Sighting, glance, seen_below, watch};
pub use self::search::{Findings, assert_tells_nothing};

/// Shortest secret that is looked for: what is shorter stands in a text by
/// chance, and codes of six digits are worth nothing a minute later.
pub const LENGTH_MIN: usize = 12;
/// The label of what a hub prints in its log when nobody has set it up: that is
/// how its owner learns it.
pub const SETUP_CODE: &str = "the setup code";

/// All secrets of this run. Scenarios run beside each other, and what is one's
/// secret has no business in another's log either.
static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);

/// Remembers a secret. What is too short to be recognised is passed over.
pub fn learn(label: &str, secret: &str) {
    learn_bytes(label, secret.as_bytes());
}

/// The same of one that is no text.
pub fn learn_bytes(label: &str, secret: &[u8]) {
    // A row of one character stands where a secret is not shown.
    let is_mask = secret.iter().all(|byte| Some(byte) == secret.first());
    let is_known = || KNOWN.read().unwrap_or_else(PoisonError::into_inner).has(secret);
    if secret.len() < LENGTH_MIN || is_mask || is_known() {
        return;
    }
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(label, secret);
}

/// A new secret that is remembered at once. Nothing in it needs to be escaped.
pub fn fresh(label: &str) -> String {
    let secret = format!("canary-{:032x}", rand::random::<u128>());
    learn(label, &secret);
    secret
}
