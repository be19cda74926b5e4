//! Measurements in the database and through the API.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::Reading;
use windflow_protocol::message::report::{ObjectId, Position};

use super::keeper::write_one;
use super::latest::Timed;
use super::points::thinning;
use super::points::{Points, Span};
use super::store::{self, ChunkKey};
use super::subject::{CONTAINER, HOST, StoredSubject, TIERS, moment, seconds};
use crate::config::MetricsOptions;
use crate::db::Db;
use crate::db::testing::on_both_engines;
use crate::on_tx;
use crate::testing::TestHub;
use crate::testing::engine::{SimulatedEngine, listed};

/// The beginning of a chunk of every tier, in seconds since 1970.
const BEGINNING: i64 = 172_800 * 10_000;

fn reading(subject: Subject, values: &[u64]) -> Reading {
    Reading { subject, values: values.iter().map(|value| Some(*value)).collect() }
}

fn timed(sequence: u64, at: i64, cpu: u64) -> Arc<Timed> {
    let container = Subject::Container(ObjectId([7; 32]));
    let readings = vec![reading(Subject::Host, &[cpu]), reading(container, &[cpu * 2, 1024])];
    Arc::new(Timed { position: Position { epoch: [1; 8], sequence }, at, readings })
}

fn container() -> StoredSubject {
    StoredSubject { kind: CONTAINER, name: ObjectId([7; 32]).to_string() }
}

async fn environment(db: &Db) -> EnvironmentId {
    let environment = EnvironmentId::generate();
    let mut tx = db.write().await.unwrap();
    let sql = "INSERT INTO environments (id, name, kind, insecure, labels, created_at)
               VALUES ($1, 'here', 'local', $2, $3, $4)";
    on_tx!(&mut tx, |c| {
        let labels = sqlx::types::Json(json!({}));
        let query = sqlx::query(sql).bind(environment.0).bind(false).bind(labels).bind(moment(0));
        query.execute(c).await.map(drop)
    })
    .unwrap();
    tx.commit().await.unwrap();
    environment
}

async fn write(db: &Db, environment: EnvironmentId, pending: &[Arc<Timed>]) -> bool {
    let mut tx = db.write().await.unwrap();
    let done = write_one(&mut tx, environment, pending).await.unwrap();
    tx.commit().await.unwrap();
    done
}

/// Each chunk of the container: how far its points are apart, and how many
/// there are.
async fn chunks(db: &Db, environment: EnvironmentId) -> Vec<(i64, usize)> {
    let mut tx = db.read().await.unwrap();
    let all = (moment(0), moment(BEGINNING * 2));
    let rows = store::list_of_subject(&mut tx, environment, &container(), all).await.unwrap();
    let points = |row: &store::ChunkRow| Points::decode(&row.points, seconds(row.starts_at)).unwrap().iter().count();
    rows.iter().map(|row| (row.step_seconds, points(row))).collect()
}

on_both_engines! {
    async fn measurements_are_added_to_the_chunk_of_their_hour(db) {
        let environment = environment(&db).await;
        let first: Vec<_> = (0..10).map(|turn| timed(turn, BEGINNING + 3500 + turn.cast_signed() * 15, turn)).collect();
        assert!(write(&db, environment, &first).await);
        assert_eq!(chunks(&db, environment).await, [(15, 7), (15, 3)]);
        // The last of them came twice: its agent did not hear that it was kept.
        let more = [timed(9, BEGINNING + 3635, 9), timed(10, BEGINNING + 3650, 10)];
        assert!(write(&db, environment, &more).await);
        assert_eq!(chunks(&db, environment).await, [(15, 7), (15, 4)]);
        let position = store::find_position(&mut db.read().await.unwrap(), environment).await.unwrap();
        assert_eq!(position, Some(Position { epoch: [1; 8], sequence: 10 }));
        assert!(!write(&db, EnvironmentId::generate(), &more).await, "nobody's");
        assert!(write(&db, environment, &[]).await);
    }

    async fn what_is_old_grows_thin_and_goes(db) {
        let environment = environment(&db).await;
        let day: Vec<_> = (0..5760).map(|turn| timed(turn, BEGINNING + turn.cast_signed() * 15, turn)).collect();
        assert!(write(&db, environment, &day).await);
        let stop = CancellationToken::new();
        let lives = MetricsOptions::default().lives().unwrap();
        let thin = async |age: Duration| {
            thinning::thin(&db, lives, moment(BEGINNING + 86_400) + age, &stop).await.unwrap();
            chunks(&db, environment).await
        };
        assert_eq!(thin(Duration::ZERO).await, [(15, 240); 24]);
        let hour = Duration::from_secs(3600);
        assert_eq!(thin(hour * 12).await, [&[(60, 360), (60, 300)][..], &[(15, 240); 13]].concat());
        assert_eq!(thin(hour * 24 * 7).await, [&[(900, 72)][..], &[(60, 360); 1]].concat());
        assert_eq!(thin(hour * 24 * 8).await, [(900, 96)]);
        assert_eq!(thin(hour * 24 * 33).await, []);
    }

    async fn what_is_kept_longer_stays_as_it_is(db) {
        let environment = environment(&db).await;
        let day: Vec<_> = (0..5760).map(|turn| timed(turn, BEGINNING + turn.cast_signed() * 15, turn)).collect();
        assert!(write(&db, environment, &day).await);
        let options = MetricsOptions { metrics_days_fine: 3, metrics_days_medium: 3, metrics_days_coarse: 4 };
        let thin = async |days: u64| {
            let now = moment(BEGINNING + 86_400) + Duration::from_secs(days * 86_400);
            thinning::thin(&db, options.lives().unwrap(), now, &CancellationToken::new()).await.unwrap();
            chunks(&db, environment).await
        };
        assert_eq!(thin(2).await, [(15, 240); 24]);
        assert_eq!(thin(4).await, [(900, 96)]);
        assert_eq!(thin(7).await, []);
    }

    async fn an_environment_with_too_much_loses_the_oldest(db) {
        let environment = environment(&db).await;
        let hours: Vec<_> = (0..10).map(|turn| timed(turn, BEGINNING + turn.cast_signed() * 3600, turn)).collect();
        assert!(write(&db, environment, &hours).await);
        assert_eq!(thinning::limit(&db, environment, 20).await.unwrap(), 0);
        // Two subjects each hour: what is beyond six chunks is older than three hours.
        assert_eq!(thinning::limit(&db, environment, 6).await.unwrap(), 14);
        assert_eq!(chunks(&db, environment).await.len(), 3);
    }

    async fn a_chunk_that_cannot_be_read_is_begun_anew(db) {
        let environment = environment(&db).await;
        let host = StoredSubject { kind: HOST, name: String::new() };
        let key = ChunkKey { environment, subject: host, step_seconds: TIERS[0].step, starts_at: moment(BEGINNING) };
        let mut tx = db.write().await.unwrap();
        store::put_chunk(&mut tx, &key, b"rubbish").await.unwrap();
        let mut points = Points::default();
        points.insert(BEGINNING + 15, vec![Some(Span::once(5))]);
        thinning::add(&mut tx, &key, points.clone()).await.unwrap();
        let found = store::find_chunk(&mut tx, &key).await.unwrap().unwrap();
        assert_eq!(Points::decode(&found, BEGINNING), Ok(points));
        tx.commit().await.unwrap();
    }
}

async fn answer(hub: &TestHub, path: &str) -> Value {
    let viewer = hub.signed_in("viewer").await;
    let answer = hub.get(&viewer, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn what_was_measured_is_told_by_columns_and_lists_are_ordered_by_it() {
    let engine = SimulatedEngine::start();
    engine.has(&[listed("idle", "running"), listed("busy", "running"), listed("over", "exited")]);
    let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
    let base = format!("/api/v1/environments/{environment}");
    answer(&hub, &format!("{base}/containers")).await;
    let id = |name| Subject::Container(ObjectId::parse(&listed(name, "").id).unwrap());
    let place = hub.app.measurements.place(environment);
    let readings = vec![reading(id("idle"), &[100, 2048]), reading(id("busy"), &[50_000, 1024, 4096])];
    place.show(&readings);
    let now = seconds(hub.app.clock.now());
    for (turn, sequence) in (0..4).zip(1..) {
        let readings = readings.clone();
        place.add(Timed { position: Position { epoch: [1; 8], sequence }, at: now - 60 + turn * 15, readings });
    }

    let names = async |sort: &str| {
        let list = answer(&hub, &format!("{base}/containers?sort={sort}")).await;
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("-cpu").await, ["busy", "idle", "over"]);
    assert_eq!(names("-memory").await, ["idle", "busy", "over"]);
    assert_eq!(names("memory").await, ["over", "busy", "idle"]);
    let found = answer(&hub, &format!("{base}/containers?search=busy")).await["items"][0]["usage"].take();
    assert_eq!(found, json!({ "cpu_percent": 50.0, "memory_bytes": 1_048_576, "memory_limit_bytes": 4_194_304 }));

    let history = answer(&hub, &format!("{base}/containers/busy/metrics?step=15")).await;
    assert_eq!(history["times"].as_array().unwrap().len(), 4, "{history}");
    let cpu = &history["series"][0];
    assert_eq!(
        (&cpu["name"], &cpu["mean"], &cpu["least"]),
        (&json!("cpu_percent"), &json!([50.0, 50.0, 50.0, 50.0]), &Value::Null)
    );
    let nothing = answer(&hub, &format!("{base}/metrics")).await;
    assert_eq!((&nothing["times"], &nothing["series"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let engine = SimulatedEngine::start();
    engine.has(&[listed("web", "running")]);
    let (hub, environment) = TestHub::with_engine(&engine.socket()).await;
    let viewer = hub.signed_in("viewer").await;
    let status = async |path: String| hub.get(&viewer, &path).await.status;
    let other = EnvironmentId::generate();
    let base = format!("/api/v1/environments/{environment}");
    assert_eq!(status(format!("/api/v1/environments/{other}/metrics")).await, StatusCode::NOT_FOUND);
    assert_eq!(status(format!("/api/v1/environments/{other}/containers/web/metrics")).await, StatusCode::NOT_FOUND);
    assert_eq!(status(format!("{base}/containers/nobody/metrics")).await, StatusCode::NOT_FOUND);
    let backwards = "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    let endless = "from=1990-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    for wrong in [backwards, endless, "from=yesterday", "step=-1", "colour=red"] {
        assert_eq!(status(format!("{base}/metrics?{wrong}")).await, StatusCode::BAD_REQUEST, "{wrong}");
    }
}
