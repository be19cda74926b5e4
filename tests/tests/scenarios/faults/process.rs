//! Programs of the product that are killed, stopped, or told to end.

mod stopped;

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, edge};

/// How long anything may take to come back by itself.
const RECOVERY: Duration = Duration::from_secs(30);
/// A session is dead after 25 s of silence; this is when that must be known.
const SILENCE_KNOWN: Duration = Duration::from_secs(40);

#[test]
fn f1_a_hub_that_was_killed_has_its_agent_back_and_its_containers_never_stopped() {
    let mut world = edge(EngineVersion::V20_10, "auto");
    let id = world.docker.run(["run", "--detach", BUSYBOX, "sleep", "600"]).succeeded();
    world.hub.restart();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    assert_eq!(world.docker.run(["ps", "--no-trunc", "--quiet"]).succeeded(), id);
}

/// The engine does not end what an exec runs when its caller is gone: that is
/// so without a hub, too.
#[test]
fn f21_an_agent_killed_mid_exec_ends_the_exec_at_the_caller_and_is_back_for_the_next() {
    let mut world = edge(EngineVersion::V26_1, "auto");
    world.docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
    let mut exec = world.docker.start(["exec", "host", "sh", "-c", "echo begun; sleep 555"]);
    exec.wait_for("begun", SOON);
    let agent = world.agent.as_mut().unwrap();
    agent.kill();
    let cut = wait::until("the exec to end", SOON, || exec.ended());
    assert!(!cut.success());
    world.hub.wait_for_state(NAME, "offline", SOON);
    agent.run();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    let left_behind = world.docker.run(["exec", "host", "ps"]).succeeded();
    assert!(left_behind.contains("sleep 555"), "{left_behind}");
}

#[test]
fn f23_an_agent_that_stood_still_is_offline_meanwhile_and_comes_back_as_one_session() {
    let world = edge(EngineVersion::V20_10, "auto");
    let agent = world.agent.as_ref().unwrap();
    let before = world.hub.connected_at(NAME);
    agent.hang();
    world.hub.wait_for_state(NAME, "offline", SILENCE_KNOWN);
    let said = world.docker.run(["ps"]).failed();
    assert!(said.contains("offline"), "{said}");
    agent.go_on();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    let after = world.hub.connected_at(NAME);
    assert_ne!(after, before);
    wait::holds("the one new session", Duration::from_secs(5), || {
        world.hub.state_of(NAME) == "online" && world.hub.connected_at(NAME) == after
    });
    assert_eq!(world.hub.log().matches("session began").count(), 2);
    world.docker.run(["ps"]).succeeded();
}
