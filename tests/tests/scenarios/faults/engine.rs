//! Engines and processes that die, hang, or are not there yet.

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineOptions, EngineVersion, TestEngine};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, edge, engine_with_image};

/// How long anything may take to come back by itself.
const RECOVERY: Duration = Duration::from_secs(30);

#[test]
fn a_hub_that_was_killed_has_its_agents_back_and_its_containers_never_stopped() {
    let mut world = edge(EngineVersion::V20_10, "auto");
    let id = world.docker.run(["run", "--detach", BUSYBOX, "sleep", "600"]).succeeded();
    world.hub.restart();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    assert_eq!(world.docker.run(["ps", "--no-trunc", "--quiet"]).succeeded(), id);
}

#[test]
fn a_hub_that_is_asked_to_end_does_so_in_good_order_and_agents_return() {
    let mut world = edge(EngineVersion::V26_1, "auto");
    assert_eq!(world.hub.terminate(), Some(0));
    world.hub.start_again();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
}

#[test]
fn an_agent_killed_mid_exec_ends_the_exec_and_shows_as_offline() {
    let mut world = edge(EngineVersion::V26_1, "auto");
    world.docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
    let mut exec = world.docker.start(["exec", "host", "sh", "-c", "echo begun; sleep 600"]);
    exec.wait_for("begun", SOON);
    let agent = world.agent.as_mut().unwrap();
    agent.kill();
    let cut = wait::until("the exec to end", Duration::from_secs(5), || exec.ended());
    assert!(!cut.success());
    world.hub.wait_for_state(NAME, "offline", Duration::from_secs(5));
    agent.run();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    world.docker.run(["exec", "host", "true"]).succeeded();
}

#[test]
fn an_agent_that_stood_still_comes_back_as_one_session() {
    let world = edge(EngineVersion::V20_10, "auto");
    let agent = world.agent.as_ref().unwrap();
    agent.hang();
    world.hub.wait_for_state(NAME, "offline", Duration::from_secs(40));
    agent.go_on();
    world.hub.wait_for_state(NAME, "online", RECOVERY);
    assert_eq!(world.hub.environments().len(), 1);
    world.docker.run(["ps"]).succeeded();
}

#[test]
fn commands_for_an_offline_host_fail_at_once_and_say_why() {
    let mut world = edge(EngineVersion::V26_1, "auto");
    world.agent.as_mut().unwrap().kill();
    world.hub.wait_for_state(NAME, "offline", SOON);
    let started = std::time::Instant::now();
    let said = world.docker.run(["ps"]).failed();
    assert!(started.elapsed() < Duration::from_secs(3), "it took {:?}", started.elapsed());
    assert!(said.contains("offline"), "{said}");
}

#[test]
fn an_engine_that_is_restarted_is_used_again_without_a_new_session() {
    let mut world = edge(EngineVersion::V20_10, "auto");
    world.engine.kill();
    let said = world.docker.run(["ps"]).failed();
    assert!(said.to_lowercase().contains("engine"), "{said}");
    assert_eq!(world.hub.state_of(NAME), "online");
    world.engine.start_again();
    wait::until_true("the engine through the hub", RECOVERY, || world.docker.run(["ps"]).status.success());
}

#[test]
fn an_engine_that_hangs_takes_neither_its_link_nor_other_hosts_with_it() {
    let world = edge(EngineVersion::V26_1, "auto");
    let other_engine = engine_with_image(EngineVersion::V20_10);
    let _other_agent = Agent::online(&world.hub, "other", AgentOptions::new(&world.hub, &other_engine.address()));
    let other = DockerCli::new(&world.hub, "other");
    world.engine.hang();
    let mut stuck = world.docker.start(["ps"]);
    for _ in 0..5 {
        let started = std::time::Instant::now();
        other.run(["ps"]).succeeded();
        assert!(started.elapsed() < Duration::from_secs(2), "it took {:?}", started.elapsed());
    }
    assert_eq!(world.hub.state_of(NAME), "online");
    assert!(stuck.ended().is_none_or(|status| !status.success()));
    world.engine.go_on();
    wait::until_true("the engine through the hub", RECOVERY, || world.docker.run(["ps"]).status.success());
}

#[test]
fn an_engine_that_is_absent_at_the_start_is_used_once_it_is_there() {
    let mut engine = TestEngine::prepare(EngineVersion::V20_10, EngineOptions::default());
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &engine.address()));
    let docker = DockerCli::new(&hub, NAME);
    docker.run(["ps"]).failed();
    engine.start_again();
    wait::until_true("the engine through the hub", RECOVERY, || docker.run(["ps"]).status.success());
    wait::until_true("the engine's version in the list", RECOVERY, || {
        hub.environment(NAME).and_then(|site| site.engine_version).is_some_and(|version| version.starts_with("20.10"))
    });
}
