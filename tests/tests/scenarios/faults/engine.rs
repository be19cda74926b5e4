//! Engines that die, hang, change, or are not there yet.

mod answers;
mod logs;
mod versions;

use std::time::Duration;

use serde_json::json;
use windflow_tests::engine::{BUSYBOX, ENGINE_PORT, EngineOptions, EngineTcp, EngineVersion, TestEngine};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, edge, engine_with_image};

/// How long anything may take to come back by itself.
const RECOVERY: Duration = Duration::from_secs(30);

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
fn f35_an_engine_that_is_restarted_is_used_again_without_a_new_session() {
    let mut world = edge(EngineVersion::V20_10, "auto");
    let session = world.hub.connected_at(NAME);
    world.engine.kill();
    let said = world.docker.run(["ps"]).failed();
    assert!(said.to_lowercase().contains("engine"), "{said}");
    wait::until_true("the hub to know", RECOVERY, || engine_of(&world.hub) == "absent");
    assert_eq!(world.hub.state_of(NAME), "online");
    world.engine.start_again();
    wait::until_true("the engine through the hub", RECOVERY, || world.docker.run(["ps"]).status.success());
    wait::until_true("the hub to know", RECOVERY, || engine_of(&world.hub) == "running");
    assert_eq!(world.hub.connected_at(NAME), session);
}

#[test]
fn c47_an_engine_that_is_open_to_the_network_is_an_alert_until_it_is_not() {
    for version in [EngineVersion::V20_10, EngineVersion::V26_1] {
        let tcp = EngineTcp::Plain;
        let mut engine = TestEngine::start_with(version, EngineOptions { tcp, ..EngineOptions::default() });
        let hub = Hub::start();
        let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &engine.address()));
        let environment = || hub.read(&format!("/api/v1/environments?name={NAME}"))["items"][0].clone();
        wait::until_true("the hub to be told", RECOVERY, || environment()["alerts"] != json!([]));
        let told = environment();
        assert_eq!(told["alerts"], json!([{ "kind": "engine_exposed" }]), "{told}");
        assert_eq!(told["exposed"], json!([format!("http://0.0.0.0:{ENGINE_PORT}")]), "{told}");

        engine.listen(EngineTcp::None);
        wait::until_true("the hub to be told", RECOVERY, || {
            let told = environment();
            told["engine"] == "running" && told["exposed"] == json!([]) && told["alerts"] == json!([])
        });
    }
}

#[test]
fn f36_an_engine_that_hangs_takes_neither_its_link_nor_other_hosts_with_it() {
    let world = edge(EngineVersion::V26_1, "auto");
    let session = world.hub.connected_at(NAME);
    let other_engine = engine_with_image(EngineVersion::V20_10);
    let _other_agent = Agent::online(&world.hub, "other", AgentOptions::new(&world.hub, &other_engine.address()));
    let other = DockerCli::new(&world.hub, "other");
    world.docker.run(["create", "--name", "known", "--network", "none", BUSYBOX, "true"]).succeeded();
    let list = format!("/api/v1/environments/{}/containers", world.hub.environment(NAME).unwrap().id);
    let known = || world.hub.read(&list)["items"][0].clone();
    wait::until_true("the container to be told", RECOVERY, || known()["name"] == "known");
    assert!(known()["as_of"].is_null(), "{}", known());
    world.engine.hang();
    let stuck = world.docker.start(["ps"]);
    for _ in 0..5 {
        other.run(["ps"]).succeeded();
    }
    wait::until_true("the hub to know", RECOVERY, || engine_of(&world.hub) == "unresponsive");
    assert_eq!(world.hub.state_of(NAME), "online");
    // The command is not waited for: the hub gives the engine up by itself.
    let said = stuck.finish(Duration::from_secs(60)).failed();
    assert!(said.contains("does not answer"), "{said}");
    assert_eq!(known()["name"], "known");
    assert!(known()["as_of"].is_string(), "what was true is shown as such: {}", known());

    world.engine.go_on();
    wait::until_true("the engine through the hub", RECOVERY, || world.docker.run(["ps"]).status.success());
    wait::until_true("the hub to know", RECOVERY, || engine_of(&world.hub) == "running");
    assert_eq!(world.hub.connected_at(NAME), session);
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

/// How the hub shows the engine: `running`, `absent`, `unresponsive`.
fn engine_of(hub: &Hub) -> String {
    let list = hub.read(&format!("/api/v1/environments?name={NAME}"));
    list["items"][0]["engine"].as_str().unwrap_or("unknown").to_owned()
}
