//! What `doctor` looks at on the host itself: the state directory, the disk
//! under it, and the clock.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::Check;
use crate::host;
use crate::identity::{Identity, StateDir};

/// Less room than this, in bytes, and a renewed certificate may not fit.
const ROOM_MIN: u64 = 1024 * 1024;
/// Less room than this is worth a word.
const ROOM_WANTED: u64 = 64 * 1024 * 1024;
/// 2026-01-01: no agent ran before.
const EARLIEST_MICROS: i64 = 1_767_225_600_000_000;
/// No certificate ends later than this after it was made.
const LIFE_MAX_MICROS: i64 = 31 * 24 * 60 * 60 * 1_000_000;

const ENROLL: &str = "run windflow-agent enroll with a token of the hub";

pub(super) fn check_state(path: &Path) -> (Check, Option<Identity>) {
    let name = "state directory";
    match std::fs::read_dir(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return (Check::bad(name, format!("{} is for root", path.display()), "run this with sudo"), None);
        }
        Err(error) => return (Check::bad(name, format!("{}: {error}", path.display()), ENROLL), None),
    }
    match StateDir::open(path).and_then(|state_dir| state_dir.load()) {
        Ok(Some(identity)) if identity.is_from_another_machine() => {
            let advice = "enroll this machine with a token of its own, or start the agent once with --accept-clone";
            (Check::bad(name, "it was made on another machine", advice), Some(identity))
        }
        Ok(Some(identity)) => (Check::good(name, format!("enrolled as {}", identity.state.name)), Some(identity)),
        Ok(None) => (Check::bad(name, "this host is not enrolled", ENROLL), None),
        Err(error) => (Check::bad(name, format!("{error:#}"), "enroll again with a new token and --reenroll"), None),
    }
}

pub(super) fn check_disk(state_dir: &Path) -> Check {
    let name = "disk";
    let existing = state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let place = existing.display();
    match statvfs(existing) {
        Ok(disk) if disk.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            let advice = "mount it writable, or use another --state-dir: certificates are renewed every few days";
            Check::bad(name, format!("{place} is read-only"), advice)
        }
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} MiB free at {place}", free / (1024 * 1024));
            match free {
                ..ROOM_MIN => Check::bad(name, found, "make room: a renewed certificate cannot be kept"),
                ROOM_MIN..ROOM_WANTED => Check::note(name, found, "make room before it is full"),
                _ => Check::good(name, found),
            }
        }
        Err(error) => Check::bad(name, format!("{place} cannot be looked at: {error}"), "check the file system"),
    }
}

/// The agent itself does not care: its hub's clock decides. Logs and engines
/// do.
pub(super) fn check_clock(identity: Option<&Identity>) -> Check {
    let name = "clock";
    let now = host::clock_micros();
    let certificate_ends = identity.map(|identity| identity.state.not_after_micros);
    let behind = now < EARLIEST_MICROS || certificate_ends.is_some_and(|ends| ends - now > LIFE_MAX_MICROS);
    let advice = "set it (NTP): the agent connects all the same, but images and registries look at dates";
    if behind {
        return Check::note(name, "it is weeks behind", advice);
    }
    if certificate_ends.is_some_and(|ends| now > ends) {
        let found = "the certificate has ended by it: this host was off for long, or its clock is ahead";
        return Check::note(
            name,
            found,
            "nothing if the host was off, the agent renews it by itself; else set the clock",
        );
    }
    Check::good(name, "plausible")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_host_that_never_enrolled_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let (check, identity) = check_state(&folder.path().join("missing"));
        assert_eq!((check.verdict, identity.is_none()), (Verdict::Bad, true));
        assert!(check.advice.unwrap().contains("enroll"));
    }

    #[test]
    fn the_disk_is_looked_at_even_where_the_folder_is_still_missing() {
        let folder = tempfile::tempdir().unwrap();
        let check = check_disk(&folder.path().join("not/there/yet"));
        assert!(check.found.contains("MiB free"), "{check:?}");
        assert_eq!(check_disk(Path::new("/proc/self")).verdict, Verdict::Bad);
    }
}
