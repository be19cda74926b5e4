//! What happens on real engines, as the activity page has it, also while nobody
//! listened.

use serde_json::Value;
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::LiveChannel;
use windflow_tests::{process, wait};

use super::super::SOON;
use super::super::worlds::{Way, World, world};
use super::{BACK, answer};

#[test]
fn what_happens_on_a_local_engine_is_told_also_of_the_time_in_which_the_hub_was_away() {
    let mut world = world(EngineVersion::V20_10, Way::Local);
    tells_of_a_life(&world);
    assert_eq!(world.hub.terminate(), Some(0));
    run(&world, "meanwhile");
    world.hub.start_again();
    happens(&world, "container=meanwhile&source=engine", &["container.start", "container.create"]);
    // What was known before is there once.
    happens(&world, "container=first&source=engine&action=container.start", &["container.start"]);
    happens(&world, "kind=gap", &[]);
}

#[test]
fn what_happens_on_an_edge_engine_is_told_also_of_the_time_in_which_its_agent_was_away() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    tells_of_a_life(&world);
    let mut agent = world.agent.take().unwrap();
    agent.terminate();
    world.hub.wait_for_state(&world.name, "offline", BACK);
    run(&world, "meanwhile");
    agent.run();
    happens(&world, "container=meanwhile&source=engine", &["container.start", "container.create"]);
    happens(&world, "container=first&source=engine&action=container.start", &["container.start"]);
    happens(&world, "kind=gap", &[]);
    world.agent = Some(agent);
}

#[test]
fn a_hub_that_was_away_hears_from_the_agent_what_happened() {
    let mut world = world(EngineVersion::V26_1, Way::Quic);
    tells_of_a_life(&world);
    assert_eq!(world.hub.terminate(), Some(0));
    run(&world, "meanwhile");
    world.hub.start_again();
    happens(&world, "container=meanwhile&source=engine", &["container.start", "container.create"]);
    happens(&world, "kind=gap", &[]);
}

#[test]
fn f35_what_an_engine_forgot_while_nobody_listened_is_shown_as_a_time_of_which_nothing_is_known() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    tells_of_a_life(&world);
    let mut agent = world.agent.take().unwrap();
    agent.terminate();
    world.hub.wait_for_state(&world.name, "offline", BACK);
    run(&world, "forgotten");
    world.engine.restart();
    agent.run();
    happens(&world, "kind=gap", &["gap.gap"]);
    let gap = activity(&world, "kind=gap")["items"][0].take();
    assert!(gap["facts"]["from"].is_string(), "{gap}");
    run(&world, "after");
    happens(&world, "container=after&source=engine&action=container.start", &["container.start"]);
    world.agent = Some(agent);
}

/// A container that runs and dies, with who looks on being told.
fn tells_of_a_life(world: &World) {
    let mut channel = LiveChannel::open(&world.hub, &serde_json::json!({ "watch": ["events"] }));
    channel.until("the beginning", SOON, |message| message["kind"] == "reset");
    run(world, "first");
    channel.until("the events", SOON, |message| message["kind"] == "events");
    happens(world, "container=first&action=container.start&source=engine", &["container.start"]);
    let id = activity(world, "container=first")["items"][0]["container_id"].as_str().unwrap().to_owned();
    let base = format!("/api/v1/environments/{}/containers", environment_of(world));
    assert_eq!(world.hub.request("POST", &format!("{base}/{id}/kill"), "").status, 204);
    // The user's action and what came of it, one beside the other.
    let about = format!("container={id}&q=container.kill");
    wait::until_true("both ends of the kill", SOON, || {
        let list = activity(world, &about);
        let sources: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["source"]).collect();
        sources.contains(&&Value::from("user")) && sources.contains(&&Value::from("engine"))
    });
    happens(world, &format!("container={id}&action=container.die"), &["container.die"]);
    let died = activity(world, &format!("container={id}&action=container.die"))["items"][0].take();
    assert_eq!((&died["facts"]["exit_code"], &died["target_name"]), (&"137".into(), &"first".into()), "{died}");
    assert_eq!(died["environment_name"], world.name.as_str());
}

fn environment_of(world: &World) -> String {
    activity(world, "source=engine&limit=1")["items"][0]["environment_id"].as_str().unwrap().to_owned()
}

/// Waits until exactly this is listed.
fn happens(world: &World, query: &str, wanted: &[&str]) {
    wait::until_true(&format!("{query} to be {wanted:?}"), BACK, || {
        let list = activity(world, query);
        list["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap()).eq(wanted.iter().copied())
    });
}

fn activity(world: &World, query: &str) -> Value {
    answer(&world.hub, &format!("/api/v1/activity?{query}"))
}

/// Runs a container on the engine itself, past the hub.
fn run(world: &World, name: &str) {
    let mut command = world.engine.docker_command();
    command.args(["run", "--detach", "--name", name, "--network", "none", BUSYBOX, "sleep", "600"]);
    process::run(&mut command, SOON).succeeded();
}
