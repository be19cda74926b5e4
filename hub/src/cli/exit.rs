//! How a command ends: the exit codes are a contract with scripts.

use std::process::ExitCode;

use crate::app::DamagedDatabase;

/// Why a command failed, sorted by exit code. A wrong command line ends with 2
/// before any command runs.
#[derive(Debug)]
pub enum Failure {
    /// 1: anything else.
    Other(anyhow::Error),
    /// 3: what was named does not exist.
    NotFound(String),
    /// 4: the hub does not answer.
    Unreachable(anyhow::Error),
    /// 5: the hub refused the credential or the request.
    Refused(String),
    /// 6: the database is damaged and a backup has to be restored.
    Damaged(anyhow::Error),
}

/// What `--help` says about exit codes.
pub const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 the hub cannot be reached, \
                        5 refused by the hub, 6 the database is damaged";

impl Failure {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Other(_) => 1,
            Self::NotFound(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Refused(_) => 5,
            Self::Damaged(_) => 6,
        })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<DamagedDatabase>() {
            Some(_) => Self::Damaged(error),
            None => Self::Other(error),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other(error) | Self::Unreachable(error) | Self::Damaged(error) => write!(f, "{error:#}"),
            Self::NotFound(message) | Self::Refused(message) => f.write_str(message),
        }
    }
}
