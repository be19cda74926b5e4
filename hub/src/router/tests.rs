//! The ground rules, seen from outside: who gets in where, and what is said to
//! those who do not.

mod asvs;
mod frames;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::*;
use crate::http::{Access, Role, Scheme};
use crate::testing::{Client, PASSWORD, TestHub};

const SNAPSHOT: &str = include_str!("routes.snapshot");

#[tokio::test]
async fn every_route_has_its_reviewed_access() {
    let hub = TestHub::empty().await;
    let lines: Vec<String> = records(&hub.app).iter().map(|record| format!("{record}\n")).collect();
    let current = lines.concat();
    assert_eq!(current, SNAPSHOT, "review the change, then copy the left side into hub/src/router/routes.snapshot");
}

#[tokio::test]
async fn nobody_without_a_credential_learns_anything_from_a_guarded_route() {
    let hub = TestHub::with_users().await;
    let is_guarded = |route: &RouteRecord| {
        matches!(route.access, Access::SignedIn | Access::FactorDue | Access::Bearer)
            || route.access.permission().is_some()
    };
    for route in records(&hub.app).into_iter().filter(is_guarded) {
        let (method, path) = sample(&route);
        let request = Request::builder().method(method.as_str()).uri(&path).header("content-type", "text/plain");
        let answer = hub.send(&Client::browser(), request, Body::from("not json")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}");
        assert_eq!(answer.code(), "unauthorized", "{route}");
    }
}

#[tokio::test]
async fn a_role_is_refused_wherever_a_permission_is_needed_that_it_does_not_have() {
    let hub = TestHub::with_users().await;
    for role in [Role::Operator, Role::Viewer] {
        let user = hub.signed_in(role.as_str()).await;
        for route in records(&hub.app) {
            let Some(permission) = route.access.permission() else { continue };
            if role.may(permission) {
                continue;
            }
            let (method, path) = sample(&route);
            let answer = hub.send(&user, Request::builder().method(method.as_str()).uri(&path), Body::empty()).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "not_permitted"), "{role}: {route}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_the_local_socket_does_not_exist_elsewhere() {
    let hub = TestHub::with_users().await;
    let here = Client::browser().without("origin").at_address("127.0.0.1:9", Scheme::Http);
    for client in [hub.signed_in("admin").await, hub.program_of("admin").await.0, here.with("host", "127.0.0.1:8443")] {
        for route in records(&hub.app).into_iter().filter(|route| route.access == Access::LocalSocket) {
            let (method, path) = sample(&route);
            let answer = hub.send(&client, Request::builder().method(method.as_str()).uri(&path), Body::empty()).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_found"), "{route}");
        }
    }
}

#[tokio::test]
async fn c30_a_credential_in_the_query_is_refused_even_beside_a_good_one() {
    let hub = TestHub::with_users().await;
    let (program, _) = hub.program_of("admin").await;
    let queries = [
        "token=x",
        "access_token=x",
        "refresh_token=x",
        "API_KEY=x",
        "q=wfa1_abc",
        "q=wfe1_abc",
        "q=wfr1_abc",
        "q=eyJh.eyJp.c2ln",
        "%74oken=x",
    ];
    for query in queries {
        let answer = hub.get(&program, &format!("/api/v1/users?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{query}");
    }
    assert_eq!(hub.get(&program, "/api/v1/users?name=token").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_cookie_changes_nothing_from_another_origin() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let user = || json!({ "name": "eve", "role": "administrator", "password": PASSWORD });
    for client in [
        admin.clone().without("origin"),
        admin.clone().with("origin", "null"),
        admin.clone().with("origin", "https://evil.example"),
        admin.clone().with("sec-fetch-site", "same-site"),
    ] {
        let answer = hub.post(&client, "/api/v1/users", user()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "foreign_origin"));
        let upgrade = Request::get("/api/v1/me").header("connection", "upgrade").header("upgrade", "websocket");
        assert_eq!(hub.send(&client, upgrade, Body::empty()).await.code(), "foreign_origin");
    }
    assert_eq!(hub.post(&admin, "/api/v1/users", user()).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_is_signed_in_by_a_page_of_another_origin() {
    let hub = TestHub::with_users().await;
    let foreign = Client::browser().with("origin", "https://evil.example");
    assert_eq!(hub.sign_in(&foreign, "admin", PASSWORD).await.code(), "foreign_origin");
}

#[tokio::test]
async fn a_program_needs_no_origin() {
    let hub = TestHub::with_users().await;
    let (program, _) = hub.program_of("admin").await;
    let user = json!({ "name": "bob", "role": "viewer", "password": PASSWORD });
    assert_eq!(hub.post(&program, "/api/v1/users", user).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn every_error_has_the_same_envelope_and_the_id_of_its_request() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let wrong_json = hub.post(&admin, "/api/v1/users", json!({ "name": 1 })).await;
    let unknown_field = json!({ "name": "x", "role": "viewer", "password": PASSWORD, "id": "1" });
    let answers = [
        (hub.get(&admin, "/nowhere").await, StatusCode::NOT_FOUND, "not_found"),
        (hub.delete(&admin, "/api/v1/users").await, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        (wrong_json, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body"),
        (hub.post(&admin, "/api/v1/users", unknown_field).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body"),
        (hub.get(&admin, "/api/v1/users?limit=x").await, StatusCode::BAD_REQUEST, "invalid_query"),
        (hub.get(&admin, "/api/v1/users?limit=1&limit=2").await, StatusCode::BAD_REQUEST, "invalid_query"),
        (hub.get(&admin, "/api/v1/users?limit=201").await, StatusCode::BAD_REQUEST, "invalid_limit"),
        (hub.get(&admin, "/api/v1/users/x").await, StatusCode::BAD_REQUEST, "invalid_path"),
    ];
    for (answer, status, code) in answers {
        assert_eq!((answer.status, answer.code()), (status, code));
        assert_eq!(answer.body["error"]["request_id"], answer.headers["x-request-id"].to_str().unwrap());
        assert!(!answer.body["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let answer = hub.post(&admin, "/api/v1/users", json!({ "name": "x".repeat(JSON_BODY_MAX) })).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
}

#[tokio::test]
async fn answers_of_the_api_are_not_stored_sniffed_or_framed() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let answer = hub.get(&admin, "/api/v1/me").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
    assert_eq!(answer.headers["cross-origin-opener-policy"], "same-origin");
    assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
}

#[tokio::test]
async fn a_browser_is_told_to_insist_on_tls_only_where_the_certificate_is_not_the_hubs_own() {
    let hub = TestHub::empty().await;
    let insists = async |client: &Client| {
        hub.get(client, "/healthz").await.headers.get("strict-transport-security").map(|value| value.to_owned())
    };
    let lasting = Client::browser().on_lasting_tls();
    assert_eq!(insists(&lasting).await.unwrap(), "max-age=31536000");
    assert!(insists(&lasting.clone().with("host", "localhost:8443")).await.is_none());
    assert!(insists(&Client::browser()).await.is_none());
}

#[tokio::test]
async fn the_openapi_document_names_every_documented_handler_once() {
    let hub = TestHub::empty().await;
    let document = hub.get(&Client::browser(), "/api/v1/openapi.json").await.body;
    let operations: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let mut unique = operations.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), operations.len());
    assert!(unique.contains(&"create_user"));
}

#[tokio::test]
async fn readiness_follows_the_database() {
    let hub = TestHub::empty().await;
    assert_eq!(hub.get(&Client::browser(), "/readyz").await.status, StatusCode::OK);
    hub.app.db.close().await;
    let answer = hub.get(&Client::browser(), "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["components"][0], json!({ "name": "database", "status": "degraded", "needed": true }));
    assert_eq!(hub.get(&Client::browser(), "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_degraded_part_makes_the_hub_not_ready() {
    let hub = TestHub::empty().await;
    hub.app.health.watch("tunnel", || crate::ops::health::Condition::Degraded);
    let answer = hub.get(&Client::browser(), "/readyz").await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("degraded")));
    assert_eq!(answer.body["components"][0]["status"], "ready");
}

#[tokio::test]
async fn a_part_that_the_hub_works_without_is_named_and_nothing_more() {
    let hub = TestHub::empty().await;
    hub.app.health.watch_dispensable("redis", || crate::ops::health::Condition::Degraded);
    let answer = hub.get(&Client::browser(), "/readyz").await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("ready")));
    let parts = answer.body["components"].as_array().unwrap();
    assert!(parts.contains(&json!({ "name": "redis", "status": "degraded", "needed": false })), "{parts:?}");
}

#[tokio::test]
async fn numbers_are_for_this_machine_and_for_those_signed_in() {
    let hub = TestHub::with_users().await;
    let here = Client::browser().without("origin").at_address("127.0.0.1:9", Scheme::Http);
    let direct = here.clone().with("host", "127.0.0.1:8443");
    let numbers = hub.get(&direct, "/metrics").await;
    assert_eq!(numbers.status, StatusCode::OK);
    let line = "windflow_http_requests_total{method=\"POST\",route=\"/api/v1/users\",status=\"201\"} 3";
    assert!(numbers.body.as_str().unwrap().contains(line), "{}", numbers.body);

    // A reverse proxy on this machine, and a page whose name was rebound.
    for client in [direct.with("x-forwarded-for", "192.0.2.7"), here.with("host", "evil.example"), Client::browser()] {
        assert_eq!(hub.get(&client, "/metrics").await.status, StatusCode::UNAUTHORIZED);
    }
    let (program, _) = hub.program_of("viewer").await;
    assert_eq!(hub.get(&program, "/metrics").await.status, StatusCode::OK);
}

/// A request line that the route answers to.
fn sample(route: &RouteRecord) -> (String, String) {
    let method = if route.method == "*" { "GET" } else { &route.method };
    let filled = |part: &str| if part.starts_with('{') { "1".to_owned() } else { part.to_owned() };
    (method.to_owned(), route.path.split('/').map(filled).collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_comes() {
    let hub = TestHub::with_users().await;
    let request = Request::builder().method("POST").uri("/api/v1/users");
    let request = request.header("content-type", "application/json").header("content-length", "4294967296");
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = hub.send(&Client::local(), request, never).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let hub = TestHub::empty().await;
    tokio::time::pause();
    let request = Request::builder().method("POST").uri("/api/v1/users").header("content-type", "application/json");
    let never = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = hub.send(&Client::local(), request, never).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::REQUEST_TIMEOUT, "body_too_slow"));
}
