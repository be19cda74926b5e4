//! Real Docker engines, started by the tests.
//!
//! Each engine has its own data folder, socket, and mount, process and network
//! namespaces. Ending the first process of those namespaces ends containerd,
//! every shim and every container with it and frees every mount, so that
//! nothing has to be found and cleaned one by one.

mod image;
mod podman;
mod registry;
mod tls;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use self::image::bare_archive;
pub use self::image::{BUSYBOX, busybox_archive};
pub use self::podman::Podman;
pub use self::registry::Registry;
pub use self::tls::EngineCertificates;
use crate::network::{namespace_file, wrap_in};
use crate::places;
use crate::process::{Output, Process, freeze_process, run, run_with_input, signal_process};
use crate::wait;

/// How long an engine may take to answer after its start.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long an engine may take to answer a ping.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// Where engines listen that listen on TCP.
pub const ENGINE_PORT: u16 = 2376;
/// How often, and how far apart, an ended engine's control groups are removed.
const CGROUP_ATTEMPTS: u32 = 100;
const CGROUP_PAUSE: Duration = Duration::from_millis(10);
/// How long a command given to an engine may run.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// The engine versions that every engine test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineVersion {
    /// Debian 12's, API 1.41: the oldest supported.
    V20_10,
    /// Debian 13's, API 1.45.
    V26_1,
}

impl EngineVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V20_10, Self::V26_1];

    /// What the engine's own version starts with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::V20_10 => "20.10.",
            Self::V26_1 => "26.1.",
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Self::V20_10 => places::installed("dockerd"),
            Self::V26_1 => places::newer_engine().join("bin/dockerd"),
        }
    }

    /// The engine finds containerd and its shims here, its own before others.
    fn path(self) -> OsString {
        let debian = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        match self {
            Self::V20_10 => debian.into(),
            Self::V26_1 => format!("{}:{debian}", places::newer_engine().join("bin").display()).into(),
        }
    }
}

/// The network that an engine and its containers live in. It is never the
/// machine's own: a second engine there takes the bridge of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EngineNetwork {
    /// One of its own, reachable from nowhere else.
    #[default]
    Private,
    /// A named network namespace that a test made.
    Namespace(String),
}

/// What else an engine should be.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Where it lives.
    pub network: EngineNetwork,
    /// Whether it also listens on TCP.
    pub tcp: EngineTcp,
}

/// How an engine listens on TCP, on every address of its namespace.
#[derive(Clone, Debug, Default)]
pub enum EngineTcp {
    /// Not at all.
    #[default]
    None,
    /// Without TLS.
    Plain,
    /// With certificates of both sides.
    MutualTls(EngineCertificates),
}

/// A Docker engine. Dropping it ends it with all its containers and removes
/// its folder.
#[derive(Debug)]
pub struct TestEngine {
    version: EngineVersion,
    options: EngineOptions,
    process: Option<Process>,
    cgroup: String,
    folder: TempDir,
}

impl TestEngine {
    /// Starts an engine in a network of its own and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(version: EngineVersion) -> Self {
        Self::start_with(version, EngineOptions::default())
    }

    /// Starts an engine and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(version: EngineVersion, options: EngineOptions) -> Self {
        let mut engine = Self::prepare(version, options);
        engine.start_again();
        engine
    }

    /// An engine that has not been started: its socket does not exist yet.
    pub fn prepare(version: EngineVersion, options: EngineOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("windflow-test-{}-{number}", std::process::id());
        let folder = tempfile::Builder::new().prefix("windflow-engine-").tempdir().expect("a temporary folder");
        Self { version, options, process: None, cgroup, folder }
    }

    /// Starts a prepared or ended engine on its old folder and address.
    ///
    /// # Panics
    /// When it does not start or is running already.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the engine is running already");
        // Ending the namespaces is a reboot for the engine, and what it keeps
        // of running processes does not survive one: their ids come again.
        let _none_on_the_first_start = std::fs::remove_file(self.folder.path().join("pid"));
        let _none_on_the_first_start = std::fs::remove_dir_all(self.folder.path().join("exec"));
        self.process = Some(Process::start("dockerd", &self.command(), &self.folder.path().join("dockerd.log")));
        wait::until_true("an engine to answer", START_DEADLINE, || {
            let ended = self.process.as_mut().and_then(Process::ended);
            assert!(
                ended.is_none(),
                "the engine ended: {}",
                self.process.as_ref().map(Process::log).unwrap_or_default()
            );
            self.answers()
        });
    }

    /// Ends the engine at once, its containers too.
    pub fn kill(&mut self) {
        self.process = None;
        let _the_socket_stays_behind = std::fs::remove_file(self.socket());
    }

    /// Ends the engine and starts it again.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Restarts it so that it listens like this.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn listen(&mut self, tcp: EngineTcp) {
        self.options.tcp = tcp;
        self.restart();
    }

    /// Ends the engine and starts one of another version at the same address,
    /// on a data folder of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn replace_with(&mut self, version: EngineVersion) {
        self.kill();
        self.version = version;
        self.start_again();
    }

    /// Stops its process with SIGSTOP: it accepts connections and answers
    /// nothing.
    pub fn hang(&self) {
        freeze_process(self.dockerd());
    }

    /// Lets it go on after [`hang`](Self::hang).
    pub fn go_on(&self) {
        signal_process(self.dockerd(), Signal::CONT);
    }

    /// Its version.
    pub const fn version(&self) -> EngineVersion {
        self.version
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Its address as `--engine` takes it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The same command, to be run in the engine's network.
    pub fn wrap(&self, command: &Command) -> Command {
        wrap_in(&PathBuf::from(format!("/proc/{}/ns/net", self.dockerd().as_raw_nonzero())), command)
    }

    /// A folder that the engine and the tests share; removed with the engine.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that the engine has logged.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Whether it answers a ping.
    pub fn answers(&self) -> bool {
        ping(&self.socket()).unwrap_or(false)
    }

    /// Runs `docker ARGUMENTS` straight on this engine.
    ///
    /// # Panics
    /// When the command does not end.
    pub fn docker<const N: usize>(&self, arguments: [&str; N]) -> Output {
        run(self.docker_command().args(arguments), COMMAND_DEADLINE)
    }

    /// The `docker` command set up for this engine, without arguments.
    pub fn docker_command(&self) -> Command {
        let mut command = Command::new(places::newer_engine().join("bin/docker"));
        command.env("DOCKER_HOST", self.address()).env("DOCKER_CONFIG", self.folder.path().join("docker-config"));
        command
    }

    /// Makes the image [`BUSYBOX`].
    ///
    /// # Panics
    /// When the engine refuses it.
    pub fn import_busybox(&self) {
        let mut command = self.docker_command();
        command.args(["import", "--change", r#"CMD ["sh"]"#, "-", BUSYBOX]);
        run_with_input(&mut command, busybox_archive(), COMMAND_DEADLINE).succeeded();
    }

    /// Makes an image that holds busybox alone, under a name that is no shell's.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub fn import_without_shell(&self, name: &str) {
        let mut command = self.docker_command();
        command.args(["import", "-", name]);
        run_with_input(&mut command, &bare_archive(), COMMAND_DEADLINE).succeeded();
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        let private = self.options.network == EngineNetwork::Private;
        let bring_up = if private { "ip link set lo up && " } else { "" };
        command.args(private.then_some("--net"));
        command.arg("sh").args(["-c", &format!("{bring_up}exec \"$@\""), "sh"]);
        command.arg(self.version.program()).args(self.arguments());
        command.env("PATH", self.version.path());
        match &self.options.network {
            EngineNetwork::Namespace(name) => wrap_in(&namespace_file(name), &command),
            EngineNetwork::Private => command,
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let folder = self.folder.path();
        let mut arguments: Vec<OsString> = vec![
            "--data-root".into(),
            // One version does not read what another has written.
            folder.join(format!("data-{}", self.version.prefix())).into(),
            "--exec-root".into(),
            folder.join("exec").into(),
            "--pidfile".into(),
            folder.join("pid").into(),
            "--cgroup-parent".into(),
            self.cgroup.clone().into(),
            "--host".into(),
            self.address().into(),
        ];
        match &self.options.tcp {
            EngineTcp::None => {}
            EngineTcp::Plain => arguments.extend(["--host".into(), format!("tcp://0.0.0.0:{ENGINE_PORT}").into()]),
            EngineTcp::MutualTls(certificates) => {
                arguments.extend(["--host".into(), format!("tcp://0.0.0.0:{ENGINE_PORT}").into()]);
                arguments.extend(certificates.engine_arguments(folder));
            }
        }
        arguments
    }

    /// The engine itself, as a child of the process that made the namespaces.
    fn dockerd(&self) -> Pid {
        let outer = self.process.as_ref().expect("the engine runs").id().as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
        let child = children.split_whitespace().next().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        child.expect("the engine runs inside its namespaces")
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        self.kill();
        remove_cgroup(&self.cgroup);
    }
}

/// A free TCP port on loopback. Another program may take it before it is used;
/// where a program can be told to use port 0, that is better.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn ping(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PING_DEADLINE))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(start.ends_with(b" 200"))
}

/// Containers that were killed leave their empty control groups behind. The
/// kernel lets a group go once the last of its processes has.
fn remove_cgroup(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name)).collect::<Vec<_>>();
    for _ in 0..CGROUP_ATTEMPTS {
        for folder in &folders {
            remove_empty_folders(folder);
        }
        if !folders.iter().any(|folder| folder.exists()) {
            return;
        }
        std::thread::sleep(CGROUP_PAUSE);
    }
}

fn remove_empty_folders(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty_folders(&entry.path());
    }
    let _not_there_is_fine = std::fs::remove_dir(folder);
}
