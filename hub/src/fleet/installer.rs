//! What a new host needs before it can enroll: the install script, the agent
//! for its platform, and the texts that bring the first of them there.
//!
//! One chain of digests, so that no certificate has to be believed on the way:
//! the command carries the digest of the script, the script carries those of
//! the agents, and the token carries the pin of the fleet's key. This module
//! only hands out; it never runs anything.

mod address;
mod binaries;
mod command;
mod routes;
mod script;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(super) use self::address::HubAddress;
use self::binaries::Shelf;
pub use self::command::InstallCommands;
pub(super) use self::routes::routes;
use self::script::Script;

/// Hands out the script and the agents.
#[derive(Debug)]
pub struct Installer {
    shelf: Shelf,
}

impl Installer {
    /// Takes agents from `agent_dir`, or from where they are found beside the
    /// program at `executable`.
    pub fn new(agent_dir: Option<PathBuf>, executable: Option<&Path>) -> Self {
        Self { shelf: Shelf::new(agent_dir, executable) }
    }

    /// How a host that reaches this hub at `address` is enrolled by `token`.
    pub async fn commands(&self, address: &HubAddress, token: &str) -> InstallCommands {
        InstallCommands::new(address, token, &self.script().await)
    }

    async fn script(&self) -> Script {
        Script::new(&self.shelf.all().await)
    }
}
