//! What stands at a path of the host, so that it is known again.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};

/// A file or folder, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    /// What stands at `path`, which has no link in it.
    pub fn of(path: &Path) -> io::Result<Self> {
        let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), no_links)?;
        let found = fstat(&opened)?;
        Ok(Self { device: found.st_dev, inode: found.st_ino })
    }
}
