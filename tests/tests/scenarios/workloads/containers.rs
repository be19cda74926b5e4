//! What is done with one container, and what is told of it, on real engines.

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::process::{run, run_with_input};
use windflow_tests::{secrets, wait};

use super::super::SOON;
use super::super::worlds::{Way, World, world};

/// What must not be seen by those who do not ask for it.
const SECRET: &str = "hush-hush-says-the-hermit";

#[test]
fn a_container_is_renamed_paused_killed_and_removed_on_the_hubs_own_engine_20_10() {
    a_container_is_changed(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn a_container_is_renamed_paused_killed_and_removed_through_an_agent_26_1() {
    a_container_is_changed(&world(EngineVersion::V26_1, Way::WebSocket));
}

#[test]
fn a_container_is_looked_into_without_its_secrets_on_the_hubs_own_engine_26_1() {
    a_container_is_looked_into(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn a_container_is_looked_into_without_its_secrets_through_an_agent_20_10() {
    a_container_is_looked_into(&world(EngineVersion::V20_10, Way::Quic));
}

fn a_container_is_changed(world: &World) {
    let place = Place::with_container(world);
    let id = place.id.as_str();
    assert_eq!(place.post("rename", r#"{"name":"renamed"}"#), 204);
    place.comes_to("name", &json!("renamed"));
    assert_eq!(place.post("pause", ""), 204);
    place.comes_to("state", &json!("paused"));
    assert_eq!(place.post("unpause", ""), 204);
    place.comes_to("state", &json!("running"));
    assert_eq!(place.post("kill", ""), 204);
    place.comes_to("state", &json!("exited"));
    place.comes_to("exit_code", &json!(137));
    assert_eq!(place.post("kill", ""), 409, "it does not run");

    // It does not end by itself.
    assert_eq!(place.post("start", ""), 204);
    place.comes_to("state", &json!("running"));
    assert_eq!(place.post("restart?timeout=0", ""), 204);
    place.comes_to("state", &json!("running"));
    let refused = world.hub.request("DELETE", &format!("{}/{id}", place.base), "");
    assert_eq!((refused.status, refused.code().as_str()), (409, "engine_conflict"), "{}", refused.body);
    let volumes = || world.engine.docker(["volume", "ls", "--quiet"]).succeeded().lines().count();
    assert_eq!(volumes(), 1);
    let removed = world.hub.request("DELETE", &format!("{}/{id}?force=true&volumes=true", place.base), "");
    assert_eq!(removed.status, 204, "{}", removed.body);
    wait::until_true("the container to be gone", SOON, || world.hub.read(&place.base)["total"] == 0);
    assert_eq!(volumes(), 0);
    assert_eq!(world.hub.request("DELETE", &format!("{}/{id}", place.base), "").status, 404);

    let records = world.hub.read(&format!("/api/v1/audit?action=container.remove&target_id={id}"));
    let outcomes: Vec<_> = { records["items"].as_array().unwrap().iter() }.map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "begun", "done", "begun", "failed", "begun"], "{records}");
}

fn a_container_is_looked_into(world: &World) {
    let place = Place::with_container(world);
    world.engine.docker(["exec", "worker", "touch", "/added"]).succeeded();
    let changes = place.told("changes");
    assert!(
        changes["changes"].as_array().unwrap().contains(&json!({ "path": "/added", "kind": "added" })),
        "{changes}"
    );
    let processes = place.told("processes");
    assert_eq!(processes["total"], 1, "{processes}");
    assert!(processes["processes"][0].as_array().unwrap().iter().any(|text| text == "sleep 600"), "{processes}");

    let told = place.told("inspect");
    assert!(told["masked"].as_u64().unwrap() >= 3 && !told.to_string().contains(SECRET), "{told}");
    let variables = told["container"]["Config"]["Env"].as_array().unwrap();
    assert!(variables.contains(&json!("GREETING=hello")) && variables.contains(&json!("DB_PASSWORD=********")));
    assert!(!world.hub.read(&place.base).to_string().contains(SECRET), "nor does the list show it");
    let revealed = place.told("inspect?reveal=true").to_string();
    assert!(revealed.contains(&format!("DB_PASSWORD={SECRET}")), "{revealed}");
    let records = world.hub.read("/api/v1/audit?action=container.reveal");
    assert_eq!((records["items"].as_array().unwrap().len(), &records["items"][0]["target_id"]), (1, &json!(place.id)));
    nobody_else_sees_it(world, &place);

    assert_eq!(place.post("kill", ""), 204);
    place.comes_to("state", &json!("exited"));
    let refused = world.hub.request("GET", &format!("{}/{}/processes", place.base, place.id), "");
    assert_eq!(refused.status, 409, "{}", refused.body);
}

fn nobody_else_sees_it(world: &World, place: &Place<'_>) {
    let mut add = world.hub.command();
    add.args(["user", "add", "eve", "--role", "viewer", "--password-stdin"]);
    run_with_input(&mut add, b"nineteen loud magpies", SOON).succeeded();
    let token = world.hub.cli(["api-token", "create", "--user", "eve", "--print", "token"]).succeeded();
    let headers = [("authorization", format!("Bearer {token}"))];
    let path = format!("{}/{}/inspect", place.base, place.id);
    let masked = world.hub.request_with("GET", &path, &headers);
    assert!(masked.status == 200 && !masked.body.contains(SECRET), "{}", masked.body);
    let refused = world.hub.request_with("GET", &format!("{path}?reveal=true"), &headers);
    assert_eq!((refused.status, refused.code().as_str()), (403, "not_permitted"), "{}", refused.body);
}

/// A container that runs, with secrets and a volume of its own.
struct Place<'a> {
    world: &'a World,
    base: String,
    id: String,
}

impl<'a> Place<'a> {
    fn with_container(world: &'a World) -> Self {
        secrets::learn("a variable of a container", SECRET);
        let mut command = world.docker.command();
        command.args(["run", "--detach", "--name", "worker", "--network", "none", "--volume", "/data"]);
        command.args(["--env", &format!("DB_PASSWORD={SECRET}"), "--env", "GREETING=hello"]);
        command.args([
            "--env",
            &format!("DB=postgres://ada:{SECRET}@db/shop"),
            "--label",
            &format!("api.key={SECRET}"),
        ]);
        let id = run(command.args([BUSYBOX, "sleep", "600"]), SOON).succeeded();
        let environment = world.hub.environment(&world.name).unwrap().id;
        let place = Self { world, base: format!("/api/v1/environments/{environment}/containers"), id };
        place.comes_to("state", &json!("running"));
        place
    }

    fn post(&self, call: &str, body: &str) -> u16 {
        self.world.hub.request("POST", &format!("{}/{}/{call}", self.base, self.id), body).status
    }

    fn told(&self, what: &str) -> Value {
        self.world.hub.read(&format!("{}/{}/{what}", self.base, self.id))
    }

    /// Waits until the list shows this of the container.
    fn comes_to(&self, field: &str, wanted: &Value) {
        wait::until_true(&format!("its {field} to be {wanted}"), SOON, || {
            self.world.hub.read(&format!("{}?search={}", self.base, self.id))["items"][0][field] == *wanted
        });
    }
}
