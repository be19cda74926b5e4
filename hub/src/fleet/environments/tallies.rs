//! How many containers every engine has in which state, as whoever follows
//! their inventories told last. Held in memory; also of hosts that are away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

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

/// The states of the containers of all environments. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    table: Arc<RwLock<HashMap<EnvironmentId, ContainerStates>>>,
}

impl Tallies {
    /// What is known of an environment; `None` until its agent has told once.
    pub fn of(&self, environment: EnvironmentId) -> Option<ContainerStates> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&environment).copied()
    }

    /// Notes what was told.
    pub fn put(&self, environment: EnvironmentId, states: ContainerStates) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(environment, states);
    }

    /// The environment is gone.
    pub fn forget(&self, environment: EnvironmentId) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }
}
