//! `environment`: the Docker engines that the hub knows.

mod bridge;
mod connect;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::HubClient;
use super::exit::Failure;
use super::output::{Column, Format};

const ENVIRONMENTS: &str = "/api/v1/environments";
const GROUPS: &str = "/api/v1/groups";

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
    /// Adds labels to an engine, and takes some away
    Label {
        /// Its name or id
        name: String,
        /// KEY=VALUE to set one, KEY- to take it away
        #[arg(required = true, value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// Puts an engine into a group, which is made if there is none of this name
    Group {
        /// Its name or id
        name: String,
        /// The group; none takes the engine out of the one it is in
        group: Option<String>,
    },
    /// Has the terminals in an engine's containers recorded from now on, or not
    Record {
        /// Its name or id
        name: String,
        /// Whether they are
        switch: Switch,
    },
    /// Gives an engine a Docker socket on this machine, until Ctrl-C
    Connect(connect::ConnectOptions),
    /// Removes an engine; nothing on its host is touched
    Remove {
        /// Its name or id
        name: String,
    },
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is
    On,
    /// It is not
    Off,
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
        EnvironmentCommand::Label { name, labels } => {
            let path = format!("{ENVIRONMENTS}/{}", hub.resolve("environment", ENVIRONMENTS, &name).await?);
            let mut present = hub.get(&path).await?["labels"].take();
            for label in &labels {
                change_label(&mut present, label)?;
            }
            format.object(&hub.patch(&path, json!({ "labels": present })).await?);
        }
        EnvironmentCommand::Group { name, group } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            let group = match group {
                Some(group) => Some(group_of(hub, &group).await?),
                None => None,
            };
            format.object(&hub.patch(&format!("{ENVIRONMENTS}/{id}"), json!({ "group_id": group })).await?);
        }
        EnvironmentCommand::Record { name, switch } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            let body = json!({ "record_terminals": switch == Switch::On });
            format.object(&hub.patch(&format!("{ENVIRONMENTS}/{id}"), body).await?);
        }
        EnvironmentCommand::Connect(options) => connect::run(hub, &options, format).await?,
        EnvironmentCommand::Remove { name } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            hub.delete(&format!("{ENVIRONMENTS}/{id}")).await?;
            eprintln!("Removed {name}. Nothing on its host was touched.");
        }
    }
    Ok(())
}

/// Sets one of the labels, or takes it away.
fn change_label(labels: &mut Value, change: &str) -> anyhow::Result<()> {
    let labels = labels.as_object_mut().context("the hub's answer has no labels")?;
    match (change.split_once('='), change.strip_suffix('-')) {
        (Some((key, value)), _) => drop(labels.insert(key.to_owned(), value.into())),
        (None, Some(key)) => drop(labels.remove(key)),
        (None, None) => bail!("{change} is no label: write KEY=VALUE, or KEY- to take one away"),
    }
    Ok(())
}

/// The id of the group of this name, which is made if there is none.
async fn group_of(hub: &HubClient, name: &str) -> Result<String, Failure> {
    let found = hub.list(GROUPS, &[("name", name)]).await?;
    let made = match found.into_iter().next() {
        Some(group) => group,
        None => hub.post(GROUPS, json!({ "name": name })).await?,
    };
    let id = made["id"].as_str().map(str::to_owned);
    Ok(id.context("the hub's answer is not a group")?)
}

fn read(path: Option<&Path>) -> anyhow::Result<Option<String>> {
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("Failed to read {}", path.display()));
    path.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_and_taken_away() {
        let mut labels = json!({ "site": "fra", "old": "" });
        for change in ["site=ams", "tier=a=b-", "old-", "absent-"] {
            change_label(&mut labels, change).unwrap();
        }
        assert_eq!(labels, json!({ "site": "ams", "tier": "a=b-" }));
        assert!(change_label(&mut labels, "nonsense").is_err());
    }
}
