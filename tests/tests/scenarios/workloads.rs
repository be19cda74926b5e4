//! Containers of engines as the hub knows them: listed, changed, and told of to
//! those who look.

mod containers;
mod create;
mod events;
mod files;
mod inventory;
mod jobs;
mod logs;
mod metrics;
mod podman;
mod terminals;

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::{DockerCli, Hub, LiveChannel};
use windflow_tests::wait;

use super::SOON;
use super::worlds::{NAME, Way, world};

/// How long a hub may take to notice that an engine came back.
const BACK: Duration = Duration::from_secs(60);

#[test]
fn containers_are_listed_started_and_stopped_on_20_10() {
    let world = world(EngineVersion::V20_10, Way::WebSocket);
    containers_go_through_their_states(&world.hub, &world.docker);
}

#[test]
fn containers_are_listed_started_and_stopped_on_26_1() {
    let world = world(EngineVersion::V26_1, Way::Quic);
    containers_go_through_their_states(&world.hub, &world.docker);
}

#[test]
fn f35_what_happens_to_a_container_is_told_to_those_who_look_also_after_the_engine_was_away() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    let mut channel = watching(&world.hub);
    hears_of_a_start(&mut channel, &world.docker, "first");

    world.engine.kill();
    channel.until("the engine being away", BACK, |message| message["kind"] == "environment");
    wait::until_true("the engine to be absent", BACK, || environment(&world.hub)["engine"] == "absent");
    assert_eq!(environment(&world.hub)["containers"], Value::Null);
    world.engine.start_again();
    channel.until("the engine being watched again", BACK, |message| message["kind"] == "containers");
    // That was told when it went away, too.
    wait::until_true("the containers to be known again", BACK, || !environment(&world.hub)["containers"].is_null());
    hears_of_a_start(&mut channel, &world.docker, "second");
}

/// A channel on the environment's containers, from when they are watched.
fn watching(hub: &Hub) -> LiveChannel {
    let wish = json!({ "watch": ["environments"], "environment": environment(hub)["id"] });
    let mut channel = LiveChannel::open(hub, &wish);
    channel.until("the beginning", SOON, |message| message["kind"] == "reset");
    channel
}

fn hears_of_a_start(channel: &mut LiveChannel, docker: &DockerCli, name: &str) {
    let id = docker.run(["run", "--detach", "--name", name, "--network", "none", BUSYBOX, "sleep", "600"]).succeeded();
    let started = |message: &Value| message["kind"] == "container" && message["container_id"] == id;
    channel.until("a container's start", SOON, started);
}

/// Starts, stops and restarts a container through the API, and looks at it.
fn containers_go_through_their_states(hub: &Hub, docker: &DockerCli) {
    let run = ["run", "--detach", "--name", "worker", "--stop-signal", "KILL", "--network", "none", BUSYBOX];
    let mut command = docker.command();
    command.args(run).args(["sleep", "600"]);
    let id = windflow_tests::process::run(&mut command, SOON).succeeded();
    let base = format!("/api/v1/environments/{}/containers", environment(hub)["id"].as_str().unwrap());
    let state = || {
        let list = answer(hub, &format!("{base}?search=WORKER&limit=1"));
        let found = &list["items"][0];
        (found["id"] == id && found["name"] == "worker").then(|| found["state"].as_str().unwrap().to_owned())
    };
    // An engine answers that it is done a moment before its agent has told it.
    let comes_to = |wanted: &str| {
        wait::until_true(&format!("the container to be {wanted}"), SOON, || state().as_deref() == Some(wanted));
    };
    let change = |call: &str| hub.request("POST", &format!("{base}/{id}/{call}"), "").status;
    comes_to("running");
    counts(hub, 1, 1);
    assert_eq!(change("stop"), 204);
    comes_to("exited");
    counts(hub, 0, 1);
    assert_eq!(change("stop"), 204, "it is stopped already");
    assert_eq!(change("start"), 204);
    comes_to("running");
    assert_eq!(change("restart"), 204);
    comes_to("running");
    wait::until_true("no container to be over", SOON, || answer(hub, &format!("{base}?state=exited"))["total"] == 0);
    let unknown = hub.request("POST", &format!("{base}/nobody/start"), "");
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    docker.run(["rm", "--force", "worker"]).succeeded();
    counts(hub, 0, 0);
}

/// Waits until the hub shows these numbers for the environment.
fn counts(hub: &Hub, running: u32, total: u32) {
    let wanted = json!({ "running": running, "total": total });
    wait::until_true(&format!("{running} of {total} containers"), SOON, || environment(hub)["containers"] == wanted);
}

fn environment(hub: &Hub) -> Value {
    answer(hub, &format!("/api/v1/environments?name={NAME}"))["items"][0].take()
}

fn answer(hub: &Hub, path: &str) -> Value {
    let answer = hub.request("GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}
