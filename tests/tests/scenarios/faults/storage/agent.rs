//! A full disk under an agent's state.

use std::time::Duration;

use windflow_tests::machine::SmallDisk;
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::wait;

use crate::scenarios::SOON;
use crate::scenarios::worlds::{NAME, NO_ENGINE};

#[test]
fn f28_an_agent_whose_disk_is_full_keeps_its_identity_and_comes_back_with_room() {
    let mut hub = Hub::start();
    let mut agent = Agent::new(NAME, AgentOptions::new(&hub, NO_ENGINE));
    let disk = SmallDisk::mount(&agent.state_folder(), 1);
    agent.enroll(&hub.enrollment_token(&[])).succeeded();
    agent.run();
    hub.wait_for_state(NAME, "online", SOON);
    disk.fill();
    wait::holds("the session", Duration::from_secs(3), || hub.state_of(NAME) == "online");

    // Every attempt hands out a ticket that cannot be stored.
    hub.restart();
    wait::until_true("three attempts that fail for lack of room", Duration::from_secs(60), || {
        disk.fill();
        agent.log().matches("No space left").count() >= 3
    });
    agent.kill();
    disk.make_room();
    agent.run();
    hub.wait_for_state(NAME, "online", Duration::from_secs(30));
}
