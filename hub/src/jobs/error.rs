//! Why a job was not started, and why one did not succeed.

use super::model::Failure;
use crate::db::DbError;
use crate::error::{ApiError, sentence};

/// Why a job ends undone, as its work says it.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It failed: a code for programs, a sentence for people.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// It was told to end, and did.
    #[error("the job was told to end")]
    Interrupted,
}

impl JobError {
    /// It failed for this reason.
    pub fn fail(code: &str, message: impl Into<String>) -> Self {
        Self::Failed(Failure { code: code.to_owned(), message: message.into() })
    }
}

/// What a caller would be told, whoever waits for the job is told.
impl<E: Into<ApiError>> From<E> for JobError {
    fn from(error: E) -> Self {
        let error = error.into();
        if let Some(cause) = &error.cause {
            tracing::warn!(code = error.code, cause = %format!("{cause:#}"), "a job failed");
        }
        Self::fail(error.code, error.message)
    }
}

/// Why a job was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// As many wait and run as may.
    #[error("too many jobs wait on this hub: try again when some have ended")]
    Crowded,
    /// As many of this environment wait and run as may.
    #[error("too many jobs wait for this environment: try again when some have ended")]
    EnvironmentCrowded,
    /// The hub ends.
    #[error("the hub is stopping: try again when it is back")]
    Stopping,
    /// It could not be written down.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        let message = sentence(&error);
        match error {
            StartError::Crowded | StartError::EnvironmentCrowded => Self::unavailable("too_many_jobs", message),
            StartError::Stopping => Self::unavailable("stopping", message),
            StartError::Db(error) => error.into(),
        }
    }
}
