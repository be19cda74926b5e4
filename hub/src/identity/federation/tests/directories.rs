//! Directories as they are configured. What they say of people is tried against a
//! real one, in the scenarios.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::merged;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

/// Nobody answers there.
const NOWHERE: &str = "ldap://127.0.0.1:1";

fn directory(changes: Value) -> Value {
    let body = json!({
        "name": "Corp", "slug": "corp", "enabled": true, "create_users": true, "trusted_for_second_factor": false,
        "required_group": null, "client_secret": "canary", "mappings": [],
        "configuration": {
            "kind": "ldap", "servers": [NOWHERE], "allow_private": true, "bind_dn": "cn=hub,dc=corp",
            "base_dn": "dc=corp",
        },
    });
    merged(body, changes)
}

async fn add(hub: &TestHub, changes: Value) -> Answer {
    hub.post(&Client::local(), "/api/v1/identity-providers", directory(changes)).await
}

async fn change(hub: &TestHub, id: &Value, changes: Value) -> Answer {
    let path = format!("/api/v1/identity-providers/{}", id.as_str().unwrap());
    let request = axum::http::Request::put(path).header("content-type", "application/json");
    hub.send(&Client::local(), request, axum::body::Body::from(directory(changes).to_string())).await
}

async fn sign_in(hub: &TestHub, name: &str, password: &str) -> Answer {
    hub.post(&Client::browser(), "/api/v1/session", json!({ "name": name, "password": password })).await
}

#[tokio::test]
async fn a_directory_is_configured_as_it_makes_sense_and_keeps_its_password_to_itself() {
    let hub = TestHub::with_users().await;
    for (changes, code) in [
        (json!({ "trusted_for_second_factor": true }), "invalid_second_factor"),
        (json!({ "required_group": "cn=ops,dc=corp" }), "invalid_groups"),
        (json!({ "configuration": { "servers": ["http://x"] } }), "invalid_server"),
        (json!({ "configuration": { "user_filter": "(uid=*)" } }), "invalid_filter"),
        (json!({ "configuration": { "verify": false } }), "invalid_body"),
    ] {
        let answer = add(&hub, changes).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        assert_eq!(answer.code(), code, "{answer:?}");
    }
    let made = add(&hub, json!({})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert!(!made.body.to_string().contains("canary"));
    let id = &made.body["id"];
    let has_secret = async |changes: Value| {
        let answer = change(&hub, id, merged(json!({ "client_secret": null }), changes)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["has_client_secret"] == true
    };
    assert!(has_secret(json!({ "name": "Other" })).await);
    assert!(!has_secret(json!({ "configuration": { "allow_plain": true } })).await, "not in the open");
    change(&hub, id, json!({})).await;
    assert!(!has_secret(json!({ "configuration": { "servers": ["ldaps://other.example"] } })).await, "not to others");

    let oidc = json!({ "kind": "oidc", "issuer": "https://idp.example", "client_id": "x" });
    let mut body = directory(json!({}));
    body["configuration"] = oidc;
    let path = format!("/api/v1/identity-providers/{}", id.as_str().unwrap());
    let request = axum::http::Request::put(path).header("content-type", "application/json");
    let answer = hub.send(&Client::local(), request, axum::body::Body::from(body.to_string())).await;
    assert_eq!(answer.code(), "invalid_kind", "{answer:?}");

    let shown = hub.get(&Client::browser(), "/api/v1/auth/providers").await;
    assert_eq!(shown.body["items"], json!([]), "nobody goes there to sign in");
    let start = hub.get(&Client::browser().without("origin"), "/api/v1/auth/oidc/corp/start").await;
    assert_eq!(start.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn c19_a_directory_that_cannot_be_asked_lets_nobody_in_and_keeps_no_local_user_out() {
    let hub = TestHub::with_users().await;
    let before = sign_in(&hub, "nobody", "some password").await;
    let id = add(&hub, json!({})).await.body["id"].clone();
    let path = format!("/api/v1/identity-providers/{}", id.as_str().unwrap());
    let refused = sign_in(&hub, "nobody", "some password").await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (before.status, &before.body["error"]["code"]));
    assert_eq!(refused.body["error"]["message"], before.body["error"]["message"]);
    let users = hub.get(&Client::local(), "/api/v1/users").await.body;
    let name = users["items"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(sign_in(&hub, &name, PASSWORD).await.status, StatusCode::OK, "{users}");

    let tested = hub.post(&Client::local(), &format!("{path}/test"), json!({})).await;
    let step = &tested.body["steps"][0];
    assert_eq!((&step["step"], &step["trouble"]), (&json!("connect"), &json!("unconnected")), "{tested:?}");
    assert_eq!(tested.body["steps"][1], json!({ "step": "tls", "passed": null, "trouble": null, "found": [] }));
    let records = hub.get(&Client::local(), "/api/v1/audit?action=user.sign_in&outcome=denied").await.body;
    assert_eq!(records["items"][0]["details"]["detail"], "Corp gives no usable answer");
}
