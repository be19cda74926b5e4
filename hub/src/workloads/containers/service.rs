//! Asking an engine for its containers, and telling it what to do with one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Container, ContainerFilter, ContainerId, Listed};
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry, Outcome};
use crate::tunnel::Session;

/// A list must be there within this, also from an engine under load.
const LIST_DEADLINE: Duration = Duration::from_secs(30);
/// Starting, stopping or restarting must be done within this. A container may
/// have a grace of its own to end in; Docker's is 10 seconds.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);
/// Where an engine lists its containers, those that do not run included.
const ALL: &str = "/containers/json?all=1";

/// What is done with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is started.
    Start,
    /// It is told to end, and killed after its grace.
    Stop,
    /// It is stopped and started.
    Restart,
}

impl Change {
    const fn action(self) -> Action {
        match self {
            Self::Start => Action::ContainerStart,
            Self::Stop => Action::ContainerStop,
            Self::Restart => Action::ContainerRestart,
        }
    }

    async fn order(self, engines: &Engines, session: &Arc<Session>, id: &str) -> Result<(), EngineError> {
        let id = id.to_owned();
        let call = |docker: bollard::Docker| async move {
            match self {
                Self::Start => docker.start_container(&id, None).await,
                Self::Stop => docker.stop_container(&id, None).await,
                Self::Restart => docker.restart_container(&id, None).await,
            }
        };
        engines.call(session, CHANGE_DEADLINE, call).await
    }
}

impl App {
    /// The containers of an environment that match, by name.
    ///
    /// # Errors
    /// As its session and its engine say.
    pub(super) async fn list_containers(
        &self,
        environment: EnvironmentId,
        filter: &ContainerFilter,
    ) -> ApiResult<Vec<Container>> {
        let session = self.session(environment).await?;
        let listed: Vec<Listed> = self.engines.read(&session, ALL, LIST_DEADLINE).await?;
        let mut containers: Vec<Container> =
            listed.into_iter().map(Container::from).filter(|container| filter.wants(container)).collect();
        containers.sort_by_cached_key(|container| (container.name.to_lowercase(), container.id.clone()));
        Ok(containers)
    }

    /// Changes a container. The end is recorded whatever happens, also where
    /// the caller does not wait for it.
    ///
    /// # Errors
    /// As its session and its engine say.
    pub(super) async fn change_container(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: ContainerId,
        change: Change,
        caller: &Caller,
    ) -> ApiResult<()> {
        let session = self.session(environment).await?;
        let actor = Actor::from(caller);
        let entry = Entry::new(&actor, change.action(), container.as_str()).environment(environment);
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let app = Arc::clone(self);
        let changing = async move {
            let done = change.order(&app.engines, &session, container.as_str()).await;
            let ended = match &done {
                Ok(()) => entry,
                Err(error) => entry.outcome(Outcome::Failed).fact("error", json!(error.to_string())),
            };
            if let Err(error) = app.fleet.note(ended).await {
                tracing::error!(%error, "the end of a container's change was not recorded");
            }
            done
        };
        let done = self.lifecycle.tasks.spawn(changing).await;
        Ok(done.map_err(ApiError::internal)??)
    }
}
