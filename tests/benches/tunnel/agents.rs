//! What agents cost the hub and their own hosts (T10 to T13): a real hub, and
//! a simulated fleet in another process, or one real agent.

mod comeback;
mod fleet;
mod process;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use windflow_protocol::limits::HEARTBEAT_EVERY;
use windflow_tests::process::{Running, run, write_private};
use windflow_tests::product::Hub;

use self::fleet::{AGENTS, ONLINE, PATIENCE, TOKEN_FILE};
pub use self::fleet::{ENROLL_PART, FLEET_PART, enroll_all, run_fleet};
use super::engine::client::{Target, runtime};
use super::meter::{cpu_time, myself, resident_mib};
use super::table::{Limit, Row, Unit, Way};

/// Memory counts as settled after this.
const SETTLED_AFTER: Duration = Duration::from_secs(4);
/// How long the idle hub's processor time is counted: two heartbeats.
const COUNTED: Duration = Duration::from_secs(20);
/// By now the hub has closed the connections that it kept to the engines, those
/// that rested for 15 seconds, at which it looks every 15 seconds; and the
/// allocator has given back, in ten more, what they took.
const NOTHING_KEPT_AFTER: Duration = Duration::from_secs(50);

/// What each engine is asked for, and how many bytes it answers with.
const ANSWER_PATH: &str = "/v1.41/containers/json";
const ANSWER: usize = 64 * 1024;

/// What the fleet costs over one transport.
struct Cost {
    kib_per_agent: f64,
    /// The same once 64 KiB have come from each.
    kib_after_traffic: f64,
    /// Of one core, for the heartbeat.
    percent: f64,
    seconds_to_connect: f64,
}

/// The cost of the fleet over both transports, and of an agent to its host.
pub fn measure() {
    process::measure();
    comeback::measure();
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
    let row = Row::new("hub, per idle agent that dials https://", Unit::Kibibytes);
    row.reached(Way::WebSocket, in_tls.kib_per_agent).print();
}

fn print(websocket: &Cost, quic: &Cost) {
    Row::new("T10/T11 hub, per idle agent (1,000 simulated)", Unit::Kibibytes)
        .judged(Way::WebSocket, websocket.kib_per_agent, Limit::AtMost(32.0))
        .judged(Way::Quic, quic.kib_per_agent, Limit::AtMost(160.0))
        .print();
    Row::new("T10 the same after 64 KiB came from each", Unit::Kibibytes)
        .judged(Way::WebSocket, websocket.kib_after_traffic, Limit::AtMost(40.0))
        .reached(Way::Quic, quic.kib_after_traffic)
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
    let per_agent = || (resident_mib(&process) - memory) * 1024.0 / AGENTS as f64;
    let mut command: Command = myself(FLEET_PART);
    let fleet = Running::start(command.arg(folder).arg(url).arg(transport));
    let connected = fleet.wait_for(ONLINE, PATIENCE);
    std::thread::sleep(SETTLED_AFTER);
    let percent = (cpu_over(&process, COUNTED) - idle) * 100.0;
    // By now the allocator has given back what the handshakes took.
    let kib_per_agent = per_agent();
    ask_each(hub);
    std::thread::sleep(NOTHING_KEPT_AFTER);
    Cost { kib_per_agent, kib_after_traffic: per_agent(), percent, seconds_to_connect: connected.as_secs_f64() }
}

/// Has each agent's engine send 64 KiB through the gateway.
fn ask_each(hub: &Hub) {
    let environments = hub.environments();
    assert_eq!(environments.len(), AGENTS, "the whole fleet is listed");
    runtime().block_on(async {
        for environment in environments {
            let mut client = Target::through(hub, &environment.id).connect().await;
            let answer = client.ask("GET", ANSWER_PATH, "").await;
            assert!(answer.len() >= ANSWER, "{} bytes came", answer.len());
        }
    });
}

/// Seconds of processor time for each second.
fn cpu_over(process: &str, time: Duration) -> f64 {
    let (started, before) = (Instant::now(), cpu_time(process));
    std::thread::sleep(time);
    (cpu_time(process) - before).as_secs_f64() / started.elapsed().as_secs_f64()
}
