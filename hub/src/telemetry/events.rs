//! What happened on the engines, kept for a while, and the page that shows it
//! together with what users did. Agents tell it; no engine is asked for it
//! while somebody looks.

mod follower;
mod keeper;
mod model;
mod routes;
mod service;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::limits::SILENCE_MAX;

pub use self::keeper::keep;
pub(super) use self::routes::routes;
use crate::clock::{Clock, Timestamp};
use crate::config::EventsOptions;

/// What is remembered of following the engines' events.
#[derive(Debug)]
pub struct Events {
    options: EventsOptions,
    /// Until when each environment was listened to: what cannot be told of the
    /// time before is no gap.
    heard: Mutex<HashMap<EnvironmentId, Timestamp>>,
}

impl Events {
    /// Nothing was heard yet.
    pub fn new(options: EventsOptions) -> Arc<Self> {
        Arc::new(Self { options, heard: Mutex::default() })
    }

    fn heard_until(&self, environment: EnvironmentId) -> Option<Timestamp> {
        self.heard().get(&environment).copied()
    }

    /// Listens to an environment until what it gives is dropped.
    fn listen(self: &Arc<Self>, environment: EnvironmentId, clock: Arc<dyn Clock>) -> Listening {
        let since = clock.now();
        Listening { events: Arc::clone(self), environment, clock, since }
    }

    /// Forgets the environments that are gone.
    fn retain(&self, is_there: impl Fn(EnvironmentId) -> bool) {
        self.heard().retain(|environment, _| is_there(*environment));
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Timestamp>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody listens to an environment.
#[derive(Debug)]
struct Listening {
    events: Arc<Events>,
    environment: EnvironmentId,
    clock: Arc<dyn Clock>,
    since: Timestamp,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // A link may have been silent for a while before that was noticed.
        let until = self.clock.now() - SILENCE_MAX;
        if until > self.since {
            self.events.heard().insert(self.environment, until);
        }
    }
}
