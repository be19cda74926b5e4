//! A container's specification as it is shown and as it comes back changed:
//! what was masked and comes back masked is as it was.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use super::base::Base;
use super::engine::Maker;
use super::image;
use crate::app::App;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::workloads::containers::details::Allowed;
use crate::workloads::containers::masking::{self, MASK};
use crate::workloads::containers::spec::ContainerSpec;
use crate::workloads::images::RegistryLogin;

/// How a container was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownSpec {
    /// Its id.
    pub container_id: String,
    /// Whether it runs.
    pub is_running: bool,
    /// How many texts were changed since they look like secrets.
    pub masked: usize,
    /// What it was made with, what its image brings left out.
    pub spec: ContainerSpec,
}

/// What is to be another in a container.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerEdit {
    /// Fields of the specification, each whole. Those that are not here stay
    /// as they are, and so do values that come back masked.
    #[schema(value_type = Object)]
    pub changes: Map<String, Value>,
    /// What the registry of its image wants to see, should it be pulled.
    pub login: Option<RegistryLogin>,
}

impl App {
    /// How a container was made; what looks like a secret is masked unless
    /// somebody asks for it who may see it.
    ///
    /// # Errors
    /// As its session and its engine say.
    pub(super) async fn container_spec(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
        looking: Allowed,
        caller: &Caller,
    ) -> ApiResult<ShownSpec> {
        let (base, _) = Maker::of(self, environment).await?.base(container.as_str()).await?;
        let shown = |masked, spec| ShownSpec { container_id: base.id.clone(), is_running: base.runs, masked, spec };
        if looking.reveals() {
            let entry = Entry::new(&Actor::from(caller), Action::ContainerReveal, container.as_str());
            self.fleet.note(entry.environment(environment).called(Some(&base.name))).await?;
            return Ok(shown(0, base.spec.clone()));
        }
        let mut value = serde_json::to_value(&base.spec).map_err(ApiError::internal)?;
        let masked = masking::mask(&mut value);
        Ok(shown(masked, serde_json::from_value(value).map_err(ApiError::internal)?))
    }
}

impl ContainerEdit {
    /// The specification of `base` with the changes in it, checked.
    ///
    /// # Errors
    /// Where a change makes no sense, or holds a mask in a new place.
    pub fn apply(&self, base: &Base) -> ApiResult<ContainerSpec> {
        let current = serde_json::to_value(&base.spec).map_err(ApiError::internal)?;
        let mut masked = current.clone();
        masking::mask(&mut masked);
        let mut wanted = current.clone();
        for (field, change) in &self.changes {
            let change = unmask(change, &masked[field], &current[field]);
            if has_mask(&change) && !has_mask(&current[field]) {
                let message =
                    format!("{field}: A hidden value stands in a new place. Write it, or show the secrets first.");
                return Err(ApiError::bad_request("masked_value", message).with_details(json!({ "field": field })));
            }
            wanted[field] = change;
        }
        let wrong = |error: serde_json::Error| ApiError::bad_request("invalid_spec", crate::error::sentence(&error));
        let mut wanted: ContainerSpec = serde_json::from_value(wanted).map_err(wrong)?;
        if wanted.name.is_none() {
            wanted.name = Some(base.name.clone());
        }
        // What was wrong before is the engine's to judge.
        let checked = wanted.check();
        if checked != base.spec.check() {
            checked?;
        }
        if wanted.image != base.spec.image {
            image::check(&wanted)?;
        }
        Ok(wanted)
    }
}

/// What came back, with what was hidden in its place.
fn unmask(change: &Value, masked: &Value, current: &Value) -> Value {
    if change == masked {
        return current.clone();
    }
    match (change, masked, current) {
        (Value::Object(change), Value::Object(masked), Value::Object(current)) => {
            let part = |(name, value): (&String, &Value)| match (masked.get(name), current.get(name)) {
                (Some(masked), Some(current)) => (name.clone(), unmask(value, masked, current)),
                _ => (name.clone(), value.clone()),
            };
            Value::Object(change.iter().map(part).collect())
        }
        (Value::Array(change), Value::Array(masked), Value::Array(current)) if change.len() == masked.len() => {
            let parts = change.iter().zip(masked).zip(current);
            parts.map(|((change, masked), current)| unmask(change, masked, current)).collect()
        }
        _ => change.clone(),
    }
}

fn has_mask(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(has_mask),
        Value::Object(fields) => fields.values().any(has_mask),
    }
}
