//! What an operator may do with real engines, and what becomes of a terminal
//! when its user gets another role.

use serde_json::json;
use windflow_tests::engine::EngineVersion;
use windflow_tests::process::run_with_input;
use windflow_tests::product::{ADMINISTRATOR, TerminalChannel, ask_for_terminal};
use windflow_tests::wait;

use super::super::super::SOON;
use super::super::super::worlds::{Way, World, world};
use super::Place;

#[test]
fn an_operator_operates_and_a_terminal_ends_with_the_role_on_the_hubs_own_engine() {
    a_role_decides(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn an_operator_operates_and_a_terminal_ends_with_the_role_through_an_agent() {
    a_role_decides(&world(EngineVersion::V20_10, Way::WebSocket));
}

fn a_role_decides(world: &World) {
    let place = Place::with_container(world);
    let mut add = world.hub.command();
    add.args(["user", "add", "eve", "--role", "administrator", "--password-stdin"]);
    run_with_input(&mut add, b"nineteen loud magpies", SOON).succeeded();
    let mut followed = place.open(json!({}));
    followed.until_printed("#", SOON);
    give(world, "operator");
    assert_eq!(followed.until_closed(SOON), "signed out", "what was begun with another role is begun again");
    TerminalChannel::attach(&world.hub, &followed.id, 0).until_printed("#", SOON);

    let base = format!("/api/v1/environments/{}/containers", place.environment);
    let container = format!("{base}/{}", place.container);
    for (method, path, status) in [
        ("GET", base.clone(), 200),
        ("POST", format!("{container}/restart"), 204),
        ("GET", format!("{container}/files?path=/etc"), 200),
        ("GET", format!("{container}/inspect?reveal=true"), 403),
        ("POST", base, 403),
        ("DELETE", format!("{container}?force=true"), 403),
        ("GET", format!("/api/v1/environments/{}/engine/v1.41/containers/json", place.environment), 403),
        ("GET", "/api/v1/users".to_owned(), 403),
    ] {
        let answer = world.hub.request(method, &path, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(status != 403 || answer.code() == "not_permitted", "{method} {path}: {}", answer.body);
    }
    let docker = world.docker.run(["rm", "--force", "worker"]);
    assert!(!docker.status.success() && docker.stderr.contains("engine.raw"), "{docker:?}");

    let mut terminal = place.open(json!({}));
    terminal.type_in("sleep 4321\r");
    wait::until_true("it to run", SOON, || place.processes().contains("sleep 4321"));
    give(world, "viewer");
    terminal.until_closed(SOON);
    wait::until_true("it to be gone", SOON, || !place.processes().contains("sleep 4321"));
    assert!(place.processes().contains("sleep 600"), "the container itself goes on");
    assert_eq!(TerminalChannel::try_attach(&world.hub, &terminal.id, 0, world.hub.api_token()).err(), Some(403));
    let refused = ask_for_terminal(&world.hub, &place.environment, &place.container, json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (403, "not_permitted"), "{}", refused.body);

    give(world, "administrator");
    let records = world.hub.read("/api/v1/audit?action=terminal.open&limit=1");
    assert_eq!(records["items"][0]["details"]["why"], "not_permitted", "{records}");
}

/// Gives the harness's user another role.
fn give(world: &World, role: &str) {
    world.hub.cli(["user", "set-role", ADMINISTRATOR, role]).succeeded();
}
