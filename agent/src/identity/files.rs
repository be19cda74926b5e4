//! Files that are whole or not there: written beside, synced, renamed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Keeps a second process out; the kernel lets go when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file open is what holds the lock")] File);

impl Lock {
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(path);
        let file = opened.with_context(|| format!("Failed to open {}", path.display()))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| anyhow::anyhow!("Another windflow-agent is using this state directory; stop it first"))?;
        Ok(Self(file))
    }
}

pub(super) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE_FOLDER))
}

/// Replaces the file in one step that survives a power cut.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(PRIVATE_FILE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(folder)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(path))
}

fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
