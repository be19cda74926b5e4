//! Podman's service, which speaks the Docker API on a socket of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{BUSYBOX, busybox_archive, ping, remove_cgroup};
use crate::places;
use crate::process::{Process, run_with_input};
use crate::wait;

/// How long the service may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A Podman service in namespaces and folders of its own. Dropping it ends it
/// with its containers.
#[derive(Debug)]
pub struct Podman {
    _process: Process,
    folder: TempDir,
}

impl Podman {
    /// Starts the service with the test image, or says loudly that this
    /// machine has none: it is the one part that the tests can do without.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start() -> Option<Self> {
        let Some(program) = places::optional("podman") else {
            eprintln!("SKIPPED: podman is not installed; apt-get install podman");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("windflow-podman-").tempdir().expect("a temporary folder");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        command.args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(program);
        for (option, part) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(folder.path().join(part));
        }
        command.args(["--cgroup-manager", "cgroupfs", "system", "service", "--time", "0"]);
        command.arg(format!("unix://{}", folder.path().join("podman.sock").display()));
        let process = Process::start("podman", &command, &folder.path().join("log"));
        let podman = Self { _process: process, folder };
        wait::until_true("podman to answer", START_DEADLINE, || ping(&podman.socket()).unwrap_or(false));
        podman.import_busybox();
        Some(podman)
    }

    /// Its address as `--engine` takes it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("podman.sock")
    }

    fn import_busybox(&self) {
        let mut command = Command::new(places::newer_engine().join("bin/docker"));
        command.env("DOCKER_HOST", self.address()).env("DOCKER_CONFIG", self.folder.path().join("docker-config"));
        command.args(["import", "-", BUSYBOX]);
        run_with_input(&mut command, busybox_archive(), START_DEADLINE).succeeded();
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Empty folders only: another Podman keeps what it uses.
        remove_cgroup("libpod_parent");
    }
}
