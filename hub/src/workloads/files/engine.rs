//! What is asked of an engine about the files of one container: its archive,
//! and programs that the container has.

mod archive;
mod program;

use std::sync::Arc;

pub use archive::{Opened, Things};

use super::model::FileError;
use crate::docker::ContainerId;
use crate::docker::{EngineError, Engines};
use crate::tunnel::Session;

/// One container, through one session.
#[derive(Clone, Debug)]
pub struct Host {
    /// What sends the requests.
    pub engines: Engines,
    /// By which session.
    pub session: Arc<Session>,
    /// In which container.
    pub container: ContainerId,
}

/// What an engine's refusal means for files.
impl From<EngineError> for FileError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { status, message } => {
                if message.contains("ould not find the file") || message.contains("no such file or directory") {
                    Self::NoSuchFile
                } else if message.contains("device or resource busy") {
                    Self::Mounted
                } else if message.contains("cannot overwrite") {
                    Self::OtherKind
                } else {
                    Self::Engine(EngineError::Refused { status, message })
                }
            }
            error => Self::Engine(error),
        }
    }
}
