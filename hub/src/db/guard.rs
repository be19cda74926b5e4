//! What keeps the hub usable on a full disk: a ballast file beside a SQLite
//! database that is given up at the first sign, and a rule that from then on
//! only what is vital is written, until there is room again.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use tokio::sync::Notify;

/// The ballast's name.
const BALLAST: &str = "ballast";
/// Size of the ballast. On a small disk it is an eighth of the disk.
const BALLAST_MAX: u64 = 32 * 1024 * 1024;
/// No ballast is made on a disk so small that it would be smaller than this.
const BALLAST_MIN: u64 = 256 * 1024;
/// With less room than this a disk counts as full before a write fails.
const ROOM_MIN: u64 = 128 * 1024;

/// Watches the room on the disk of one database.
#[derive(Debug)]
pub struct Guard {
    folder: PathBuf,
    full: AtomicBool,
    became_full: Notify,
}

/// What [`Guard::look`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing changed.
    None,
    /// The disk has become full.
    Full,
    /// There is room again.
    Room,
}

impl Guard {
    /// Watches the disk of the database at `path`. Nothing is written yet. A
    /// disk without a ballast and without the room of one is full already.
    pub fn of(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let full = !folder.join(BALLAST).exists() && Disk::of(folder).is_ok_and(|disk| disk.free < disk.ballast());
        Self { folder: folder.to_owned(), full: AtomicBool::new(full), became_full: Notify::new() }
    }

    /// Whether only what is vital may be written.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Takes note that a write failed for lack of room: gives the ballast up.
    pub fn note_full(&self) {
        let released = release(&self.ballast());
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(
                folder = %self.folder.display(),
                ballast.released = matches!(released, Ok(true)),
                "the disk under the database is full: only sign-in, cleaning and agents may write until there is room"
            );
            self.became_full.notify_one();
        }
        if let Err(error) = released {
            tracing::error!(%error, "the ballast file cannot be removed");
        }
    }

    /// Waits until the disk becomes full.
    pub async fn wait_until_full(&self) {
        self.became_full.notified().await;
    }

    /// Looks at the disk: makes the ballast where it is missing and there is
    /// twice its size free, and ends the degraded mode with that.
    ///
    /// # Errors
    /// When the disk cannot be asked or the ballast cannot be made.
    pub fn look(&self) -> io::Result<Change> {
        let disk = Disk::of(&self.folder)?;
        let ballast = self.ballast();
        if !self.is_full() && disk.free < ROOM_MIN {
            self.note_full();
            return Ok(Change::Full);
        }
        if !self.is_full() && ballast.exists() {
            return Ok(Change::None);
        }
        let size = disk.ballast();
        if disk.free < (2 * size).max(ROOM_MIN) {
            return Ok(Change::None);
        }
        if size >= BALLAST_MIN {
            make(&ballast, size)?;
        }
        match self.full.swap(false, Ordering::AcqRel) {
            true => Ok(Change::Room),
            false => Ok(Change::None),
        }
    }

    /// Before the database is opened: gives the ballast up on a disk so full
    /// that opening would fail.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn prepare(&self) -> io::Result<()> {
        if self.ballast().exists() && Disk::of(&self.folder)?.free < ROOM_MIN {
            self.note_full();
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join(BALLAST)
    }
}

struct Disk {
    total: u64,
    free: u64,
}

impl Disk {
    fn of(folder: &Path) -> io::Result<Self> {
        let disk = statvfs(folder)?;
        Ok(Self { total: disk.f_blocks * disk.f_frsize, free: disk.f_bavail * disk.f_frsize })
    }

    fn ballast(&self) -> u64 {
        (self.total / 8).min(BALLAST_MAX)
    }
}

fn release(ballast: &Path) -> io::Result<bool> {
    match std::fs::remove_file(ballast) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the file with blocks of its own; one that cannot be whole is not left.
fn make(ballast: &Path, size: u64) -> io::Result<()> {
    if std::fs::metadata(ballast).is_ok_and(|found| found.len() == size) {
        return Ok(());
    }
    release(ballast)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(ballast)?;
    let made = allocate(&file, size).and_then(|()| file.sync_all());
    if made.is_err() {
        release(ballast)?;
    }
    made
}

fn allocate(mut file: &File, size: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    // A file system that compresses would make nothing of zeros.
    let random = crate::clock::Random::default();
    let mut left = size;
    while left > 0 {
        let block = random.bytes::<{ 64 * 1024 }>();
        let length = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(length).unwrap_or(block.len())])?;
        left -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_ballast_is_real_is_given_up_once_and_comes_back_with_room() {
        let folder = tempfile::tempdir().unwrap();
        let guard = Guard::of(&folder.path().join("windflow.db"));
        assert_eq!(guard.look().unwrap(), Change::None);
        let metadata = std::fs::metadata(guard.ballast()).unwrap();
        assert_eq!((metadata.len(), metadata.mode() & 0o777), (BALLAST_MAX, 0o600));
        assert!(metadata.blocks() * 512 >= BALLAST_MAX, "it has blocks of its own");

        guard.note_full();
        assert!(guard.is_full() && !guard.ballast().exists());
        assert_eq!(guard.look().unwrap(), Change::Room);
        assert!(!guard.is_full() && guard.ballast().exists());
    }
}
