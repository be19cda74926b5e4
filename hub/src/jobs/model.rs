//! What a job is, for those who look at it.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use crate::clock::Timestamp;
use crate::http::{Caller, Principal, UserId};

/// Most parts that a job tells of at once.
const PARTS_MAX: usize = 200;

/// One job of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl JobId {
    /// A new id that sorts by its time of creation.
    pub(super) fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl From<Uuid> for JobId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What sort of work a job does, such as `image.pull`. The feature that does
/// it names it; the console has words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobKind(pub &'static str);

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for others to end.
    Queued,
    /// It is being done.
    Running,
    /// It is done.
    Succeeded,
    /// It ended undone; its failure says why.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// The text is no state of a job.
#[derive(Debug, thiserror::Error)]
#[error("a job is queued, running, succeeded, failed or cancelled")]
pub struct UnknownJobState;

impl JobState {
    const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The state's name in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl FromStr for JobState {
    type Err = UnknownJobState;

    fn from_str(text: &str) -> Result<Self, UnknownJobState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownJobState)
    }
}

impl TryFrom<String> for JobState {
    type Error = UnknownJobState;

    fn try_from(text: String) -> Result<Self, UnknownJobState> {
        text.parse()
    }
}

/// One job, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// What sort of work it does, such as `image.pull`.
    pub kind: String,
    /// The environment it works on, if it is one.
    pub environment_id: Option<Uuid>,
    /// What it works on, in the words of who asked: an image, a container.
    pub subject: String,
    /// Who asked for it.
    pub asked_by: String,
    /// The same as a user, unless it was nobody who signs in.
    pub asked_by_id: Option<UserId>,
    /// How far it has come.
    pub state: JobState,
    /// What it is at.
    pub progress: Progress,
    /// What came of it, once it has succeeded. What stands in it depends on
    /// the kind.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it failed, once it has.
    pub failure: Option<Failure>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its turn came.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// For programs.
    pub code: String,
    /// For people: what happened, and what to do.
    pub message: String,
}

/// What a job is at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Progress {
    /// The step it is at, such as `pull`; the console has words for it.
    pub step: Option<String>,
    /// How many steps are behind it.
    pub steps_done: u32,
    /// How many there are, where that is known.
    pub steps_total: Option<u32>,
    /// How many bytes are behind it in this step.
    pub bytes_done: u64,
    /// How many there are, where that is known.
    pub bytes_total: Option<u64>,
    /// What it does at once, such as an image's layers.
    pub parts: Vec<Part>,
}

/// One of several things that a job does at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// Its name.
    pub id: String,
    /// What is being done with it.
    pub status: String,
    /// How many bytes of it are done.
    pub done: Option<u64>,
    /// How many it has.
    pub total: Option<u64>,
}

impl Progress {
    /// Takes in how one part does. Beyond the first two hundred parts, new ones
    /// are passed over.
    pub(super) fn note(&mut self, part: Part) {
        let place = self.parts.iter().position(|known| known.id == part.id);
        match place {
            Some(place) => self.parts[place] = part,
            None if self.parts.len() < PARTS_MAX => self.parts.push(part),
            None => {}
        }
    }
}

/// Who asked for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBy {
    /// Their name.
    pub name: String,
    /// Who it is, where it is a user.
    pub user: Option<UserId>,
}

impl From<&Caller> for AskedBy {
    fn from(caller: &Caller) -> Self {
        let user = caller.principal.as_ref().and_then(Principal::user);
        let name = user.map_or_else(|| "root".to_owned(), |user| user.name.clone());
        Self { name, user: user.map(|user| user.id) }
    }
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobFilter {
    /// Only those of this environment.
    pub environment: Option<Uuid>,
    /// Only those in this state, or `active` for those that are not over.
    #[param(inline)]
    pub state: Option<StateFilter>,
    /// Only those of this kind, such as `image.pull`.
    pub kind: Option<String>,
}

/// Which states to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateFilter {
    /// Those that are queued or running.
    Active,
    /// Those that wait.
    Queued,
    /// Those that are being done.
    Running,
    /// Those that are done.
    Succeeded,
    /// Those that ended undone.
    Failed,
    /// Those that somebody ended.
    Cancelled,
}

impl StateFilter {
    /// The two states that are meant, which may be the same.
    pub(super) fn states(self) -> [JobState; 2] {
        match self {
            Self::Active => [JobState::Queued, JobState::Running],
            Self::Queued => [JobState::Queued; 2],
            Self::Running => [JobState::Running; 2],
            Self::Succeeded => [JobState::Succeeded; 2],
            Self::Failed => [JobState::Failed; 2],
            Self::Cancelled => [JobState::Cancelled; 2],
        }
    }
}

/// What a feature says of a job that it starts.
#[derive(Debug)]
pub struct NewJob {
    /// What sort of work it is.
    pub kind: JobKind,
    /// The environment it works on. Each has room for so many at once.
    pub environment: Option<EnvironmentId>,
    /// What it works on, in the words of who asked.
    pub subject: String,
    /// Who asked.
    pub asked_by: AskedBy,
    /// It must be done within this, counted from when its turn comes.
    pub deadline: std::time::Duration,
    /// Keeps the record of it.
    pub witness: Box<dyn super::Witness>,
}
