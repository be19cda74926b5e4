//! What an engine changes in a container while it runs: nothing is made anew.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use super::engine::Maker;
use crate::app::App;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Outcome};
use crate::workloads::containers::spec::{Resources, RestartPolicy, nano_cpus};

/// What is to be another at once. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LiveChange {
    /// Processors, such as 1.5.
    pub cpus: Option<f64>,
    /// Its share where there is not enough.
    pub cpu_shares: Option<u32>,
    /// The processors it runs on.
    pub cpuset_cpus: Option<String>,
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Most memory and swap together, in bytes; -1 is without a bound. Without
    /// it twice the memory, where that is given.
    pub memory_swap: Option<i64>,
    /// The memory that it is left with where there is not enough, in bytes.
    pub memory_reservation: Option<u64>,
    /// Most processes and threads; -1 is without a bound.
    pub pids: Option<i64>,
    /// What happens when it ends.
    pub restart: Option<RestartPolicy>,
}

/// What came of a change.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LiveChanged {
    /// What the engine remarks.
    pub warnings: Vec<String>,
}

impl LiveChange {
    /// The body of the engine's call, checked.
    ///
    /// # Errors
    /// Where a value cannot be so.
    fn body(&self) -> ApiResult<Value> {
        let resources = Resources {
            cpus: self.cpus,
            memory: self.memory,
            memory_swap: self.memory_swap,
            memory_reservation: self.memory_reservation,
            ..Resources::default()
        };
        resources.check()?;
        let twice = || self.memory.and_then(|memory| i64::try_from(memory.saturating_mul(2)).ok());
        let all = json!({
            "NanoCpus": nano_cpus(self.cpus),
            "CpuShares": self.cpu_shares,
            "CpusetCpus": self.cpuset_cpus,
            "Memory": self.memory,
            "MemorySwap": self.memory_swap.or_else(twice),
            "MemoryReservation": self.memory_reservation,
            "PidsLimit": self.pids,
            "RestartPolicy": self.restart.map(|policy| json!({
                "Name": policy.when.as_str(),
                "MaximumRetryCount": policy.max_retries.unwrap_or_default(),
            })),
        });
        let given: Map<_, _> = { all.as_object().into_iter().flatten() }
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if given.is_empty() {
            return Err(ApiError::bad_request("nothing_to_change", "Say what is to be another."));
        }
        Ok(given.into())
    }
}

impl App {
    /// Changes a container while it runs. The end is recorded whatever
    /// happens, also where the caller does not wait for it.
    ///
    /// # Errors
    /// Where a value cannot be so; as its session and its engine say.
    pub(super) async fn update_container(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: ContainerId,
        change: LiveChange,
        caller: &Caller,
    ) -> ApiResult<LiveChanged> {
        let body = change.body()?;
        let maker = Maker::of(self, environment).await?;
        let entry = self.container_entry(caller, Action::ContainerUpdate, environment, &container);
        let entry = entry.fact("changed", body.clone());
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let app = Arc::clone(self);
        let changing = async move {
            let done = maker.update(container.as_str(), &body).await;
            let ended = match &done {
                Ok(_) => entry,
                Err(error) => entry.outcome(Outcome::Failed).fact("error", json!(error.to_string())),
            };
            if let Err(error) = app.fleet.note(ended).await {
                tracing::error!(%error, "the end of a container's change was not recorded");
            }
            done
        };
        let done = self.lifecycle.tasks.spawn(changing).await;
        Ok(LiveChanged { warnings: done.map_err(ApiError::internal)?? })
    }
}
