//! What only the engine knows of one container, asked when somebody looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use super::masking;
use crate::app::App;
use crate::docker::ContainerId;
use crate::error::ApiResult;
use crate::http::{Caller, Permission, Reach};
use crate::identity::audit::{Action, Actor, Entry};

/// An engine must have answered within this.
const DEADLINE: Duration = Duration::from_secs(20);
/// Most processes that are listed.
const PROCESSES_MAX: usize = 1000;
/// Most changes to files that are listed.
const CHANGES_MAX: usize = 2000;

/// How a container is to be looked at.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Looking {
    /// With its secrets, for those who may read them there. It is recorded that
    /// they were shown.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub reveal: bool,
}

/// The same once it is known that the caller may look so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    reveal: bool,
}

impl Looking {
    /// Sees that the caller may look so.
    ///
    /// # Errors
    /// 403 where they want to see secrets and may not.
    pub async fn check(self, reach: &Reach, environment: EnvironmentId) -> ApiResult<Allowed> {
        if self.reveal {
            reach.require_at(Permission::SecretsRead, environment).await?;
        }
        Ok(Allowed { reveal: self.reveal })
    }
}

impl Allowed {
    /// Whether secrets are shown.
    pub const fn reveals(self) -> bool {
        self.reveal
    }
}

/// All that an engine tells of a container.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Inspection {
    /// How many texts were changed since they look like secrets.
    pub masked: usize,
    /// What Docker's API answers to `GET /containers/{id}/json`.
    #[schema(value_type = Object)]
    pub container: Value,
}

/// The processes of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Processes {
    /// What the columns are called, in the words of the host's `ps`.
    pub titles: Vec<String>,
    /// The processes, at most a thousand, each with a text for each column.
    pub processes: Vec<Vec<String>>,
    /// How many there are.
    pub total: usize,
}

/// What was changed in a container's files since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileChanges {
    /// The changes, at most two thousand, by path.
    pub changes: Vec<FileChange>,
    /// How many there are.
    pub total: usize,
}

/// One file that is not as in the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileChange {
    /// Where it is.
    pub path: String,
    /// What was done with it.
    pub kind: FileChangeKind,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileChangeKind {
    /// It, or something in it, is another.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

/// An engine's list of processes; null where there is none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ToldProcesses {
    titles: Option<Vec<String>>,
    processes: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ToldChange {
    path: String,
    kind: u8,
}

impl App {
    /// All that an engine tells of a container; what looks like a secret is
    /// masked unless somebody asks for it who may see it.
    ///
    /// # Errors
    /// As its session and its engine say.
    pub(super) async fn inspect_container(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
        looking: Allowed,
        caller: &Caller,
    ) -> ApiResult<Inspection> {
        let session = self.session(environment).await?;
        let target = format!("/containers/{}/json", container.as_str());
        let mut told = self.engines.read_document(&session, &target, DEADLINE).await?;
        if looking.reveals() {
            let entry = Entry::new(&Actor::from(caller), Action::ContainerReveal, container.as_str());
            let name = told["Name"].as_str().map(|name| name.trim_start_matches('/'));
            self.fleet.note(entry.environment(environment).called(name)).await?;
            return Ok(Inspection { masked: 0, container: told });
        }
        let masked = masking::mask(&mut told);
        Ok(Inspection { masked, container: told })
    }

    /// The processes of a container that runs.
    ///
    /// # Errors
    /// As its session and its engine say, which refuses where it does not run.
    pub(super) async fn container_processes(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
    ) -> ApiResult<Processes> {
        let told: ToldProcesses = self.ask(environment, container, "top").await?;
        let mut processes = told.processes.unwrap_or_default();
        let total = processes.len();
        processes.truncate(PROCESSES_MAX);
        for text in processes.iter_mut().flatten() {
            *text = masking::mask_text(text).into_owned();
        }
        Ok(Processes { titles: told.titles.unwrap_or_default(), processes, total })
    }

    /// What was changed in a container's files.
    ///
    /// # Errors
    /// As its session and its engine say.
    pub(super) async fn container_changes(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
    ) -> ApiResult<FileChanges> {
        let told: Option<Vec<ToldChange>> = self.ask(environment, container, "changes").await?;
        let mut told = told.unwrap_or_default();
        let total = told.len();
        told.sort_by(|one, other| one.path.cmp(&other.path));
        let changes = told.into_iter().take(CHANGES_MAX).map(FileChange::from).collect();
        Ok(FileChanges { changes, total })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        environment: EnvironmentId,
        container: &ContainerId,
        what: &str,
    ) -> ApiResult<T> {
        let session = self.session(environment).await?;
        let target = format!("/containers/{}/{what}", container.as_str());
        Ok(self.engines.read(&session, &target, DEADLINE).await?)
    }
}

impl From<ToldChange> for FileChange {
    fn from(told: ToldChange) -> Self {
        let kind = match told.kind {
            1 => FileChangeKind::Added,
            2 => FileChangeKind::Deleted,
            _ => FileChangeKind::Changed,
        };
        Self { path: told.path, kind }
    }
}
