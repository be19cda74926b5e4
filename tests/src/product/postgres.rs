//! A PostgreSQL server of a test's own, for hubs that keep their data there.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::{Process, run};
use crate::wait;

/// How long the server may take to be made, and to answer.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// The user that the server refuses to be more than.
const USER: &str = "postgres";

/// A running server that listens on a Unix socket only. Dropping it kills it
/// and removes its data.
#[derive(Debug)]
pub struct Postgres {
    _process: Process,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-pg-").tempdir().expect("a temporary folder");
        let (uid, gid) = server_user();
        chown(folder.path(), Some(uid), Some(gid)).expect("tests run as root");
        let data = folder.path().join("data");
        let mut make = as_server(&places::postgres("initdb"));
        make.args(["--no-sync", "-A", "trust", "-U", USER, "-E", "UTF8", "-D"]).arg(&data).current_dir("/");
        run(&mut make, START_DEADLINE).succeeded();
        let mut serve = as_server(&places::postgres("postgres"));
        serve.arg("-D").arg(&data).args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]).arg(folder.path());
        let process = Process::start("PostgreSQL", serve.current_dir("/"), &folder.path().join("log"));
        wait::until_true("PostgreSQL to answer", START_DEADLINE, || {
            let mut ask = Command::new(places::postgres("pg_isready"));
            run(ask.arg("-h").arg(folder.path()), START_DEADLINE).status.success()
        });
        Self { _process: process, folder }
    }

    /// What `--database-url` wants.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@localhost/{USER}?host={}", self.folder.path().display())
    }
}

fn as_server(program: &Path) -> Command {
    let mut command = Command::new(places::installed("setpriv"));
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
    command
}

fn server_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("every host has users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("PostgreSQL was installed");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().expect("a user has a number"), fields[3].parse().expect("a group has a number"))
}
