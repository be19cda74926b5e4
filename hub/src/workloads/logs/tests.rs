//! Downloads through the API, on a simulated engine. Channels are looked at on
//! real ones, in the scenarios.

use axum::http::StatusCode;
use serde_json::json;

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
        Self { hub, engine, base: format!("/api/v1/environments/{environment}/containers") }
    }
}

/// A log as an engine sends it of a container without a terminal.
fn log(lines: &[(u8, &str)]) -> Vec<u8> {
    let frame = |(stream, text): &(u8, &str)| {
        let text = format!("2026-05-04T10:00:00.000000001Z {text}\n");
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[*stream, 0, 0, 0], length.as_slice(), text.as_bytes()].concat()
    };
    lines.iter().flat_map(frame).collect()
}

#[tokio::test]
async fn a_viewer_downloads_a_log_as_text() {
    let world = World::start().await;
    world.engine.says("GET /containers/web/logs", log(&[(1, "one"), (2, "two")]));
    let viewer = world.hub.signed_in("viewer").await;
    let answer = world.hub.get(&viewer, &format!("{}/web/logs", world.base)).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &json!("one\ntwo\n")));
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"web.log\"");
    let filtered = world.hub.get(&viewer, &format!("{}/web/logs?timestamps=true&regex=^t", world.base)).await;
    assert_eq!(filtered.body, json!("2026-05-04T10:00:00.000000001Z two\n"));
}

#[tokio::test]
async fn what_cannot_be_downloaded_is_said_before_anything_is_sent() {
    let world = World::start().await;
    let viewer = world.hub.signed_in("viewer").await;
    for (rest, status, code) in [
        ("nobody/logs", StatusCode::NOT_FOUND, "not_found"),
        ("..%2Finfo/logs", StatusCode::NOT_FOUND, "not_found"),
        ("web/logs?regex=(", StatusCode::BAD_REQUEST, "invalid_filter"),
        ("web/logs?since=yesterday", StatusCode::BAD_REQUEST, "invalid_query"),
    ] {
        let answer = world.hub.get(&viewer, &format!("{}/{rest}", world.base)).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{rest}: {answer:?}");
    }
    let message = json!({ "message": "configured logging driver does not support reading" });
    world.engine.answers("GET /containers/mute/logs", StatusCode::NOT_IMPLEMENTED, message);
    let answer = world.hub.get(&viewer, &format!("{}/mute/logs", world.base)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "no_log"));
}

#[tokio::test]
async fn nobody_reads_without_signing_in() {
    let world = World::start().await;
    let stranger = crate::testing::Client::browser();
    for path in [format!("{}/web/logs", world.base), "/api/v1/logs".to_owned()] {
        assert_eq!(world.hub.get(&stranger, &path).await.status, StatusCode::UNAUTHORIZED);
    }
}
