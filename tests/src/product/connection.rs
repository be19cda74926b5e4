//! A running `environment connect`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{DockerCli, Hub};
use crate::process::{Output, Running, signal_process};

/// How long it may take to print where it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How long it may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// An environment with a Docker socket on this machine. Dropping it kills the
/// command.
#[derive(Debug)]
pub struct Connection {
    /// The `docker` command on the socket. It is configured with no token.
    pub docker: DockerCli,
    running: Running,
    folder: TempDir,
}

impl Connection {
    /// Connects to the environment of this name, and waits until it can be
    /// used.
    ///
    /// # Panics
    /// When the command does not print the address and nothing else.
    pub fn open(hub: &Hub, environment: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-socket-").tempdir().expect("a temporary folder");
        let mut command = hub.command();
        command.args(["environment", "connect", environment, "--socket"]).arg(socket_in(&folder));
        let running = Running::start(&command);
        running.wait_for("\n", START_DEADLINE);
        let printed = running.stdout();
        let expected = format!("unix://{}", socket_in(&folder).display());
        assert_eq!(printed, format!("DOCKER_HOST={expected}\n"));
        Self { docker: DockerCli::on_socket(&socket_in(&folder)), running, folder }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    /// Ends it by SIGTERM. Returns what it printed, and the socket's folder.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(self) -> (Output, TempDir) {
        signal_process(self.running.id(), Signal::TERM);
        (self.running.finish(END_DEADLINE), self.folder)
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    Path::join(folder.path(), "engine.sock")
}
