//! Where the hub keeps what must survive a restart.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rustix::fs::{FlockOperation, flock};

use crate::db::DatabaseUrl;

/// The database and the master key.
#[derive(Args, Clone, Debug, Default)]
pub struct StorageOptions {
    /// Database: sqlite:///path/file.db or postgres://user:password@host/name [default: windflow.db in the data directory]
    #[arg(long, env = "WINDFLOW_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,
    /// File with the master key, readable by nobody else [default: master.key in the data directory, made on first start]
    #[arg(long, env = "WINDFLOW_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
}

impl StorageOptions {
    /// The database that was chosen, or the file in the data directory.
    pub fn database(&self, data_dir: &DataDir) -> DatabaseUrl {
        self.database_url.clone().unwrap_or_else(|| DatabaseUrl::in_directory(data_dir.path()))
    }

    /// The file with the master key that was chosen, or the one in the data
    /// directory.
    pub fn master_key(&self, data_dir: &DataDir) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| data_dir.master_key())
    }

    /// The command that restores a backup here. A password of the database is
    /// not in it.
    pub fn restore_command(&self, data_dir: &DataDir) -> String {
        let mut command = format!("windflow-hub --data-dir {} backup restore", shell_word(data_dir.path()));
        if let Some(url) = &self.database_url {
            command.push_str(&format!(" --database-url '{url}'"));
        }
        if let Some(path) = &self.master_key_file {
            command.push_str(&format!(" --master-key-file {}", shell_word(path)));
        }
        command + " FILE"
    }
}

/// The path as one word of a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The hub's own directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the directory, closed to everyone else, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.with_context(|| format!("Failed to make the data directory {}", self.0.display()))
    }

    /// Makes sure that no other hub uses the directory while the returned file
    /// is open.
    ///
    /// # Errors
    /// When another hub does.
    pub fn lock(&self) -> anyhow::Result<File> {
        let path = self.0.join("hub.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("Failed to open {}", path.display()))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("Another hub is running on the data directory {}", self.0.display()))?;
        Ok(file)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The socket on which the command line talks to the running hub.
    pub fn socket(&self) -> PathBuf {
        self.0.join("hub.sock")
    }

    /// The master key's place when no other is given.
    pub fn master_key(&self) -> PathBuf {
        self.0.join("master.key")
    }

    /// The directory of the hub's own certificate.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }
}
