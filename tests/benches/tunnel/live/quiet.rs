//! What the link of a host carries on which nothing happens.

use std::time::{Duration, Instant};

use windflow_tests::engine::{EngineVersion, TestEngine};
use windflow_tests::network::{Direction, LinkOptions, Relay};
use windflow_tests::product::{Agent, AgentOptions, Hub};

use super::WAYS;
use crate::tunnel::table::{Limit, Row, Unit};

/// What the agent tells of its host once it is online is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(30);
/// For how long it counts: eight rounds of measurements, two looks at
/// everything.
const COUNTED: Duration = Duration::from_secs(120);
/// What may pass, both ways together.
const BITS_MOST: f64 = 200.0;

/// Counts the bytes of the WebSocket's TCP connection, heartbeat, metrics,
/// framing and encryption included.
pub fn measure() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    let hub = Hub::start();
    let relay = Relay::start(hub.address(), LinkOptions::default());
    let options = AgentOptions::new(&hub, &engine.address()).through(format!("http://{}", relay.address()));
    let _agent = Agent::online(&hub, "quiet", options.over("websocket"));
    std::thread::sleep(SETTLED_AFTER);
    let passed = || [Direction::ToHub, Direction::ToAgent].map(|direction| relay.recorded(direction).len());
    let (started, before) = (Instant::now(), passed());
    std::thread::sleep(COUNTED);
    let seconds = started.elapsed().as_secs_f64();
    let [up, down] = [0, 1].map(|way| (passed()[way] - before[way]) as f64 * 8.0 / seconds);
    Row::new("link of an idle host, both ways", Unit::BitsPerSecond)
        .judged(WAYS[0], up + down, Limit::AtMost(BITS_MOST))
        .print();
    Row::new("the same, from the agent to the hub", Unit::BitsPerSecond).reached(WAYS[0], up).print();
}
