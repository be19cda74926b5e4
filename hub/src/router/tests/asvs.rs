//! Rules of OWASP ASVS 5.0 that hold for every route there is, and for each
//! that comes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use serde_json::Value;

use super::*;
use crate::db::tables;

/// All rows of all tables.
async fn rows(hub: &TestHub) -> BTreeMap<String, Vec<String>> {
    let mut tx = hub.app.db.read().await.unwrap();
    let mut all = BTreeMap::new();
    for table in tables::list(&mut tx).await.unwrap() {
        let rows = table.rows(&mut tx).map(|row| format!("{:?}", row.unwrap())).collect().await;
        all.insert(table.name.clone(), rows);
    }
    all
}

#[tokio::test]
async fn asvs_3_5_3_nothing_changes_by_looking() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let before = rows(&hub).await;
    let mut asked = 0;
    for route in records(&hub.app).into_iter().filter(|route| ["GET", "*"].contains(&route.method.as_str())) {
        // Who takes the whole log out of the hub is on record.
        if route.path == "/api/v1/audit/export" {
            continue;
        }
        for method in ["GET", "HEAD"] {
            let (_, path) = sample(&route);
            hub.send(&admin, Request::builder().method(method).uri(&path), Body::empty()).await;
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
    for (table, after) in rows(&hub).await {
        assert_eq!(after, before[&table], "{table} was changed by a GET or a HEAD");
    }
}

/// C-11: nothing that looks like a file of the console passes by the door.
#[tokio::test]
async fn c11_no_ending_of_a_path_opens_a_guarded_route() {
    let hub = TestHub::with_users().await;
    let mut asked = 0;
    for route in records(&hub.app).into_iter().filter(|route| route.access.permission().is_some()) {
        let (method, path) = sample(&route);
        let Some(named) = path.strip_suffix("/1") else { continue };
        for ending in ["x.js", "x.css", "x.png", "x.svg", "assets%2Fx.js", "x.js?x.js"] {
            let request = Request::builder().method(method.as_str()).uri(format!("{named}/{ending}"));
            let answer = hub.send(&Client::browser(), request, Body::empty()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}: {ending}");
            asked += 1;
        }
    }
    assert!(asked > 60, "{asked}");
}

#[tokio::test]
async fn asvs_14_3_2_and_3_4_no_answer_of_the_api_is_stored_sniffed_framed_or_shared_whatever_it_is() {
    let hub = TestHub::with_users().await;
    for client in [Client::browser(), hub.signed_in("admin").await, hub.signed_in("viewer").await] {
        for route in records(&hub.app).into_iter().filter(|route| route.path.starts_with("/api/")) {
            let (method, path) = sample(&route);
            let request = Request::builder().method(method.as_str()).uri(&path);
            let foreign = client.clone().with("origin", "https://evil.example");
            let answer = hub.send(&foreign, request, Body::empty()).await;
            let said = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            // What everybody may have may be kept for a while.
            if path != "/api/v1/openapi.json" {
                assert_eq!(said("cache-control"), "no-store", "{route}");
            }
            assert_eq!(said("x-content-type-options"), "nosniff", "{route}");
            assert_eq!(said("referrer-policy"), "no-referrer", "{route}");
            assert_eq!(said("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{route}");
            let shared = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(shared, None, "{route}");
        }
    }
}

#[tokio::test]
async fn asvs_15_3_7_a_key_that_is_given_twice_is_refused_wherever_there_is_a_query() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let document = serde_json::to_value(document()).unwrap();
    let mut keys = 0;
    for (path, item) in document["paths"].as_object().unwrap().iter().filter(|(path, _)| !path.contains('{')) {
        let parameters = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let asked: Vec<_> = parameters.iter().filter(|parameter| parameter["in"] == "query").collect();
        let pair = |parameter: &Value| {
            let name = parameter["name"].as_str().unwrap();
            (name.to_owned(), value_for(&document, name, &parameter["schema"]))
        };
        for parameter in &asked {
            let (name, value) = pair(parameter);
            // What must be there is there, so that it is not what is complained about.
            let needed = asked.iter().filter(|other| other["required"] == true).map(|other| pair(other));
            let needed = needed.filter(|(other, _)| *other != name).map(|(name, value)| format!("{name}={value}&"));
            let query = needed.collect::<String>() + &format!("{name}={value}&{name}={value}");
            let answer = hub.get(&admin, &format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{query}: {:?}", answer.body);
            let said = answer.body["error"]["message"].as_str().unwrap();
            assert!(said.contains("duplicate field") || said.contains("given twice"), "{path}?{query}: {said}");
            keys += 1;
        }
    }
    assert!(keys > 20, "{keys}");
}

/// Something that a parameter of this kind takes.
fn value_for(document: &Value, name: &str, schema: &Value) -> String {
    if let Some(named) = schema["$ref"].as_str() {
        return value_for(document, name, &document["components"]["schemas"][named.rsplit('/').next().unwrap()]);
    }
    if let Some(one) = schema["oneOf"].as_array().and_then(|each| each.iter().find(|one| one["type"] != "null")) {
        return value_for(document, name, one);
    }
    if let Some(word) = schema["enum"][0].as_str() {
        return word.to_owned();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("string");
    match (kind, schema["format"].as_str()) {
        ("integer", _) => "1".to_owned(),
        ("boolean", _) => "true".to_owned(),
        (_, Some("uuid")) => "00000000-0000-4000-8000-000000000000".to_owned(),
        (_, Some("date-time")) => "2026-05-04T00:00:00Z".to_owned(),
        _ if name == "role" => "viewer".to_owned(),
        // As a group it is a word of its own.
        _ => "none".to_owned(),
    }
}

/// Bodies that no route takes: of another type, with a field that nobody knows,
/// cut off, and deeper than anybody means.
fn nobodys_bodies() -> [String; 6] {
    let deep = "[".repeat(1_000);
    ["\"text\"", "17", "null", r#"{"nobody-knows-this":1}"#, r#"{"name":"x""#, &deep].map(str::to_owned)
}

#[tokio::test]
async fn asvs_2_2_1_every_body_that_is_something_else_is_refused_before_anything_is_done() {
    let hub = TestHub::with_users().await;
    let environment = hub.app.fleet.ensure_local().await.unwrap();
    let document = serde_json::to_value(crate::router::document()).unwrap();
    let mut looked_at = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let is_of_environment = path.starts_with("/api/v1/environments/");
        let id = if is_of_environment { environment.0 } else { uuid::Uuid::now_v7() };
        let target = path.replace("{id}", &id.to_string()).replace(['{', '}'], "");
        for (method, operation) in operations.as_object().unwrap() {
            if operation["requestBody"]["content"]["application/json"].is_null() {
                continue;
            }
            for body in nobodys_bodies() {
                let method = method.to_uppercase();
                let request = Request::builder().method(method.as_str()).uri(&target);
                let request = request.header("content-type", "application/json");
                let answer = hub.send(&Client::local(), request, Body::from(body.clone())).await;
                let start: String = body.chars().take(30).collect();
                assert!(answer.status.is_client_error(), "{method} {path} with {start}: {answer:?}");
                assert_eq!(answer.body["error"]["request_id"], answer.headers["x-request-id"].to_str().unwrap());
                assert!(!answer.code().is_empty());
                looked_at += usize::from(answer.code() == "invalid_body");
            }
        }
    }
    assert!(looked_at > 6 * 50, "{looked_at} bodies were read, the others were refused before");
}

/// By what each way of docs/SECURITY.md, Every way in, comes in: the routes that ask for
/// no credential, or what stands there in their place.
const WAYS_IN: [(&str, &[&str]); 22] = [
    ("setup, while there is no user", &["POST /api/v1/setup"]),
    ("password, in the browser", &["POST /api/v1/session"]),
    ("password, by a program (`/auth/login`)", &["POST /api/v1/auth/login"]),
    ("directory (LDAP)", &["POST /api/v1/session", "POST /api/v1/auth/login"]),
    ("passkey, in the browser", &["POST /api/v1/session/passkey"]),
    ("identity provider (OIDC)", &["GET /api/v1/auth/oidc/{slug}/callback"]),
    ("GitHub", &["GET /api/v1/auth/oidc/{slug}/callback"]),
    ("recovery code", &["POST /api/v1/auth/second-factor", "POST /api/v1/auth/login"]),
    ("invitation", &["POST /api/v1/auth/invitation/accept"]),
    ("new password by mail", &["POST /api/v1/auth/password-reset/confirm"]),
    ("registering, where it is on", &["POST /api/v1/auth/register", "POST /api/v1/auth/verify-email"]),
    ("session cookie", &[]),
    ("access token", &[]),
    ("refresh token", &["POST /api/v1/auth/refresh"]),
    ("API token", &[]),
    ("local socket `hub.sock`", &["POST /api/v1/keys/master-key", "POST /api/v1/setup/code"]),
    ("enrollment token", &["GET /agent/v1/tunnel"]),
    ("replacement token", &["GET /agent/v1/tunnel"]),
    ("agent's certificate", &["GET /agent/v1/tunnel"]),
    ("expired certificate", &["GET /agent/v1/tunnel"]),
    ("`/metrics`", &["GET /metrics"]),
    ("no credential", &NOTHING_GIVEN),
];

/// Without a credential, and without getting one.
const NOTHING_GIVEN: [&str; 16] = [
    "GET /",
    "GET /.well-known/jwks.json",
    "POST /api/v1/auth/invitation",
    "POST /api/v1/auth/oidc/{slug}/backchannel-logout",
    "GET /api/v1/auth/oidc/{slug}/start",
    "POST /api/v1/auth/password-reset",
    "GET /api/v1/auth/providers",
    "GET /api/v1/auth/ways",
    "GET /api/v1/openapi.json",
    "POST /api/v1/session/passkey/challenge",
    "GET /api/v1/setup",
    "GET /download/agent/{platform}",
    "GET /healthz",
    "GET /install.sh",
    "GET /readyz",
    "GET /{*page}",
];

#[tokio::test]
async fn asvs_6_3_4_every_way_in_stands_in_one_table_and_nothing_else_is_open() {
    let document = include_str!("../../../../docs/SECURITY.md");
    let section = document.split("\n## ").find(|section| section.starts_with("Every way in\n")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).skip(1);
    assert_eq!(rows.collect::<Vec<_>>(), WAYS_IN.map(|(way, _)| way), "the table of docs/SECURITY.md");

    let hub = TestHub::empty().await;
    let open = records(&hub.app).into_iter().filter(|route| {
        use Access::{Agent, LocalSocket, LoopbackOrSignedIn, Public, SetupOnly};
        matches!(route.access, Public | SetupOnly | Agent | LocalSocket | LoopbackOrSignedIn)
    });
    let open: BTreeSet<String> = open.map(|route| format!("{} {}", route.method, route.path)).collect();
    let named: BTreeSet<String> = WAYS_IN.iter().flat_map(|(_, routes)| *routes).map(ToString::to_string).collect();
    assert_eq!(open, named, "open to somebody without a credential, and named here with the way that it is");
}
