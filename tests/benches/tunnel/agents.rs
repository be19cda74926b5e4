//! What an idle agent costs the hub (T10, T11, T12): a real hub, and a
//! simulated fleet in another process with the product's enrollment, TLS,
//! sessions and heartbeat, and no engine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windflow_agent::engine::{Engine, EngineAddress};
use windflow_agent::enroll::{EnrollOptions, Existing, enroll};
use windflow_agent::host;
use windflow_agent::identity::{EdgeCredentials, StateDir};
use windflow_agent::link::{HubUrl, Link, ProxyRules, TransportChoice};
use windflow_agent::serve::{Contact, ServeOptions, serve};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::identity::Purpose;
use windflow_protocol::limits::HEARTBEAT_EVERY;
use windflow_protocol::tls::client_config;
use windflow_protocol::token::EnrollmentToken;
use windflow_tests::process::{Running, run, write_private};
use windflow_tests::product::Hub;

use super::meter::{cpu_time, myself, resident_mib};
use super::table::{Limit, Row, Unit, Way};

/// The part of this program that enrolls the fleet: `enroll URL FOLDER`.
pub const ENROLL_PART: &str = "enroll";
/// The part that is the fleet: `fleet FOLDER URL TRANSPORT`.
pub const FLEET_PART: &str = "fleet";

/// Agents of the fleet.
const AGENTS: usize = 1000;
/// Dials under way at once.
const DIALS: usize = 32;
/// How long the fleet may take to enroll, and to come online.
const PATIENCE: Duration = Duration::from_secs(150);
/// Memory counts as settled after this.
const SETTLED_AFTER: Duration = Duration::from_secs(4);
/// How long the idle hub's processor time is counted: two heartbeats.
const COUNTED: Duration = Duration::from_secs(20);
const TOKEN_FILE: &str = "token";
const ONLINE: &str = "online";

/// What the fleet costs over one transport.
struct Cost {
    kib_per_agent: f64,
    /// Of one core, for the heartbeat.
    percent: f64,
    seconds_to_connect: f64,
}

/// The cost of the fleet over both transports.
pub fn measure() {
    let mut hub = Hub::start();
    let folder = tempfile::Builder::new().prefix("windflow-fleet-").tempdir().expect("a temporary folder");
    let token = hub.enrollment_token(&["--uses", &AGENTS.to_string(), "--ttl", "1h"]);
    write_private(&folder.path().join(TOKEN_FILE), &token);
    run(myself(ENROLL_PART).arg(hub.url()).arg(folder.path()), PATIENCE).succeeded();
    let plain = format!("http://{}", hub.address());
    let websocket = cost(&mut hub, folder.path(), (&plain, "websocket"));
    let quic = cost(&mut hub, folder.path(), (&plain, "quic"));
    print(&websocket, &quic);
    let https = hub.url();
    let in_tls = cost(&mut hub, folder.path(), (&https, "websocket"));
    let row = Row::new("hub, per idle agent that dials https:// (TLS in TLS)", Unit::Kibibytes);
    row.reached(Way::WebSocket, in_tls.kib_per_agent).print();
}

fn print(websocket: &Cost, quic: &Cost) {
    Row::new("T10/T11 hub, per idle agent (1,000 simulated)", Unit::Kibibytes)
        .judged(Way::WebSocket, websocket.kib_per_agent, Limit::AtMost(32.0))
        .judged(Way::Quic, quic.kib_per_agent, Limit::AtMost(160.0))
        .print();
    // The targets are for 500 pings a second; this fleet and hub send 200.
    let pings = AGENTS as f64 * 2.0 / HEARTBEAT_EVERY.as_secs_f64();
    let scale = pings / 500.0;
    Row::new("T12 hub, heartbeat of 1,000 simulated agents", Unit::PercentOfCore)
        .judged(Way::WebSocket, websocket.percent, Limit::AtMost(3.0 * scale))
        .judged(Way::Quic, quic.percent, Limit::AtMost(6.0 * scale))
        .print();
    Row::new("1,000 simulated agents come online", Unit::Millis)
        .reached(Way::WebSocket, websocket.seconds_to_connect * 1e3)
        .reached(Way::Quic, quic.seconds_to_connect * 1e3)
        .print();
}

fn cost(hub: &mut Hub, folder: &Path, (url, transport): (&str, &str)) -> Cost {
    hub.restart();
    std::thread::sleep(SETTLED_AFTER);
    let process = hub.process_id().to_string();
    let (memory, idle) = (resident_mib(&process), cpu_over(&process, SETTLED_AFTER));
    let mut command: Command = myself(FLEET_PART);
    let fleet = Running::start(command.arg(folder).arg(url).arg(transport));
    let connected = fleet.wait_for(ONLINE, PATIENCE);
    std::thread::sleep(SETTLED_AFTER);
    let percent = (cpu_over(&process, COUNTED) - idle) * 100.0;
    // By now the allocator has given back what the handshakes took.
    let grown = resident_mib(&process) - memory;
    Cost { kib_per_agent: grown * 1024.0 / AGENTS as f64, percent, seconds_to_connect: connected.as_secs_f64() }
}

/// Seconds of processor time for each second.
fn cpu_over(process: &str, time: Duration) -> f64 {
    let (started, before) = (Instant::now(), cpu_time(process));
    std::thread::sleep(time);
    (cpu_time(process) - before).as_secs_f64() / started.elapsed().as_secs_f64()
}

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
    let engine = Arc::new(Engine::new(EngineAddress::Unix("/nonexistent/docker.sock".into())));
    let slots = Arc::new(Semaphore::new(DIALS));
    let (mut tasks, mut online) = (JoinSet::new(), JoinSet::new());
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
    let options =
        ServeOptions { engine, capabilities: Capabilities::ALL, host: host::facts(), instance: host::new_instance() };
    let contact = Contact { connection: established.connection.clone(), hello_by: established.hello_by };
    let end = serve(contact, options, &credentials, CancellationToken::new()).await;
    panic!("a session of the fleet ended: {end:?}");
}

fn state_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("agent-{number}"))
}
