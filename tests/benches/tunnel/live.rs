//! What the console shows of hosts, beside the engine asked directly: lists
//! from the hub's inventory, logs, terminals, and what watching costs the host
//! and its link.

mod cost;
mod lists;
mod logs;
mod quiet;
mod typing;

use windflow_tests::engine::{EngineVersion, TestEngine};
use windflow_tests::network::{LinkOptions, Relay};
use windflow_tests::product::{Agent, AgentOptions, Hub};

use super::engine::client::Target;
use super::table::Way;

/// One engine, and the agents by which the hub has it.
struct Bed {
    /// The engine's own socket.
    direct: Target,
    /// Over a WebSocket and over QUIC.
    agents: [Agent; 2],
    /// The agent over a WebSocket behind a relay that delays.
    _far: Agent,
    _relay: Relay,
    hub: Hub,
    engine: TestEngine,
}

/// The ways of the two agents that are near.
const WAYS: [Way; 2] = [Way::WebSocket, Way::Quic];

/// Every figure of what is live.
pub fn measure() {
    quiet::measure();
    let bed = bed();
    lists::measure(&bed);
    logs::measure(&bed);
    typing::measure(&bed);
    cost::measure(&bed);
}

fn bed() -> Bed {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.import_busybox();
    let hub = Hub::start();
    let plain = || AgentOptions::new(&hub, &engine.address()).through(format!("http://{}", hub.address()));
    let agents = ["websocket", "quic"].map(|transport| Agent::online(&hub, transport, plain().over(transport)));
    let relay = Relay::start(hub.address(), LinkOptions { delay: lists::DELAY, ..LinkOptions::default() });
    let through = plain().through(format!("http://{}", relay.address())).over("websocket");
    let far = Agent::online(&hub, lists::FAR, through);
    Bed { direct: Target::direct(&engine), agents, _far: far, _relay: relay, hub, engine }
}

impl Bed {
    /// The hub's own routes of an environment.
    fn environment(&self, name: &str) -> Target {
        let id = self.hub.environment(name).expect("it has just come online").id;
        Target::routes(&self.hub, &format!("/api/v1/environments/{id}"))
    }

    /// The same of the two that are near.
    fn near(&self) -> [Target; 2] {
        self.agents.each_ref().map(|agent| self.environment(agent.name()))
    }
}
