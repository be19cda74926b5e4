//! Containers through the API, on a simulated engine.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::{Client, TestHub};
use crate::workloads::simulated::{SimulatedEngine, listed};

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    base: String,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        engine.has(&[listed("web", "running"), listed("Db", "exited"), listed("cache", "running")]);
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        Self { hub, engine, base: format!("/api/v1/environments/{environment}/containers") }
    }

    async fn names(&self, query: &str) -> (Vec<String>, Value) {
        let viewer = self.hub.signed_in("viewer").await;
        let answer = self.hub.get(&viewer, &format!("{}{query}", self.base)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let items = answer.body["items"].as_array().unwrap();
        (items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect(), answer.body["total"].clone())
    }

    async fn change(&self, who: &Client, call: &str) -> (StatusCode, String) {
        let answer = self.hub.post(who, &format!("{}/{call}", self.base), Value::Null).await;
        (answer.status, answer.code().to_owned())
    }
}

#[tokio::test]
async fn containers_are_listed_by_name_filtered_and_paged() {
    let world = World::start().await;
    assert_eq!(world.names("").await, (vec!["cache".into(), "Db".into(), "web".into()], json!(3)));
    assert_eq!(world.names("?state=running&limit=1&offset=1").await, (vec!["web".into()], json!(2)));
    assert_eq!(world.names("?search=DB").await, (vec!["Db".into()], json!(1)));
}

#[tokio::test]
async fn an_administrator_starts_stops_and_restarts_and_all_of_it_is_recorded() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for (call, status) in [("start", 204), ("stop", 304), ("restart", 204)] {
        let status = StatusCode::from_u16(status).unwrap();
        world.engine.answers(&format!("POST /containers/b2/{call}"), status, Value::Null);
        assert_eq!(world.change(&admin, &format!("b2/{call}")).await.0, StatusCode::NO_CONTENT, "{call}");
        let records = world.hub.get(&admin, &format!("/api/v1/audit?action=container.{call}&target_id=b2")).await.body;
        let outcomes: Vec<_> = records["items"].as_array().unwrap().iter().map(|r| r["outcome"].clone()).collect();
        assert_eq!(outcomes, ["done", "begun"], "{records}");
    }
    let asked = ["POST /containers/b2/start", "POST /containers/b2/stop", "POST /containers/b2/restart"];
    assert_eq!(world.engine.changes(), asked);
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    for call in ["start", "stop", "restart"] {
        let refused = world.change(&viewer, &format!("b2/{call}")).await;
        assert_eq!(refused, (StatusCode::FORBIDDEN, "administrator_required".into()));
    }
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_in_its_own_words() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for (status, expected, code) in [
        (409, StatusCode::CONFLICT, "engine_conflict"),
        (400, StatusCode::BAD_REQUEST, "engine_refused"),
        (500, StatusCode::BAD_GATEWAY, "engine_failed"),
        (404, StatusCode::NOT_FOUND, "not_found"),
    ] {
        let body = json!({ "message": "port is already allocated" });
        world.engine.answers("POST /containers/b2/start", StatusCode::from_u16(status).unwrap(), body);
        let answer = world.hub.post(&admin, &format!("{}/b2/start", world.base), Value::Null).await;
        assert_eq!((answer.status, answer.code()), (expected, code));
        assert_eq!(answer.body["error"]["message"], "Port is already allocated.");
        let records = world.hub.get(&admin, "/api/v1/audit?action=container.start&limit=1").await.body;
        assert_eq!(records["items"][0]["outcome"], "failed");
    }
}

#[tokio::test]
async fn a_container_whose_name_is_a_path_is_not_found_and_nothing_is_asked() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for name in ["..%2Finfo", "a%3Fb", "%2E%2E"] {
        assert_eq!(world.change(&admin, &format!("{name}/start")).await.0, StatusCode::NOT_FOUND, "{name}");
    }
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn an_environment_that_is_not_there_or_was_never_seen_says_which() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    let unknown = format!("/api/v1/environments/{}/containers", uuid::Uuid::nil());
    assert_eq!(world.hub.get(&viewer, &unknown).await.status, StatusCode::NOT_FOUND);
    let empty = TestHub::with_users().await;
    let never = empty.app.fleet.ensure_local().await.unwrap();
    let viewer = empty.signed_in("viewer").await;
    let answer = empty.get(&viewer, &format!("/api/v1/environments/{never}/containers")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "environment_offline"));
}

#[tokio::test]
async fn a_list_is_ordered_as_asked_and_an_order_that_is_none_is_refused() {
    let world = World::start().await;
    assert_eq!(world.names("?sort=-name").await.0, ["web", "Db", "cache"]);
    assert_eq!(world.names("?sort=state").await.0, ["Db", "cache", "web"]);
    let viewer = world.hub.signed_in("viewer").await;
    let answer = world.hub.get(&viewer, &format!("{}?sort=colour", world.base)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid_query"));
}
