//! What happened on engines, through the API and in the table.

use axum::http::StatusCode;
use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;

use super::model::{Cursor, GAP, Wanted};
use super::store::{self, Row};
use crate::clock::{Clock, Timestamp};
use crate::db::testing::on_both_engines;
use crate::db::{Db, Tx};
use crate::on_tx;
use crate::testing::engine::{SimulatedEngine, listed};
use crate::testing::{Client, TestHub};

/// Seconds of the day on which the clock of the tests stands.
const TODAY: i64 = 1_777_852_800;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

fn row(environment: EnvironmentId, second: i64, action: &str, name: &str) -> Row {
    Row {
        id: uuid::Uuid::now_v7(),
        environment_id: environment.0,
        at: at(second),
        nanos: second * 1_000_000_000,
        kind: "container".to_owned(),
        action: action.to_owned(),
        object_id: format!("id-{name}"),
        object_name: name.to_owned(),
        container_id: Some(format!("id-{name}")),
        facts: sqlx::types::Json([("image".to_owned(), "nginx".to_owned())].into()),
    }
}

async fn environment(tx: &mut Tx, name: &str) -> EnvironmentId {
    let id = EnvironmentId::generate();
    let sql = "INSERT INTO environments (id, name, kind, insecure, labels, created_at)
               VALUES ($1, $2, 'local', $3, $4, $5)";
    on_tx!(tx, |c| {
        let labels = sqlx::types::Json(json!({}));
        let query = sqlx::query(sql).bind(id.0).bind(name).bind(false).bind(labels).bind(at(0));
        query.execute(c).await.map(drop)
    })
    .unwrap();
    id
}

/// What is listed, as `second action`.
async fn listed_as(db: &Db, wanted: Wanted) -> Vec<String> {
    let rows = store::list(&mut db.read().await.unwrap(), &wanted, None, 50).await.unwrap();
    rows.iter().map(|row| format!("{} {}", row.at.as_micros() / 1_000_000, row.action)).collect()
}

on_both_engines! {
    async fn events_are_kept_once_and_found_by_what_is_wanted(db) {
        let mut tx = db.write().await.unwrap();
        let (one, other) = (environment(&mut tx, "one").await, environment(&mut tx, "other").await);
        let rows = [row(one, 1, "create", "web"), row(one, 2, "start", "web"), row(other, 3, "start", "50%_off")];
        for row in rows.iter().chain(&rows) {
            store::insert(&mut tx, row).await.unwrap();
        }
        let again = Row { id: uuid::Uuid::now_v7(), ..rows[0].clone() };
        assert_eq!(store::insert(&mut tx, &again).await.unwrap(), 0);
        tx.commit().await.unwrap();

        assert_eq!(listed_as(&db, Wanted::default()).await, ["3 start", "2 start", "1 create"]);
        let text = |text: &str| Wanted { text: Some(text.to_owned()), ..Wanted::default() };
        assert_eq!(listed_as(&db, text("CONTAINER.ST")).await, ["3 start", "2 start"]);
        assert_eq!(listed_as(&db, text("50%_O")).await, ["3 start"]);
        assert!(listed_as(&db, text("5_%")).await.is_empty());
        let of_one = Wanted { environment: Some(one.0), ..Wanted::default() };
        assert_eq!(listed_as(&db, of_one.clone()).await, ["2 start", "1 create"]);
        let starts = Wanted { action: Some("container.start".to_owned()), kind: Some("container".to_owned()), ..of_one };
        assert_eq!(listed_as(&db, starts).await, ["2 start"]);
        for named in ["web", "id-web"] {
            let web = Wanted { container: Some(named.to_owned()), from: Some(at(2)), ..Wanted::default() };
            assert_eq!(listed_as(&db, web).await, ["2 start"], "{named}");
        }
        let early = Wanted { to: Some(at(2)), ..Wanted::default() };
        assert_eq!(listed_as(&db, early).await, ["1 create"]);
        let before = Some(Cursor { at: rows[1].at, id: rows[1].id });
        assert_eq!(listed_as(&db, Wanted { before, ..Wanted::default() }).await, ["1 create"]);
        let last = store::find_last(&mut db.read().await.unwrap(), one).await.unwrap().unwrap();
        assert_eq!(last, rows[1]);
    }

    async fn old_events_and_too_many_are_deleted_and_a_gap_is_no_last_event(db) {
        let mut tx = db.write().await.unwrap();
        let (one, other) = (environment(&mut tx, "one").await, environment(&mut tx, "other").await);
        for second in 1..=5 {
            store::insert(&mut tx, &row(one, second, "start", "web")).await.unwrap();
        }
        let gap = Row { kind: GAP.to_owned(), action: GAP.to_owned(), ..row(other, 9, GAP, "") };
        store::insert(&mut tx, &gap).await.unwrap();
        assert_eq!(store::find_last(&mut tx, other).await.unwrap(), None);
        assert_eq!(store::list_above(&mut tx, 3).await.unwrap(), [one.0]);
        assert_eq!(store::delete_above(&mut tx, one, 3).await.unwrap(), 2);
        assert_eq!(store::delete_above(&mut tx, one, 3).await.unwrap(), 0);
        assert_eq!(store::delete_before(&mut tx, at(4)).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(listed_as(&db, Wanted::default()).await, ["9 gap", "5 start", "4 start"]);
    }
}

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    environment: EnvironmentId,
    admin: Client,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        engine.has(&[listed("web", "running")]);
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        let admin = hub.signed_in("admin").await;
        Self { hub, engine, environment, admin }
    }

    async fn list(&self, who: &Client, query: &str) -> Value {
        let answer = self.hub.get(who, &format!("/api/v1/activity?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body
    }

    async fn actions(&self, who: &Client, query: &str) -> Vec<String> {
        let list = self.list(who, query).await;
        list["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until so many of the engine's events are written.
    async fn until(&self, count: usize) {
        self.until_true(async || self.actions(&self.admin, "source=engine").await.len() >= count).await;
    }

    async fn until_true(&self, is_so: impl AsyncFn() -> bool) {
        let mut newest = self.hub.app.sessions.feed().newest();
        let comes_true = async {
            while !is_so().await {
                newest.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), comes_true).await.expect("in time");
    }
}

#[tokio::test]
async fn a_hub_that_starts_says_what_happened_last_before_it() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let mut tx = hub.app.db.write().await.unwrap();
    let id = environment(&mut tx, "site").await;
    for (second, action) in [(TODAY - 20, "start"), (TODAY - 10, "die")] {
        store::insert(&mut tx, &row(id, second, action, "web")).await.unwrap();
    }
    tx.commit().await.unwrap();
    hub.app.recall_last_events().await.unwrap();
    let last = hub.get(&admin, &format!("/api/v1/environments/{id}")).await.body["last_event"].take();
    assert_eq!((&last["action"], &last["target_name"]), (&json!("container.die"), &json!("web")));
}

#[tokio::test]
async fn an_environment_says_what_happened_last_also_while_it_is_away() {
    let world = World::start().await;
    let web = listed("web", "").id;
    let path = format!("/api/v1/environments/{}", world.environment);
    let last = async || world.hub.get(&world.admin, &path).await.body["last_event"].take();
    assert!(last().await.is_null());
    world.engine.remembers(TODAY - 20, "start", &web);
    world.engine.remembers(TODAY - 10, "die", &web);
    world.until_true(async || last().await["action"] == "container.die").await;
    assert_eq!(last().await["target_name"], "web");
    world.hub.app.attached.stop(world.environment);
    world.hub.until_offline(world.environment).await;
    assert_eq!(last().await["action"], "container.die");
}

#[tokio::test]
async fn what_happens_on_an_engine_and_what_users_do_is_one_list() {
    let world = World::start().await;
    let web = listed("web", "").id;
    world.engine.remembers(TODAY - 20, "start", &web);
    world.engine.remembers(TODAY - 10, "die", &web);
    world.until(2).await;
    // The name of what is stopped comes from the inventory.
    let known = async || world.hub.get(&world.admin, "/api/v1/containers?search=web").await.body["total"] == 1;
    world.until_true(known).await;
    let stop = format!("/api/v1/environments/{}/containers/{web}/stop", world.environment);
    world.hub.post(&world.admin, &stop, Value::Null).await;

    let own = format!("container={web}");
    let actions = world.actions(&world.admin, &own).await;
    assert_eq!(actions, ["container.stop", "container.die", "container.start"]);
    let list = world.list(&world.admin, &own).await;
    let (stopped, died) = (&list["items"][0], &list["items"][1]);
    assert_eq!((&stopped["source"], &stopped["actor_name"]), (&json!("user"), &json!("admin")));
    assert_eq!((&stopped["target_name"], &stopped["outcome"]), (&json!("web"), &json!("failed")), "{stopped}");
    assert_eq!((&died["source"], &died["actor_kind"]), (&json!("engine"), &json!("engine")));
    assert_eq!((&died["target_name"], &died["facts"]["exit_code"]), (&json!("web"), &json!("3")));
    assert_eq!(died["environment_id"], json!(world.environment));
    assert!(died["environment_name"].is_string());

    let first = world.list(&world.admin, &format!("{own}&limit=2")).await;
    let next = first["next"].as_str().unwrap();
    assert_eq!(world.actions(&world.admin, &format!("{own}&limit=2&cursor={next}")).await, ["container.start"]);
    assert_eq!(world.actions(&world.admin, "source=user&q=ADMIN&kind=container").await, ["container.stop"]);
}

#[tokio::test]
async fn what_users_did_with_a_container_names_it_also_once_it_is_gone() {
    let world = World::start().await;
    let web = listed("web", "").id;
    let is_known = || world.hub.app.inventories.name_of(world.environment, &web).is_some();
    world.until_true(async || is_known()).await;
    let base = format!("/api/v1/environments/{}", world.environment);
    world.engine.answers(&format!("DELETE /containers/{web}"), StatusCode::NO_CONTENT, Value::Null);
    let removed = world.hub.delete(&world.admin, &format!("{base}/containers/{web}")).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    world.engine.has(&[]);
    world.engine.tell("destroy", &web);
    world.until_true(async || !is_known()).await;

    let list = world.list(&world.admin, "source=user&action=container.remove").await;
    let record = &list["items"][0];
    assert_eq!((&record["target_id"], &record["target_name"]), (&json!(web), &json!("web")), "{record}");
    assert_eq!(record["facts"], json!({ "volumes": "false", "force": "false" }));
}

#[tokio::test]
async fn a_terminal_is_about_its_container() {
    let world = World::start().await;
    let web = listed("web", "").id;
    world.until_true(async || world.hub.app.inventories.name_of(world.environment, &web).is_some()).await;
    let path = format!("/api/v1/environments/{}/containers/{web}/terminals", world.environment);
    world.hub.post(&world.admin, &path, json!({ "columns": 80, "rows": 24 })).await;
    let list = world.list(&world.admin, "source=user&action=terminal.open").await;
    let record = &list["items"][0];
    assert_eq!((&record["container_id"], &record["target_name"]), (&json!(web), &json!("web")), "{list}");
}

#[tokio::test]
async fn a_viewer_sees_what_engines_tell_and_not_what_users_did() {
    let world = World::start().await;
    world.engine.remembers(TODAY - 20, "start", &listed("web", "").id);
    world.until(1).await;
    let viewer = world.hub.signed_in("viewer").await;
    assert_eq!(world.actions(&viewer, "").await, ["container.start"]);
    let refused = world.hub.get(&viewer, "/api/v1/activity?source=user").await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_permitted"));
}

#[tokio::test]
async fn what_is_no_filter_is_refused() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let long = format!("q={}", "x".repeat(300));
    for query in ["limit=0", "limit=201", "cursor=x", "cursor=1.x", "from=yesterday", "source=me", "colour=red", &long]
    {
        let answer = hub.get(&admin, &format!("/api/v1/activity?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn what_happened_while_nobody_listened_is_asked_for_and_what_is_too_old_is_not_kept() {
    let world = World::start().await;
    let web = listed("web", "").id;
    world.engine.remembers(TODAY - 40 * 24 * 60 * 60, "create", &web);
    world.engine.remembers(TODAY - 30, "start", &web);
    world.until(1).await;
    world.hub.app.attached.stop(world.environment);
    world.hub.until_offline(world.environment).await;
    world.engine.remembers(TODAY - 20, "die", &web);
    world.hub.app.attached.start_all().await.unwrap();
    world.until(2).await;
    assert_eq!(world.actions(&world.admin, "source=engine").await, ["container.die", "container.start"]);

    world.hub.clock.advance(std::time::Duration::from_secs(31 * 24 * 60 * 60));
    assert_eq!(world.hub.app.delete_old_events().await.unwrap(), 2);
    let now = world.hub.clock.now();
    assert!(now > at(TODAY));
}
