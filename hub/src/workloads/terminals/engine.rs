//! What a terminal asks of its engine: a program that runs in the container, or
//! the container's main process, its size, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{Aim, Ending, Plan, Size, TerminalId, Why};
use crate::db::DbError;
use crate::docker::ContainerId;
use crate::docker::{EngineError, Engines};
use crate::error::ApiError;
use crate::tunnel::Session;

/// The shells that are tried, the best first. The last two are for images whose
/// search path is none.
const SHELLS: [&str; 5] = ["bash", "ash", "sh", "/bin/sh", "/busybox/sh"];
/// Parts of what engines say where there is no such program.
const MISSING: [&str; 4] =
    ["executable file not found", "no such file or directory", "not a directory", "permission denied"];
/// A program must have been started, or a question answered, within this.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// An engine says a moment after a program's last output how it ended.
const END_DEADLINE: Duration = Duration::from_secs(3);
/// How often it is asked until then.
const END_AGAIN: Duration = Duration::from_millis(50);
/// How often a size is told to a program that is only about to run, and how
/// long after one another.
const RESIZES: u32 = 10;
const RESIZE_AGAIN: Duration = Duration::from_millis(30);
/// The variable by which a terminal's program is found again to end it.
const MARK: &str = "WINDFLOW_TERMINAL";
/// What programs take this terminal for.
const TERM: &str = "TERM=xterm-256color";

/// Sends a signal to the program that has the mark and was started from
/// outside the container: no engine does so by itself when its terminal is
/// closed. Only words that every shell knows by itself.
const SIGNALLER: &str = r#"for p in /proc/[0-9]*; do
  found=
  while read -r line || [ -n "$line" ]; do
    case "$line" in *"$1"*) found=1 ;; esac
  done < "$p/environ"
  [ -n "$found" ] || continue
  while read -r key value; do
    [ "$key" = PPid: ] && [ "$value" = 0 ] && kill "-$2" "${p#/proc/}"
  done < "$p/status"
done 2>/dev/null"#;

/// The bytes of a terminal's program, both ways.
pub type ProgramIo = TokioIo<Upgraded>;

/// Why there is no terminal.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is nothing to type at.
    #[error("this image has no shell: give a command that it has, or attach to its main process")]
    NoShell,
    /// The main process is no more, or not yet.
    #[error("the container does not run: start it first")]
    NotRunning,
    /// It is to be recorded, and cannot be.
    #[error("terminals of this environment are recorded, and no recording can begin now")]
    Unrecorded(#[source] DbError),
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        let message = crate::error::sentence(&error);
        match error {
            OpenError::Engine(error) => error.into(),
            OpenError::NoShell => Self::conflict("no_shell", message),
            OpenError::NotRunning => Self::conflict("not_running", message),
            OpenError::Unrecorded(error) => {
                let refused = Self::from(error);
                Self { message: format!("{message} {}", refused.message), ..refused }
            }
        }
    }
}

/// What a terminal is joined to.
#[derive(Debug)]
pub struct Program {
    container: ContainerId,
    kind: Kind,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Whether it takes input.
    pub takes_input: bool,
}

#[derive(Debug)]
enum Kind {
    /// Something that was started for this terminal.
    Exec { id: String, command: Vec<String>, user: Option<String>, mark: String },
    /// The container's own process.
    Main,
}

/// What an engine says of a program that it was told to run.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecState {
    running: bool,
    exit_code: Option<i64>,
}

/// What it says of a container, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState {
    state: MainState,
    config: MainConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MainState {
    running: bool,
    exit_code: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MainConfig {
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
}

/// One engine, through one session.
#[derive(Clone, Debug)]
pub struct Host {
    /// What sends the requests.
    pub engines: Engines,
    /// By which session.
    pub session: Arc<Session>,
}

impl Host {
    /// Finds out what is to run, and tells the engine of it. It does not run
    /// yet.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn prepare(&self, container: ContainerId, plan: &Plan, id: TerminalId) -> Result<Program, OpenError> {
        let command = match &plan.aim {
            Aim::Main => return self.main_process(container).await,
            Aim::Shell => vec![self.find_shell(&container, plan.user.as_deref()).await?.to_owned()],
            Aim::Command(command) => command.clone(),
        };
        let mark = format!("{MARK}={id}");
        let mut variables = vec![TERM.to_owned()];
        variables.extend(plan.environment.iter().cloned());
        variables.push(mark.clone());
        let exec = json!({
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": true,
            "Cmd": &command, "Env": variables,
            "User": plan.user.as_deref().unwrap_or_default(),
            "WorkingDir": plan.working_directory.as_deref().unwrap_or_default(),
        });
        let id = self.create(&container, &exec).await?;
        let kind = Kind::Exec { id, command, user: plan.user.clone(), mark };
        Ok(Program { container, kind, tty: true, takes_input: true })
    }

    /// Joins the program and gives its bytes. What is to run begins to.
    ///
    /// # Errors
    /// [`EngineError`]. A program that cannot be run says so in its output.
    pub async fn join(&self, program: &Program, size: Size) -> Result<ProgramIo, EngineError> {
        let (target, body) = match &program.kind {
            Kind::Exec { id, .. } => {
                let start = json!({ "Detach": false, "Tty": true, "ConsoleSize": [size.rows, size.columns] });
                (format!("/exec/{id}/start"), start)
            }
            Kind::Main => {
                let input = u8::from(program.takes_input);
                let streams = format!("stream=1&stdout=1&stderr=1&stdin={input}");
                (format!("/containers/{}/attach?{streams}", program.container.as_str()), Value::Null)
            }
        };
        self.engines.upgrade(&self.session, &target, &body, CALL_DEADLINE).await
    }

    /// Tells the program how large it is shown.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn resize(&self, program: &Program, size: Size) -> Result<(), EngineError> {
        if !program.tty {
            return Ok(());
        }
        let what = match &program.kind {
            Kind::Exec { id, .. } => format!("/exec/{id}"),
            Kind::Main => format!("/containers/{}", program.container.as_str()),
        };
        let target = format!("{what}/resize?h={}&w={}", size.rows, size.columns);
        let mut tries = 1;
        loop {
            match self.engines.post(&self.session, &target, &Value::Null, CALL_DEADLINE).await {
                Ok(_) => return Ok(()),
                Err(EngineError::Refused { .. }) if tries < RESIZES => {
                    tokio::time::sleep(RESIZE_AGAIN).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How a program ended whose output has ended.
    pub async fn ending(&self, program: &Program) -> Ending {
        let container = match self.container(&program.container).await {
            Ok(container) => container,
            Err(EngineError::Refused { .. }) => return Ending { exit_code: None, why: Why::ContainerStopped },
            Err(_) => return Ending { exit_code: None, why: Why::Lost },
        };
        let exit_code = match &program.kind {
            Kind::Exec { id, .. } => match tokio::time::timeout(END_DEADLINE, self.exit_code(id)).await {
                Ok(Ok(exit_code)) => exit_code,
                Ok(Err(_)) | Err(_) => None,
            },
            Kind::Main => container.state.exit_code.filter(|_| !container.state.running),
        };
        match (&program.kind, container.state.running) {
            (Kind::Exec { .. }, false) => Ending { exit_code, why: Why::ContainerStopped },
            // Still running and not at the other end any more: the engine went away in between.
            (Kind::Main, true) => Ending { exit_code: None, why: Why::Lost },
            (Kind::Exec { .. }, true) if exit_code.is_none() => Ending { exit_code, why: Why::Lost },
            (Kind::Exec { .. }, true) | (Kind::Main, false) => Ending { exit_code, why: Why::Exited },
        }
    }

    /// Whether the engine still runs it, as far as it can be asked.
    pub async fn runs(&self, program: &Program) -> bool {
        match &program.kind {
            Kind::Exec { id, .. } => self.exec_state(id).await.is_ok_and(|state| state.running),
            Kind::Main => false,
        }
    }

    /// Sends the program a signal, such as `HUP`; a main process is nobody's
    /// here to end.
    ///
    /// # Errors
    /// [`OpenError`], also where the container has no shell.
    pub async fn signal(&self, program: &Program, signal: &str) -> Result<(), OpenError> {
        let Kind::Exec { user, mark, .. } = &program.kind else {
            return Ok(());
        };
        let shell = self.find_shell(&program.container, user.as_deref()).await?;
        self.run(&program.container, &[shell, "-c", SIGNALLER, "sh", mark, signal], user.as_deref()).await?;
        Ok(())
    }

    /// The first shell that the container can start.
    async fn find_shell(&self, container: &ContainerId, user: Option<&str>) -> Result<&'static str, OpenError> {
        for shell in SHELLS {
            match self.run(container, &[shell, "-c", "exit 0"], user).await {
                Ok(()) => return Ok(shell),
                Err(EngineError::Refused { message, .. }) if is_missing(&message) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OpenError::NoShell)
    }

    /// Starts a program whose output nobody wants, and does not wait for its
    /// end.
    async fn run(&self, container: &ContainerId, command: &[&str], user: Option<&str>) -> Result<(), EngineError> {
        let exec = json!({ "Cmd": command, "User": user.unwrap_or_default() });
        let id = self.create(container, &exec).await?;
        let start = json!({ "Detach": true, "Tty": false });
        self.engines.post(&self.session, &format!("/exec/{id}/start"), &start, CALL_DEADLINE).await.map(drop)
    }

    async fn create(&self, container: &ContainerId, exec: &Value) -> Result<String, EngineError> {
        let target = format!("/containers/{}/exec", container.as_str());
        let made = self.engines.post(&self.session, &target, exec, CALL_DEADLINE).await?;
        let id = made["Id"].as_str().filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric()));
        id.map(str::to_owned).ok_or_else(|| EngineError::Cut("it names no program".to_owned()))
    }

    async fn main_process(&self, container: ContainerId) -> Result<Program, OpenError> {
        let found = self.container(&container).await?;
        if !found.state.running {
            return Err(OpenError::NotRunning);
        }
        let MainConfig { tty, open_stdin, stdin_once } = found.config;
        // Leaving would be the end of its input, and mostly of the process.
        let takes_input = open_stdin && (tty || !stdin_once);
        Ok(Program { container, kind: Kind::Main, tty, takes_input })
    }

    async fn container(&self, container: &ContainerId) -> Result<ContainerState, EngineError> {
        self.engines.read(&self.session, &format!("/containers/{}/json", container.as_str()), CALL_DEADLINE).await
    }

    async fn exec_state(&self, id: &str) -> Result<ExecState, EngineError> {
        self.engines.read(&self.session, &format!("/exec/{id}/json"), CALL_DEADLINE).await
    }

    /// The code with which a program ended; waits until it has.
    async fn exit_code(&self, id: &str) -> Result<Option<i64>, EngineError> {
        loop {
            let state: ExecState = self.engines.read(&self.session, &format!("/exec/{id}/json"), CALL_DEADLINE).await?;
            if !state.running && state.exit_code.is_some() {
                return Ok(state.exit_code);
            }
            tokio::time::sleep(END_AGAIN).await;
        }
    }
}

impl Program {
    /// What runs; none where it is the container's main process.
    pub fn command(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Exec { command, .. } => Some(command),
            Kind::Main => None,
        }
    }

    /// Whether it was started for its terminal, and ends with it.
    pub fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Exec { .. })
    }

    /// The container it runs in.
    pub const fn container(&self) -> &ContainerId {
        &self.container
    }
}

fn is_missing(message: &str) -> bool {
    MISSING.iter().any(|part| message.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_from_other_refusals() {
        let old = "OCI runtime exec failed: exec failed: container_linux.go:380: starting container process caused: \
                   exec: \"bash\": executable file not found in $PATH: unknown";
        let absolute = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/bin/sh\": \
                        stat /bin/sh: no such file or directory: unknown";
        assert!(is_missing(old) && is_missing(absolute));
        assert!(!is_missing("unable to find user nobody2: no matching entries in passwd file"));
        assert!(!is_missing("Container 4c01db is paused, unpause the container before exec"));
    }
}
