//! Where the master key comes from: a file, a passphrase in a file, or a program
//! that prints it. And how a file gets another one, so that a crash at any step
//! leaves a key that opens the database.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::master_key::{LENGTH_MAX, sync_folder, write_new};
#[cfg(test)]
use super::rotation::failpoint::at as failpoint;
use super::{KeyCost, MasterKey, MasterKeyError, MasterKeyId, MasterKeyOrigin, Root, Vault, VaultError};
use crate::clock::Random;
use crate::db::{Db, DbError};

/// A command must have printed the key within this.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);

/// Nothing fails outside of tests.
#[cfg(not(test))]
const fn failpoint(_point: &str) {}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// The file in the data directory, which is made at the first start.
    Own(PathBuf),
    /// A file that somebody else made.
    File(PathBuf),
    /// A file with a passphrase.
    Passphrase(PathBuf),
    /// A program that prints the key.
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments, as they are: there is no shell.
        arguments: Vec<String>,
        /// All that it gets of the hub's environment.
        path: Option<OsString>,
    },
}

/// What a database says to the master key.
#[derive(Debug)]
pub enum Opened {
    /// It is the one that was used before.
    Known(Root),
    /// None was used before.
    Fresh(MasterKey),
}

/// Why the database's secrets cannot be opened. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no master key.
    #[error("{error}{}", Needed(.needed.as_ref()))]
    MasterKey {
        /// Why not.
        error: MasterKeyError,
        /// What the one that is needed is called, where that is known.
        needed: Option<MasterKeyId>,
    },
    /// There is none for a database that was never used.
    #[error(transparent)]
    First(#[from] MasterKeyError),
    /// It is another one.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

struct Needed<'a>(Option<&'a MasterKeyId>);

impl std::fmt::Display for Needed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(id) => write!(f, ". The database needs the key with the id {id}. Nothing was changed"),
            None => Ok(()),
        }
    }
}

impl MasterKeySource {
    /// What sort of source it is, for those who look at it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Own(_) | Self::File(_) => "file",
            Self::Passphrase(_) => "passphrase",
            Self::Command { .. } => "command",
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Own(path) | Self::File(path) | Self::Passphrase(path) => Some(path),
            Self::Command { .. } => None,
        }
    }

    /// The master key as it is there now.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub async fn read(&self) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::Own(path) | Self::File(path) => MasterKey::read(path),
            Self::Passphrase(path) => MasterKey::read_passphrase(path),
            Self::Command { program, arguments, path } => {
                let asked = ask(program, arguments, path.as_ref()).await;
                let program = || program.display().to_string();
                asked.map_err(|why| MasterKeyError::Command { program: program(), why })
            }
        }
    }

    /// Sees whether this is the database's master key. Writes nothing to the
    /// database, and makes a file only for one that was never used. A change of
    /// the key that was cut off is completed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, db: &Db, cost: KeyCost) -> Result<Opened, OpenError> {
        if !Vault::is_sealed(db).await? {
            return Ok(Opened::Fresh(self.read_or_generate().await?));
        }
        let found = match self.read().await {
            Ok(master) => Vault::check(db, master, cost).await.map_err(OpenError::from),
            Err(error) => Err(self.missing(db, error).await?),
        };
        let staged = self.file().map(staged_beside).filter(|staged| staged.exists());
        let Some(staged) = staged else { return found.map(Opened::Known) };
        match found {
            Ok(root) => {
                // The change came to nothing.
                if let Err(error) = std::fs::remove_file(&staged) {
                    tracing::warn!(path = %staged.display(), %error, "a master key that is not used cannot be removed");
                }
                Ok(Opened::Known(root))
            }
            Err(error) => self.complete(db, cost, &staged).await?.map(Opened::Known).ok_or(error),
        }
    }

    /// Puts the staged key in its place, if it is the database's.
    async fn complete(&self, db: &Db, cost: KeyCost, staged: &Path) -> Result<Option<Root>, OpenError> {
        let beside = self.like(staged.to_owned()).read().await;
        let Ok(master) = beside else { return Ok(None) };
        let Ok(root) = Vault::check(db, master, cost).await else { return Ok(None) };
        if let Some(path) = self.file() {
            let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
            let moved = std::fs::rename(staged, path).and_then(|()| sync_folder(path));
            moved.map_err(io).map_err(|error| OpenError::MasterKey { error, needed: None })?;
            tracing::info!(path = %path.display(), "a change of the master key that was cut off is completed");
        }
        Ok(Some(root))
    }

    async fn read_or_generate(&self) -> Result<MasterKey, MasterKeyError> {
        let Self::Own(path) = self else { return self.read().await };
        let (key, origin) = MasterKey::read_or_generate(path, &Random::default())?;
        match origin {
            MasterKeyOrigin::Found => {}
            MasterKeyOrigin::Generated => tracing::warn!(
                path = %path.display(),
                "made a new master key: without it no stored secret can ever be read again; `backup create` keeps it"
            ),
        }
        Ok(key)
    }

    async fn missing(&self, db: &Db, error: MasterKeyError) -> Result<OpenError, DbError> {
        let needed = Vault::needed_key(&mut db.read().await?).await?;
        let error = match (error, self.file()) {
            (MasterKeyError::Io { source, .. }, Some(path)) if source.kind() == ErrorKind::NotFound => {
                MasterKeyError::Missing(path.to_owned())
            }
            (error, _) => error,
        };
        Ok(OpenError::MasterKey { error, needed })
    }

    /// The same sort of source with another file.
    fn like(&self, path: PathBuf) -> Self {
        match self {
            Self::Passphrase(_) => Self::Passphrase(path),
            Self::Own(_) | Self::File(_) | Self::Command { .. } => Self::File(path),
        }
    }

    /// Writes another key beside the file, to take its place once the database
    /// knows it.
    ///
    /// # Errors
    /// Where the key comes from no file, or that cannot be replaced.
    pub async fn stage(&self, key: &MasterKey) -> Result<Staged, MasterKeyError> {
        let Some(path) = self.file() else {
            let why = "it prints the key, so that the hub cannot change it";
            return Err(MasterKeyError::Command { program: self.kind().to_owned(), why: why.to_owned() });
        };
        let staged = Staged { place: path.to_owned(), staged: staged_beside(path) };
        staged.write(key).map_err(|source| MasterKeyError::Io { path: staged.staged.clone(), source })?;
        // The next start must find this very key there.
        let found = self.like(staged.staged.clone()).read().await;
        if found.as_ref().is_ok_and(|found| found.expose() == key.expose()) {
            failpoint("file.staged");
            return Ok(staged);
        }
        staged.remove().map_err(|source| MasterKeyError::Io { path: staged.staged.clone(), source })?;
        Err(found.err().unwrap_or_else(|| MasterKeyError::Length(path.to_owned())))
    }
}

/// A key that waits beside its file.
#[derive(Debug)]
#[must_use]
pub struct Staged {
    place: PathBuf,
    staged: PathBuf,
}

impl Staged {
    /// With the mode and the owner of the file whose place it takes: whoever
    /// changes the key need not be who runs the hub.
    fn write(&self, key: &MasterKey) -> std::io::Result<()> {
        self.remove()?;
        write_new(&self.staged, key)?;
        let (present, own) = (std::fs::metadata(&self.place)?, std::fs::metadata(&self.staged)?);
        if (present.uid(), present.gid()) != (own.uid(), own.gid()) {
            chown(&self.staged, Some(present.uid()), Some(present.gid()))?;
        }
        std::fs::set_permissions(&self.staged, PermissionsExt::from_mode(present.mode() & 0o770))
    }

    /// Takes the file's place.
    ///
    /// # Errors
    /// When the file cannot be replaced; the next start tries again.
    pub fn install(self) -> std::io::Result<()> {
        std::fs::rename(&self.staged, &self.place)?;
        failpoint("file.installed");
        sync_folder(&self.place)
    }

    /// Goes away: the database does not know it.
    ///
    /// # Errors
    /// When it cannot be removed; the next start tries again.
    pub fn discard(self) -> std::io::Result<()> {
        self.remove()
    }

    fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.staged) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn staged_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// What the program prints. It gets nothing of the hub's but where programs are.
async fn ask(program: &Path, arguments: &[String], path: Option<&OsString>) -> Result<MasterKey, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("it does not start: {error}"))?;
    let said = async {
        let mut output = Zeroizing::new(Vec::with_capacity(LENGTH_MAX + 2));
        let stdout = child.stdout.take().ok_or("it has no output")?;
        let limit = LENGTH_MAX as u64 + 1;
        stdout.take(limit).read_to_end(&mut output).await.map_err(|error| format!("its output breaks off: {error}"))?;
        if output.len() > LENGTH_MAX {
            return Err(format!("it printed more than {LENGTH_MAX} bytes"));
        }
        let status = child.wait().await.map_err(|error| format!("its end is not known: {error}"))?;
        if !status.success() {
            return Err(format!("it ended with {status}; run it by hand to see why"));
        }
        MasterKey::trimmed(&output).ok_or_else(|| "it printed fewer than 32 bytes".to_owned())
    };
    let late = || format!("it did not end within {} s", COMMAND_DEADLINE.as_secs());
    tokio::time::timeout(COMMAND_DEADLINE, said).await.map_err(|_| late())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> MasterKeySource {
        let arguments = ["-c", script].map(str::to_owned).to_vec();
        MasterKeySource::Command { program: "/bin/sh".into(), arguments, path: Some("/usr/bin:/bin".into()) }
    }

    async fn refusal(script: &str) -> String {
        shell(script).read().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_command_prints_the_key_and_knows_nothing_but_the_path() {
        let key =
            shell("printf '%s\\n' \"$PATH:$HOME$USER$CARGO:0123456789abcdef0123456789abcdef\"").read().await.unwrap();
        assert_eq!(key.expose(), b"/usr/bin:/bin::0123456789abcdef0123456789abcdef");
    }

    #[tokio::test]
    async fn a_command_that_says_nothing_too_much_or_fails_gives_no_key() {
        assert!(refusal("true").await.contains("fewer than 32 bytes"));
        assert!(refusal("echo short").await.contains("fewer than 32 bytes"));
        assert!(refusal("yes").await.contains("more than 4096 bytes"));
        assert!(refusal("echo 0123456789abcdef0123456789abcdef; exit 3").await.contains("exit status: 3"));
        let missing = MasterKeySource::Command { program: "/nowhere".into(), arguments: Vec::new(), path: None };
        assert!(missing.read().await.unwrap_err().to_string().contains("does not start"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_end_is_ended() {
        assert!(refusal("exec sleep 600").await.contains("did not end within 10 s"));
    }

    #[tokio::test]
    async fn a_passphrase_has_twelve_characters_at_least() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        for (text, fits) in [("lamp orchard\n", true), ("lamp orchar\n", false), ("", false)] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(MasterKeySource::Passphrase(path.clone()).read().await.is_ok(), fits, "{text}");
        }
    }
}
