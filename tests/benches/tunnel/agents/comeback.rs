//! How soon a simulated fleet is back after its hub was restarted, each agent
//! waiting a random time between its tries.

use std::time::{Duration, Instant};

use windflow_tests::product::Hub;
use windflow_tests::simulated::{Manners, SimulatedFleet};

use super::super::table::{Limit, Row, Unit, Way};
use super::fleet::PATIENCE;

const AGENTS: usize = 200;
/// Ninety-nine in a hundred.
const MOST: usize = AGENTS * 99 / 100;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// From the moment at which the hub is ready again.
pub fn measure() {
    let mut hub = Hub::start();
    let mut fleet = SimulatedFleet::enroll(&hub, "simulated", AGENTS);
    fleet.start(Manners::Product);
    fleet.wait_for_online(&hub, AGENTS, PATIENCE);
    hub.restart();
    let up = Instant::now();
    while fleet.online(&hub) < MOST {
        assert!(up.elapsed() < PATIENCE, "the fleet has not come back");
        std::thread::sleep(LOOK_EVERY);
    }
    let back = up.elapsed();
    fleet.wait_for_online(&hub, AGENTS, PATIENCE);
    let tries = fleet.front.dials_since(up, AGENTS).into_iter().max().unwrap_or_default();
    Row::new("200 simulated agents back after a restart, p99", Unit::Millis)
        .judged(Way::WebSocket, back.as_secs_f64() * 1e3, Limit::AtMost(10_000.0))
        .print();
    Row::new("the same, most tries of one agent", Unit::Ratio)
        .judged(Way::WebSocket, tries as f64, Limit::AtMost(3.0))
        .print();
}
