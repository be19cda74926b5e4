//! Recordings of terminals on real engines: what is in them, whose they are,
//! and what is left when the hub is killed, or its disk is full.

use serde_json::{Value, json};
use windflow_tests::engine::EngineVersion;
use windflow_tests::process::run_with_input;
use windflow_tests::product::{Hub, ask_for_terminal};
use windflow_tests::wait;

use super::super::super::SOON;
use super::super::super::worlds::{Way, World, world};
use super::Place;

#[test]
fn a_terminal_is_recorded_where_that_was_asked_for_on_the_hubs_own_engine_20_10() {
    a_terminal_is_recorded(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn a_terminal_is_recorded_where_that_was_asked_for_through_an_agent_26_1() {
    a_terminal_is_recorded(&world(EngineVersion::V26_1, Way::Quic));
}

#[test]
fn what_was_recorded_when_the_hub_was_killed_is_there_and_marked_on_the_hubs_own_engine() {
    a_killed_hub_leaves_what_was_recorded(world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn what_was_recorded_when_the_hub_was_killed_is_there_and_marked_through_an_agent() {
    a_killed_hub_leaves_what_was_recorded(world(EngineVersion::V20_10, Way::WebSocket));
}

#[test]
fn recordings_are_shown_to_administrators_alone() {
    let world = world(EngineVersion::V26_1, Way::Local);
    let place = Place::with_container(&world);
    record(&world.hub, &place.environment, true);
    let id = place.open(json!({ "command": ["echo", "seen by few"] })).id;
    until_over(&world.hub, &id);
    let mut add = world.hub.command();
    add.args(["user", "add", "eve", "--role", "viewer", "--password-stdin"]);
    run_with_input(&mut add, b"nineteen loud magpies", SOON).succeeded();
    let token = world.hub.cli(["api-token", "create", "--user", "eve", "--print", "token"]).succeeded();
    let headers = [("authorization", format!("Bearer {token}"))];
    let path = format!("/api/v1/recordings/{id}");
    let every = [("GET", "/api/v1/recordings".to_owned()), ("GET", path.clone()), ("GET", format!("{path}/cast"))];
    for (method, path) in every.into_iter().chain([("DELETE", path.clone())]) {
        let refused = world.hub.request_with(method, &path, &headers);
        assert_eq!((refused.status, refused.code().as_str()), (403, "not_permitted"), "{method} {path}");
    }
    let switch = format!("/api/v1/environments/{}", place.environment);
    assert_eq!(world.hub.request_with("PATCH", &switch, &headers).status, 403);
    let unknown = "/api/v1/recordings/01890000-0000-7000-8000-000000000000/cast";
    assert_eq!(world.hub.request("GET", unknown, "").status, 404);
    assert_eq!(world.hub.request("DELETE", &path, "").status, 204);
    assert_eq!(world.hub.request("GET", &path, "").status, 404);
}

fn a_terminal_is_recorded(world: &World) {
    let place = Place::with_container(world);
    let mut plain = place.open(json!({}));
    assert_eq!(plain.recorded, None);
    plain.type_in("exit\r");
    plain.until_ended(SOON);
    record(&world.hub, &place.environment, true);

    let known = format!("/api/v1/environments/{}/containers?search=worker", place.environment);
    wait::until_true("the container to be known by its name", SOON, || world.hub.read(&known)["total"] == 1);
    let mut terminal = place.open(json!({ "user": "root" }));
    assert_eq!(terminal.recorded.as_deref(), Some("on"), "it is said before anything can be typed");
    terminal.until_printed("#", SOON);
    let script =
        "stty -echo; echo ready-$((1 + 1)); read -r word; stty echo; printf 'caf\\303\\251 %s\\n' $((6 * 7))\r";
    terminal.type_in(script);
    terminal.until_printed("ready-2", SOON);
    terminal.type_in("not-to-be-kept\r");
    terminal.until_printed("café 42", SOON);
    terminal.resize(101, 31);
    wait::until_true("the size", SOON, || {
        terminal.printed.clear();
        terminal.type_in("stty size\r");
        terminal.until("a size", SOON, |terminal| terminal.printed.matches(" # ").count() > 0);
        terminal.printed.contains("31 101")
    });
    let running = world.hub.request("DELETE", &format!("/api/v1/recordings/{}", terminal.id), "");
    assert_eq!((running.status, running.code().as_str()), (409, "recording_running"));
    terminal.type_in("exit 3\r");
    terminal.until_ended(SOON);

    let found = until_over(&world.hub, &terminal.id);
    assert_eq!(
        (&found["state"], &found["container_name"], &found["user_name"]),
        (&json!("complete"), &json!("worker"), &json!("ada"))
    );
    let (head, events) = cast(&world.hub, &terminal.id);
    assert_eq!((&head["version"], &head["width"], &head["height"]), (&json!(2), &json!(80), &json!(24)));
    assert!(events.iter().all(|event| event[1] == "o" || event[1] == "r"), "no input: {events:?}");
    let output = output(&events);
    assert!(!output.contains("not-to-be-kept"), "{output:?}");
    assert!(output.contains("café 42") && !output.contains('\u{fffd}'), "{output:?}");
    assert!(events.iter().any(|event| event[1] == "r" && event[2] == "101x31"), "{events:?}");
    let times: Vec<f64> = events.iter().map(|event| event[0].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let audit = format!("/api/v1/audit?action=terminal.open&target_id={}", terminal.id);
    let audited = world.hub.read(&audit)["items"][0]["details"].clone();
    assert_eq!((&audited["recorded"], &audited["recording"]), (&json!(true), &json!("complete")));
    let (seconds, measured) = (found["seconds"].as_f64().unwrap(), audited["seconds"].as_f64().unwrap());
    assert!(seconds + 0.001 >= *times.last().unwrap() && (seconds - measured).abs() < 3.0, "{seconds} and {measured}");
    let read = world.hub.read("/api/v1/audit?action=recording.read");
    assert_eq!(read["items"][0]["target_id"], json!(terminal.id));

    record(&world.hub, &place.environment, false);
    let mut after = place.open(json!({}));
    assert_eq!(after.recorded, None);
    after.type_in("exit\r");
    after.until_ended(SOON);
    assert_eq!(world.hub.read("/api/v1/recordings")["total"], 1, "no other was recorded");
}

fn a_killed_hub_leaves_what_was_recorded(mut world: World) {
    let (id, environment) = {
        let place = Place::with_container(&world);
        record(&world.hub, &place.environment, true);
        let mut terminal = place.open(json!({}));
        terminal.type_in("echo before-$((40 + 2))\r");
        terminal.until_printed("before-42", SOON);
        (terminal.id.clone(), place.environment.clone())
    };
    wait::until_true("it to be written", SOON, || {
        let written = cast(&world.hub, &id).1;
        output(&written).contains("before-42")
    });
    assert_eq!(recording(&world.hub, &id)["state"], "running");
    world.hub.restart();
    let left = recording(&world.hub, &id);
    assert_eq!((&left["state"], &left["is_cut"]), (&json!("broken_off"), &json!(false)), "{left}");
    assert!(left["ended_at"].is_string() && left["seconds"].as_f64().unwrap() > 0.0, "{left}");
    assert!(output(&cast(&world.hub, &id).1).contains("before-42"));
    let switched_on = world.hub.read(&format!("/api/v1/environments/{environment}"));
    assert_eq!(switched_on["record_terminals"], true);
    world.hub.cli(["environment", "record", &environment, "off"]).succeeded();
    let switched_off = world.hub.read(&format!("/api/v1/environments/{environment}"));
    assert_eq!(switched_off["record_terminals"], false);
}

#[test]
fn f27_where_the_disk_is_full_no_terminal_goes_on_unrecorded() {
    let world = super::super::super::worlds::on_a_small_disk(EngineVersion::V26_1);
    let place = Place::with_container(&world);
    record(&world.hub, &place.environment, true);
    let mut terminal = place.open(json!({}));
    terminal.until_printed("#", SOON);
    world.hub.disk().fill();
    let write = || world.hub.request("POST", "/api/v1/enrollment-tokens", r#"{"name":"t"}"#).status;
    wait::until_true("a write to fail for lack of room", SOON, || write() == 507);
    terminal.type_in("echo more\r");
    assert_eq!(terminal.until_ended(SOON)["why"], "recording_failed");
    let refused = ask_for_terminal(&world.hub, &place.environment, &place.container, json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (507, "disk_full"), "{}", refused.body);
    world.hub.disk().make_room();
    assert_eq!(until_over(&world.hub, &terminal.id)["state"], "broken_off");
    wait::until_true("another terminal", SOON, || {
        ask_for_terminal(&world.hub, &place.environment, &place.container, json!({})).status == 201
    });
}

/// Has the terminals of an environment recorded, or not.
fn record(hub: &Hub, environment: &str, is_on: bool) {
    let body = json!({ "record_terminals": is_on }).to_string();
    let changed = hub.request("PATCH", &format!("/api/v1/environments/{environment}"), &body);
    assert_eq!(changed.status, 200, "{}", changed.body);
}

fn recording(hub: &Hub, id: &str) -> Value {
    hub.read(&format!("/api/v1/recordings/{id}"))
}

/// Waits until a recording is not being made any more.
fn until_over(hub: &Hub, id: &str) -> Value {
    wait::until("the recording to be over", SOON, || {
        Some(recording(hub, id)).filter(|recording| recording["state"] != "running")
    })
}

/// The head and the events of a recording.
fn cast(hub: &Hub, id: &str) -> (Value, Vec<Value>) {
    let answer = hub.request("GET", &format!("/api/v1/recordings/{id}/cast"), "");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-asciicast"), "{}", answer.body);
    let mut lines = answer.body.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
    (lines.next().expect("there is a head"), lines.collect())
}

/// What was printed.
fn output(events: &[Value]) -> String {
    { events.iter() }.filter(|event| event[1] == "o").map(|event| event[2].as_str().expect("a text")).collect()
}
