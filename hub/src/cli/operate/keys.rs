//! `keys status` and `keys rotate`: over the hub that runs, or on the database of
//! one that does not.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::app::open_vault;
use crate::cli::client::HubClient;
use crate::cli::exit::Failure;
use crate::cli::output::Format;
use crate::clock::{Clock, Random, SystemClock};
use crate::config::{DataDir, MasterKeyOptions, RemoteOptions, StorageOptions};
use crate::db::{DatabaseUrl, Db};
use crate::fleet;
use crate::identity::audit::{self, Action, Actor, Entry, Outcome};
use crate::ops::keys::{Change, NewPlace, make_key, reseal};
use crate::vault::{KeyCost, MasterKey, Vault};

const KEYS: &str = "/api/v1/keys";
/// How often a job is asked how it does.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The keys of what is sealed in the database
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Says which keys there are, and what the master key is called
    Status {
        #[command(flatten)]
        storage: StorageOptions,
    },
    /// Seals every secret with a new data key; or, with another master key given, wraps the data keys with that one
    Rotate {
        #[command(flatten)]
        new: NewMasterKey,
        #[command(flatten)]
        storage: StorageOptions,
    },
}

/// Another master key, which takes the place of the present one.
#[derive(Args, Debug)]
#[group(skip)]
pub struct NewMasterKey {
    /// Make a new master key
    #[arg(long, group = "new_master_key")]
    generate_master_key: bool,
    /// File with the new master key
    #[arg(long, group = "new_master_key", value_name = "FILE")]
    new_master_key_file: Option<PathBuf>,
    /// File with a passphrase that the new master key is derived from
    #[arg(long, group = "new_master_key", value_name = "FILE")]
    new_master_key_passphrase_file: Option<PathBuf>,
    /// Program that prints the new master key
    #[arg(long, group = "new_master_key", value_name = "PROGRAM")]
    new_master_key_command: Option<PathBuf>,
    /// Argument of that program; give it once for each
    #[arg(long, value_name = "ARGUMENT", requires = "new_master_key_command", allow_hyphen_values = true)]
    new_master_key_argument: Vec<String>,
    /// Leave the hub's own master key file as it is: the hub is started with the new key from elsewhere then
    #[arg(long, requires = "new_master_key", conflicts_with = "generate_master_key")]
    keep_file: bool,
}

impl NewMasterKey {
    async fn read(&self) -> anyhow::Result<Option<MasterKey>> {
        if self.generate_master_key {
            return Ok(Some(MasterKey::generate(&Random::default())));
        }
        let options = MasterKeyOptions {
            master_key_file: self.new_master_key_file.clone(),
            master_key_passphrase_file: self.new_master_key_passphrase_file.clone(),
            master_key_command: self.new_master_key_command.clone(),
            master_key_argument: self.new_master_key_argument.clone(),
        };
        match options.source() {
            Some(source) => Ok(Some(source.read().await?)),
            None => Ok(None),
        }
    }

    const fn place(&self) -> NewPlace {
        if self.keep_file { NewPlace::Other } else { NewPlace::Same }
    }
}

/// Runs a `keys` command.
///
/// # Errors
/// As the hub, the way to it or the database says.
pub async fn run(
    data_dir: &DataDir,
    remote: &RemoteOptions,
    command: KeysCommand,
    format: Format,
) -> Result<(), Failure> {
    let runs = remote.hub.is_some() || UnixStream::connect(data_dir.socket()).await.is_ok();
    let hub = runs.then(|| HubClient::new(data_dir, remote)).transpose()?;
    match (command, hub) {
        (KeysCommand::Status { .. }, Some(hub)) => format.object(&hub.get(KEYS).await?),
        (KeysCommand::Status { storage }, None) => format.object(&status_here(data_dir, &storage).await?),
        (KeysCommand::Rotate { new, storage }, hub) => {
            let done = match (new.read().await?, hub) {
                (Some(key), Some(hub)) => send_key(&hub, &key, new.place()).await?,
                (Some(key), None) => change_here(data_dir, &storage, key, new.place()).await?,
                (None, Some(hub)) => rotate_there(&hub).await?,
                (None, None) => rotate_here(data_dir, &storage).await?,
            };
            format.object(&done);
            if new.place() == NewPlace::Other {
                eprintln!("Start the hub with the new master key from now on: it does not open with the old one.");
            }
        }
    }
    Ok(())
}

async fn send_key(hub: &HubClient, key: &MasterKey, place: NewPlace) -> Result<Value, Failure> {
    let body = json!({ "key": BASE64.encode(key.expose()), "keep_file": place == NewPlace::Other });
    match hub.post(&format!("{KEYS}/master-key"), body).await {
        // The route is nowhere but on the socket.
        Err(Failure::NotFound(_)) => {
            Err(Failure::Refused("the master key can be changed on the hub's own machine only".to_owned()))
        }
        answer => answer,
    }
}

/// Waits for the job's end.
async fn rotate_there(hub: &HubClient) -> Result<Value, Failure> {
    let job = hub.post(&format!("{KEYS}/rotate"), Value::Null).await?;
    let id = job["id"].as_str().context("the hub's answer is no job")?.to_owned();
    loop {
        let job = hub.get(&format!("/api/v1/jobs/{id}")).await?;
        match job["state"].as_str() {
            Some("queued" | "running") => tokio::time::sleep(ASK_EVERY).await,
            Some("succeeded") => return Ok(job["result"].clone()),
            _ => {
                let why = job["failure"]["message"].as_str().unwrap_or("it was cancelled");
                return Err(Failure::Other(anyhow!("not everything was sealed anew: {why}")));
            }
        }
    }
}

/// An open hub that does not run.
struct Here {
    db: Db,
    vault: Vault,
    hub: String,
    _lock: std::fs::File,
}

impl Here {
    async fn open(data_dir: &DataDir, storage: &StorageOptions) -> anyhow::Result<Self> {
        if let DatabaseUrl::Sqlite(path) = storage.database(data_dir) {
            std::fs::metadata(&path).with_context(|| format!("there is no database {}", path.display()))?;
        }
        let lock = data_dir.lock()?;
        let now = SystemClock.now();
        let (db, vault) = open_vault(data_dir, storage, now).await?;
        let mut tx = db.write_vital().await?;
        let hub = fleet::find_hub_id(&mut tx).await?.context("this hub was never started: it has no secrets")?;
        audit::unlock(&mut tx, &vault, &Random::default(), now).await.context("Failed to open the audit log")?;
        tx.commit().await?;
        Ok(Self { db, vault, hub: hub.to_string(), _lock: lock })
    }

    /// Puts a moment of a rotation on record.
    async fn note(&self, outcome: Outcome) -> anyhow::Result<()> {
        let mut tx = self.db.write().await?;
        let entry = Entry::new(&Actor::System, Action::KeysRotate, &self.hub).outcome(outcome);
        audit::record(&mut tx, entry, SystemClock.now()).await?;
        Ok(tx.commit().await?)
    }

    fn describe(&self) -> Value {
        json!({ "master_key_id": self.vault.master_key_id(), "generation": self.vault.generation() })
    }
}

async fn status_here(data_dir: &DataDir, storage: &StorageOptions) -> anyhow::Result<Value> {
    let here = Here::open(data_dir, storage).await?;
    let mut status = here.describe();
    status["master_key_from"] = json!(storage.master_key(data_dir).kind());
    status["data_keys"] = json!(here.vault.list_keys(&here.db).await?);
    here.db.close().await;
    Ok(status)
}

async fn change_here(
    data_dir: &DataDir,
    storage: &StorageOptions,
    key: MasterKey,
    place: NewPlace,
) -> anyhow::Result<Value> {
    let here = Here::open(data_dir, storage).await?;
    let change = Change {
        vault: &here.vault,
        db: &here.db,
        source: &storage.master_key(data_dir),
        cost: KeyCost::Production,
        by: &Actor::System,
        hub: here.hub.clone(),
        now: SystemClock.now(),
    };
    let changed = change.to(key, place).await;
    here.db.close().await;
    Ok(json!({ "master_key_id": changed? }))
}

/// Nobody else seals meanwhile, so that the old data keys are removed at once.
async fn rotate_here(data_dir: &DataDir, storage: &StorageOptions) -> anyhow::Result<Value> {
    let here = Here::open(data_dir, storage).await?;
    let rotated = async {
        here.note(Outcome::Begun).await?;
        make_key(&here.vault, &here.db, SystemClock.now()).await?;
        let resealed = reseal(&here.vault, &here.db, &SystemClock, |_| {}).await;
        here.note(if resealed.is_ok() { Outcome::Done } else { Outcome::Failed }).await?;
        let now = SystemClock.now();
        here.vault.drop_emptied(&here.db, now, now).await?;
        anyhow::Ok(resealed?)
    };
    let rotated = rotated.await;
    here.db.close().await;
    let resealed = rotated?;
    let mut done = here.describe();
    done["values"] = json!(resealed.values);
    done["unreadable"] = json!(resealed.unreadable);
    Ok(done)
}
