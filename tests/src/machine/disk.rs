//! Small disks that a test fills: each one is a tmpfs over a folder of the
//! test's own.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::statvfs;

use crate::process::run;

/// How long mounting may take.
const MOUNT_DEADLINE: Duration = Duration::from_secs(10);
/// The file that fills a disk.
const FILLER: &str = "filler";

/// A mounted disk. Dropping it unmounts it; whoever uses it must have ended.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a disk of this size over `folder`, which is made.
    ///
    /// # Panics
    /// When it cannot be mounted; that needs root.
    pub fn mount(folder: &Path, mebibytes: u64) -> Self {
        std::fs::create_dir_all(folder).expect("the test's own folder is writable");
        let options = format!("size={mebibytes}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "windflow-test"]).arg(folder);
        run(&mut mount, MOUNT_DEADLINE).succeeded();
        Self { folder: folder.to_owned() }
    }

    /// Takes the room that is free at this moment, and none that comes free
    /// meanwhile.
    ///
    /// # Panics
    /// When it fails for another reason than a full disk.
    pub fn fill(&self) {
        let disk = statvfs(&self.folder).expect("it is mounted");
        let mut file = File::options().create(true).append(true).open(self.folder.join(FILLER)).expect("it is mounted");
        let block = vec![7; 64 * 1024];
        let mut left = usize::try_from(disk.f_bavail * disk.f_frsize).expect("the disk is small");
        while left > 0 {
            match file.write(&block[..left.min(block.len())]) {
                Ok(written) => left -= written,
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk cannot be filled: {error}"),
            }
        }
    }

    /// Removes what filled it.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn make_room(&self) {
        std::fs::remove_file(self.folder.join(FILLER)).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.folder), MOUNT_DEADLINE);
    }
}
