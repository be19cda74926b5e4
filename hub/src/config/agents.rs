//! Which agents the hub hands out to new hosts.

use std::path::PathBuf;

use clap::Args;

/// Where they are.
#[derive(Args, Clone, Debug)]
pub struct AgentsOptions {
    /// Folder with an agent for each platform, as linux-x86_64/windflow-agent [default: agents beside windflow-hub, or
    /// the windflow-agent beside it]
    #[arg(long, env = "WINDFLOW_AGENT_DIR", value_name = "DIR")]
    pub agent_dir: Option<PathBuf>,
}
