//! Recordings of terminals: what was printed in an environment that asks for
//! it, and when. What was typed is not recorded by itself, as passwords are.
//!
//! A terminal of such an environment is recorded or it is not there: it is
//! refused where its recording cannot begin, and ends where it cannot go on.

mod model;
mod recorder;
mod routes;
mod service;
mod store;
mod tape;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

pub use self::model::{NewRecording, Recording, RecordingState};
pub use self::recorder::{Kept, Recorder};
pub(super) use self::routes::routes;
use crate::config::RecordingsOptions;

/// What the hub knows of recordings beside their rows.
#[derive(Debug)]
pub struct Recordings {
    options: RecordingsOptions,
    /// Those that are being written: any other that is not over was broken off.
    live: Arc<Mutex<HashSet<Uuid>>>,
}

impl Recordings {
    /// None is being written yet.
    pub fn new(options: RecordingsOptions) -> Self {
        Self { options, live: Arc::default() }
    }

    /// Notes that a recording is being written, until what it gives is dropped.
    fn begin(&self, id: Uuid) -> Live {
        locked(&self.live).insert(id);
        Live { id, all: Arc::clone(&self.live) }
    }

    fn live(&self) -> HashSet<Uuid> {
        locked(&self.live).clone()
    }
}

/// A recording is being written.
#[derive(Debug)]
struct Live {
    id: Uuid,
    all: Arc<Mutex<HashSet<Uuid>>>,
}

impl Drop for Live {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.id);
    }
}

fn locked(live: &Mutex<HashSet<Uuid>>) -> MutexGuard<'_, HashSet<Uuid>> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}
