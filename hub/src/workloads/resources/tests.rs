//! Images, volumes and networks through the API, on a simulated engine.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHub;
use crate::testing::engine::SimulatedEngine;

const USED: &str = "aa";
const LEFT: &str = "bb";

fn id(digits: &str) -> String {
    format!("sha256:{}", digits.repeat(32))
}

/// A hub whose engine has two of each, of which one is used.
async fn world() -> (TestHub, String, SimulatedEngine) {
    let engine = SimulatedEngine::start();
    engine.answers(
        "GET /containers/json",
        StatusCode::OK,
        json!([{
            "Id": "c1".repeat(32), "Names": ["/web"], "Image": "nginx", "ImageID": id(USED), "State": "running", "Created": 1,
            "NetworkSettings": { "Networks": { "front": { "IPAddress": "172.18.0.2" } } },
            "Mounts": [{ "Type": "volume", "Name": "data", "Source": "/x", "Destination": "/data", "RW": true },
                       { "Type": "volume", "Name": "data", "Source": "/x", "Destination": "/more", "RW": true }],
        }]),
    );
    engine.answers(
        "GET /images/json",
        StatusCode::OK,
        json!([
            { "Id": id(USED), "RepoTags": ["nginx:1.29"], "RepoDigests": [], "Created": 1_750_000_000, "Size": 7, "Labels": null },
            { "Id": id(LEFT), "RepoTags": [], "RepoDigests": [], "Created": 1_750_000_001, "Size": 9,
              "Labels": { "api.token": "hush", "tier": "front" } },
        ]),
    );
    engine.answers(
        "GET /volumes",
        StatusCode::OK,
        json!({ "Volumes": [
            { "Name": "data", "Driver": "local", "Mountpoint": "/v/data", "CreatedAt": "2025-06-15T15:06:40Z", "Labels": {} },
            { "Name": "Backup", "Driver": "local", "Mountpoint": "/v/b", "CreatedAt": "2025-06-16T15:06:40Z", "Labels": {} },
        ]}),
    );
    engine.answers(
        "GET /networks",
        StatusCode::OK,
        json!([
            { "Id": "dd".repeat(32), "Name": "front", "Driver": "bridge", "Scope": "local", "Internal": false,
              "Created": "2025-06-15T15:06:40Z", "IPAM": { "Config": [{ "Subnet": "172.18.0.0/16" }] }, "Labels": {} },
            { "Id": "ee".repeat(32), "Name": "back", "Driver": "bridge", "Scope": "local", "Internal": true,
              "Created": "0001-01-01T00:00:00Z", "IPAM": { "Config": [] }, "Labels": {} },
        ]),
    );
    let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
    let viewer = hub.signed_in("viewer").await;
    // Its agent has told by the time that the containers are listed.
    let told = hub.get(&viewer, &format!("/api/v1/environments/{environment}/containers")).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    (hub, environment.to_string(), engine)
}

async fn list(hub: &TestHub, path: &str) -> Vec<Value> {
    let viewer = hub.signed_in("viewer").await;
    let answer = hub.get(&viewer, &format!("/api/v1/{path}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["total"], answer.body["items"].as_array().unwrap().len());
    answer.body["items"].as_array().unwrap().clone()
}

async fn names(hub: &TestHub, path: &str, field: &str) -> Vec<String> {
    list(hub, path).await.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn images_say_how_many_containers_use_them() {
    let (hub, environment, _engine) = world().await;
    let images = list(&hub, "images?sort=-size").await;
    assert_eq!((&images[0]["id"], &images[0]["containers"]), (&json!(id(LEFT)), &json!(0)));
    assert_eq!((&images[1]["tags"], &images[1]["containers"]), (&json!(["nginx:1.29"]), &json!(1)));
    assert_eq!((&images[1]["environment_id"], &images[1]["as_of"]), (&json!(environment), &Value::Null));
    assert_eq!(images[0]["labels"], json!({ "api.token": "********", "tier": "front" }));
    assert_eq!(names(&hub, "images?used=false", "id").await, [id(LEFT)]);
    assert_eq!(names(&hub, "images?search=NGINX", "id").await, [id(USED)]);
    assert_eq!(names(&hub, "images?search=sha256:bbbb", "id").await, [id(LEFT)]);
    assert_eq!(names(&hub, "images?label=tier=front", "id").await, [id(LEFT)]);
}

#[tokio::test]
async fn volumes_are_listed_by_name_and_one_mounted_twice_is_used_once() {
    let (hub, environment, _engine) = world().await;
    assert_eq!(names(&hub, "volumes", "name").await, ["Backup", "data"]);
    assert_eq!(names(&hub, "volumes?sort=created_at", "name").await, ["data", "Backup"]);
    let used = list(&hub, &format!("volumes?used=true&environment={environment}")).await;
    assert_eq!((&used[0]["name"], &used[0]["containers"]), (&json!("data"), &json!(1)));
    assert_eq!(used[0]["created_at"], "2025-06-15T15:06:40Z");
}

#[tokio::test]
async fn networks_tell_their_ranges_and_who_is_in_them() {
    let (hub, _, _engine) = world().await;
    let networks = list(&hub, "networks?sort=-containers").await;
    assert_eq!((&networks[0]["name"], &networks[0]["subnets"]), (&json!("front"), &json!(["172.18.0.0/16"])));
    assert_eq!((&networks[1]["internal"], &networks[1]["created_at"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn an_environment_that_is_none_has_nothing_and_a_wish_that_is_none_is_refused() {
    let (hub, _, _engine) = world().await;
    for kind in ["images", "volumes", "networks"] {
        let nowhere = uuid::Uuid::nil();
        assert!(list(&hub, &format!("{kind}?environment={nowhere}")).await.is_empty());
        let viewer = hub.signed_in("viewer").await;
        for wrong in ["sort=colour", "used=perhaps", "environment=x", "limit=0", "colour=red"] {
            let refused = hub.get(&viewer, &format!("/api/v1/{kind}?{wrong}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
