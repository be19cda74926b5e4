//! The one secret that is not in the database: without it, a copy of the
//! database gives no other secret away.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use windflow_protocol::text::base32;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::clock::Random;

/// Fewest bytes a master key file may hold, white space at its ends not
/// counted.
const LENGTH_MIN: usize = 32;
/// Fewest characters of a passphrase that stands for a master key.
pub(super) const PASSPHRASE_MIN: usize = 12;
/// Most bytes read from a master key file.
pub(super) const LENGTH_MAX: usize = 4096;

/// The master key. Does not print, and is wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey(Vec<u8>);

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the master key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is gone, and the database needs it.
    #[error(
        "the master key file {0} is missing, and this database was used with one: put it back. Without it no stored \
         secret can be read; a backup of the hub holds it"
    )]
    Missing(PathBuf),
    /// The file's content is no key.
    #[error("the master key file {0} must hold between {LENGTH_MIN} and {LENGTH_MAX} bytes")]
    Length(PathBuf),
    /// The file's content is no passphrase.
    #[error(
        "the master key's passphrase in {0} must have at least {PASSPHRASE_MIN} characters and {LENGTH_MAX} bytes at most"
    )]
    Passphrase(PathBuf),
    /// The command gave no key.
    #[error("the command {program} gave no master key: {why}")]
    Command {
        /// Which command.
        program: String,
        /// Why not.
        why: String,
    },
    /// Others may read the file.
    #[error("the master key file {0} can be read by others: run chmod 600 on it")]
    Readable(PathBuf),
}

/// Whether a key was there or was just made.
#[derive(Debug)]
pub enum Origin {
    /// The file existed.
    Found,
    /// The file was made now and has to be backed up.
    Generated,
}

impl MasterKey {
    /// Reads the key from a file that only its owner (and perhaps a group) may
    /// read.
    ///
    /// # Errors
    /// When the file is missing, readable by everyone, or no key.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        Self::trimmed(&read_private(path)?).ok_or_else(|| MasterKeyError::Length(path.to_owned()))
    }

    /// Reads the passphrase that the key is derived from. As for files.
    ///
    /// # Errors
    /// When the file is missing, readable by everyone, or the passphrase short.
    pub fn read_passphrase(path: &Path) -> Result<Self, MasterKeyError> {
        let content = read_private(path)?;
        let text = std::str::from_utf8(content.trim_ascii()).unwrap_or_default();
        let fits = text.chars().count() >= PASSPHRASE_MIN && text.len() <= LENGTH_MAX;
        if fits { Ok(Self(text.as_bytes().to_vec())) } else { Err(MasterKeyError::Passphrase(path.to_owned())) }
    }

    /// The key in what a file has or a program says, without the white space at
    /// its ends.
    pub(super) fn trimmed(content: &[u8]) -> Option<Self> {
        let key = content.trim_ascii();
        (LENGTH_MIN..=LENGTH_MAX).contains(&key.len()).then(|| Self(key.to_vec()))
    }

    /// A key that somebody sent, which may be a passphrase.
    pub fn from_sent(bytes: &[u8]) -> Option<Self> {
        (PASSPHRASE_MIN..=LENGTH_MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// A new key, as it is written into a file.
    pub fn generate(random: &Random) -> Self {
        let bytes = Zeroizing::new(random.bytes::<32>());
        Self(base32().encode(bytes.as_slice()).into_bytes())
    }

    /// Reads the key from `path`, or makes one there (mode 0600) if there is
    /// none.
    ///
    /// # Errors
    /// As [`read`](Self::read), or when the file cannot be made.
    pub fn read_or_generate(path: &Path, random: &Random) -> Result<(Self, Origin), MasterKeyError> {
        match Self::read(path) {
            Err(MasterKeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
                write_new(path, &Self::generate(random)).map_err(io)?;
                Ok((Self::read(path)?, Origin::Generated))
            }
            found => Ok((found?, Origin::Found)),
        }
    }

    /// A key from bytes that are already here.
    #[cfg(test)]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The key out of a backup.
    pub fn from_backup(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The key's bytes, for deriving from it and for a sealed backup.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
    let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.mode() & 0o007 != 0 {
        return Err(MasterKeyError::Readable(path.to_owned()));
    }
    if metadata.len() > LENGTH_MAX as u64 {
        return Err(MasterKeyError::Length(path.to_owned()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(io)
}

/// Writes a key into a file that is not there yet, closed to others.
pub(super) fn write_new(path: &Path, key: &MasterKey) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.expose())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_folder(path)
}

/// Makes sure that what was made, renamed or removed beside this stays so.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_generated_key_is_private_and_is_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let (first, origin) = MasterKey::read_or_generate(&path, &Random::default()).unwrap();
        assert!(matches!(origin, Origin::Generated));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (second, origin) = MasterKey::read_or_generate(&path, &Random::default()).unwrap();
        assert!(matches!(origin, Origin::Found));
        assert_eq!(first.expose(), second.expose());
    }

    #[test]
    fn a_key_that_everyone_may_read_or_that_is_short_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        std::fs::write(&path, [b'k'; 40]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Readable(_))));
        std::fs::write(&path, "short\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::Length(_))));
    }
}
