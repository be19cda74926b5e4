//! The hub's library in this process, with doors of its own, for what only its
//! inside can be asked. Agents are the real program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::oneshot;
use windflow_hub::app::{App, AppState};
use windflow_hub::config::{
    AgentsOptions, DataDir, EngineAddress, EngineOptions, ListenOptions, LogFormat, LoggingOptions, PeersOptions,
    ProxyOptions, RateOptions, RetentionOptions, RotationOptions, ServeOptions, SessionOptions, StorageOptions,
};
use windflow_hub::lifecycle::Lifecycle;
use windflow_hub::router;
use windflow_hub::server::{CertificateSource, DoorPlan, PortCertificate, Server, TrustedProxies};
use windflow_hub::tunnel::Session;
use windflow_protocol::transport::{TransportKind, quic};
use windflow_tests::places;
use windflow_tests::process::run;
use windflow_tests::product::{Agent, AgentOptions};

/// How long an agent may take to come online.
const ONLINE: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running hub.
pub struct HubHere {
    pub app: AppState,
    address: SocketAddr,
    data: DataDir,
    _folder: TempDir,
}

impl HubHere {
    /// Starts a hub that manages this engine, if there is one.
    pub async fn start(engine: Option<PathBuf>) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-hub-").tempdir().expect("a temporary folder");
        let data = DataDir::new(folder.path());
        let options = options(engine);
        let lifecycle = Lifecycle::default();
        let app = App::build(&data, &options, lifecycle.clone()).await.expect("a fresh hub starts");
        let source = CertificateSource::new(&options.listen, &data.tls()).expect("no certificate is given");
        let certificate = PortCertificate::load(source, app.clock.now()).expect("the folder is ours");
        let plan = DoorPlan {
            address: options.listen.listen,
            certificate: Arc::new(certificate),
            proxies: TrustedProxies::new(&options.proxies),
            agents: Arc::new(app.listener.clone()),
            socket: data.socket(),
        };
        let server = Server::bind(plan, router::build(app.clone()), lifecycle.clone()).expect("a port is free");
        let address = server.address().expect("a bound socket has an address");
        server.serve();
        let tls = app.fleet.tunnel_tls().expect("a fresh hub has its keys");
        let endpoint = quic::listen(address, tls, app.fleet.quic_secret()).expect("the UDP port is free");
        let (listener, stop) = (app.listener.clone(), lifecycle.soft.clone());
        lifecycle.tasks.spawn(async move { listener.take_quic(endpoint, stop).await });
        app.attached.start_all().await.expect("a fresh database answers");
        Self { app, address, data, _folder: folder }
    }

    /// The session of the hub's own engine.
    pub async fn local(&self) -> Arc<Session> {
        self.session(TransportKind::Memory).await
    }

    /// Enrolls an agent for `engine` over this transport, and waits for its
    /// session. There is one agent at most for each transport.
    pub async fn agent(&self, engine: &str, transport: TransportKind) -> (KeptAgent, Arc<Session>) {
        let name = if transport == TransportKind::Quic { "quic" } else { "websocket" };
        let options = AgentOptions {
            hub_url: format!("http://{}", self.address),
            engine: engine.to_owned(),
            transport: name.to_owned(),
            namespace: None,
            resolver: None,
            environment: Vec::new(),
            policy: None,
        };
        let mut token = Command::new(places::built("windflow-hub"));
        token.arg("--data-dir").arg(self.data.path()).args(["token", "create", "bench", "--print", "token"]);
        let kept = KeptAgent::start(move || {
            let mut agent = Agent::new(name, options);
            agent.enroll(&run(&mut token, ONLINE).succeeded()).succeeded();
            agent.run();
            agent
        });
        let kept = kept.await;
        (kept, self.session(transport).await)
    }

    async fn session(&self, transport: TransportKind) -> Arc<Session> {
        let started = Instant::now();
        loop {
            let sessions = self.app.fleet.sessions().all();
            if let Some(session) = sessions.into_iter().find(|session| session.transport() == transport) {
                return session;
            }
            assert!(started.elapsed() < ONLINE, "no session over {transport:?} has begun");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for HubHere {
    fn drop(&mut self) {
        self.app.lifecycle.soft.cancel();
        self.app.lifecycle.hard.cancel();
    }
}

/// An agent with a thread of its own: its process dies with the thread that
/// starts it, and to wait for it on one of the runtime's would be to wait for
/// the hub there.
pub struct KeptAgent {
    process_id: i32,
    /// Dropped first, which ends the thread.
    _stop: mpsc::SyncSender<()>,
    _thread: Joined,
}

impl KeptAgent {
    async fn start(start: impl FnOnce() -> Agent + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::sync_channel(0);
        let (run, runs) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let agent = start();
            run.send(agent.process_id()).expect("somebody waits for it");
            stopped.recv().expect_err("nothing is ever sent");
            drop(agent);
        });
        let process_id = runs.await.expect("the agent was started");
        Self { process_id, _stop: stop, _thread: Joined(Some(thread)) }
    }

    /// Its process.
    pub const fn process_id(&self) -> i32 {
        self.process_id
    }
}

/// A thread that is waited for.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(Err(panic)) = self.0.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn options(engine: Option<PathBuf>) -> ServeOptions {
    ServeOptions {
        storage: StorageOptions::default(),
        peers: PeersOptions::default(),
        rotation: RotationOptions::default(),
        listen: ListenOptions { listen: SocketAddr::from(([127, 0, 0, 1], 0)), tls_cert: None, tls_key: None },
        proxies: ProxyOptions::default(),
        engine: EngineOptions { engine: Some(engine.map_or(EngineAddress::None, EngineAddress::Unix)) },
        agents: AgentsOptions { agent_dir: None },
        retention: RetentionOptions::default(),
        sessions: SessionOptions::default(),
        rates: RateOptions::OFF,
        logging: LoggingOptions { log_format: LogFormat::Text, log_level: "error".to_owned() },
    }
}
