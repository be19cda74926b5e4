//! What takes long, on real engines: pulls, clean-ups, images made of
//! containers, and what becomes of them when the hub or the engine does not
//! last.

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion, Registry};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{Way, World, world};

/// How long a small job may take on a machine with much else to do.
const DONE: Duration = Duration::from_secs(90);

#[test]
fn images_are_pulled_as_jobs_on_the_hubs_own_engine_20_10() {
    images_are_pulled(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn images_are_pulled_as_jobs_through_an_agent_26_1() {
    images_are_pulled(&world(EngineVersion::V26_1, Way::WebSocket));
}

#[test]
fn a_guarded_registry_gives_its_images_to_whoever_signs_in_on_the_hubs_own_engine_26_1() {
    a_guarded_registry_gives_its_images(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn a_guarded_registry_gives_its_images_to_whoever_signs_in_through_an_agent_20_10() {
    a_guarded_registry_gives_its_images(&world(EngineVersion::V20_10, Way::WebSocket));
}

#[test]
fn only_what_was_shown_is_cleaned_up_on_the_hubs_own_engine_26_1() {
    only_what_was_shown_is_cleaned_up(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn only_what_was_shown_is_cleaned_up_through_an_agent_20_10() {
    only_what_was_shown_is_cleaned_up(&world(EngineVersion::V20_10, Way::Quic));
}

#[test]
fn a_container_becomes_an_image_and_an_archive_on_the_hubs_own_engine_20_10() {
    a_container_is_kept(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn a_container_becomes_an_image_and_an_archive_through_an_agent_26_1() {
    a_container_is_kept(&world(EngineVersion::V26_1, Way::WebSocket));
}

#[test]
fn a_job_is_cancelled_and_one_that_the_hub_did_not_live_to_end_says_so() {
    let mut world = world(EngineVersion::V26_1, Way::Local);
    // Nothing comes of a pull while the engine stands still.
    world.engine.hang();
    let place = Place::of(&world);
    let job = place.start("images/pull", &json!({ "reference": "busybox:never" }));
    assert_eq!(place.request("POST", &format!("/api/v1/jobs/{job}/cancel"), "").0, 202);
    assert_eq!(place.ended(&job)["state"], "cancelled");
    assert_eq!(place.request("POST", &format!("/api/v1/jobs/{job}/cancel"), "").0, 409);

    let cut_off = place.start("images/pull", &json!({ "reference": "busybox:never" }));
    world.hub.kill();
    world.engine.go_on();
    world.hub.start_again();
    let job = world.hub.read(&format!("/api/v1/jobs/{cut_off}"));
    assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!("hub_stopped")), "{job}");
    let records = world.hub.read(&format!("/api/v1/audit?action=job.cut_off&target_id={cut_off}"));
    assert_eq!(records["items"][0]["outcome"], "failed", "{records}");
}

fn images_are_pulled(world: &World) {
    let registry = Registry::start(&world.engine);
    let name = registry.name_of("busybox:1");
    world.engine.docker(["tag", BUSYBOX, &name]).succeeded();
    world.engine.docker(["push", &name]).succeeded();
    // So that its layers have to come again.
    world.engine.docker(["image", "rm", &name, BUSYBOX]).succeeded();
    let place = Place::of(world);
    let job = place.start("images/pull", &json!({ "reference": name }));
    let ended = place.ended(&job);
    assert_eq!((&ended["state"], &ended["result"]["image"]), (&json!("succeeded"), &json!(name)), "{ended}");
    assert!(!ended["progress"]["parts"].as_array().unwrap().is_empty(), "{ended}");
    let id = world.engine.docker(["image", "inspect", "--format", "{{.Id}}", &name]).succeeded();
    assert_eq!(ended["result"]["image_id"], id);
    let (status, output) = place.request("GET", &format!("/api/v1/jobs/{job}/output"), "");
    assert!(status == 200 && output.contains("Status: Downloaded newer image"), "{output}");
    let lines = world.hub.read(&format!("/api/v1/jobs/{job}/lines?from=1"));
    assert_eq!(lines["from"], 1, "{lines}");

    let missing = place.start("images/pull", &json!({ "reference": registry.name_of("busybox:none") }));
    let missing = place.ended(&missing);
    assert_eq!(
        (&missing["state"], &missing["failure"]["code"]),
        (&json!("failed"), &json!("image_not_found")),
        "{missing}"
    );
    let list = world.hub.read("/api/v1/jobs?kind=image.pull&state=failed");
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &missing["id"]));
    let records = world.hub.read(&format!("/api/v1/audit?action=image.pull&target_id={name}"));
    let outcomes: Vec<_> = { records["items"].as_array().unwrap().iter() }.map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["done", "begun"], "{records}");
    assert_eq!(records["items"][0]["details"]["job"], ended["id"]);

    for wrong in ["", "../x", "a b", "UPPER"] {
        assert_eq!(place.post("images/pull", &json!({ "reference": wrong })).0, 422, "{wrong}");
    }
}

fn a_guarded_registry_gives_its_images(world: &World) {
    let registry = Registry::start_guarded(&world.engine);
    let (user, password) = Registry::PULLER;
    let name = registry.name_of("busybox:1");
    let docker = &world.engine;
    docker.docker(["login", "--username", user, "--password", password, &name]).succeeded();
    docker.docker(["tag", BUSYBOX, &name]).succeeded();
    docker.docker(["push", &name]).succeeded();
    docker.docker(["image", "rm", &name, BUSYBOX]).succeeded();
    docker.docker(["logout", &name]).succeeded();

    let place = Place::of(world);
    let login = |password: &str| json!({ "username": user, "password": password });
    let make = |login: Value| {
        let spec = json!({ "image": name, "command": ["true"], "networks": [{ "name": "none" }] });
        place.ended(&place.start("containers", &json!({ "spec": spec, "login": login })))
    };
    for refused in [make(Value::Null), make(login("wrong"))] {
        assert_eq!(refused["failure"]["code"], "registry_denied", "{refused}");
    }
    let made = make(login(password));
    assert_eq!(made["state"], "succeeded", "{made}");
    let job = place.start("images/pull", &json!({ "reference": name, "login": login(password) }));
    assert_eq!(place.ended(&job)["state"], "succeeded");
    // The engine was told; nothing that the hub keeps knows it.
    for path in ["/api/v1/jobs", "/api/v1/audit?limit=200"] {
        let kept = world.hub.read(path).to_string();
        assert!(kept.contains(&name) && !kept.contains(password), "{path}: {kept}");
    }
}

fn only_what_was_shown_is_cleaned_up(world: &World) {
    let docker = &world.engine;
    docker.docker(["run", "--name", "old", "--network", "none", "--volume", "/data", BUSYBOX, "true"]).succeeded();
    docker.docker(["run", "--detach", "--name", "busy", "--network", "none", BUSYBOX, "sleep", "600"]).succeeded();
    for volume in ["free", "taken"] {
        docker.docker(["volume", "create", volume]).succeeded();
    }
    docker.docker(["network", "create", "unused"]).succeeded();
    docker.docker(["image", "tag", BUSYBOX, "other:1"]).succeeded();
    let place = Place::of(world);
    let chosen = "containers=true&images=unused&volumes=unused&networks=true";
    let preview = world.hub.read(&format!("{}/prune/preview?{chosen}", place.base));
    let items = preview["items"].as_array().unwrap();
    let names = |kind: &str| {
        let of_kind = items.iter().filter(|item| item["kind"] == kind);
        of_kind.map(|item| item["names"][0].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names("container"), names("network")), (vec!["old".to_owned()], vec!["unused".to_owned()]));
    assert!(names("image").is_empty(), "a container that runs uses the only one: {preview}");
    let volumes = names("volume");
    assert_eq!(volumes.len(), 3, "{preview}");

    // After it was shown: one thing more, one that is used, and one of another time.
    docker.docker(["run", "--name", "later", "--network", "none", BUSYBOX, "true"]).succeeded();
    let mount = "taken:/taken";
    docker
        .docker(["run", "--detach", "--name", "user", "--network", "none", "--volume", mount, BUSYBOX, "sleep", "600"])
        .succeeded();
    let keys: Vec<_> = items.iter().map(|item| item["key"].clone()).collect();
    let options = json!({ "containers": true, "images": "unused", "volumes": "unused", "networks": true });
    let job = place.start("prune", &json!({ "options": options, "keys": keys }));
    let ended = place.ended(&job);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let removed = &ended["result"]["removed"];
    assert_eq!(removed, &json!({ "container": 1, "volume": 2, "network": 1 }), "{ended}");
    assert_eq!(ended["result"]["kept"], 1, "{ended}");
    let listed = |what: &[&str]| {
        let mut command = docker.docker_command();
        let mut found: Vec<_> =
            windflow_tests::process::run(command.args(what), SOON).succeeded().lines().map(str::to_owned).collect();
        found.sort();
        found
    };
    assert_eq!(listed(&["ps", "--all", "--format", "{{.Names}}"]), ["busy", "later", "user"]);
    assert_eq!(listed(&["volume", "ls", "--quiet"]), ["taken"]);
    assert!(!listed(&["network", "ls", "--format", "{{.Name}}"]).contains(&"unused".to_owned()));

    let (status, refused) = place.post("prune", &json!({ "options": {}, "keys": ["x"] }));
    assert_eq!(status, 400, "{refused}");
}

fn a_container_is_kept(world: &World) {
    let script = "echo kept > /kept; sleep 600";
    let id =
        world.engine.docker(["run", "--detach", "--name", "worker", "--network", "none", BUSYBOX, "sh", "-c", script]);
    let id = id.succeeded();
    wait::until_true("the file", SOON, || world.engine.docker(["exec", "worker", "cat", "/kept"]).status.success());
    let place = Place::of(world);
    let wish = json!({ "reference": "shop/kept:1", "comment": "before & after" });
    let job = place.start(&format!("containers/{id}/commit"), &wish);
    let ended = place.ended(&job);
    assert_eq!((&ended["state"], &ended["subject"]), (&json!("succeeded"), &json!("shop/kept:1")), "{ended}");
    let said = world.engine.docker(["run", "--rm", "--network", "none", "shop/kept:1", "cat", "/kept"]).succeeded();
    assert_eq!(said, "kept");
    let comment = world.engine.docker(["image", "inspect", "--format", "{{.Comment}}", "shop/kept:1"]).succeeded();
    assert_eq!(comment, "before & after");
    assert_eq!(place.post("containers/nobody/commit", &wish).0, 404);
    let digest = json!({ "reference": format!("a@sha256:{}", "ab".repeat(32)) });
    assert_eq!(place.post(&format!("containers/{id}/commit"), &digest).0, 400);

    let (status, archive) = place.request("GET", &format!("{}/containers/{id}/export", place.base), "");
    assert!(
        status == 200 && archive.contains("ustar") && archive.contains("kept\n"),
        "{status}: {} bytes",
        archive.len()
    );
    let records = world.hub.read(&format!("/api/v1/audit?action=container.export&target_id={id}"));
    assert_eq!(records["items"].as_array().unwrap().len(), 1, "{records}");
    assert_eq!(place.request("GET", &format!("{}/containers/nobody/export", place.base), "").0, 404);
}

/// The environment of a world.
struct Place<'a> {
    world: &'a World,
    base: String,
}

impl<'a> Place<'a> {
    fn of(world: &'a World) -> Self {
        let environment = world.hub.environment(&world.name).unwrap().id;
        Self { world, base: format!("/api/v1/environments/{environment}") }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.world.hub.request(method, path, body);
        (answer.status, answer.body)
    }

    fn post(&self, call: &str, body: &Value) -> (u16, String) {
        self.request("POST", &format!("{}/{call}", self.base), &body.to_string())
    }

    /// Starts a job and gives its id.
    fn start(&self, call: &str, body: &Value) -> String {
        let (status, answer) = self.post(call, body);
        assert_eq!(status, 202, "{answer}");
        let job: Value = serde_json::from_str(&answer).unwrap();
        job["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job is over.
    fn ended(&self, job: &str) -> Value {
        wait::until("the job's end", DONE, || {
            let job = self.world.hub.read(&format!("/api/v1/jobs/{job}"));
            let is_over = !["queued", "running"].iter().any(|state| job["state"] == *state);
            is_over.then_some(job)
        })
    }
}
