//! Inventories through the API, told by a real agent library of a simulated
//! engine.

use axum::http::StatusCode;
use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::{Container, ObjectId, Position, Volume};

use super::store;
use super::things::{Heard, Things};
use crate::clock::Timestamp;
use crate::db::testing::on_both_engines;
use crate::on_tx;
use crate::testing::TestHub;
use crate::testing::engine::{SimulatedEngine, listed};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn heard() -> Heard {
    let container = Container { id: ObjectId([7; 32]), name: "web".to_owned(), ..Container::default() };
    let volume = Volume { name: "data".to_owned(), ..Volume::default() };
    let mut things = Things::default();
    things.containers.insert(container.id, container.into());
    things.volumes.insert(volume.name.clone(), volume.into());
    Heard { things, position: Position { epoch: [1; 8], sequence: 9 }, at: at(5), is_stale: false }
}

#[tokio::test]
async fn what_was_written_is_read_back_and_nothing_that_was_cut() {
    let heard = heard();
    let bytes = heard.encode().unwrap();
    let read = Heard::decode(&bytes, heard.at).await.unwrap();
    assert_eq!(read.things.containers, heard.things.containers);
    assert_eq!(read.things.volumes, heard.things.volumes);
    assert_eq!((read.position, read.at), (heard.position, heard.at));
    for end in 0..bytes.len() {
        assert!(Heard::decode(&bytes[..end], heard.at).await.is_err(), "cut at {end}");
    }
}

on_both_engines! {
    async fn an_inventory_is_kept_for_as_long_as_its_environment(db) {
        let environment = EnvironmentId::generate();
        let mut tx = db.write().await.unwrap();
        let sql = "INSERT INTO environments (id, name, kind, insecure, labels, created_at)
                   VALUES ($1, 'here', 'local', $2, $3, $4)";
        on_tx!(&mut tx, |c| {
            let labels = sqlx::types::Json(json!({}));
            let query = sqlx::query(sql).bind(environment.0).bind(false).bind(labels).bind(at(0));
            query.execute(c).await.map(drop)
        })
        .unwrap();
        tx.commit().await.unwrap();
        let put = async |environment, time, reports: &[u8]| {
            let mut tx = db.write().await.unwrap();
            let done = store::put(&mut tx, environment, at(time), reports).await.unwrap();
            tx.commit().await.unwrap();
            done
        };
        assert!(put(environment, 1, b"one").await);
        assert!(put(environment, 2, b"two").await);
        assert!(!put(EnvironmentId::generate(), 3, b"nobody's").await);
        let mut tx = db.read().await.unwrap();
        assert_eq!(store::list(&mut tx).await.unwrap(), [environment.0]);
        let row = store::find(&mut tx, environment).await.unwrap().unwrap();
        assert_eq!((row.heard_at, row.reports.as_slice()), (at(2), b"two".as_slice()));
    }
}

struct World {
    hub: TestHub,
    engine: SimulatedEngine,
    environment: EnvironmentId,
}

impl World {
    async fn start() -> Self {
        let engine = SimulatedEngine::start();
        engine.has(&[listed("web", "running"), listed("Db", "exited")]);
        let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
        Self { hub, engine, environment }
    }

    /// The containers as `GET` gives them.
    async fn list(&self, path: &str) -> Vec<Value> {
        let viewer = self.hub.signed_in("viewer").await;
        let answer = self.hub.get(&viewer, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["items"].as_array().unwrap().clone()
    }

    async fn names(&self, path: &str) -> Vec<String> {
        self.list(path).await.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the inventory is as `good` says.
    async fn until(&self, good: impl Fn(&Heard) -> bool) {
        let mut heard = self.hub.app.inventories.follow(self.environment);
        let waiting = heard.wait_for(|heard| heard.as_deref().is_some_and(&good));
        tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("in time").unwrap();
    }
}

#[tokio::test]
async fn a_change_is_told_by_itself_and_shown_without_asking_the_engine() {
    let world = World::start().await;
    let own = format!("/api/v1/environments/{}/containers", world.environment);
    assert_eq!(world.names(&own).await, ["Db", "web"]);
    world.engine.has(&[listed("web", "exited"), listed("cache", "running")]);
    world.engine.tell("die", &listed("web", "").id);
    world.until(|heard| heard.things.containers.values().any(|container| container.name == "cache")).await;
    assert_eq!(world.names(&own).await, ["cache", "web"]);
    let asked = world.engine.asked("GET /containers/json");
    for _ in 0..5 {
        world.list(&own).await;
    }
    assert_eq!(world.engine.asked("GET /containers/json"), asked);
}

#[tokio::test]
async fn a_host_that_is_away_is_shown_as_it_was() {
    let world = World::start().await;
    let all = "/api/v1/containers?state=running";
    world.until(|heard| heard.things.containers.len() == 2).await;
    let now = world.list(all).await;
    assert_eq!((&now[0]["name"], &now[0]["as_of"]), (&json!("web"), &Value::Null));
    let environment = world.hub.app.fleet.find_environment(world.environment).await.unwrap().unwrap();
    assert_eq!(now[0]["environment_name"], environment.name.to_string());
    world.hub.app.attached.stop(world.environment);
    world.hub.until_offline(world.environment).await;
    let then = world.list(all).await;
    assert_eq!(then[0]["name"], "web");
    assert!(then[0]["as_of"].is_string(), "{then:?}");
    assert_eq!(then[0]["environment_id"], json!(world.environment));
}

#[tokio::test]
async fn an_environment_says_how_many_containers_are_in_which_state_also_while_it_is_away() {
    let world = World::start().await;
    world.until(|heard| heard.things.containers.len() == 2).await;
    let viewer = world.hub.signed_in("viewer").await;
    let own = format!("/api/v1/environments/{}", world.environment);
    let states = json!({ "running": 1, "paused": 0, "restarting": 0, "stopped": 1, "unhealthy": 0, "total": 2 });
    assert_eq!(world.hub.get(&viewer, &own).await.body["container_states"], states);
    let overview = world.hub.get(&viewer, "/api/v1/overview").await.body;
    assert_eq!((&overview["containers"], &overview["environments"]["online"]), (&states, &json!(1)));

    world.hub.app.attached.stop(world.environment);
    world.hub.until_offline(world.environment).await;
    assert_eq!(world.hub.get(&viewer, &own).await.body["container_states"], states);
    // What is away is not counted as if it were here.
    let overview = world.hub.get(&viewer, "/api/v1/overview").await.body;
    assert_eq!((&overview["containers"]["total"], &overview["environments"]["offline"]), (&json!(0), &json!(1)));
    assert_eq!(world.hub.get(&viewer, "/api/v1/overview?state=online").await.body["groups"], json!([]));
}

#[test]
fn containers_are_counted_by_their_states() {
    let mut things = Things::default();
    let told =
        [("running", "healthy"), ("running", "unhealthy"), ("exited", "unhealthy"), ("paused", ""), ("dead", "")];
    for (number, (state, health)) in (0..).zip(told) {
        let id = ObjectId([number; 32]);
        let (state, health) = (state.to_owned(), health.to_owned());
        things.containers.insert(id, Container { id, state, health, ..Container::default() }.into());
    }
    let states = things.states();
    assert_eq!((states.running, states.unhealthy, states.paused, states.stopped), (2, 1, 1, 2));
    assert_eq!((states.restarting, states.total), (0, 5));
}
