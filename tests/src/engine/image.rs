//! The one image that every engine test uses, made from Debian's static
//! busybox: there is no registry to pull from.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::places;
use crate::process::run;

/// The image's name.
pub const BUSYBOX: &str = "windflow/busybox:latest";

/// A tar archive of a root folder that holds busybox under all its names.
///
/// # Panics
/// When busybox is not installed.
pub fn busybox_archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(make_archive)
}

fn make_archive() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("root");
    for part in ["bin", "etc", "tmp", "root", "proc", "sys", "dev"] {
        std::fs::create_dir_all(root.join(part)).expect("the folder is ours");
    }
    std::fs::copy(places::installed("busybox"), root.join("bin/busybox")).expect("busybox can be read");
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("the folder is ours");
    for name in applets() {
        let link = root.join("bin").join(&name);
        if name != "busybox" && !name.is_empty() {
            std::os::unix::fs::symlink("busybox", link).expect("busybox lists each name once");
        }
    }
    archive_of(&root)
}

/// A tar archive of a root folder that holds nothing but the file `busybox`.
///
/// # Panics
/// When busybox is not installed.
pub(super) fn bare_archive() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(places::installed("busybox"), folder.path().join("busybox")).expect("busybox can be read");
    archive_of(folder.path())
}

fn archive_of(root: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(root).arg(".");
    run(&mut tar, Duration::from_secs(30)).succeeded();
    std::fs::read(&archive).expect("tar has just written it")
}

fn applets() -> Vec<String> {
    let mut list = Command::new(places::installed("busybox"));
    run(list.arg("--list"), Duration::from_secs(10)).succeeded().lines().map(str::to_owned).collect()
}
