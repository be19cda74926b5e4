//! `make bench`: what the hub costs, side by side in one run on one engine: the
//! engine's own socket, and this hub over each of its transports.
//!
//! Nothing here passes or fails: the table has the measured ratio beside the
//! one that is required, for people to read.

mod client;
mod echo;
mod requests;
mod save;
mod size;

use std::process::Command;
use std::time::Duration;

use windflow_tests::engine::{EngineVersion, TestEngine};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::{process, wait};

use self::client::Target;

/// How long the environments may take to come online.
const ONLINE: Duration = Duration::from_secs(30);

/// One engine and every way to it. What depends on something else stands
/// before it.
struct Bed {
    ways: Vec<Way>,
    agents: Vec<Agent>,
    hub: Hub,
    engine: TestEngine,
}

/// A way to the engine, with its place in the table.
struct Way {
    name: &'static str,
    target: Target,
}

fn main() {
    let bed = bed();
    println!("{:<52} {:>12} {:>9} {:>10}", "what", "measured", "ratio", "required");
    requests::measure(&bed);
    echo::measure(&bed);
    save::measure(&bed);
    size::measure(&bed);
}

fn bed() -> Bed {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.import_busybox();
    let hub = Hub::start_with(HubOptions { engine: engine.address(), ..HubOptions::default() });
    let agents = ["websocket", "quic"]
        .map(|transport| Agent::online(&hub, transport, AgentOptions::new(&hub, &engine.address()).over(transport)));
    let memory = wait::until("the local environment", ONLINE, || {
        hub.environments().into_iter().find(|found| found.kind == "local" && found.state == "online")
    });
    let through = |name: &str| {
        let found = hub.environment(name).expect("it has just come online");
        Target::through(&hub, &found.id)
    };
    let ways = vec![
        Way { name: "direct", target: Target::direct(&engine) },
        Way { name: "memory", target: Target::through(&hub, &memory.id) },
        Way { name: "WebSocket", target: through("websocket") },
        Way { name: "QUIC", target: through("quic") },
    ];
    Bed { ways, agents: agents.into(), hub, engine }
}

/// What a measurement should reach.
#[derive(Clone, Copy)]
enum Required {
    /// Nothing: it is what the others are measured against.
    Reference,
    /// At most this ratio.
    AtMost(f64),
    /// At least this ratio.
    AtLeast(f64),
}

/// Prints one line of the table.
fn print_line(what: &str, measured: &str, ratio: f64, required: Required) {
    let required = match required {
        Required::Reference => String::new(),
        Required::AtMost(limit) => format!("<= {limit:.2}"),
        Required::AtLeast(limit) => format!(">= {limit:.2}"),
    };
    println!("{what:<52} {measured:>12} {ratio:>9.2} {required:>10}");
}

/// Prints one line of the table about a size.
fn print_size(what: &str, bytes: u64, limit: u64) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (measured, required) = (format!("{:.1} MiB", mib(bytes)), format!("<= {:.1}", mib(limit)));
    println!("{what:<52} {measured:>12} {:>9} {required:>10}", "");
}

/// The value below which `part` of the sorted `values` lie.
fn percentile(values: &mut [Duration], part: f64) -> Duration {
    values.sort_unstable();
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn in_micros(duration: Duration) -> String {
    format!("{} us", duration.as_micros())
}

/// Runs `docker ARGUMENTS` straight on the engine.
fn docker(engine: &TestEngine, arguments: &[&str]) -> String {
    let mut command: Command = engine.docker_command();
    process::run(command.args(arguments), Duration::from_secs(120)).succeeded()
}
