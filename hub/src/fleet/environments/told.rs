//! What those who follow the engines told last of each: how many containers
//! are in which state, and what happened. Held in memory; also of hosts that are
//! away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use crate::clock::Timestamp;

/// How many containers are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContainerStates {
    /// Those that run, healthy or not.
    pub running: u32,
    /// Those that are paused.
    pub paused: u32,
    /// Those that are being restarted.
    pub restarting: u32,
    /// Those that do not run: they ended, or were never started.
    pub stopped: u32,
    /// Those of the running ones that fail their health check.
    pub unhealthy: u32,
    /// All of them.
    pub total: u32,
}

impl ContainerStates {
    /// Adds those of another engine.
    pub const fn add(&mut self, other: Self) {
        self.running = self.running.saturating_add(other.running);
        self.paused = self.paused.saturating_add(other.paused);
        self.restarting = self.restarting.saturating_add(other.restarting);
        self.stopped = self.stopped.saturating_add(other.stopped);
        self.unhealthy = self.unhealthy.saturating_add(other.unhealthy);
        self.total = self.total.saturating_add(other.total);
    }
}

/// The last thing that an engine told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LastEvent {
    /// When it happened, by the engine's clock.
    pub at: Timestamp,
    /// What happened, with the kind of what it happened to before the dot, such
    /// as `container.start`.
    pub action: String,
    /// The name of what it happened to.
    pub target_name: Option<String>,
}

/// What was told of one environment.
#[derive(Clone, Debug, Default)]
struct Said {
    /// `None` until its agent has told once.
    states: Option<ContainerStates>,
    /// `None` where nothing is on record.
    event: Option<LastEvent>,
}

/// What was told of all environments. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    table: Arc<RwLock<HashMap<EnvironmentId, Said>>>,
}

impl Told {
    /// The states of an environment's containers.
    pub fn states_of(&self, environment: EnvironmentId) -> Option<ContainerStates> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&environment)?.states
    }

    /// What happened last in an environment.
    pub fn last_event_of(&self, environment: EnvironmentId) -> Option<LastEvent> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&environment)?.event.clone()
    }

    /// Notes in which states its containers are.
    pub fn put_states(&self, environment: EnvironmentId, states: ContainerStates) {
        self.change(environment, |said| said.states = Some(states));
    }

    /// Notes what happened, unless something later is known.
    pub fn put_event(&self, environment: EnvironmentId, event: LastEvent) {
        self.change(environment, |said| {
            if said.event.as_ref().is_none_or(|last| last.at <= event.at) {
                said.event = Some(event);
            }
        });
    }

    /// The environment is gone.
    pub fn forget(&self, environment: EnvironmentId) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }

    fn change(&self, environment: EnvironmentId, change: impl FnOnce(&mut Said)) {
        change(self.table.write().unwrap_or_else(PoisonError::into_inner).entry(environment).or_default());
    }
}
