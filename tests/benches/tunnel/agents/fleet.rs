//! The simulated fleet: a thousand agents in one process, each with the
//! product's enrollment, TLS, session and heartbeat. Their engine is simulated,
//! too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windflow_agent::engine::{Engine, EngineAddress};
use windflow_agent::enroll::{EnrollOptions, Existing, enroll};
use windflow_agent::host;
use windflow_agent::identity::{EdgeCredentials, StateDir};
use windflow_agent::link::{HubUrl, Link, ProxyRules, TransportChoice};
use windflow_agent::serve::{Contact, HostPolicy, ServeOptions, serve};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::identity::Purpose;
use windflow_protocol::tls::client_config;
use windflow_protocol::token::EnrollmentToken;
use windflow_tests::simulated::SimulatedEngine;

/// The part of this program that enrolls the fleet: `enroll URL FOLDER`.
pub const ENROLL_PART: &str = "enroll";
/// The part that is the fleet: `fleet FOLDER URL TRANSPORT`.
pub const FLEET_PART: &str = "fleet";

/// Agents of the fleet.
pub const AGENTS: usize = 1000;
/// Containers of its engine: their list has 64 KiB.
const CONTAINERS: usize = 250;
/// Dials under way at once.
const DIALS: usize = 32;
/// How long the fleet may take to enroll, and to come online.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// Where the enrollment token is, below the fleet's folder.
pub const TOKEN_FILE: &str = "token";
/// What the fleet prints once all of it is online.
pub const ONLINE: &str = "online";

/// What [`ENROLL_PART`] does.
pub async fn enroll_all(url: &str, folder: &Path) {
    let url: HubUrl = url.parse().expect("the harness gives a good URL");
    let token = std::fs::read_to_string(folder.join(TOKEN_FILE)).expect("the token was written before");
    let mut tasks = JoinSet::new();
    let slots = Arc::new(Semaphore::new(DIALS));
    for number in 0..AGENTS {
        let options = EnrollOptions {
            hubs: vec![url.clone()],
            token: EnrollmentToken::parse(token.trim()).expect("the hub's token is good"),
            name: format!("simulated-{number}"),
            labels: Vec::new(),
            transport: TransportChoice::WebSocket,
            proxy: None,
            proxies: ProxyRules::default(),
            existing: Existing::Keep,
            wait: PATIENCE,
        };
        let (state, slots) = (state_folder(folder, number), Arc::clone(&slots));
        tasks.spawn(async move {
            let _slot = slots.acquire_owned().await.expect("the semaphore is never closed");
            let state = StateDir::open(&state).expect("the folder is ours");
            enroll(&state, &options).await.expect("the hub enrolls whoever has the token");
        });
    }
    tasks.join_all().await;
}

/// What [`FLEET_PART`] does, until it is ended.
pub async fn run_fleet(folder: &Path, url: &str, transport: &str) {
    let url: HubUrl = url.parse().expect("the harness gives a good URL");
    let choice: TransportChoice = transport.parse().expect("a transport's name");
    let simulated = SimulatedEngine::start();
    simulated.set_containers(CONTAINERS);
    let slots = Arc::new(Semaphore::new(DIALS));
    let (mut tasks, mut online) = (JoinSet::new(), JoinSet::new());
    let engine = Arc::new(Engine::new(EngineAddress::Unix(simulated.socket())));
    for number in 0..AGENTS {
        let credentials = credentials(folder, number);
        let mut session = credentials.session();
        // The sender lives as long as the agent, which outlives this.
        online.spawn(async move { drop(session.wait_for(Option::is_some).await) });
        let link = Link::new(vec![url.clone()], ProxyRules::default(), choice);
        tasks.spawn(run_agent(credentials, link, Arc::clone(&engine), Arc::clone(&slots)));
    }
    online.join_all().await;
    println!("{ONLINE}");
    tasks.join_all().await;
}

fn credentials(folder: &Path, number: usize) -> EdgeCredentials {
    let state = StateDir::open(&state_folder(folder, number)).expect("the folder is ours");
    EdgeCredentials::new(state.load().expect("the state is whole").expect("the agent was enrolled"))
}

async fn run_agent(credentials: EdgeCredentials, mut link: Link, engine: Arc<Engine>, slots: Arc<Semaphore>) {
    let slot = slots.acquire_owned().await.expect("the semaphore is never closed");
    let source = credentials.clone();
    let tls = move || {
        let (identity, trust) = source.for_handshake();
        client_config(Purpose::Session, trust, Some(identity))
    };
    let established = link.session(&tls).await.expect("the hub accepts the fleet");
    drop(slot);
    let options = ServeOptions {
        engine,
        capabilities: Capabilities::ALL,
        host: host::facts(),
        container: None,
        instance: host::new_instance(),
        policy: HostPolicy::NotAsked,
    };
    let contact = Contact { connection: established.connection.clone(), hello_by: established.hello_by };
    let end = serve(contact, options, &credentials, CancellationToken::new()).await;
    panic!("a session of the fleet ended: {end:?}");
}

fn state_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("agent-{number}"))
}
