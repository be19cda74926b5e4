//! Commands that a test gives, waits for, and talks to while they run.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::{KILL_DEADLINE, copy_surroundings, tied_to_us};
use crate::secrets;
use crate::wait;

/// How long output rests before it is looked at again.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// What a command that has ended printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are no text are replaced.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output without the last line break.
    ///
    /// # Panics
    /// When the command failed; the message is what it said.
    pub fn succeeded(self) -> String {
        assert!(self.status.success(), "{}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }

    /// Everything that a command printed which should fail.
    ///
    /// # Panics
    /// When the command succeeded.
    pub fn failed(self) -> String {
        assert!(!self.status.success(), "it should have failed, but said: {}", self.stdout);
        self.stdout + &self.stderr
    }
}

/// Runs `command` to its end with nothing to read.
///
/// # Panics
/// When it cannot be started or still runs after `within`; it is killed then.
pub fn run(command: &mut Command, within: Duration) -> Output {
    run_with_input(command, &[], within)
}

/// Runs `command` to its end and lets it read `input`.
///
/// # Panics
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &[u8], within: Duration) -> Output {
    let mut running = Running::start(command);
    if let Some(product) = &running.product {
        secrets::heard_input(product, input);
    }
    running.write(input);
    running.finish(within)
}

/// A command whose input a test writes and whose output it reads while it
/// runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
    line: String,
    /// What it is called where it is one of ours.
    product: Option<String>,
}

impl Running {
    /// Starts `command`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &Command) -> Self {
        let line = format!("{command:?}");
        let product = product(command);
        let mut command = tied_to_us(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        let input = child.stdin.take();
        let stdout = Captured::new(child.stdout.take().expect("it was asked for"));
        let stderr = Captured::new(child.stderr.take().expect("it was asked for"));
        Self { child, input, stdout, stderr, line, product }
    }

    /// Starts `command` on a terminal of its own, as a person would.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_on_terminal(command: &Command) -> Self {
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--flush", "--command", &shell_line(command), "/dev/null"]);
        copy_surroundings(command, &mut terminal);
        Self::start(&terminal)
    }

    /// Lets it read `input`. A command that no longer reads is left alone.
    pub fn write(&mut self, input: &[u8]) {
        let Some(pipe) = self.input.as_mut() else { return };
        let _no_longer_reading_is_fine = pipe.write_all(input).and_then(|()| pipe.flush());
    }

    /// Ends what it can read.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// What it has printed so far on its standard output.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until its standard output holds `text`; returns how long it took.
    ///
    /// # Panics
    /// When it does not `within` the given time.
    pub fn wait_for(&self, text: &str, within: Duration) -> Duration {
        let started = Instant::now();
        while !self.stdout.text().contains(text) {
            let said = || format!("{}{}", self.stdout.text(), self.stderr.text());
            assert!(started.elapsed() < within, "waited {within:?} for {text:?} from {}; got: {}", self.line, said());
            thread::sleep(LOOK_PAUSE);
        }
        started.elapsed()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be asked for")
    }

    /// The command's process id.
    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Closes its input and waits for its end.
    ///
    /// # Panics
    /// When it still runs after `within`.
    pub fn finish(mut self, within: Duration) -> Output {
        self.close_input();
        let what = format!("the end of {}", self.line);
        let status = wait::until(&what, within, || self.ended());
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        secrets::glance();
        if let Some(product) = &self.product {
            secrets::heard_printed(product, &stdout);
            secrets::assert_tells_nothing(&format!("what {product} says beside its output"), stderr.as_bytes());
        }
        Output { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already_is_fine = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[derive(Debug)]
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Captured {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::default();
        let into = Arc::clone(&text);
        let reader = thread::spawn(move || copy_into(&mut pipe, &into));
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("the reader does not panic")).into_owned()
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            wait::until_true("the end of a command's output", KILL_DEADLINE, || reader.is_finished());
            reader.join().expect("the reader does not panic");
        }
        self.text()
    }
}

fn copy_into(pipe: &mut impl Read, text: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 16 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut chunk) {
        text.lock().expect("nobody panics while holding it").extend_from_slice(&chunk[..read]);
    }
}

/// The program and what it is told to do first, where it is one of ours.
fn product(command: &Command) -> Option<String> {
    let program = Path::new(command.get_program()).file_name()?.to_str()?;
    let words = command.get_args().filter_map(|word| word.to_str());
    let what: Vec<&str> = words.filter(|word| !word.starts_with(['-', '/'])).take(1).collect();
    program.starts_with("windflow-").then(|| format!("{program} {}", what.concat()))
}

fn shell_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_command_reads_its_input_and_both_outputs_are_kept() {
        let output = run_with_input(Command::new("sh").args(["-c", "cat; echo no >&2; exit 3"]), b"yes", SOON);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("yes", "no\n"));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn a_command_on_a_terminal_knows_that_it_has_one() {
        let running = Running::start_on_terminal(Command::new("sh").args(["-c", "test -t 0 && echo it is a terminal"]));
        running.wait_for("it is a terminal", SOON);
    }
}
