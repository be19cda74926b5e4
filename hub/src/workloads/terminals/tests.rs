//! Terminals through the API, on a simulated engine that repeats what is typed.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::model::Why;
use super::screen::Recorded;
use super::{TERMINALS_OF_USER_MAX, TerminalId};
use crate::testing::engine::SimulatedEngine;
use crate::testing::{Answer, Client, TestHub};

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    path: String,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        engine.answers("POST /containers/web/exec", StatusCode::CREATED, json!({ "Id": "e1" }));
        engine.answers("GET /exec/e1/json", StatusCode::OK, json!({ "Running": false, "ExitCode": 0 }));
        let config = json!({ "Tty": true, "OpenStdin": true, "StdinOnce": false });
        let container = json!({ "State": { "Running": true, "ExitCode": 0 }, "Config": config });
        engine.answers("GET /containers/web/json", StatusCode::OK, container);
        Self { hub, engine, path: format!("/api/v1/environments/{environment}/containers/web/terminals") }
    }

    async fn open(&self, who: &Client, mut asked: Value) -> Answer {
        asked["columns"] = json!(80);
        asked["rows"] = json!(24);
        self.hub.post(who, &self.path, asked).await
    }

    /// Has the terminals of its environment recorded from now on.
    async fn record(&self, who: &Client) {
        let path = self.path.split("/containers/").next().unwrap();
        let answer = self.hub.patch(who, path, json!({ "record_terminals": true })).await;
        assert_eq!((answer.status, &answer.body["record_terminals"]), (StatusCode::OK, &json!(true)), "{answer:?}");
        let records = self.hub.get(who, "/api/v1/audit?action=environment.record_terminals").await.body;
        assert_eq!(records["items"][0]["details"]["record_terminals"], true, "{records}");
    }

    async fn outcomes(&self, who: &Client) -> Vec<String> {
        let records = self.hub.get(who, "/api/v1/audit?action=terminal.open").await.body;
        let records = records["items"].as_array().unwrap().iter();
        records.map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_terminal_is_opened_listed_to_its_owner_alone_and_closed() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let opened = world.open(&admin, json!({})).await;
    assert_eq!(opened.status, StatusCode::CREATED, "{opened:?}");
    assert_eq!((&opened.body["command"], &opened.body["tty"]), (&json!(["bash"]), &json!(true)));
    let own = world.hub.get(&admin, "/api/v1/terminals").await.body;
    assert_eq!((&own["total"], &own["items"][0]["id"]), (&json!(1), &opened.body["id"]));
    assert_eq!(world.hub.get(&Client::local(), "/api/v1/terminals").await.body["total"], 0);

    let path = format!("/api/v1/terminals/{}", opened.body["id"].as_str().unwrap());
    assert_eq!(world.hub.delete(&Client::local(), &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.hub.get(&Client::local(), &format!("{path}/channel")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.hub.get(&admin, &format!("{path}/channel")).await.code(), "not_a_websocket");
    assert_eq!(world.outcomes(&admin).await, ["begun"]);
    assert_eq!(world.hub.delete(&admin, &path).await.status, StatusCode::NO_CONTENT);
    world.engine.end_terminals();
    while world.hub.get(&admin, "/api/v1/terminals").await.body["total"] != 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.outcomes(&admin).await, ["done", "begun"]);
}

/// C-12 of the threat list, for a token of its own owner.
#[tokio::test]
async fn a_token_for_another_environment_does_not_get_at_its_owners_terminals() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let opened = world.open(&admin, json!({})).await;
    let elsewhere = json!({ "name": "elsewhere", "address": "tcp://127.0.0.1:1" });
    let elsewhere = world.hub.post(&admin, "/api/v1/environments", elsewhere).await.body["id"].clone();
    let here = world.path.split('/').nth(4).unwrap();
    let path = format!("/api/v1/terminals/{}", opened.body["id"].as_str().unwrap());
    for (environment, visible) in [(elsewhere, false), (json!(here), true)] {
        let new = json!({ "name": "test", "environments": [environment] });
        let made = world.hub.post(&admin, "/api/v1/api-tokens", new).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let program = Client::program(made.body["token"].as_str().unwrap());
        let listed = world.hub.get(&program, "/api/v1/terminals").await.body;
        assert_eq!(listed["total"], i32::from(visible), "{listed}");
        let channel = world.hub.get(&program, &format!("{path}/channel")).await;
        let ended = world.hub.delete(&program, &path).await;
        let (code, status) = match visible {
            true => ("not_a_websocket", StatusCode::NO_CONTENT),
            false => ("not_found", StatusCode::NOT_FOUND),
        };
        assert_eq!((channel.code(), ended.status), (code, status));
    }
}

#[tokio::test]
async fn viewers_open_no_terminals_and_nothing_is_asked() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    assert_eq!(world.open(&viewer, json!({})).await.code(), "not_permitted");
    for path in ["/api/v1/terminals", "/api/v1/terminals/01890000-0000-7000-8000-000000000000/channel"] {
        assert_eq!(world.hub.get(&viewer, path).await.code(), "not_permitted", "{path}");
    }
    assert!(world.engine.changes().is_empty());
}

#[tokio::test]
async fn a_terminal_ends_when_its_user_may_have_none_any_more() {
    let world = World::start().await;
    let operator = world.hub.signed_in("operator").await;
    let own = world.hub.get(&operator, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{own}");
    for change in ["role", "disable"] {
        let opened = world.open(&operator, json!({})).await.body;
        let id = TerminalId(opened["id"].as_str().unwrap().parse().unwrap());
        let running = world.hub.app.terminals.held().get(&id).cloned().unwrap();
        let changed = match change {
            "role" => world.hub.patch(&Client::local(), &path, json!({ "role": "viewer" })).await,
            _ => world.hub.post(&Client::local(), &format!("{path}/disable"), json!({})).await,
        };
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        let told = running.screen.subscribe().wait_for(|screen| screen.told.is_some()).await.map(|screen| screen.told);
        assert_eq!(told.unwrap(), Some(Why::NotPermitted), "{change}");
        world.hub.patch(&Client::local(), &path, json!({ "role": "operator" })).await;
    }
}

#[tokio::test]
async fn what_is_no_terminal_is_refused_before_anything_is_asked() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    for asked in [json!({ "command": [] }), json!({ "attach": true, "user": "root" }), json!({ "environment": ["A"] })]
    {
        let answer = world.open(&admin, asked).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid_terminal"));
    }
    assert_eq!(world.open(&admin, json!({ "unknown": 1 })).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let elsewhere = world.path.replace("/web/", "/..%2F..%2Finfo/");
    let answer = world.hub.post(&admin, &elsewhere, json!({ "columns": 80, "rows": 24 })).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(world.engine.changes().is_empty());
    assert!(world.outcomes(&admin).await.is_empty());
}

#[tokio::test]
async fn an_image_without_a_shell_is_told_from_an_engine_that_refuses() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let missing = json!({ "message": "exec: \"bash\": executable file not found in $PATH: unknown" });
    world.engine.answers("POST /exec/e1/start", StatusCode::BAD_REQUEST, missing);
    let answer = world.open(&admin, json!({})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "no_shell"), "{answer:?}");
    let tried = world.engine.changes().iter().filter(|call| call.ends_with("/start")).count();
    assert_eq!(tried, 5, "each shell once");

    let unknown = json!({ "message": "unable to find user nobody2: no matching entries in passwd file" });
    world.engine.answers("POST /exec/e1/start", StatusCode::BAD_REQUEST, unknown);
    let answer = world.open(&admin, json!({ "user": "nobody2" })).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "engine_refused"));
    assert_eq!(world.outcomes(&admin).await, ["failed", "begun", "failed", "begun"]);
}

#[tokio::test]
async fn the_main_process_of_a_container_that_does_not_run_is_not_attached_to() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let config = json!({ "Tty": false, "OpenStdin": false, "StdinOnce": false });
    let stopped = json!({ "State": { "Running": false, "ExitCode": 1 }, "Config": config });
    world.engine.answers("GET /containers/web/json", StatusCode::OK, stopped);
    assert_eq!(world.open(&admin, json!({ "attach": true })).await.code(), "not_running");
    let running = json!({ "State": { "Running": true, "ExitCode": 0 }, "Config": config });
    world.engine.answers("GET /containers/web/json", StatusCode::OK, running);
    let opened = world.open(&admin, json!({ "attach": true })).await;
    let told = (&opened.body["command"], &opened.body["tty"], &opened.body["takes_input"]);
    assert_eq!(told, (&Value::Null, &json!(false), &json!(false)), "{opened:?}");
}

#[tokio::test]
async fn one_user_has_so_many_terminals_and_no_more() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let command = json!({ "command": ["cat"] });
    for _ in 0..TERMINALS_OF_USER_MAX {
        assert_eq!(world.open(&admin, command.clone()).await.status, StatusCode::CREATED);
    }
    let answer = world.open(&admin, command.clone()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::SERVICE_UNAVAILABLE, "too_many_terminals"));
    assert_eq!(world.open(&Client::local(), command).await.status, StatusCode::CREATED, "others have theirs");
}

#[tokio::test]
async fn a_terminal_is_recorded_where_its_environment_asks_for_it_and_without_what_is_typed() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    let plain = world.open(&admin, json!({})).await.body;
    assert_eq!(plain["recorded"], false);
    world.record(&admin).await;
    let opened = world.open(&admin, json!({})).await.body;
    assert_eq!(opened["recorded"], true, "{opened}");
    let id = TerminalId(opened["id"].as_str().unwrap().parse().unwrap());
    let running = world.hub.app.terminals.held().get(&id).cloned().unwrap();
    assert_eq!(running.screen.borrow().recorded, Some(Recorded::On));
    running.screen.send_modify(|screen| screen.type_in(0, b"echoed").map(drop).unwrap());
    running.screen.subscribe().wait_for(|screen| screen.printed() >= 6).await.unwrap();
    running.tell_to_end(Why::Closed);
    world.engine.end_terminals();
    running.screen.subscribe().wait_for(|screen| screen.ended.is_some()).await.unwrap();

    let all = world.hub.get(&admin, "/api/v1/recordings").await.body;
    assert_eq!((&all["total"], &all["items"][0]["id"]), (&json!(1), &opened["id"]), "the first was not recorded");
    assert_eq!(all["items"][0]["state"], "complete");
    let cast = world.hub.get(&admin, &format!("/api/v1/recordings/{}/cast", id.0)).await.body;
    let lines: Vec<Value> =
        { cast.as_str().unwrap().lines().skip(1) }.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line[1]).collect::<Vec<_>>(), ["o"]);
    assert_eq!(lines[0][2], "echoed");
    let records = world.hub.get(&admin, "/api/v1/audit?action=terminal.open").await.body;
    assert_eq!(records["items"][0]["details"]["recording"], "complete", "{records}");
}

#[tokio::test]
async fn no_terminal_goes_on_unrecorded_where_it_is_to_be_recorded() {
    let world = World::start().await;
    let admin = world.hub.signed_in("admin").await;
    world.record(&admin).await;
    let opened = world.open(&admin, json!({})).await.body;
    let id = TerminalId(opened["id"].as_str().unwrap().parse().unwrap());
    let running = world.hub.app.terminals.held().get(&id).cloned().unwrap();
    world.hub.app.db.guard().unwrap().note_full();
    running.screen.send_modify(|screen| screen.print(b""));
    running.recorder.as_ref().unwrap().print(b"what cannot be written");
    let ended = running.screen.subscribe().wait_for(|screen| screen.told.is_some()).await.map(|screen| screen.told);
    assert_eq!(ended.unwrap(), Some(Why::RecordingFailed));
    let refused = world.open(&admin, json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::INSUFFICIENT_STORAGE, "disk_full"));
}
