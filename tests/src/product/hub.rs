//! A running hub with an administrator.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use super::agent::with_resolver;
use super::http::{Answer, Caller, ask};
use crate::machine::SmallDisk;
use crate::places;
use crate::process::{Output, Process, run, run_with_input};
use crate::secrets::{self, Findings};
use crate::wait;

/// How long a hub may take from its start to its first answer.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a hub may take to end in good order.
const END_DEADLINE: Duration = Duration::from_secs(35);
/// How long a command or a request may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);
/// The administrator that every hub of a test gets.
pub const ADMINISTRATOR: &str = "ada";
const PASSWORD: &str = "seventeen quiet herons";
/// Files of its data folder that are not searched for secrets. Some hold one
/// because that is what they are for: the key of what is sealed, also while it is
/// changed, and the passphrase that a test gives to a command in a file. The
/// others hold nothing: what the hub, or a test, takes room with.
const NOT_SEARCHED: [&str; 5] = ["master.key", "master.key.next", "passphrase", "ballast", "filler"];

/// How a hub is started.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// `--listen`, with port 0 for one of its own.
    pub listen: SocketAddr,
    /// `--engine`.
    pub engine: String,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Further environment of the process. By default it has the hub answer a
    /// test as often as it asks, which is more often than people do.
    pub environment: Vec<(String, String)>,
    /// Its `/etc/resolv.conf`, where it is not the machine's.
    pub resolver: Option<PathBuf>,
    /// The size of the disk that its data folder is on, in MiB; none is this
    /// machine's own disk.
    pub disk: Option<u64>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            engine: "none".to_owned(),
            arguments: Vec::new(),
            environment: unpaced(),
            resolver: None,
            disk: None,
        }
    }
}

/// What takes the limits of the API away.
fn unpaced() -> Vec<(String, String)> {
    ["WINDFLOW_API_RATE", "WINDFLOW_API_RATE_ANONYMOUS"].map(|name| (name.to_owned(), "off".to_owned())).to_vec()
}

/// A hub in a folder of its own. Dropping it kills it, looks for secrets in all
/// that it leaves, and removes the folder.
#[derive(Debug)]
pub struct Hub {
    process: Option<Process>,
    /// The processes that it was, one after the other.
    was: Vec<Pid>,
    options: HubOptions,
    api_token: String,
    disk: Option<SmallDisk>,
    folder: TempDir,
}

/// One row of `environment list`.
#[derive(Clone, Debug, Deserialize)]
pub struct Environment {
    /// Its id, as it stands in gateway addresses.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `local`, `tcp` or `edge`.
    pub kind: String,
    /// `online`, `offline`, `pending`, `quarantined` or `revoked`.
    pub state: String,
    /// `memory`, `websocket` or `quic` while it is online.
    pub transport: Option<String>,
    /// The measured round trip while it is online.
    pub rtt_ms: Option<f64>,
    /// What the engine says of itself.
    pub engine_version: Option<String>,
    /// What the agent says of itself.
    pub agent_version: Option<String>,
}

impl Hub {
    /// Starts a hub without an engine of its own and makes its administrator.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start() -> Self {
        Self::start_with(HubOptions::default())
    }

    /// Starts a hub and makes its administrator.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_with(options: HubOptions) -> Self {
        let mut hub = Self::start_untouched(options);
        let add = ["user", "add", ADMINISTRATOR, "--role", "administrator", "--password-stdin"];
        run_with_input(hub.command().args(add), PASSWORD.as_bytes(), COMMAND_DEADLINE).succeeded();
        hub.api_token = hub.cli(["api-token", "create", "--user", ADMINISTRATOR, "--print", "token"]).succeeded();
        hub
    }

    /// Starts a hub that has the other's master key and, as the options say, its
    /// database: whoever may use the one may use the other.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_beside(other: &Self, mut options: HubOptions) -> Self {
        let key = other.data_folder().join("master.key").display().to_string();
        options.arguments.extend(["--master-key-file".to_owned(), key]);
        let mut hub = Self::start_untouched(options);
        hub.api_token.clone_from(&other.api_token);
        hub
    }

    /// Starts a hub that nobody has set up: it has no user and no API token.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_untouched(options: HubOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-hub-").tempdir().expect("a temporary folder");
        let disk = options.disk.map(|size| SmallDisk::mount(&folder.path().join("data"), size));
        let mut hub = Self { process: None, was: Vec::new(), options, api_token: String::new(), disk, folder };
        hub.start_again();
        hub
    }

    /// The code with which its first administrator is made, as it printed it.
    ///
    /// # Panics
    /// When it prints none.
    pub fn setup_code(&self) -> String {
        wait::until("the setup code", START_DEADLINE, || {
            let log = self.log();
            let code = log.lines().skip_while(|line| !line.contains("Set it up with this code"));
            let code = code.map(str::trim).find(|line| line.len() == 19 && line.matches('-').count() == 3)?;
            secrets::learn(secrets::SETUP_CODE, code);
            Some(code.to_owned())
        })
    }

    /// Starts a killed hub again on its old folder and port.
    ///
    /// # Panics
    /// When it runs already or does not come up.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the hub is running already");
        let said_before = self.log().len();
        let process = Process::start("the hub", &self.serve_command(), &self.log_file());
        self.was.push(process.id());
        secrets::watch(process.id(), "the hub");
        self.process = Some(process);
        self.options.listen = wait::until("the hub's address", START_DEADLINE, || {
            self.assert_running();
            address_in(&self.log()[said_before..])
        });
        wait::until_true("the hub to be ready", START_DEADLINE, || {
            self.assert_running();
            self.try_get("/healthz").is_some_and(|answer| answer.status == 200)
        });
    }

    /// Starts a hub that should refuse to, and returns what it said.
    ///
    /// # Panics
    /// When it runs already, or comes up.
    pub fn start_refused(&self) -> Output {
        assert!(self.process.is_none(), "the hub is running already");
        let output = run(&mut self.serve_command(), START_DEADLINE);
        assert!(!output.status.success(), "it should not have started");
        output
    }

    /// The disk of its data folder, where it has one of its own.
    ///
    /// # Panics
    /// When it has none.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("the hub has a disk of its own")
    }

    /// Whoever has the administrator's token.
    pub fn caller(&self) -> Caller {
        Caller { address: self.address(), api_token: self.api_token.clone() }
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it with SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// When it does not end within 35 seconds.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the hub runs");
        process.terminate(END_DEADLINE).code()
    }

    /// Kills it and starts it again.
    ///
    /// # Panics
    /// When it does not come up again.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// What the next start is started with.
    pub const fn options_mut(&mut self) -> &mut HubOptions {
        &mut self.options
    }

    /// Where it is reached on this machine, TCP and UDP.
    pub fn address(&self) -> SocketAddr {
        let listen = self.options.listen;
        if listen.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], listen.port())) } else { listen }
    }

    /// Its URL for agents on this machine.
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Its URL for agents that reach this machine at `host`.
    pub fn url_at(&self, host: IpAddr) -> String {
        format!("https://{}", SocketAddr::new(host, self.options.listen.port()))
    }

    /// Its data folder.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A token of the administrator for the API.
    pub fn api_token(&self) -> &str {
        &self.api_token
    }

    /// What the administrator's sign-in sends.
    pub fn sign_in_body() -> String {
        Self::sign_in_body_of(ADMINISTRATOR)
    }

    /// The same of another user with the administrator's password.
    pub fn sign_in_body_of(name: &str) -> String {
        serde_json::json!({ "name": name, "password": PASSWORD }).to_string()
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Where its log is kept.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("hub.log")
    }

    /// How many file descriptors it has open.
    ///
    /// # Panics
    /// When it does not run.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process_id());
        std::fs::read_dir(folder).expect("the hub runs").count()
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process_id(&self) -> i32 {
        self.process.as_ref().expect("the hub runs").id().as_raw_nonzero().get()
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident_bytes(&self) -> u64 {
        self.process.as_ref().expect("the hub runs").resident_bytes()
    }

    /// Runs `windflow-hub --data-dir D ARGUMENTS`.
    ///
    /// # Panics
    /// When the command does not end.
    pub fn cli<const N: usize>(&self, arguments: [&str; N]) -> Output {
        run(self.command().args(arguments), COMMAND_DEADLINE)
    }

    /// A new enrollment token with these further arguments of `token create`.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub fn enrollment_token(&self, arguments: &[&str]) -> String {
        let mut command = self.command();
        command.args(["token", "create", "for-a-test", "--print", "token"]).args(arguments);
        run(&mut command, COMMAND_DEADLINE).succeeded()
    }

    /// All environments.
    ///
    /// # Panics
    /// When the hub does not list them.
    pub fn environments(&self) -> Vec<Environment> {
        let list = self.cli(["environment", "list", "--output", "json"]).succeeded();
        serde_json::from_str(&list).unwrap_or_else(|error| panic!("environment list: {error} in {list}"))
    }

    /// The environment of this name, if there is one.
    pub fn environment(&self, name: &str) -> Option<Environment> {
        self.environments().into_iter().find(|environment| environment.name == name)
    }

    /// The state of the environment of this name, or `absent`.
    pub fn state_of(&self, name: &str) -> String {
        self.environment(name).map_or_else(|| "absent".to_owned(), |environment| environment.state)
    }

    /// Waits until the environment of this name is in `state`; returns it.
    ///
    /// # Panics
    /// When it is not `within` the given time.
    pub fn wait_for_state(&self, name: &str, state: &str, within: Duration) -> Environment {
        wait::until(&format!("{name} to be {state}"), within, || {
            self.environment(name).filter(|environment| environment.state == state)
        })
    }

    /// When the session of the agent of this name began.
    ///
    /// # Panics
    /// When the hub knows no such agent, or it never had one.
    pub fn connected_at(&self, name: &str) -> String {
        let list = self.read(&format!("/api/v1/agents?name={name}"));
        list["items"][0]["connected_at"].as_str().expect("a session began").to_owned()
    }

    /// Sends a request with the administrator's token.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("authorization", format!("Bearer {}", self.api_token))];
        ask(self.address(), method, path, &headers, body).expect("the hub answers")
    }

    /// Sends a request that anybody could send.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request_as_nobody(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.address(), method, path, &[], body).expect("the hub answers")
    }

    /// Sends a request from a page of the console, with this cookie.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request_from_page(&self, method: &str, path: &str, cookie: &str, body: &str) -> Answer {
        let headers = [("origin", format!("http://{}", self.address())), ("cookie", cookie.to_owned())];
        ask(self.address(), method, path, &headers, body).expect("the hub answers")
    }

    /// The JSON that stands at `path`, read with the administrator's token.
    ///
    /// # Panics
    /// When the answer is another than 200, or no JSON.
    pub fn read(&self, path: &str) -> serde_json::Value {
        let answer = self.request("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error} in {}", answer.body))
    }

    /// Sends a request with these headers only.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request_with(&self, method: &str, path: &str, headers: &[(&str, String)]) -> Answer {
        ask(self.address(), method, path, headers, "").expect("the hub answers")
    }

    fn try_get(&self, path: &str) -> Option<Answer> {
        ask(self.address(), "GET", path, &[], "")
    }

    /// The hub's command line without a subcommand.
    pub fn command(&self) -> Command {
        let mut command = Command::new(places::built("windflow-hub"));
        command.arg("--data-dir").arg(self.data_folder());
        command
    }

    fn serve_command(&self) -> Command {
        let mut command = Command::new(places::built("windflow-hub"));
        command.arg("serve").arg("--data-dir").arg(self.data_folder());
        command.arg("--listen").arg(self.options.listen.to_string());
        command.arg("--engine").arg(&self.options.engine).args(&self.options.arguments);
        // Scenarios ask as fast as they can, but for those that are about it.
        command.env("WINDFLOW_API_RATE", "off").env("WINDFLOW_API_RATE_ANONYMOUS", "off");
        command.envs(self.options.environment.iter().cloned());
        match &self.options.resolver {
            Some(configuration) => with_resolver(configuration, &command),
            None => command,
        }
    }

    fn assert_running(&mut self) {
        let ended = self.process.as_mut().and_then(Process::ended);
        assert!(ended.is_none(), "the hub ended: {}", self.log());
    }

    /// Looks for every secret of this run in what the hub said and left.
    fn assert_it_told_no_secret(&mut self) {
        let seen: Vec<_> = self.was.iter().flat_map(|process| secrets::seen_below(*process)).collect();
        self.process = None;
        let master_key = std::fs::read(self.data_folder().join("master.key")).unwrap_or_default();
        secrets::learn_bytes("the master key", master_key.trim_ascii_end());
        let mut findings = Findings::none();
        findings.look_at_processes(&seen);
        findings.look_at_log_of_hub("the hub's log", &std::fs::read(self.log_file()).unwrap_or_default());
        let is_meant = |file: &Path| NOT_SEARCHED.iter().any(|name| file == Path::new(name));
        // With the audit log, which is in the database, and the backups that were made there.
        findings.look_into("the hub's data folder", &self.data_folder(), is_meant);
        let of_database = self.options.arguments.iter().skip_while(|argument| *argument != "--database-url").nth(1);
        if let Some(url) = of_database {
            findings.look_at("the database on PostgreSQL", &dump(url));
        }
        findings.assert_none();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.assert_it_told_no_secret();
        }
    }
}

/// All rows of a database on PostgreSQL.
fn dump(url: &str) -> Vec<u8> {
    let mut dump = Command::new(places::postgres("pg_dump"));
    let output = dump.args(["--data-only", "--dbname", url]).output().expect("pg_dump starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The address in the line with which a hub says that it listens.
fn address_in(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let words = line.split([' ', '"', ',', '=', '/']);
    { words }.find_map(|word| word.parse().ok())
}

/// Whether `bytes` hold `part` anywhere.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
