//! What somebody may do with real engines who is restricted to some
//! environments, and what becomes of their terminal when that ends.

use serde_json::json;
use windflow_tests::engine::EngineVersion;
use windflow_tests::process::run_with_input;
use windflow_tests::product::{ADMINISTRATOR, LiveChannel, ask_for_terminal};
use windflow_tests::wait;

use super::super::super::SOON;
use super::super::super::worlds::{Way, World, world};
use super::Place;

#[test]
fn c09_what_is_not_granted_does_not_exist_and_a_terminal_ends_with_the_grant_on_the_hubs_own_engine() {
    grants_decide(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn c09_what_is_not_granted_does_not_exist_and_a_terminal_ends_with_the_grant_through_an_agent() {
    grants_decide(&world(EngineVersion::V20_10, Way::WebSocket));
}

fn grants_decide(world: &World) {
    let place = Place::with_container(world);
    let hub = &world.hub;
    let mut add = hub.command();
    add.args(["user", "add", "eve", "--role", "administrator", "--password-stdin"]);
    run_with_input(&mut add, b"nineteen loud magpies", SOON).succeeded();
    hub.cli(["environment", "add", "elsewhere", "--tcp", "tcp://127.0.0.1:1"]).succeeded();
    hub.cli(["user", "set-role", ADMINISTRATOR, "restricted"]).succeeded();
    hub.cli(["grant", "add", "--user", ADMINISTRATOR, "--role", "administrator", "--environment", "elsewhere"])
        .succeeded();
    it_does_not_exist(&place);

    // A team, a role of its own and a label: all the ways to the same.
    hub.cli(["environment", "label", &world.name, "team=web"]).succeeded();
    hub.cli(["role", "add", "Shell", "--permission", "containers.view,containers.exec"]).succeeded();
    hub.cli(["team", "add", "Web"]).succeeded();
    hub.cli(["team", "join", "Web", ADMINISTRATOR]).succeeded();
    hub.cli(["grant", "add", "--team", "Web", "--role", "Shell", "--label", "team=web"]).succeeded();
    let container = format!("/api/v1/environments/{}/containers/{}", place.environment, place.container);
    for (method, path, status) in [
        ("GET", format!("{container}/inspect"), 200),
        ("POST", format!("{container}/restart"), 403),
        ("GET", format!("{container}/inspect?reveal=true"), 403),
    ] {
        let answer = hub.request(method, &path, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }

    for ends in [["environment", "label", &world.name, "team-"], ["team", "leave", "Web", ADMINISTRATOR]] {
        let mut terminal = place.open(json!({}));
        terminal.type_in("sleep 4321\r");
        wait::until_true("it to run", SOON, || place.processes().contains("sleep 4321"));
        hub.cli(ends).succeeded();
        terminal.until_closed(SOON);
        wait::until_true("it to be gone", SOON, || !place.processes().contains("sleep 4321"));
        assert!(place.processes().contains("sleep 600"), "the container itself goes on");
        it_does_not_exist(&place);
        hub.cli(["environment", "label", &world.name, "team=web"]).succeeded();
    }
    hub.cli(["user", "set-role", ADMINISTRATOR, "administrator"]).succeeded();
    let denied = hub.read("/api/v1/audit?action=permission.denied&limit=1");
    assert_eq!(denied["items"][0]["actor_name"], ADMINISTRATOR, "{denied}");
    assert_eq!(hub.read("/api/v1/audit/verify")["intact"], true);
}

/// By its id, in lists, by channels and to `docker` alike.
fn it_does_not_exist(place: &Place<'_>) {
    let Place { world, environment, container } = place;
    let (hub, base) = (&world.hub, format!("/api/v1/environments/{environment}"));
    let container = format!("{base}/containers/{container}");
    for (method, path) in [
        ("GET", base.clone()),
        ("GET", format!("{base}/containers")),
        ("GET", format!("{base}/metrics")),
        ("GET", format!("{container}/inspect")),
        ("GET", format!("{container}/logs")),
        ("GET", format!("{container}/files?path=/etc")),
        ("POST", format!("{container}/restart")),
        ("DELETE", format!("{container}?force=true")),
        ("GET", format!("{base}/engine/v1.41/containers/json")),
        ("POST", format!("{base}/engine/v1.41/containers/worker/exec")),
    ] {
        let answer = hub.request(method, &path, "");
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}: {}", answer.body);
    }
    let refused = ask_for_terminal(hub, environment, &place.container, json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (404, "not_found"), "{}", refused.body);
    let docker = world.docker.run(["ps"]);
    assert!(!docker.status.success() && docker.stderr.contains("no such environment"), "{docker:?}");

    let names = hub.read("/api/v1/environments");
    assert_eq!((&names["total"], &names["items"][0]["name"]), (&json!(1), &json!("elsewhere")), "{names}");
    for list in ["containers", "images", "activity"] {
        assert_eq!(hub.read(&format!("/api/v1/{list}"))["items"], json!([]), "{list}");
    }
    let source = json!({ "environment": environment, "container": place.container });
    let mut logs = LiveChannel::open_at(hub, "/api/v1/logs", &json!({ "sources": [source] }));
    let ended = logs.until("the end of the log", SOON, |message| message["kind"] == "ended");
    assert_eq!(ended["why"], "not_found", "{ended}");
    let wish = json!({ "metrics": { "environment": environment } });
    let mut live = LiveChannel::open(hub, &wish);
    let refused = live.until("the refusal", SOON, |message| message["kind"] == "refused");
    assert_eq!(refused["code"], "not_found", "{refused}");
}
