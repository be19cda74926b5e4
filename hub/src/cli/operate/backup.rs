//! `backup create`, `verify` and `restore`.

mod passphrase;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use self::passphrase::{Asked, PassphraseOptions};
use crate::app::open_database;
use crate::cli::client::HubClient;
use crate::cli::exit::Failure;
use crate::cli::output::Format;
use crate::clock::{Clock, SystemClock};
use crate::config::{DataDir, RemoteOptions, StorageOptions};
use crate::db::DatabaseUrl;
use crate::ops::backup::{self, Archive, Contents, PARTS_WAITING, Present, Restored, Source, Target};
use crate::vault::KeyCost;

/// Backups of the hub itself
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Makes a backup, while the hub runs or not
    Create {
        /// The file to make
        file: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseOptions,
        #[command(flatten)]
        storage: StorageOptions,
    },
    /// Reads a whole backup and says what is in it
    Verify {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseOptions,
    },
    /// Puts a backup in the place of the database; the hub must be stopped
    Restore {
        /// The backup
        file: PathBuf,
        /// Replace a database that holds something; it is kept beside the new one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        passphrase: PassphraseOptions,
        #[command(flatten)]
        storage: StorageOptions,
    },
}

/// Runs a `backup` command.
pub async fn run(
    data_dir: &DataDir,
    remote: &RemoteOptions,
    command: BackupCommand,
    format: Format,
) -> Result<(), Failure> {
    match command {
        BackupCommand::Create { file, passphrase, storage } => {
            let passphrase = passphrase.read(Asked::Twice)?;
            backup::check_passphrase(&passphrase).map_err(anyhow::Error::from)?;
            let contents = create(data_dir, remote, &storage, &file, passphrase).await?;
            format.object(&describe(&file, &contents));
        }
        BackupCommand::Verify { file, passphrase } => {
            backup::read_head(&mut open(&file)?).map_err(anyhow::Error::from)?;
            let contents = Archive::new(&file, passphrase.read(Asked::Once)?).verify()?;
            format.object(&describe(&file, &contents));
        }
        BackupCommand::Restore { file, force, passphrase, storage } => {
            let present = if force { Present::Keep } else { Present::Refuse };
            data_dir.create()?;
            let _lock = data_dir.lock().context("Stop the hub before you restore a backup")?;
            backup::read_head(&mut open(&file)?).map_err(anyhow::Error::from)?;
            let archive = Archive::new(&file, passphrase.read(Asked::Once)?);
            let target = Target {
                url: &storage.database(data_dir),
                master_key: &storage.master_key(data_dir),
                present,
                now: SystemClock.now(),
                cost: KeyCost::Production,
            };
            let (contents, restored) = backup::restore(&archive, &target).await?;
            format.object(&describe(&file, &contents));
            advise(&restored);
        }
    }
    Ok(())
}

/// Makes the file beside its name first, reads it back, and only then gives it
/// its name.
async fn create(
    data_dir: &DataDir,
    remote: &RemoteOptions,
    storage: &StorageOptions,
    file: &Path,
    passphrase: SecretString,
) -> Result<Contents, Failure> {
    if file.exists() {
        return Err(Failure::Other(anyhow!("{} exists already: choose another name", file.display())));
    }
    let mut partial = Partial::create(file)?;
    let running = remote.hub.is_some() || UnixStream::connect(data_dir.socket()).await.is_ok();
    if running {
        let body = json!({ "passphrase": passphrase.expose_secret() });
        let hub = HubClient::new(data_dir, remote)?;
        hub.download("/api/v1/backups", body, |part| partial.file.write_all(part)).await?;
    } else {
        create_here(data_dir, storage, passphrase.clone(), &mut partial).await?;
    }
    partial.file.sync_all().context("Failed to write the backup to disk")?;
    let contents =
        Archive::new(&partial.path, passphrase).verify().context("The backup was written but is not whole")?;
    partial.keep(file)?;
    Ok(contents)
}

/// Makes a backup of a hub that does not run.
async fn create_here(
    data_dir: &DataDir,
    storage: &StorageOptions,
    passphrase: SecretString,
    partial: &mut Partial,
) -> anyhow::Result<()> {
    if let DatabaseUrl::Sqlite(path) = storage.database(data_dir) {
        std::fs::metadata(&path).with_context(|| format!("there is no database {}", path.display()))?;
    }
    let _lock = data_dir.lock()?;
    let db = open_database(data_dir, storage).await?;
    let master_key = storage.master_key(data_dir).read().await?;
    let source = Source { db: db.clone(), master_key, now: SystemClock.now(), cost: KeyCost::Production };
    let (sink, mut parts) = mpsc::channel(PARTS_WAITING);
    let writing = async {
        let written = backup::write(source, passphrase, &sink).await;
        drop(sink);
        written
    };
    let saving = async {
        while let Some(part) = parts.recv().await {
            partial.file.write_all(&part?)?;
        }
        io::Result::Ok(())
    };
    let (written, saved) = tokio::join!(writing, saving);
    db.close().await;
    saved.context("Failed to write the backup")?;
    written.map(drop)
}

/// A file that goes away unless it is kept.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(of: &Path) -> anyhow::Result<Self> {
        let mut name = of.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("Failed to make {}", path.display()))?;
        Ok(Self { path, file })
    }

    fn keep(self, name: &Path) -> anyhow::Result<()> {
        std::fs::rename(&self.path, name).with_context(|| format!("Failed to name {}", name.display()))?;
        let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).context("Failed to write the backup to disk")
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Kept already, or worth nothing.
        let _gone_is_fine = std::fs::remove_file(&self.path);
    }
}

fn open(file: &Path) -> anyhow::Result<File> {
    File::open(file).with_context(|| format!("Failed to open {}", file.display()))
}

fn describe(file: &Path, contents: &Contents) -> Value {
    json!({
        "file": file.display().to_string(),
        "bytes": std::fs::metadata(file).map_or(0, |metadata| metadata.len()),
        "hub": contents.header.hub,
        "hub_version": contents.header.hub_version,
        "schema": contents.header.schema,
        "created_at": contents.header.created_at,
        "rows": contents.rows,
    })
}

fn advise(restored: &Restored) {
    eprintln!("Restored the moment {}.", restored.backup_of);
    eprintln!("Everyone has to sign in again, and enrollment tokens that were open are revoked.");
    eprintln!("Agents come back by themselves; hosts that enrolled since have to enroll again.");
    if restored.forgotten.is_empty() {
        eprintln!("Revoke again what you revoked since.");
        return;
    }
    eprintln!("Done since that moment, as the old database knows, and forgotten now. Do it again:");
    for done in &restored.forgotten {
        let text = format!(
            "{}  {}  {}  {}",
            done.at,
            done.action,
            done.target_id.as_deref().unwrap_or("-"),
            done.detail.as_deref().unwrap_or_default()
        );
        eprintln!("  {}", text.replace(char::is_control, "\u{fffd}"));
    }
}
