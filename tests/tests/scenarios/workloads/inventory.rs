//! What engines have, as their agents tell it, on real engines.

use serde_json::Value;
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::{process, wait};

use super::super::SOON;
use super::super::worlds::{Way, World, world};
use super::{BACK, answer};

#[test]
fn a_local_engine_tells_what_it_has_and_is_shown_as_it_was_while_the_hub_was_away() {
    let mut world = world(EngineVersion::V20_10, Way::Local);
    tells_of_a_life(&world);
    run(&world, &["create", "--name", "kept", "--network", "none", BUSYBOX, "true"]);
    wait::until_true("the container to be told", SOON, || names(&world, "") == ["kept"]);
    world.hub.restart();
    wait::until_true("the container after the restart", BACK, || names(&world, "") == ["kept"]);
}

#[test]
fn an_edge_engine_tells_what_it_has_and_is_shown_as_it_was_while_it_is_away() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    tells_of_a_life(&world);
    run(&world, &["run", "--detach", "--name", "kept", "--network", "none", BUSYBOX, "sleep", "600"]);
    wait::until_true("the container to be told", SOON, || names(&world, "state=running") == ["kept"]);
    let agent = world.agent.take().unwrap();
    drop(agent);
    world.hub.wait_for_state(&world.name, "offline", BACK);
    let list = answer(&world.hub, "/api/v1/containers?search=kept");
    assert_eq!((&list["items"][0]["state"], list["total"].as_i64()), (&Value::from("running"), Some(1)), "{list}");
    assert!(list["items"][0]["as_of"].is_string(), "{list}");
    // Also a hub that starts without it.
    assert_eq!(world.hub.terminate(), Some(0));
    world.hub.start_again();
    wait::until_true("the container after the restart", BACK, || names(&world, "search=kept") == ["kept"]);
}

/// A container that is made, runs, changes its name and goes away.
fn tells_of_a_life(world: &World) {
    let options = ["--network", "none", "--label", "tier=front", "--volume", "kept-data:/data"];
    let command = ["run", "--detach", "--name", "first"];
    let id = run(world, &[&command[..], &options, &[BUSYBOX, "sleep", "600"]].concat());
    wait::until_true("the container to run", SOON, || names(world, "state=running&label=tier=front") == ["first"]);
    let found = answer(&world.hub, "/api/v1/containers?search=first")["items"][0].take();
    assert_eq!(found["id"], id);
    assert!(found["as_of"].is_null() && found["started_at"].is_string() && found["exit_code"].is_null(), "{found}");
    assert_eq!((&found["mounts"][0]["source"], &found["mounts"][0]["target"]), (&"kept-data".into(), &"/data".into()));
    assert_eq!((&found["networks"][0]["network"], &found["command"]), (&"none".into(), &"sleep 600".into()));

    run(world, &["rename", "first", "second"]);
    wait::until_true("the new name", SOON, || names(world, "") == ["second"]);
    run(world, &["kill", "second"]);
    wait::until_true("the end", SOON, || {
        answer(&world.hub, "/api/v1/containers?state=exited")["items"][0]["exit_code"] == 137
    });
    run(world, &["rm", "second"]);
    wait::until_true("nothing", SOON, || names(world, "").is_empty());
}

fn run(world: &World, arguments: &[&str]) -> String {
    process::run(world.docker.command().args(arguments), SOON).succeeded()
}

fn names(world: &World, query: &str) -> Vec<String> {
    let list = answer(&world.hub, &format!("/api/v1/containers?{query}"));
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}
