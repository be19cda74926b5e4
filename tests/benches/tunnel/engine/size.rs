//! How large the programs are, on disk and in memory, and how soon a new agent
//! is of use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use windflow_tests::places;
use windflow_tests::product::{Agent, Hub};

use super::Bed;
use super::client::{Target, runtime};
use crate::tunnel::meter::millis;
use crate::tunnel::table::{Limit, Row, Unit, Way, print_not_measured};

/// Memory counts as settled after this.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// How often the list is asked for until it comes.
const ASK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

/// Programs at rest.
pub fn measure_idle() {
    let hub = Hub::start();
    std::thread::sleep(SETTLED_AFTER);
    row("hub without agents, RSS").judged(Way::Memory, mebibytes(hub.resident_bytes()), Limit::AtMost(40.0)).print();
    let bytes = |path: PathBuf| std::fs::metadata(path).map(|file| file.len()).ok();
    let built = bytes(places::built("windflow-agent")).expect("it was built");
    row("agent on disk, dynamic, stripped").reached(Way::WebSocket, mebibytes(built)).print();
    // The limit is 12 MB, of a million bytes each.
    match static_agent().and_then(bytes) {
        Some(bytes) => Row::new("agent on disk, static, stripped", Unit::Mebibytes)
            .judged(Way::WebSocket, mebibytes(bytes), Limit::AtMost(12e6 / f64::from(1 << 20)))
            .print(),
        None => print_not_measured("agent on disk, static, stripped", "it was not built, see docs/BENCHMARKS.md"),
    }
}

/// The agents after all that came before, and a fresh one.
pub fn measure_agents(bed: &Bed) {
    row("agent after saves and terminals, RSS")
        .judged(Way::WebSocket, mebibytes(bed.websocket.resident_bytes()), Limit::AtMost(64.0))
        .judged(Way::Quic, mebibytes(bed.quic.resident_bytes()), Limit::AtMost(64.0))
        .print();
}

/// From the start of the agent's process to the first list of containers, and
/// what a fresh agent weighs.
pub fn measure_first_list(bed: &mut Bed) {
    let [_, (_, through_websocket), (_, through_quic)] = bed.ways.clone();
    let websocket = first_list(&bed.hub, &mut bed.websocket, &through_websocket);
    let quic = first_list(&bed.hub, &mut bed.quic, &through_quic);
    Row::new("first list of containers after the agent's start", Unit::Millis)
        .judged(Way::WebSocket, websocket, Limit::AtMost(1000.0))
        .judged(Way::Quic, quic, Limit::AtMost(1000.0))
        .print();
    std::thread::sleep(SETTLED_AFTER);
    row("T13 agent idle, RSS")
        .judged(Way::WebSocket, mebibytes(bed.websocket.resident_bytes()), Limit::AtMost(12.0))
        .judged(Way::Quic, mebibytes(bed.quic.resident_bytes()), Limit::AtMost(16.0))
        .print();
}

fn first_list(hub: &Hub, agent: &mut Agent, target: &Target) -> f64 {
    agent.terminate();
    hub.wait_for_state(agent.name(), "offline", PATIENCE);
    let started = Instant::now();
    agent.run();
    runtime().block_on(async {
        while !target.connect().await.answers("/v1.41/containers/json").await {
            assert!(started.elapsed() < PATIENCE, "the agent does not come online");
            tokio::time::sleep(ASK_EVERY).await;
        }
    });
    millis(started.elapsed())
}

/// In a target folder of its own, below the name of the machine's kind: see
/// docs/BENCHMARKS.md.
fn static_agent() -> Option<PathBuf> {
    let kinds = std::fs::read_dir(places::workspace().join("target/static")).into_iter().flatten().flatten();
    { kinds }.map(|kind| kind.path().join("release/windflow-agent")).find(|agent| agent.exists())
}

fn row(figure: &str) -> Row {
    Row::new(figure, Unit::Mebibytes)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
