//! Processes that a test starts: each one has its own log, is signalled and
//! ended by its own id, and never outlives the test.

mod clock;
mod running;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub use self::clock::{MovableClock, wall_clock_at};
pub use self::running::{Output, Running, run, run_with_input};
use crate::secrets;
use crate::wait;

/// How long a process may take to end once it was killed.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// A running process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs appended to the file `log`. It dies
    /// with the thread that starts it, so that nothing is left behind even
    /// when the whole test is killed.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Self {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("the test's own folder is writable");
        let errors = output.try_clone().expect("an open file can be shared");
        let mut command = tied_to_us(command);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// The process's id.
    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal. A process that has ended already is left alone.
    pub fn signal(&self, signal: Signal) {
        signal_process(self.id(), signal);
    }

    /// Ends it at once and waits for that.
    pub fn kill(&mut self) {
        let _gone_already_is_fine = self.child.kill();
        self.wait_for_end(KILL_DEADLINE);
    }

    /// Asks it to end and waits for that.
    ///
    /// # Panics
    /// When it still runs after `within`.
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end(within)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it still runs after `within`.
    pub fn wait_for_end(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, within, || self.ended())
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be asked for")
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{} has ended", self.name));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).unwrap_or_else(|| panic!("{} has ended", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- the end of {}'s log\n{}", self.name, last_lines(&self.log(), 40));
        }
    }
}

/// Sends `signal` to the process with this id, if it still runs.
pub fn signal_process(id: Pid, signal: Signal) {
    let _gone_already_is_fine = kill_process(id, signal);
}

/// Stops the process with this id by SIGSTOP and waits until each of its
/// threads stands still.
///
/// # Panics
/// When it does not stop, or has ended.
pub fn freeze_process(id: Pid) {
    signal_process(id, Signal::STOP);
    let tasks = format!("/proc/{}/task", id.as_raw_nonzero());
    wait::until_true("a process to stand still", KILL_DEADLINE, || {
        let threads = std::fs::read_dir(&tasks).expect("the process runs").flatten();
        let mut states = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        states.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
    });
}

/// The command lines of all processes of this machine that mention `path`.
///
/// # Panics
/// On a machine without /proc.
pub fn processes_that_mention(path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("Linux has /proc").flatten();
    let lines = processes.flat_map(|process| std::fs::read_to_string(process.path().join("cmdline")));
    lines.filter(|line| line.contains(&path)).collect()
}

/// The same command under a wrapper that has the kernel kill it when we die.
fn tied_to_us(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    copy_surroundings(command, &mut tied);
    tied
}

/// Gives `to` the environment and the folder that were set on `from`.
pub(crate) fn copy_surroundings(from: &Command, to: &mut Command) {
    for (key, value) in from.get_envs() {
        match value {
            Some(value) => to.env(key, value),
            None => to.env_remove(key),
        };
    }
    if let Some(folder) = from.get_current_dir() {
        to.current_dir(folder);
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines = text.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Writes a file that only its owner may read.
///
/// # Panics
/// When it cannot be written.
pub fn write_private(path: &Path, content: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    match path.file_name().and_then(|name| name.to_str()) {
        Some("passphrase") => secrets::learn("the passphrase in a file", content.trim()),
        _ => secrets::heard_printed("a file", content),
    }
    let mut options = File::options();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).expect("the folder is ours");
    file.write_all(content.as_bytes()).expect("the disk is not full");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Process::start("sleep", Command::new("sleep").arg("60"), &folder.path().join("log"));
        let proc_folder = format!("/proc/{}", process.id().as_raw_nonzero());
        assert!(Path::new(&proc_folder).exists());
        drop(process);
        assert!(!Path::new(&proc_folder).exists());
    }
}
