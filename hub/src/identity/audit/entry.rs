//! One record before it is written.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use windflow_protocol::ids::EnvironmentId;

use super::{Action, Actor, Outcome};

/// The fact that says what a target was called when something was done to it.
pub(super) const TARGET_NAME: &str = "target_name";

/// One record.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) actor: Actor,
    pub(super) action: Action,
    pub(super) target: String,
    pub(super) outcome: Outcome,
    pub(super) address: Option<IpAddr>,
    pub(super) environment: Option<EnvironmentId>,
    pub(super) details: Map<String, Value>,
}

impl Entry {
    /// `actor` did `action` to `target`, and it was done.
    pub fn new(actor: &Actor, action: Action, target: &str) -> Self {
        Self {
            actor: actor.clone(),
            action,
            target: target.to_owned(),
            outcome: Outcome::Done,
            address: None,
            environment: None,
            details: Map::new(),
        }
    }

    /// With a sentence or a name that says more. Never a secret.
    #[must_use]
    pub fn detail(self, text: &str) -> Self {
        self.fact("detail", json!(text))
    }

    /// With a named fact. Never a secret.
    #[must_use]
    pub fn fact(mut self, name: &str, value: Value) -> Self {
        self.details.insert(name.to_owned(), value);
        self
    }

    /// With what its target is called at this moment, where that is known.
    #[must_use]
    pub fn called(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.fact(TARGET_NAME, json!(name)),
            None => self,
        }
    }

    /// With the address it came from, where the actor does not know it.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// With the environment it happened in.
    #[must_use]
    pub fn environment(self, environment: EnvironmentId) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// With how it ended.
    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }
}
