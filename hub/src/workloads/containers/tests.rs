//! Containers through the API, on a simulated engine.

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::ObjectId;

use crate::testing::engine::{SimulatedEngine, listed};
use crate::testing::{Client, OWN_CONTAINER, TestHub};

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    environment: EnvironmentId,
    base: String,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        engine.has(&[listed("web", "running"), listed("Db", "exited"), listed("cache", "running")]);
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        Self { hub, engine, environment, base: format!("/api/v1/environments/{environment}/containers") }
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

    /// The last two records of such a change to the container b2.
    async fn records(&self, admin: &Client, call: &str) -> Value {
        let path = format!("/api/v1/audit?action=container.{call}&target_id=b2&limit=2");
        self.hub.get(admin, &path).await.body["items"].take()
    }

    async fn record(&self, admin: &Client, call: &str) -> Value {
        self.records(admin, call).await[0].take()
    }

    /// Makes the stopped container b2 anew with this changed, on an engine of
    /// this version, and gives what the engine was told to make.
    async fn recreated(&self, api: &str, changes: Value) -> Value {
        let admin = self.hub.signed_in("admin").await;
        self.engine.answers("GET /version", StatusCode::OK, json!({ "Version": "1", "ApiVersion": api }));
        self.engine.answers("POST /containers/create", StatusCode::CREATED, json!({ "Id": "cd".repeat(32) }));
        for (id, call) in ["ab", "cd"].map(|id| id.repeat(32)).iter().flat_map(|id| [(id, "rename"), (id, "start")]) {
            self.engine.answers(&format!("POST /containers/{id}/{call}"), StatusCode::NO_CONTENT, Value::Null);
        }
        self.engine.answers(&format!("DELETE /containers/{}", "ab".repeat(32)), StatusCode::NO_CONTENT, Value::Null);
        let request = Request::put(format!("{}/b2", self.base)).header("content-type", "application/json");
        let job = self.hub.send(&admin, request, Body::from(json!({ "changes": changes }).to_string())).await;
        assert_eq!(job.status, StatusCode::ACCEPTED, "{job:?}");
        let path = format!("/api/v1/jobs/{}", job.body["id"].as_str().unwrap());
        loop {
            let job = self.hub.get(&admin, &path).await.body;
            match job["state"].as_str().unwrap() {
                "queued" | "running" => tokio::task::yield_now().await,
                state => break assert_eq!(state, "succeeded", "{job}"),
            }
        }
        self.engine.body_of("POST /containers/create")
    }

    async fn outcomes(&self, admin: &Client, call: &str) -> Vec<Value> {
        self.records(admin, call).await.as_array().unwrap().iter().map(|record| record["outcome"].clone()).collect()
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
async fn an_administrator_changes_containers_and_all_of_it_is_recorded() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let calls = ["start", "stop", "restart", "kill", "pause", "unpause"];
    for call in calls {
        // An engine says so of one that is stopped already.
        let status = if call == "stop" { StatusCode::NOT_MODIFIED } else { StatusCode::NO_CONTENT };
        world.engine.answers(&format!("POST /containers/b2/{call}"), status, Value::Null);
        assert_eq!(world.change(&admin, &format!("b2/{call}")).await.0, StatusCode::NO_CONTENT, "{call}");
        assert_eq!(world.outcomes(&admin, call).await, ["done", "begun"]);
    }
    assert_eq!(world.engine.changes(), calls.map(|call| format!("POST /containers/b2/{call}")));
}

#[tokio::test]
async fn a_grace_goes_to_the_engine_and_one_of_more_than_an_hour_goes_nowhere() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for call in ["stop", "restart"] {
        let asked = format!("POST /containers/b2/{call}");
        world.engine.answers(&asked, StatusCode::NO_CONTENT, Value::Null);
        for wrong in ["3601", "-1", "soon", "99999999"] {
            let refused = world.change(&admin, &format!("b2/{call}?timeout={wrong}")).await;
            assert_eq!(refused, (StatusCode::BAD_REQUEST, "invalid_query".into()), "{wrong}");
        }
        assert_eq!(world.engine.asked(&asked), 0);
        assert_eq!(world.change(&admin, &format!("b2/{call}?timeout=3600")).await.0, StatusCode::NO_CONTENT);
        assert_eq!(world.engine.query_of(&asked), "t=3600");
        assert_eq!(world.record(&admin, call).await["details"]["grace_seconds"], 3600);
    }
}

#[tokio::test]
async fn a_container_gets_another_name_unless_it_is_none() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    world.engine.answers("POST /containers/b2/rename", StatusCode::NO_CONTENT, Value::Null);
    let path = format!("{}/b2/rename", world.base);
    let rename = |name: Value| world.hub.post(&admin, &path, json!({ "name": name }));
    for wrong in ["", "a/b", "../x", "-x", "a b", "é", &"a".repeat(129)] {
        let refused = rename(json!(wrong)).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_name"), "{wrong}");
    }
    assert!(world.engine.changes().is_empty());
    assert_eq!(rename(json!("shop-web.1")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.engine.query_of("POST /containers/b2/rename"), "name=shop-web.1");
    assert_eq!(world.record(&admin, "rename").await["details"]["name"], "shop-web.1");
}

#[tokio::test]
async fn a_container_is_removed_as_asked() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    world.engine.answers("DELETE /containers/b2", StatusCode::NO_CONTENT, Value::Null);
    let remove = |query: &str| format!("{}/b2{query}", world.base);
    assert_eq!(world.hub.delete(&admin, &remove("?volumes=perhaps")).await.code(), "invalid_query");
    assert_eq!(world.hub.delete(&admin, &remove("")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.engine.query_of("DELETE /containers/b2"), "v=false&force=false&link=false");
    assert_eq!(world.hub.delete(&admin, &remove("?volumes=true&force=true")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.engine.query_of("DELETE /containers/b2"), "v=true&force=true&link=false");
    let details = world.record(&admin, "remove").await["details"].take();
    assert_eq!(details, json!({ "volumes": true, "force": true }));
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    for call in ["start", "stop", "restart", "kill", "pause", "unpause", "rename"] {
        let refused = world.change(&viewer, &format!("b2/{call}")).await;
        assert_eq!(refused, (StatusCode::FORBIDDEN, "not_permitted".into()));
    }
    let refused = world.hub.delete(&viewer, &format!("{}/b2?force=true", world.base)).await;
    assert_eq!(refused.code(), "not_permitted");
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
    assert_eq!(world.names("?sort=-state").await.0, ["cache", "web", "Db"]);
    for same in ["image", "-image", "started_at", "-started_at", "restarts", "-restarts"] {
        assert_eq!(world.names(&format!("?sort={same}")).await.0, ["cache", "Db", "web"], "{same}");
    }
    let viewer = world.hub.signed_in("viewer").await;
    let answer = world.hub.get(&viewer, &format!("{}?sort=colour", world.base)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid_query"));
}

#[tokio::test]
async fn secrets_are_shown_only_to_an_administrator_who_asks_and_that_is_recorded() {
    let world = World::start().await;
    let (admin, viewer) = (world.hub.signed_in("admin").await, world.hub.signed_in("viewer").await);
    let told = json!({
        "Id": "b2", "Name": "/web", "Args": ["--token", "hush"],
        "Config": { "Env": ["PASSWORD=hush", "URL=http://ada:hush@db/1", "A=b"], "Labels": { "api.key": "hush" } },
    });
    world.engine.answers("GET /containers/b2/json", StatusCode::OK, told.clone());
    let path = format!("{}/b2/inspect", world.base);
    for who in [&admin, &viewer] {
        let answer = world.hub.get(who, &path).await;
        assert_eq!(answer.body["masked"], 4, "{answer:?}");
        assert!(!answer.body.to_string().contains("hush"), "{answer:?}");
        assert_eq!(answer.body["container"]["Config"]["Env"][2], "A=b");
    }
    let refused = world.hub.get(&viewer, &format!("{path}?reveal=true")).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_permitted"));
    assert_eq!(world.records(&admin, "reveal").await, json!([]));
    let revealed = world.hub.get(&admin, &format!("{path}?reveal=true")).await;
    assert_eq!(revealed.body, json!({ "masked": 0, "container": told }));
    let record = world.record(&admin, "reveal").await;
    assert_eq!((&record["outcome"], &record["details"]["target_name"]), (&json!("done"), &json!("web")));
}

#[tokio::test]
async fn processes_and_changes_are_listed_up_to_a_bound() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    let processes = vec![json!(["7", "serve --password=hush"]); 1001];
    let told = json!({ "Titles": ["PID", "CMD"], "Processes": processes });
    world.engine.answers("GET /containers/b2/top", StatusCode::OK, told);
    let answer = world.hub.get(&viewer, &format!("{}/b2/processes", world.base)).await.body;
    assert_eq!((&answer["titles"], &answer["total"]), (&json!(["PID", "CMD"]), &json!(1001)));
    assert_eq!(answer["processes"].as_array().unwrap().len(), 1000);
    assert_eq!(answer["processes"][0], json!(["7", "serve --password=********"]));

    let told: Vec<_> = (0..2001).rev().map(|n| json!({ "Path": format!("/f{n:04}"), "Kind": n % 3 })).collect();
    world.engine.answers("GET /containers/b2/changes", StatusCode::OK, json!(told));
    let answer = world.hub.get(&viewer, &format!("{}/b2/changes", world.base)).await.body;
    assert_eq!((answer["changes"].as_array().unwrap().len(), &answer["total"]), (2000, &json!(2001)));
    let kinds = ["changed", "added", "deleted"].map(|kind| json!(kind));
    assert_eq!([0, 1, 2].map(|n: usize| answer["changes"][n]["kind"].clone()), kinds);
}

#[tokio::test]
async fn what_cannot_be_told_of_a_container_says_why() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    let refusal = json!({ "message": "container b2 is not running" });
    world.engine.answers("GET /containers/b2/top", StatusCode::CONFLICT, refusal);
    let answer = world.hub.get(&viewer, &format!("{}/b2/processes", world.base)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "engine_conflict"));
    for what in ["inspect", "processes", "changes"] {
        let answer = world.hub.get(&viewer, &format!("{}/..%2Finfo/{what}", world.base)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
    }
    let answer = world.hub.get(&viewer, &format!("{}/nobody/changes", world.base)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_found"));
}

#[tokio::test]
async fn a_viewer_makes_and_changes_no_container() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    let refused = world.hub.post(&viewer, &world.base, json!({ "spec": { "image": "nginx" } })).await;
    assert_eq!(refused.code(), "not_permitted");
    let refused = world.hub.post(&viewer, &format!("{}/b2/update", world.base), json!({ "memory": 8 << 20 })).await;
    assert_eq!(refused.code(), "not_permitted");
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn a_specification_that_cannot_be_is_refused_before_anything_is_asked() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let make = |spec: Value| world.hub.post(&admin, &world.base, json!({ "spec": spec }));
    let refused = make(json!({ "image": "nginx", "ports": [{ "container_port": 0 }] })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_spec"));
    assert_eq!(refused.body["error"]["details"]["field"], "ports[0].container_port", "{refused:?}");
    let refused = make(json!({ "image": "nginx", "env": { "A": "x".repeat(300 << 10) } })).await;
    assert_eq!(refused.body["error"]["details"]["field"], "env", "{refused:?}");
    let refused = make(json!({ "image": "nginx", "env": { "A": "x".repeat(10 << 20) } })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
    assert_eq!(make(json!({ "image": "No Image" })).await.code(), "invalid_spec");
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn a_specification_without_end_is_not_read_to_its_end() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let request = Request::post(&world.base).header("content-type", "application/json");
    let begin = Bytes::from_static(br#"{ "spec": { "image": "nginx", "env": { "A": ""#);
    let endless = stream::once(async { begin }).chain(stream::repeat(Bytes::from_static(&[b'x'; 4096])));
    let endless = Body::from_stream(endless.map(Ok::<_, std::io::Error>));
    let refused = world.hub.send(&admin, request, endless).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"), "{refused:?}");
    assert_eq!(refused.body["error"]["message"], "The body may have at most 1048576 bytes.");
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn what_an_engine_tells_of_a_container_is_read_up_to_a_bound_and_the_engine_is_asked_on() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    world.engine.says("GET /containers/b2/json", vec![b' '; 33 << 20]);
    world.engine.repeats("GET /containers/b3/json", &[b'['; 64 << 10]);
    for container in ["b2", "b3"] {
        let base = format!("{}/{container}", world.base);
        let edit = Request::put(&base).header("content-type", "application/json");
        let answers = [
            world.hub.get(&admin, &format!("{base}/inspect")).await,
            world.hub.get(&admin, &format!("{base}/spec")).await,
            world.hub.send(&admin, edit, Body::from(r#"{ "changes": {} }"#)).await,
        ];
        for answer in answers {
            assert_eq!((answer.status, answer.code()), (StatusCode::BAD_GATEWAY, "engine_too_long"), "{answer:?}");
            let message = "The engine's answer is longer than 4096 KiB, which the hub does not read.";
            assert_eq!(answer.body["error"]["message"], message);
        }
    }
    world.engine.answers("POST /containers/b2/start", StatusCode::NO_CONTENT, Value::Null);
    assert_eq!(world.change(&admin, "b2/start").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_name_that_another_container_has_is_in_the_way() {
    let world = World::start().await;
    world.names("").await;
    let admin = world.hub.signed_in("admin").await;
    let check = format!("{}/check", world.base);
    let answer = world.hub.post(&admin, &check, json!({ "name": "web" })).await;
    assert_eq!(answer.body["conflicts"][0]["field"], "name", "{answer:?}");
    let id = answer.body["conflicts"][0]["container_id"].clone();
    let answer = world.hub.post(&admin, &check, json!({ "name": "web", "instead_of": id })).await;
    assert_eq!(answer.body["conflicts"], json!([]));
}

#[tokio::test]
async fn a_hardware_address_that_was_asked_for_stays_through_an_edit_on_engines_of_every_version() {
    const MAC: &str = "02:42:ac:11:00:02";
    let world = World::start().await;
    let id = "ab".repeat(32);
    let told = |mac: Value| {
        json!({ "Id": id, "Name": "/shop", "Image": "sha256:1", "State": { "Status": "exited", "Running": false },
            "Config": { "Image": "nginx", "MacAddress": mac }, "HostConfig": { "NetworkMode": "front" },
            "NetworkSettings": { "Networks": { "front": { "MacAddress": MAC }, "back": { "MacAddress": "02:42:1" } } } })
    };
    // Which of the two versions tells it, and whether the container has it.
    for (api, tells, asks, is_own) in [
        ("1.43", json!(MAC), Value::Null, true),
        ("1.44", json!(MAC), Value::Null, false),
        ("1.52", Value::Null, json!(MAC), false),
    ] {
        for container in ["b2", &id] {
            world.engine.answers(&format!("GET /containers/{container}/json"), StatusCode::OK, told(tells.clone()));
            let before = format!("GET /v1.51/containers/{container}/json");
            world.engine.answers(&before, StatusCode::OK, told(asks.clone()));
        }
        world.engine.answers("POST /networks/back/connect", StatusCode::OK, Value::Null);
        let body = world.recreated(api, json!({ "env": { "A": "1" } })).await;
        let (own, mac) =
            (body["MacAddress"].clone(), &body["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"]);
        assert_eq!((own == MAC, *mac == MAC), (is_own, !is_own), "{api}: {body}");
        assert!(!body.to_string().contains("02:42:1\""), "{api}: found by the engine: {body}");

        let other = json!({ "networks": [{ "name": "front", "mac": "02:42:ac:11:00:09" }] });
        let body = world.recreated(api, other).await;
        let set = if is_own {
            &body["MacAddress"]
        } else {
            &body["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"]
        };
        assert_eq!(*set, "02:42:ac:11:00:09", "{api}: {body}");
    }
}

#[tokio::test]
async fn the_container_of_the_hub_or_of_the_agent_is_not_made_anew() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let own_of_agent = ObjectId([0xdd; 32]);
    world.hub.app.engines.session(world.environment).unwrap().note_within(own_of_agent);
    for (id, who) in [(OWN_CONTAINER, "The hub"), (own_of_agent, "The agent")] {
        let told = json!({ "Id": id.to_string(), "Name": "/own", "Image": "sha256:1", "State": { "Status": "running" },
            "Config": { "Image": "windflow" }, "HostConfig": { "NetworkMode": "none" } });
        world.engine.answers("GET /containers/own/json", StatusCode::OK, told);
        let request = Request::put(format!("{}/own", world.base)).header("content-type", "application/json");
        let refused = world.hub.send(&admin, request, Body::from(json!({ "changes": {} }).to_string())).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "own_container"), "{refused:?}");
        assert!(refused.body["error"]["message"].as_str().unwrap().starts_with(who), "{refused:?}");
    }
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn what_was_hidden_and_comes_back_hidden_is_as_it_was_and_nothing_else_is_hidden() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let told = json!({ "Id": "ab".repeat(32), "Name": "/web", "Image": "sha256:1", "State": { "Status": "running" },
        "Config": { "Image": "nginx", "Env": ["TOKEN=hush", "A=1"] }, "HostConfig": { "NetworkMode": "none" } });
    world.engine.answers("GET /containers/b2/json", StatusCode::OK, told);
    let shown = world.hub.get(&admin, &format!("{}/b2/spec", world.base)).await;
    assert_eq!((&shown.body["masked"], &shown.body["spec"]["env"]["TOKEN"]), (&json!(1), &json!("********")));
    let edit = json!({ "changes": { "env": { "OTHER": "********" } } });
    let request = Request::put(format!("{}/b2", world.base)).header("content-type", "application/json");
    let refused = world.hub.send(&admin, request, Body::from(edit.to_string())).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "masked_value"), "{refused:?}");
}
