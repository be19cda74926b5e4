//! The containers that are known, and telling an engine what to do with one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::control::EngineStatus;

use super::model::{Container, ContainerFilter, ContainerId};
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, List, Page};
use crate::identity::audit::{Action, Actor, Entry, Outcome};
use crate::tunnel::Session;

/// An agent that has just connected must have told what its engine has within
/// this.
const FIRST_DEADLINE: Duration = Duration::from_secs(10);
/// Starting, stopping or restarting must be done within this. A container may
/// have a grace of its own to end in; Docker's is 10 seconds.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);

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
    /// The containers of an environment that match, as its agent told them
    /// last. An agent that has just connected is waited for.
    ///
    /// # Errors
    /// As its session and its engine say, where they have told nothing yet.
    pub(super) async fn list_containers(
        &self,
        environment: EnvironmentId,
        filter: &ContainerFilter,
        page: Page,
    ) -> ApiResult<List<Container>> {
        if self.inventories.of(environment).is_none() {
            self.wait_for_inventory(environment).await?;
        }
        Ok(self.list_all_containers(Some(environment), filter, page))
    }

    /// The same for all environments, or for one; without those that have told
    /// nothing yet.
    pub(super) fn list_all_containers(
        &self,
        environment: Option<EnvironmentId>,
        filter: &ContainerFilter,
        page: Page,
    ) -> List<Container> {
        let inventories = match environment {
            Some(environment) => {
                self.inventories.of(environment).map(|heard| (environment, heard)).into_iter().collect()
            }
            None => self.inventories.all(),
        };
        let containers = inventories.iter().flat_map(|(environment, heard)| {
            heard.things.containers.values().map(move |container| (*environment, heard, container))
        });
        let mut wanted: Vec<_> = containers.filter(|(_, _, container)| filter.wants(container)).collect();
        let sort = filter.sort.unwrap_or_default();
        wanted.sort_by(|(_, _, one), (_, _, other)| sort.order(one, other));
        page.of(wanted).map(|(environment, heard, container)| {
            let as_of = (heard.is_stale || !self.is_told(environment)).then_some(heard.at);
            Container::new(environment, container, as_of)
        })
    }

    /// Whether what is known of an engine is so now.
    fn is_told(&self, environment: EnvironmentId) -> bool {
        self.sessions.of(environment).is_ok_and(|session| session.engine_facts().is_some())
    }

    async fn wait_for_inventory(&self, environment: EnvironmentId) -> ApiResult<()> {
        let session = self.session(environment).await?;
        let mut heard = self.inventories.follow(environment);
        if timeout(FIRST_DEADLINE, heard.wait_for(Option::is_some)).await.is_ok() {
            return Ok(());
        }
        let engine = session.engine();
        let absent = matches!(*engine.borrow(), EngineStatus::Absent);
        Err(if absent { EngineError::Absent } else { EngineError::Unresponsive }.into())
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
