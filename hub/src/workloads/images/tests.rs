//! Pulls and clean-ups through the API, on a simulated engine.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHub;
use crate::testing::engine::SimulatedEngine;

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    base: String,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        Self { hub, engine, base: format!("/api/v1/environments/{environment}") }
    }

    /// Starts a job as an administrator and gives it once it has ended.
    async fn done(&self, call: &str, body: Value) -> Value {
        let admin = self.hub.signed_in("admin").await;
        let started = self.hub.post(&admin, &format!("{}/{call}", self.base), body).await;
        assert_eq!(started.status, StatusCode::ACCEPTED, "{started:?}");
        self.hub.app.jobs.ended().await;
        let id = started.body["id"].as_str().unwrap();
        self.hub.get(&admin, &format!("/api/v1/jobs/{id}")).await.body
    }

    /// Pulls while the engine says this, and gives why it failed.
    async fn failure(&self, said: &str) -> Value {
        self.engine.says("POST /images/create", said.as_bytes().to_vec());
        let job = self.done("images/pull", json!({ "reference": "nginx" })).await;
        assert_eq!(job["state"], "failed", "{job}");
        job["failure"]["code"].clone()
    }

    fn has_unused(&self, networks: Value) {
        self.engine.answers("GET /system/df", StatusCode::OK, json!({}));
        self.engine.answers("GET /networks", StatusCode::OK, networks);
    }
}

fn network(id: &str, name: &str) -> Value {
    json!({ "Id": id, "Name": name, "Scope": "local" })
}

#[tokio::test]
async fn a_pull_tells_of_its_layers_and_is_recorded() {
    let world = World::start().await;
    let said = [
        json!({ "status": "Pulling from library/nginx", "id": "1.27" }),
        json!({ "status": "Downloading", "id": "a", "progressDetail": { "current": 5, "total": 20 } }),
        json!({ "status": "Downloading", "id": "b", "progressDetail": { "current": 3, "total": 10 } }),
        json!({ "status": "Download complete", "id": "a", "progressDetail": {} }),
        json!({ "status": "Status: Downloaded newer image" }),
    ];
    let said: Vec<u8> = said.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
    world.engine.says("POST /images/create", said);
    world.engine.answers("GET /images/nginx:1.27/json", StatusCode::OK, json!({ "Id": "sha256:1" }));
    let job = world.done("images/pull", json!({ "reference": "nginx:1.27", "platform": "linux/arm64" })).await;
    assert_eq!((&job["state"], &job["environment_name"]), (&json!("succeeded"), &json!("local")), "{job}");
    assert_eq!(job["result"], json!({ "image": "nginx:1.27", "image_id": "sha256:1" }));
    let progress = &job["progress"];
    assert_eq!((&progress["bytes_done"], &progress["bytes_total"]), (&json!(23), &json!(30)), "{job}");
    assert_eq!(progress["parts"].as_array().unwrap().len(), 2);
    let asked = world.engine.query_of("POST /images/create");
    assert_eq!(asked, "fromImage=nginx&tag=1.27&platform=linux%2Farm64");
    let admin = world.hub.signed_in("admin").await;
    let lines = world.hub.get(&admin, &format!("/api/v1/jobs/{}/lines?from=3", job["id"].as_str().unwrap())).await;
    assert_eq!(lines.body["lines"], json!(["a: Download complete", "Status: Downloaded newer image"]));
    let records = world.hub.get(&admin, "/api/v1/audit?action=image.pull").await.body;
    let outcomes: Vec<_> = records["items"].as_array().unwrap().iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["done", "begun"], "{records}");
}

#[tokio::test]
async fn a_login_that_is_none_is_refused_before_there_is_a_job() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for wrong in [json!({ "username": "ada" }), json!({ "username": "a\r\nb", "password": "p" }), json!("ada:p")] {
        let body = json!({ "reference": "nginx", "login": wrong });
        let refused = world.hub.post(&admin, &format!("{}/images/pull", world.base), body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    }
    assert_eq!(world.engine.asked("POST /images/create"), 0);
}

#[tokio::test]
async fn a_pull_that_fails_says_what_can_be_done() {
    let world = World::start().await;
    let error = |words: &str| json!({ "error": words, "errorDetail": { "message": words } }).to_string();
    for (words, code) in [
        ("manifest for nginx:9 not found: manifest unknown", "image_not_found"),
        ("pull access denied for x, repository does not exist", "registry_denied"),
        ("Head \"https://r/v2/x/manifests/1\": no basic auth credentials", "registry_denied"),
        ("write /var/lib/docker/x: no space left on device", "no_space"),
        ("dial tcp: lookup nowhere: no such host", "registry_unreachable"),
        ("something else", "pull_failed"),
    ] {
        assert_eq!(world.failure(&error(words)).await, code, "{words}");
    }
    assert_eq!(world.failure("<html>").await, "engine_cut");
    let endless = format!("{{\"status\":\"{}", "x".repeat(300 * 1024));
    assert_eq!(world.failure(&endless).await, "engine_cut");
}

#[tokio::test]
async fn only_administrators_pull_clean_up_and_cancel() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    for call in ["images/pull", "prune", "containers/a/commit"] {
        let refused = world.hub.post(&viewer, &format!("{}/{call}", world.base), json!({})).await;
        assert_eq!(refused.code(), "not_permitted", "{call}");
    }
    let refused = world.hub.get(&viewer, &format!("{}/containers/a/export", world.base)).await;
    assert_eq!(refused.code(), "not_permitted");
    let unknown = uuid::Uuid::nil();
    let refused = world.hub.post(&viewer, &format!("/api/v1/jobs/{unknown}/cancel"), Value::Null).await;
    assert_eq!(refused.code(), "not_permitted");
    let list = world.hub.get(&viewer, "/api/v1/jobs?state=active").await;
    assert_eq!((list.status, &list.body["total"]), (StatusCode::OK, &json!(0)));
    assert_eq!(world.hub.get(&viewer, &format!("/api/v1/jobs/{unknown}")).await.code(), "not_found");
    assert_eq!(world.hub.get(&viewer, "/api/v1/jobs?state=odd").await.code(), "invalid_query");
}

#[tokio::test]
async fn what_was_not_shown_or_is_refused_stays() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    world.has_unused(json!([network("n1", "one"), network("n2", "two"), network("n3", "three")]));
    let preview = world.hub.get(&admin, &format!("{}/prune/preview?networks=true", world.base)).await.body;
    let keys: Vec<_> = preview["items"].as_array().unwrap().iter().map(|item| item["key"].clone()).collect();
    assert_eq!(keys.len(), 3);
    // Meanwhile one got another id, and one is new.
    world.has_unused(json!([
        network("n1", "one"),
        network("n9", "two"),
        network("n3", "three"),
        network("n4", "four")
    ]));
    world.engine.answers("DELETE /networks/n1", StatusCode::NO_CONTENT, Value::Null);
    let used = json!({ "message": "network three has active endpoints" });
    world.engine.answers("DELETE /networks/n3", StatusCode::FORBIDDEN, used);
    let job = world.done("prune", json!({ "options": { "networks": true }, "keys": keys })).await;
    assert_eq!(job["result"], json!({ "removed": { "network": 1 }, "kept": 2, "freed_bytes": 0 }), "{job}");
    assert_eq!(world.engine.changes(), ["DELETE /networks/n1", "DELETE /networks/n3"]);

    let path = format!("{}/prune", world.base);
    for nothing in [json!({ "options": {}, "keys": ["x"] }), json!({ "options": { "networks": true }, "keys": [] })] {
        assert_eq!(world.hub.post(&admin, &path, nothing).await.code(), "nothing_chosen");
    }
}
