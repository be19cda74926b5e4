//! Which Docker engine of this machine the hub manages itself.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The local engine.
#[derive(Args, Clone, Debug)]
pub struct EngineOptions {
    /// Docker engine of this machine: unix:///path or none [default: /var/run/docker.sock if it exists]
    #[arg(long, env = "WINDFLOW_ENGINE", value_name = "ADDRESS")]
    pub engine: Option<EngineAddress>,
}

impl EngineOptions {
    /// The socket of the local engine, if the hub manages one.
    pub fn socket(&self) -> Option<PathBuf> {
        match &self.engine {
            Some(EngineAddress::Unix(path)) => Some(path.clone()),
            Some(EngineAddress::None) => None,
            None => Path::new(DOCKER_SOCKET).exists().then(|| DOCKER_SOCKET.into()),
        }
    }
}

/// A local engine as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// `unix:///path`
    Unix(PathBuf),
    /// `none`
    None,
}

/// The text names no local engine.
#[derive(Debug, thiserror::Error)]
#[error("the engine must be unix:///path/to/docker.sock or none; add other engines with `environment add --tcp`")]
pub struct InvalidEngine;

impl FromStr for EngineAddress {
    type Err = InvalidEngine;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(InvalidEngine),
            None if text == "none" => Ok(Self::None),
            None => Err(InvalidEngine),
        }
    }
}
