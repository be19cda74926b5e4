//! Telling an engine what to do with one container.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, RenameContainerOptions, RestartContainerOptions, StopContainerOptions,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use crate::app::App;
use crate::docker::ContainerId;
use crate::docker::{EngineError, Engines};
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Entry, Outcome};
use crate::tunnel::Session;

/// A change must be done within this, and the grace that the caller gives. A
/// container may have a grace of its own to end in; Docker's is 10 seconds.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);
/// Longest grace that a caller may give, in seconds.
const GRACE_MAX: u16 = 3600;

/// What is done with a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is started.
    Start,
    /// It is told to end, and killed after its grace: this one, or its own.
    Stop(Option<Grace>),
    /// It is stopped and started.
    Restart(Option<Grace>),
    /// It is ended at once.
    Kill,
    /// Its processes stand still.
    Pause,
    /// Its processes go on.
    Unpause,
    /// It is called this from now on.
    Rename(ContainerId),
    /// It is removed.
    Remove(Removal),
}

/// How long a container has to end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct Grace(u16);

/// Nobody waits as long.
#[derive(Debug, thiserror::Error)]
#[error("a grace is at most {GRACE_MAX} seconds")]
pub struct GraceTooLong;

impl TryFrom<u16> for Grace {
    type Error = GraceTooLong;

    fn try_from(seconds: u16) -> Result<Self, GraceTooLong> {
        if seconds <= GRACE_MAX { Ok(Self(seconds)) } else { Err(GraceTooLong) }
    }
}

/// How a container is to be stopped.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Stopping {
    /// Seconds that it has to end by itself before it is killed. Without it,
    /// the container's own grace.
    #[param(value_type = Option<u16>, maximum = 3600)]
    pub timeout: Option<Grace>,
}

/// How a container is to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// With the volumes that were made for it alone and have no name.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub volumes: bool,
    /// Also while it runs: it is killed.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub force: bool,
}

/// What a container is to be called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// Its new name.
    #[schema(max_length = 128)]
    name: String,
}

impl TryFrom<NewName> for Change {
    type Error = ApiError;

    fn try_from(asked: NewName) -> ApiResult<Self> {
        let wrong = || {
            let message = "A container's name has letters, digits, dots, dashes and underscores, and begins with a \
                           letter or a digit.";
            ApiError::bad_request("invalid_name", message)
        };
        ContainerId::parse(&asked.name).map(Self::Rename).ok_or_else(wrong)
    }
}

impl Change {
    const fn action(&self) -> Action {
        match self {
            Self::Start => Action::ContainerStart,
            Self::Stop(_) => Action::ContainerStop,
            Self::Restart(_) => Action::ContainerRestart,
            Self::Kill => Action::ContainerKill,
            Self::Pause => Action::ContainerPause,
            Self::Unpause => Action::ContainerUnpause,
            Self::Rename(_) => Action::ContainerRename,
            Self::Remove(_) => Action::ContainerRemove,
        }
    }

    /// Its record with what is known of it before.
    fn describe(&self, entry: Entry) -> Entry {
        match self {
            Self::Stop(Some(grace)) | Self::Restart(Some(grace)) => entry.fact("grace_seconds", json!(grace.0)),
            Self::Rename(name) => entry.fact("name", json!(name.as_str())),
            Self::Remove(Removal { volumes, force }) => {
                entry.fact("volumes", json!(volumes)).fact("force", json!(force))
            }
            Self::Start | Self::Stop(None) | Self::Restart(None) | Self::Kill | Self::Pause | Self::Unpause => entry,
        }
    }

    fn deadline(&self) -> Duration {
        match self {
            Self::Stop(Some(grace)) | Self::Restart(Some(grace)) => {
                CHANGE_DEADLINE + Duration::from_secs(grace.0.into())
            }
            Self::Stop(None)
            | Self::Restart(None)
            | Self::Start
            | Self::Kill
            | Self::Pause
            | Self::Unpause
            | Self::Rename(_)
            | Self::Remove(_) => CHANGE_DEADLINE,
        }
    }

    async fn order(&self, engines: &Engines, session: &Arc<Session>, id: &ContainerId) -> Result<(), EngineError> {
        let id = id.as_str();
        let call = |docker: bollard::Docker| async move {
            match self {
                Self::Start => docker.start_container(id, None).await,
                Self::Stop(grace) => {
                    let options = StopContainerOptions { t: grace.map(|grace| grace.0.into()), signal: None };
                    docker.stop_container(id, Some(options)).await
                }
                Self::Restart(grace) => {
                    let options = RestartContainerOptions { t: grace.map(|grace| grace.0.into()), signal: None };
                    docker.restart_container(id, Some(options)).await
                }
                Self::Kill => docker.kill_container(id, Some(KillContainerOptions::default())).await,
                Self::Pause => docker.pause_container(id).await,
                Self::Unpause => docker.unpause_container(id).await,
                Self::Rename(name) => {
                    let options = RenameContainerOptions { name: name.as_str().to_owned() };
                    docker.rename_container(id, options).await
                }
                Self::Remove(Removal { volumes, force }) => {
                    let options = RemoveContainerOptions { v: *volumes, force: *force, link: false };
                    docker.remove_container(id, Some(options)).await
                }
            }
        };
        engines.call(session, self.deadline(), call).await
    }
}

impl App {
    /// Changes a container. The end is recorded whatever happens, also where
    /// the caller does not wait for it.
    ///
    /// # Errors
    /// As its session and its engine say. What takes longer than the hub waits
    /// may still be done: [`EngineError::Slow`].
    pub(super) async fn change_container(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: ContainerId,
        change: Change,
        caller: &Caller,
    ) -> ApiResult<()> {
        let session = self.session(environment).await?;
        let entry = change.describe(self.container_entry(caller, change.action(), environment, &container));
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let app = Arc::clone(self);
        let changing = async move {
            let done = change.order(&app.engines, &session, &container).await;
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
