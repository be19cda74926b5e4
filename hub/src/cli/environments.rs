//! `environment`: the Docker engines that the hub knows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::client::HubClient;
use super::exit::Failure;
use super::output::{Column, Format};

const ENVIRONMENTS: &str = "/api/v1/environments";

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("TRANSPORT", "transport"),
    ("RTT MS", "rtt_ms"),
    ("ENGINE", "engine"),
    ("VERSION", "engine_version"),
    ("AGENT", "agent_version"),
    ("LAST SEEN", "last_seen"),
    ("ID", "id"),
];

/// Docker engines
#[derive(Debug, Subcommand)]
pub enum EnvironmentCommand {
    /// Adds an engine that is reached over TCP
    Add(AddEnvironment),
    /// Lists all engines
    List,
    /// Shows one engine
    Show {
        /// Its name or id
        name: String,
    },
    /// Removes an engine; nothing on its host is touched
    Remove {
        /// Its name or id
        name: String,
    },
}

/// An engine on TCP.
#[derive(Args, Debug)]
pub struct AddEnvironment {
    /// What to call it
    name: String,
    /// Where it is: tcp://HOST:2376
    #[arg(long, value_name = "URL")]
    tcp: String,
    /// PEM file with the certificate authority of the engine
    #[arg(long, value_name = "FILE", requires = "cert", requires = "key")]
    ca: Option<PathBuf>,
    /// PEM file with the hub's client certificate
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// PEM file with the key of --cert
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    /// Reaches the engine without TLS, though it is not on this machine
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

/// Runs an `environment` command.
pub async fn run(hub: &HubClient, command: EnvironmentCommand, format: Format) -> Result<(), Failure> {
    match command {
        EnvironmentCommand::Add(new) => {
            let body = json!({
                "name": new.name,
                "address": new.tcp,
                "ca": read(new.ca.as_deref())?,
                "certificate": read(new.cert.as_deref())?,
                "key": read(new.key.as_deref())?,
                "insecure": new.insecure,
            });
            format.object(&hub.post(ENVIRONMENTS, body).await?);
        }
        EnvironmentCommand::List => format.list(&hub.list(ENVIRONMENTS, &[]).await?, COLUMNS),
        EnvironmentCommand::Show { name } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            format.object(&hub.get(&format!("{ENVIRONMENTS}/{id}")).await?);
        }
        EnvironmentCommand::Remove { name } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            hub.delete(&format!("{ENVIRONMENTS}/{id}")).await?;
            eprintln!("Removed {name}. Nothing on its host was touched.");
        }
    }
    Ok(())
}

fn read(path: Option<&Path>) -> anyhow::Result<Option<String>> {
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("Failed to read {}", path.display()));
    path.map(read).transpose()
}
