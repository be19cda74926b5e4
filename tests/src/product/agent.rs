//! An agent with a state folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Deserialize;
use tempfile::TempDir;

use super::hub::Hub;
use crate::network::{namespace_file, wrap_in};
use crate::places;
use crate::process::{Output, Process, copy_surroundings, freeze_process, run, write_private};
use crate::secrets::{self, Findings};
use crate::wait;

/// How long an enrollment may take.
const ENROLL_DEADLINE: Duration = Duration::from_secs(60);
/// How long an agent may take to end in good order.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// How long a new agent may take to come online.
const ONLINE_DEADLINE: Duration = Duration::from_secs(15);
/// The file of its state that holds the password of a proxy, as it must say it.
const HOLDS_PROXY_PASSWORD: &str = "identity/state.json";

/// How an agent is started.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The hub's URL as the agent shall dial it.
    pub hub_url: String,
    /// `--engine`.
    pub engine: String,
    /// `--transport` of `run`.
    pub transport: String,
    /// The network namespace it lives in.
    pub namespace: Option<String>,
    /// Its `/etc/resolv.conf`, where it is not the machine's.
    pub resolver: Option<PathBuf>,
    /// Further environment of the process.
    pub environment: Vec<(String, String)>,
    /// What its policy's file says; without one there is no file.
    pub policy: Option<String>,
}

impl AgentOptions {
    /// An agent that dials `hub` directly and chooses the transport by itself.
    pub fn new(hub: &Hub, engine: &str) -> Self {
        Self {
            hub_url: hub.url(),
            engine: engine.to_owned(),
            transport: "auto".to_owned(),
            namespace: None,
            resolver: None,
            environment: Vec::new(),
            policy: None,
        }
    }

    /// The same over this transport.
    #[must_use]
    pub fn over(mut self, transport: &str) -> Self {
        transport.clone_into(&mut self.transport);
        self
    }

    /// The same through another address of the hub.
    #[must_use]
    pub fn through(mut self, url: String) -> Self {
        self.hub_url = url;
        self
    }

    /// The same in a network namespace.
    #[must_use]
    pub fn inside(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The same with names from the server that this `resolv.conf` names.
    #[must_use]
    pub fn with_resolver(mut self, configuration: PathBuf) -> Self {
        self.resolver = Some(configuration);
        self
    }

    /// The same on a host whose policy says this.
    #[must_use]
    pub fn under_policy(mut self, text: &str) -> Self {
        self.policy = Some(text.to_owned());
        self
    }

    /// The same with one more variable in its environment.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What `windflow-agent status` says.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentStatus {
    /// `connected`, `connecting`, `refused`, `stopped`, `pending` or
    /// `quarantined`.
    pub state: String,
    /// The transport while it is connected.
    pub transport: Option<String>,
    /// The last error, in the agent's own words.
    #[serde(default)]
    pub last_error: serde_json::Value,
}

/// An enrolled agent. Dropping it kills it, looks for secrets in all that it
/// leaves, and removes its state.
#[derive(Debug)]
pub struct Agent {
    name: String,
    options: AgentOptions,
    process: Option<Process>,
    /// The processes that it was, one after the other.
    was: Vec<Pid>,
    folder: TempDir,
}

impl Agent {
    /// Enrolls an agent under `name` with a new token and runs it until it is
    /// online.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn online(hub: &Hub, name: &str, options: AgentOptions) -> Self {
        let mut agent = Self::enrolled(hub, name, options);
        agent.run();
        hub.wait_for_state(name, "online", ONLINE_DEADLINE);
        agent
    }

    /// Enrolls an agent under `name` with a new token; it does not run yet.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub fn enrolled(hub: &Hub, name: &str, options: AgentOptions) -> Self {
        let agent = Self::new(name, options);
        agent.enroll(&hub.enrollment_token(&["--uses", "1", "--ttl", "1h"])).succeeded();
        agent
    }

    /// An agent that has not been enrolled.
    pub fn new(name: &str, options: AgentOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-agent-").tempdir().expect("a temporary folder");
        Self { name: name.to_owned(), options, process: None, was: Vec::new(), folder }
    }

    /// A second agent with a copy of this one's state, as a cloned machine is.
    pub fn cloned_machine(&self) -> Self {
        let clone = Self::new(&self.name, self.options.clone());
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg(self.state_folder()).arg(clone.state_folder());
        run(&mut copy, END_DEADLINE).succeeded();
        clone
    }

    /// Runs `windflow-agent enroll` with this token.
    ///
    /// # Panics
    /// When the command does not end.
    pub fn enroll(&self, token: &str) -> Output {
        let token_file = self.folder.path().join("token");
        write_private(&token_file, token);
        let command = enroll_command(&self.options, &self.name, &token_file, &self.state_folder());
        run(&mut self.surround(command), ENROLL_DEADLINE)
    }

    /// Starts `windflow-agent run`.
    ///
    /// # Panics
    /// When it runs already.
    pub fn run(&mut self) {
        assert!(self.process.is_none(), "the agent is running already");
        let mut command = Command::new(places::built("windflow-agent"));
        command.arg("run").arg("--state-dir").arg(self.state_folder());
        command.args(["--engine", &self.options.engine, "--transport", &self.options.transport]);
        command.arg("--policy").arg(self.write_policy());
        let process = Process::start("the agent", &self.surround(command), &self.log_file());
        self.was.push(process.id());
        secrets::watch(process.id(), "the agent");
        self.process = Some(process);
    }

    /// Gives its host another policy, and tells it to read that.
    ///
    /// # Panics
    /// When it does not run.
    pub fn change_policy(&mut self, text: Option<&str>) {
        self.options.policy = text.map(str::to_owned);
        self.write_policy();
        self.process.as_ref().expect("the agent runs").signal(Signal::HUP);
    }

    fn write_policy(&self) -> PathBuf {
        let path = self.folder.path().join("policy.toml");
        match &self.options.policy {
            Some(text) => std::fs::write(&path, text).expect("the policy can be written"),
            None => drop(std::fs::remove_file(&path)),
        }
        path
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it with SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// When it does not end within 10 seconds.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the agent runs");
        process.terminate(END_DEADLINE).code()
    }

    /// Stops its process with SIGSTOP: the kernel keeps its connections.
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang(&self) {
        freeze_process(self.process.as_ref().expect("the agent runs").id());
    }

    /// Lets it go on after [`hang`](Self::hang).
    ///
    /// # Panics
    /// When it does not run.
    pub fn go_on(&self) {
        self.process.as_ref().expect("the agent runs").signal(Signal::CONT);
    }

    /// What the next start is started with.
    pub const fn options_mut(&mut self) -> &mut AgentOptions {
        &mut self.options
    }

    /// The name it enrolls under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `windflow-agent status` says, if it says something.
    pub fn status(&self) -> Option<AgentStatus> {
        let mut command = Command::new(places::built("windflow-agent"));
        command.arg("status").arg("--state-dir").arg(self.state_folder()).args(["--output", "json"]);
        serde_json::from_str(&run(&mut command, ENROLL_DEADLINE).stdout).ok()
    }

    /// Waits until its status is `state`; returns it.
    ///
    /// # Panics
    /// When it is not `within` the given time.
    pub fn wait_for_status(&self, state: &str, within: Duration) -> AgentStatus {
        let what = format!("the status of {} to be {state}", self.name);
        wait::until(&what, within, || self.status().filter(|status| status.state == state))
    }

    /// Everything it has logged while it ran.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process_id(&self) -> i32 {
        self.process.as_ref().expect("the agent runs").id().as_raw_nonzero().get()
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident_bytes(&self) -> u64 {
        self.process.as_ref().expect("the agent runs").resident_bytes()
    }

    /// Where it keeps its identity.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }

    fn surround(&self, mut command: Command) -> Command {
        command.envs(self.options.environment.iter().cloned());
        if let Some(configuration) = &self.options.resolver {
            command = with_resolver(configuration, &command);
        }
        match &self.options.namespace {
            Some(namespace) => wrap_in(&namespace_file(namespace), &command),
            None => command,
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let seen: Vec<_> = self.was.iter().flat_map(|process| secrets::seen_below(*process)).collect();
        self.process = None;
        let mut findings = Findings::none();
        findings.look_at_processes(&seen);
        findings.look_at("the agent's log", &std::fs::read(self.log_file()).unwrap_or_default());
        let is_meant = |file: &Path| file == Path::new(HOLDS_PROXY_PASSWORD);
        findings.look_into("the agent's state", &self.state_folder(), is_meant);
        findings.assert_none();
    }
}

/// The same command where this file is `/etc/resolv.conf`.
pub(super) fn with_resolver(configuration: &Path, command: &Command) -> Command {
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    inside.arg(configuration).arg(command.get_program()).args(command.get_args());
    copy_surroundings(command, &mut inside);
    inside
}

/// The command `windflow-agent enroll` for these options.
pub fn enroll_command(options: &AgentOptions, name: &str, token_file: &Path, state_folder: &Path) -> Command {
    let mut command = Command::new(places::built("windflow-agent"));
    command.args(["enroll", "--hub", &options.hub_url]).arg("--token-file").arg(token_file);
    command.arg("--state-dir").arg(state_folder).args(["--name", name]);
    command
}
