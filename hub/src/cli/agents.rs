//! `agent`: the hosts that dialled in.

use clap::Subcommand;
use serde_json::json;
use url::Url;

use super::client::HubClient;
use super::exit::Failure;
use super::output::{Column, Format};
use super::tokens::{PrintToken, print_created};

const AGENTS: &str = "/api/v1/agents";

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("STATE", "state"),
    ("HOST", "hostname"),
    ("VERSION", "agent_version"),
    ("TRANSPORT", "transport"),
    ("LAST SEEN", "last_seen"),
    ("ID", "id"),
];

/// Hosts that dialled in
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Lists agents
    List,
    /// Shows one agent
    Show {
        /// Its name or id
        name: String,
    },
    /// Lets a waiting or quarantined agent in
    Approve {
        /// Its name or id
        name: String,
    },
    /// Gives an agent another name
    Rename {
        /// Its name or id
        name: String,
        /// The new name
        new_name: String,
    },
    /// Makes a token with which the agent's host gets a new identity and keeps its history
    Reissue {
        /// Its name or id
        name: String,
        #[command(flatten)]
        print: PrintToken,
    },
    /// Takes an agent's identity away and closes its sessions at once
    Revoke {
        /// Its name or id
        name: String,
        /// Why, for the audit list and the agent's log
        #[arg(long)]
        reason: String,
    },
}

/// Runs an `agent` command. `hub_url` is the hub that the command talks to, if
/// it is elsewhere.
pub async fn run(hub: &HubClient, command: AgentCommand, format: Format, hub_url: Option<&Url>) -> Result<(), Failure> {
    match command {
        AgentCommand::List => format.list(&hub.list(AGENTS, &[]).await?, COLUMNS),
        AgentCommand::Show { name } => format.object(&hub.get(&path(hub, &name).await?).await?),
        AgentCommand::Approve { name } => {
            hub.post(&format!("{}/approve", path(hub, &name).await?), json!({})).await?;
            eprintln!("Approved {name}.");
        }
        AgentCommand::Rename { name, new_name } => {
            hub.patch(&path(hub, &name).await?, json!({ "name": new_name })).await?;
            eprintln!("Renamed {name} to {new_name}.");
        }
        AgentCommand::Reissue { name, print } => {
            let path = print.path(&format!("{}/reissue", path(hub, &name).await?), hub_url);
            print_created(&hub.post(&path, json!({})).await?, &print, format)?;
        }
        AgentCommand::Revoke { name, reason } => {
            hub.post(&format!("{}/revoke", path(hub, &name).await?), json!({ "reason": reason })).await?;
            eprintln!("Revoked {name}. Its sessions are closed and it cannot come back with this identity.");
        }
    }
    Ok(())
}

async fn path(hub: &HubClient, name: &str) -> Result<String, Failure> {
    Ok(format!("{AGENTS}/{}", hub.resolve("agent", AGENTS, name).await?))
}
