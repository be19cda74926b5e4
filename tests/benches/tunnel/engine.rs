//! End to end on a real engine: its own socket, and the real hub with the
//! local environment and two agents, over WebSocket and over QUIC.

pub mod client;
pub mod echo;
mod listing;
pub mod save;
mod size;
mod typed;

use std::process::Command;
use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::{process, wait};

use self::client::Target;
use super::table::Way;

/// The image that is saved: 300 MB.
const MEBIBYTES: usize = 286;
/// How long the local environment may take to come online.
const ONLINE: Duration = Duration::from_secs(30);
/// How long a command on the engine may take.
const COMMAND: Duration = Duration::from_secs(120);

/// One engine and every way to it. What depends on something else stands
/// before it.
pub struct Bed {
    direct: Target,
    ways: [(Way, Target); 3],
    /// A WebSocket over `https://`: the tunnel's TLS inside another one.
    in_tls: Target,
    websocket: Agent,
    quic: Agent,
    _in_tls: Agent,
    hub: Hub,
    engine: TestEngine,
}

/// Every figure of the real engine.
pub fn measure() {
    size::measure_idle();
    let mut bed = bed();
    listing::measure(&bed);
    typed::measure(&bed);
    save::make_image(&bed.engine, MEBIBYTES);
    save::measure(&bed);
    echo::measure(&bed);
    size::measure_agents(&bed);
    size::measure_first_list(&mut bed);
}

fn bed() -> Bed {
    let engine = TestEngine::start(EngineVersion::V20_10);
    engine.import_busybox();
    let hub = Hub::start_with(HubOptions { engine: engine.address(), ..HubOptions::default() });
    let plain = || AgentOptions::new(&hub, &engine.address()).through(format!("http://{}", hub.address()));
    let [websocket, quic] =
        ["websocket", "quic"].map(|transport| Agent::online(&hub, transport, plain().over(transport)));
    let in_tls = AgentOptions::new(&hub, &engine.address()).over("websocket");
    let in_tls = Agent::online(&hub, "tls-in-tls", in_tls);
    let memory = wait::until("the local environment", ONLINE, || {
        hub.environments().into_iter().find(|found| found.kind == "local" && found.state == "online")
    });
    let edge = |name: &str| Target::through(&hub, &hub.environment(name).expect("it has just come online").id);
    let ways = [
        (Way::Memory, Target::through(&hub, &memory.id)),
        (Way::WebSocket, edge("websocket")),
        (Way::Quic, edge("quic")),
    ];
    let double = edge("tls-in-tls");
    Bed { direct: Target::direct(&engine), ways, in_tls: double, websocket, quic, _in_tls: in_tls, hub, engine }
}

impl Bed {
    /// The engine's own socket, then each way, then the WebSocket over
    /// `https://`.
    fn targets(&self) -> [&Target; 5] {
        let [memory, websocket, quic] = &self.ways;
        [&self.direct, &memory.1, &websocket.1, &quic.1, &self.in_tls]
    }
}

/// Runs `docker ARGUMENTS` straight on the engine.
pub fn docker(engine: &TestEngine, arguments: &[&str]) -> String {
    let mut command: Command = engine.docker_command();
    process::run(command.args(arguments), COMMAND).succeeded()
}

/// The image of every container here.
pub const IMAGE: &str = BUSYBOX;
