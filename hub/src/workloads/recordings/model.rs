//! What a recording is, and which are wanted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::http::UserId;

/// A recording that is to begin.
#[derive(Clone, Debug)]
pub struct NewRecording {
    /// The terminal's id, which is the recording's, too.
    pub id: Uuid,
    /// Where the terminal is.
    pub environment: Uuid,
    /// What that is called.
    pub environment_name: String,
    /// The container, as it was asked for.
    pub container: String,
    /// What it is called, where that is known.
    pub container_name: Option<String>,
    /// Who opened the terminal; none is the operator on the hub's machine.
    pub user: Option<UserId>,
    /// Their name.
    pub user_name: String,
    /// What runs, without what looks like a secret; none is the container's
    /// main process.
    pub command: Option<Vec<String>>,
    /// Columns and rows.
    pub size: (u16, u16),
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// Its terminal is open.
    Running,
    /// Its terminal ended, and all of it is there.
    Complete,
    /// The hub ended before it, or could not write it: its end is missing.
    BrokenOff,
}

impl RecordingState {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// The database has another word for a state.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no state of a recording")]
pub struct UnknownState(String);

impl TryFrom<String> for RecordingState {
    type Error = UnknownState;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let all = [Self::Running, Self::Complete, Self::BrokenOff];
        all.into_iter().find(|state| state.as_str() == name).ok_or(UnknownState(name))
    }
}

/// A recording of a terminal.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Recording {
    /// Its id, which is the terminal's.
    pub id: Uuid,
    /// The environment in which it was made; it may be gone.
    pub environment_id: Uuid,
    /// What that was called then.
    pub environment_name: String,
    /// The container, as it was asked for.
    pub container: String,
    /// What that was called then, where it is known.
    pub container_name: Option<String>,
    /// Who had the terminal; null is the operator on the hub's machine.
    pub user_id: Option<Uuid>,
    /// Their name then.
    pub user_name: String,
    /// What ran, without what looks like a secret; null is the container's main
    /// process.
    pub command: Option<Vec<String>>,
    /// Characters in a line, at the beginning.
    pub columns: i64,
    /// Lines, at the beginning.
    pub rows: i64,
    /// How far it is.
    pub state: RecordingState,
    /// Whether the terminal printed more than a recording may have.
    pub is_cut: bool,
    /// How long it is.
    pub seconds: f64,
    /// Its size as asciicast, in bytes.
    pub bytes: i64,
    /// What it takes in the database, in bytes.
    pub stored_bytes: i64,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended; null while its terminal is open.
    pub ended_at: Option<Timestamp>,
    /// In how many parts it is stored.
    #[serde(skip)]
    pub chunks: i64,
}

/// Which recordings to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordingFilter {
    /// Only those of this environment.
    pub environment: Option<Uuid>,
    /// Only those of the container with this name, or with this id.
    pub container: Option<String>,
    /// Only those of the user with this name.
    pub user: Option<String>,
}
