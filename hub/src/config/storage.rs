//! Where the hub keeps what must survive a restart.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rustix::fs::{FlockOperation, flock};

use crate::db::DatabaseUrl;
use crate::vault::MasterKeySource;

/// The database and the master key.
#[derive(Args, Clone, Debug, Default)]
pub struct StorageOptions {
    /// Database: sqlite:///path/file.db or postgres://user:password@host/name [default: windflow.db in the data directory]
    #[arg(long, env = "WINDFLOW_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,
    /// Where the master key is.
    #[command(flatten)]
    pub master_key: MasterKeyOptions,
}

/// Where the master key comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct MasterKeyOptions {
    /// File with the master key, readable by nobody else [default: master.key in the data directory, made on first start]
    #[arg(long, env = "WINDFLOW_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,
    /// File with a passphrase of at least 12 characters that the master key is derived from
    #[arg(long, env = "WINDFLOW_MASTER_KEY_PASSPHRASE_FILE", value_name = "FILE", conflicts_with = "master_key_file")]
    pub master_key_passphrase_file: Option<PathBuf>,
    /// Program that prints the master key, started without a shell and with no environment but PATH
    #[arg(long, env = "WINDFLOW_MASTER_KEY_COMMAND", value_name = "PROGRAM",
        conflicts_with_all = ["master_key_file", "master_key_passphrase_file"])]
    pub master_key_command: Option<PathBuf>,
    /// Argument of that program; give it once for each
    #[arg(long, value_name = "ARGUMENT", requires = "master_key_command", allow_hyphen_values = true)]
    pub master_key_argument: Vec<String>,
}

/// How often the keys in the database are made anew.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct RotationOptions {
    /// Make a new data key by itself when the present one is so many days old; 0 is never
    #[arg(long, env = "WINDFLOW_ROTATE_KEYS_DAYS", default_value_t = 0, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(0..=3650))]
    pub rotate_keys_days: u16,
}

impl RotationOptions {
    /// How old a data key may become, where there is an end to it.
    pub fn life(self) -> Option<Duration> {
        (self.rotate_keys_days > 0).then(|| Duration::from_secs(u64::from(self.rotate_keys_days) * 24 * 60 * 60))
    }
}

impl MasterKeyOptions {
    /// The source that was chosen, if one was.
    #[expect(clippy::disallowed_methods, reason = "this is the configuration")]
    pub fn source(&self) -> Option<MasterKeySource> {
        if let Some(program) = &self.master_key_command {
            let (program, arguments) = (program.clone(), self.master_key_argument.clone());
            return Some(MasterKeySource::Command { program, arguments, path: std::env::var_os("PATH") });
        }
        let passphrase = self.master_key_passphrase_file.clone().map(MasterKeySource::Passphrase);
        passphrase.or_else(|| self.master_key_file.clone().map(MasterKeySource::File))
    }

    /// The same as they stand on a command line.
    fn words(&self) -> String {
        let mut words = String::new();
        let mut add = |name: &str, value: &str| words.push_str(&format!(" {name} {}", shell_word(Path::new(value))));
        for (name, path) in [
            ("--master-key-file", &self.master_key_file),
            ("--master-key-passphrase-file", &self.master_key_passphrase_file),
            ("--master-key-command", &self.master_key_command),
        ] {
            if let Some(path) = path {
                add(name, &path.display().to_string());
            }
        }
        for argument in &self.master_key_argument {
            add("--master-key-argument", argument);
        }
        words
    }
}

impl StorageOptions {
    /// The database that was chosen, or the file in the data directory.
    pub fn database(&self, data_dir: &DataDir) -> DatabaseUrl {
        self.database_url.clone().unwrap_or_else(|| DatabaseUrl::in_directory(data_dir.path()))
    }

    /// The master key that was chosen, or the file in the data directory.
    pub fn master_key(&self, data_dir: &DataDir) -> MasterKeySource {
        self.master_key.source().unwrap_or_else(|| MasterKeySource::Own(data_dir.master_key()))
    }

    /// The command that restores a backup here. A password of the database is
    /// not in it.
    pub fn restore_command(&self, data_dir: &DataDir) -> String {
        let mut command = format!("windflow-hub --data-dir {} backup restore", shell_word(data_dir.path()));
        if let Some(url) = &self.database_url {
            command.push_str(&format!(" --database-url '{url}'"));
        }
        command.push_str(&self.master_key.words());
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
