//! The last step of a restore into SQLite: the new database and its master key
//! take the place of the old ones, so that a crash leaves either.
//!
//! The restored database is complete once it is called `….restored`; from then
//! on [`complete`] goes forward, now or at the next start. What was there is
//! kept as `….before-restore`, by links, before anything is taken away.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a database and its master key are.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The database file.
    pub database: &'a Path,
    /// The master key file, where it is one.
    pub master_key: Option<&'a Path>,
}

impl Places<'_> {
    /// The database while it is written.
    pub fn unfinished(&self) -> PathBuf {
        beside(self.database, ".restoring")
    }

    fn finished(&self) -> PathBuf {
        beside(self.database, ".restored")
    }

    fn staged_key(&self) -> PathBuf {
        beside(self.database, ".restored-key")
    }

    /// Removes what an earlier restore did not finish.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard_unfinished(&self) -> io::Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            remove(&beside(&self.unfinished(), suffix))?;
        }
        if self.finished().exists() { Ok(()) } else { remove(&self.staged_key()) }
    }

    /// Declares the unfinished database, closed and checked, to be the one that
    /// counts from now on; its master key is `key`.
    ///
    /// # Errors
    /// When a file cannot be written; the old database counts then.
    pub fn commit(&self, key: &[u8]) -> io::Result<()> {
        for suffix in ["-wal", "-shm"] {
            if beside(&self.unfinished(), suffix).exists() {
                return Err(io::Error::other("the restored database was not closed"));
            }
        }
        write_private(&self.staged_key(), key)?;
        File::open(self.unfinished())?.sync_all()?;
        std::fs::rename(self.unfinished(), self.finished())?;
        sync_folder(self.database)
    }

    /// Goes forward from [`commit`](Self::commit), whenever it was; does nothing
    /// when there was none. Must run before the database is opened.
    ///
    /// # Errors
    /// When a file cannot be moved; another try goes on.
    pub fn complete(&self) -> io::Result<()> {
        if !self.finished().exists() {
            return remove(&self.staged_key());
        }
        self.keep_old()?;
        for suffix in ["-wal", "-shm"] {
            remove(&beside(self.database, suffix))?;
        }
        sync_folder(self.database)?;
        self.install_key()?;
        std::fs::rename(self.finished(), self.database)?;
        sync_folder(self.database)?;
        remove(&self.staged_key())
    }

    fn keep_old(&self) -> io::Result<()> {
        if std::fs::metadata(self.database).map_or(0, |metadata| metadata.len()) == 0 {
            return Ok(());
        }
        let kept = kept_as(self.database)?;
        for suffix in ["", "-wal"] {
            link(&beside(self.database, suffix), &beside(&kept, suffix))?;
        }
        sync_folder(self.database)
    }

    fn install_key(&self) -> io::Result<()> {
        let Some(master_key) = self.master_key else { return Ok(()) };
        let key = zeroize::Zeroizing::new(std::fs::read(self.staged_key())?);
        install_key(master_key, &key)
    }
}

/// Puts a master key into its file; another one that was there is kept beside
/// it.
///
/// # Errors
/// When a file cannot be written.
pub fn install_key(path: &Path, key: &[u8]) -> io::Result<()> {
    match std::fs::read(path).map(zeroize::Zeroizing::new) {
        Ok(present) if present.trim_ascii() == key.trim_ascii() => return Ok(()),
        Ok(_) => link(path, &kept_as(path)?)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let new = beside(path, ".new");
    write_private(&new, key)?;
    std::fs::rename(&new, path)?;
    sync_folder(path)
}

/// The name under which a file is kept: one that is free, or is this very file
/// already.
fn kept_as(path: &Path) -> io::Result<PathBuf> {
    let inode = std::fs::metadata(path)?.ino();
    let names = std::iter::once(".before-restore".to_owned()).chain((2..).map(|n| format!(".before-restore-{n}")));
    let mut names = names.map(|suffix| beside(path, &suffix));
    let usable = |name: &PathBuf| std::fs::metadata(name).map_or(true, |metadata| metadata.ino() == inode);
    names.find(usable).ok_or_else(|| io::Error::other("no name is free"))
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    remove(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The path with `suffix` behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
        database: PathBuf,
        master_key: PathBuf,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (database, master_key) = (folder.path().join("windflow.db"), folder.path().join("master.key"));
            Self { folder, database, master_key }
        }

        fn with_old() -> Self {
            let new = Self::new();
            for (name, text) in [("windflow.db", "old"), ("windflow.db-wal", "old log"), ("master.key", "old key\n")] {
                std::fs::write(new.folder.path().join(name), text).unwrap();
            }
            new
        }

        fn places(&self) -> Places<'_> {
            Places { database: &self.database, master_key: Some(&self.master_key) }
        }

        fn committed(self) -> Self {
            std::fs::write(self.places().unfinished(), "new").unwrap();
            self.places().commit(b"new key").unwrap();
            self
        }

        fn read(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.folder.path().join(name)).ok()
        }

        fn assert_new(&self) {
            let found = ["windflow.db", "windflow.db-wal", "master.key"].map(|name| self.read(name));
            assert_eq!(found, [Some("new".into()), None, Some("new key".into())]);
            let kept = ["windflow.db.before-restore", "windflow.db.before-restore-wal", "master.key.before-restore"];
            let kept = kept.map(|name| self.read(name).unwrap());
            assert_eq!(kept, ["old", "old log", "old key\n"]);
            assert_eq!(self.read("windflow.db.restored-key"), None);
        }
    }

    #[test]
    fn the_new_files_take_the_place_of_the_old_which_are_kept() {
        let folder = Folder::with_old().committed();
        folder.places().complete().unwrap();
        folder.assert_new();
    }

    #[test]
    fn a_crash_before_the_commit_leaves_the_old() {
        let folder = Folder::with_old();
        std::fs::write(folder.places().unfinished(), "ne").unwrap();
        folder.places().complete().unwrap();
        assert_eq!(folder.read("windflow.db").as_deref(), Some("old"));
        assert_eq!(folder.read("windflow.db-wal").as_deref(), Some("old log"));
        folder.places().discard_unfinished().unwrap();
        assert_eq!(folder.read("windflow.db.restoring"), None);
    }

    #[test]
    fn a_crash_at_any_step_after_the_commit_ends_with_the_new() {
        let steps: [fn(&Folder); 4] = [
            |folder| folder.places().keep_old().unwrap(),
            |folder| {
                folder.places().keep_old().unwrap();
                remove(&beside(&folder.database, "-wal")).unwrap();
            },
            |folder| {
                folder.places().keep_old().unwrap();
                remove(&beside(&folder.database, "-wal")).unwrap();
                folder.places().install_key().unwrap();
            },
            |folder| folder.places().complete().unwrap(),
        ];
        for (number, until) in steps.iter().enumerate() {
            let folder = Folder::with_old().committed();
            until(&folder);
            folder.places().complete().unwrap();
            folder.places().complete().unwrap();
            folder.assert_new();
            assert_eq!(folder.read("windflow.db.before-restore-2"), None, "step {number}");
        }
    }

    #[test]
    fn a_second_restore_keeps_what_the_first_one_kept() {
        let folder = Folder::with_old().committed();
        folder.places().complete().unwrap();
        let folder = folder.committed();
        folder.places().complete().unwrap();
        assert_eq!(folder.read("windflow.db.before-restore").as_deref(), Some("old"));
        assert_eq!(folder.read("windflow.db.before-restore-2").as_deref(), Some("new"));
    }
}
