//! Whole machines: an init system, a network and a file system of their own, on
//! top of this machine's programs. What they write is gone with them, and can be
//! compared before.

mod disk;
mod files;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

pub use self::disk::SmallDisk;
pub use self::files::Files;
use crate::network::Netns;
use crate::places;
use crate::process::{Output, Process, run_with_input};
use crate::secrets::{self, Findings};
use crate::wait;

/// How long a machine may take to come up.
const BOOT_DEADLINE: Duration = Duration::from_secs(60);
/// How long a command on it may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(120);
/// What a shell after a sign-in would find.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a machine starts its services with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// systemd, running.
    Systemd,
    /// OpenRC in a booted state, without having started anything.
    OpenRc,
    /// Nothing.
    None,
}

/// What a script that looks for secrets leaves out: programs. The agent's key
/// and a hub's are where they belong.
const COLLECT: &str =
    "tar -C \"$1\" --exclude=./usr/local/bin --exclude=./usr/bin --exclude=./usr/lib -c . | tar -C \"$2\" -x";

/// A running machine. Dropping it looks for secrets in all that was written on
/// it and told by it, and ends everything on it.
#[derive(Debug)]
pub struct Machine {
    leader: i32,
    init: Init,
    /// The files that a test wrote.
    given: Mutex<BTreeSet<PathBuf>>,
    // In this order: its processes end before its network and its folder go.
    process: Process,
    network: Netns,
    base: TempDir,
}

impl Machine {
    /// Boots one.
    ///
    /// # Panics
    /// When it does not come up: the tests need root.
    pub fn boot(init: Init) -> Self {
        let (network, base) = (Netns::new(), tempfile::tempdir().expect("a temporary folder"));
        let mut boot = Command::new("unshare");
        boot.args(["--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child"]);
        boot.arg(places::workspace().join("tests/src/machine/boot.sh")).arg(base.path());
        match init {
            Init::Systemd => boot.arg("systemd"),
            Init::OpenRc => boot.arg("none").arg(places::unpacked("openrc")),
            Init::None => boot.arg("none"),
        };
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let process = Process::start("the machine", &network.wrap(&boot), log.path());
        let leader = wait::until("the machine's first process", BOOT_DEADLINE, || child_of(&process));
        secrets::watch(process.id(), "the machine");
        let machine = Self { leader, init, given: Mutex::default(), process, network, base };
        wait::until_true("the machine's files", BOOT_DEADLINE, || {
            machine.try_shell("test -e /run/booted").status.success()
        });
        match init {
            Init::Systemd => machine.await_systemd(),
            Init::OpenRc => machine.prepare_openrc(),
            Init::None => {}
        }
        machine
    }

    /// The address under which it reaches this machine.
    pub fn outside(&self) -> std::net::IpAddr {
        self.network.outside().into()
    }

    /// Runs a line of shell as root; it must succeed. Returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, line: &str) -> String {
        self.try_shell(line).succeeded()
    }

    /// Runs a line of shell as root.
    pub fn try_shell(&self, line: &str) -> Output {
        self.shell_with_input(line, "")
    }

    /// Runs a line of shell as root and lets it read `input`.
    pub fn shell_with_input(&self, line: &str, input: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        run_with_input(&mut self.inside(&command), input.as_bytes(), COMMAND_DEADLINE)
    }

    /// The same command, to be run on this machine as root, with an environment
    /// of its own.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = self.entered(&["--root", "--net", "--pid", "--uts", "--ipc", "--cgroup"]);
        inside.args(["env", "--chdir=/", "-i", PATH, "HOME=/root", "TERM=dumb"]);
        for (name, value) in command.get_envs() {
            let value = value.expect("a variable to be set").to_string_lossy();
            inside.arg(format!("{}={value}", name.to_string_lossy()));
        }
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// Writes a file of this machine, which then belongs to root.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, mode: &str, content: &[u8]) {
        let given = PathBuf::from(path.trim_start_matches('/'));
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(given);
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; mkdir -p \"${1%/*}\"; cat >\"$1\"; chmod \"$2\" \"$1\"", "write", path, mode]);
        run_with_input(&mut self.inside(&command), content, COMMAND_DEADLINE).succeeded();
    }

    /// Copies a file of this machine's host to it.
    ///
    /// # Panics
    /// When it cannot be read or written.
    pub fn bring(&self, file: &Path, path: &str) {
        self.write(path, "755", &std::fs::read(file).expect("the file is there"));
    }

    /// Shows a file or a socket of this machine's host on it, as it is.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn lend(&self, file: &Path, path: &str) {
        let mut mount = self.entered(&[]);
        mount.args(["sh", "-c", "touch \"$2\" && mount --bind \"$1\" \"$2\"", "lend"]).arg(file);
        // Seen from here, its root is a folder.
        mount.arg(self.base.path().join("root").join(path.trim_start_matches('/')));
        run_with_input(&mut mount, &[], COMMAND_DEADLINE).succeeded();
    }

    /// Everything that differs from the machine underneath.
    pub fn files(&self) -> Files {
        let upper = self.base.path().join("upper");
        let mut list = self.entered(&[]);
        list.args(["sh", "-c", files::LIST, "list"]).arg(upper);
        Files::read(&run_with_input(&mut list, &[], COMMAND_DEADLINE).succeeded())
    }

    /// Looks for every secret of this run in what its services wrote and said.
    fn assert_it_told_no_secret(&self) {
        let mut findings = Findings::none();
        findings.look_at_processes(&secrets::seen_below(self.process.id()));
        if self.init == Init::Systemd {
            let journal = self.try_shell("journalctl --no-pager --output=cat").stdout;
            findings.look_at("the machine's journal", journal.as_bytes());
        }
        let copy = tempfile::tempdir().expect("a temporary folder");
        let mut collect = self.entered(&[]);
        collect.args(["sh", "-c", COLLECT, "collect"]).arg(self.base.path().join("upper")).arg(copy.path());
        run_with_input(&mut collect, &[], COMMAND_DEADLINE).succeeded();
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        findings.look_into("the machine", copy.path(), |file| given.contains(file) || file.ends_with("master.key"));
        findings.assert_none();
    }

    fn entered(&self, namespaces: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--target={}", self.leader)).arg("--mount").args(namespaces);
        enter
    }

    fn await_systemd(&self) {
        wait::until_true("systemd to be running", BOOT_DEADLINE, || {
            let state = self.try_shell("systemctl is-system-running").stdout;
            ["running", "degraded"].contains(&state.trim())
        });
    }

    /// What OpenRC's own start leaves, without the services of a real machine.
    fn prepare_openrc(&self) {
        self.shell(
            "mkdir -p /run/openrc /etc/runlevels/default && cd /run/openrc && touch softlevel /etc/insserv.conf && \
             mkdir daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp \
             wasinactive",
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_it_told_no_secret();
        }
    }
}

fn child_of(process: &Process) -> Option<i32> {
    let id = process.id().as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
