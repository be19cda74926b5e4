//! What tokens are limited to: through the API, on every route.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use windflow_protocol::token::TokenId;

use super::{PREFIX, SECRET_BYTES, parse, render};
use crate::db::testing::TestDb;
use crate::http::{Access, Scheme, TokenScope};
use crate::router::records;
use crate::testing::{Answer, Client, TestHub};

#[test]
fn a_token_survives_its_text_and_every_change_is_caught() {
    let id = TokenId::from_random(42);
    let text = render(PREFIX, &id, &[7; SECRET_BYTES]);
    let (parsed, secret) = parse(PREFIX, &text).unwrap();
    assert!(parse("wfr1", &text).is_none());
    assert_eq!((parsed, secret.as_slice()), (id, &[7; SECRET_BYTES][..]));
    for i in 0..text.len() {
        for replacement in ["0", "z", "_", "u", "é", ""] {
            let mut changed = text.to_string();
            changed.replace_range(i..=i, replacement);
            assert!(changed == *text || parse(PREFIX, &changed).is_none(), "position {i} as {replacement:?}");
        }
    }
}

/// A hub with two environments that nothing answers at, of which the first is
/// in a group.
struct Two {
    hub: TestHub,
    here: String,
    there: String,
    group: String,
}

impl Two {
    async fn new() -> Self {
        Self::on(TestHub::with_users().await).await
    }

    async fn on(hub: TestHub) -> Self {
        let id = |answer: &Answer| answer.body["id"].as_str().unwrap().to_owned();
        let mut made = Vec::new();
        for name in ["here", "there"] {
            let new = json!({ "name": name, "address": "tcp://127.0.0.1:1" });
            made.push(id(&hub.post(&Client::local(), "/api/v1/environments", new).await));
        }
        let group = id(&hub.post(&Client::local(), "/api/v1/groups", json!({ "name": "Paris" })).await);
        let [here, there] = made.try_into().unwrap();
        let two = Self { hub, here, there, group };
        two.put_into(json!(two.group)).await;
        two
    }

    async fn put_into(&self, group: Value) {
        let path = format!("/api/v1/environments/{}", self.here);
        let answer = self.hub.patch(&Client::local(), &path, json!({ "group_id": group })).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// A token of `admin` with these limits.
    async fn token(&self, limits: Value) -> Client {
        let mut new = json!({ "name": "test", "user": "admin" });
        new.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        made(&self.hub.post(&Client::local(), "/api/v1/api-tokens", new).await)
    }
}

/// A program with the token that was made.
fn made(answer: &Answer) -> Client {
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    Client::program(answer.body["token"].as_str().unwrap())
}

fn path_of(route: &str, id: &str) -> String {
    let filled = |part: &str| match part {
        "{id}" => id.to_owned(),
        part if part.starts_with('{') => "x".to_owned(),
        part => part.to_owned(),
    };
    route.split('/').map(filled).collect::<Vec<_>>().join("/")
}

fn methods_of(method: &str) -> Vec<&str> {
    if method == "*" { vec!["GET", "POST", "PUT", "DELETE", "HEAD"] } else { vec![method] }
}

/// Whether a refusal is for a permission that is missing.
fn is_refused(answer: &Answer) -> bool {
    (answer.status, answer.code()) == (StatusCode::FORBIDDEN, "not_permitted")
}

#[tokio::test]
async fn a_token_does_what_its_scopes_bring_and_nothing_else() {
    let two = Two::new().await;
    let mut count = 0;
    for scope in TokenScope::ALL {
        let program = two.token(json!({ "scopes": [scope] })).await;
        for route in records(&two.hub.app) {
            let Some(permission) = route.access.permission() else { continue };
            if route.method == "DELETE" && scope.brings(permission) {
                continue;
            }
            for method in methods_of(&route.method) {
                let request = Request::builder().method(method).uri(path_of(&route.path, &two.here));
                let answer = two.hub.send(&program, request, Body::empty()).await;
                // Whoever may do something in an environment sees that it is there.
                let sight = permission.as_str() == "environments.view" && scope != TokenScope::Admin;
                let refused =
                    if method == "HEAD" { answer.status == StatusCode::FORBIDDEN } else { is_refused(&answer) };
                assert_eq!(refused, !scope.brings(permission) && !sight, "{scope} {method} {route}: {answer:?}");
                count += 1;
            }
        }
    }
    assert!(count > 300, "{count}");
}

/// C-04, C-12 of the threat list, for tokens.
#[tokio::test]
async fn an_environment_that_a_token_is_not_for_does_not_exist_on_any_route() {
    let two = Two::new().await;
    let mut count = 0;
    for limits in [json!({ "environments": [two.here] }), json!({ "groups": [two.group] })] {
        let program = two.token(limits).await;
        for route in records(&two.hub.app) {
            let Access::At(permission) = route.access else { continue };
            for method in methods_of(&route.method) {
                let ask = async |id: &str| {
                    let request = Request::builder().method(method).uri(path_of(&route.path, id));
                    two.hub.send(&program, request, Body::empty()).await
                };
                for foreign in [two.there.as_str(), &Uuid::now_v7().to_string(), "1", "here"] {
                    let answer = ask(foreign).await;
                    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{route} {permission} {foreign}: {answer:?}");
                    if method != "HEAD" {
                        assert_eq!(answer.body["error"]["message"], "There is no such environment.", "{route}");
                    }
                }
                if method != "DELETE" {
                    let own = ask(&two.here).await;
                    assert!(!["not_permitted", "unauthorized"].contains(&own.code()), "{route}: {own:?}");
                }
                count += 1;
            }
        }
        for route in records(&two.hub.app) {
            let Access::Needs(permission) = route.access else { continue };
            let request = Request::builder().method(&*route.method).uri(path_of(&route.path, "1"));
            let answer = two.hub.send(&program, request, Body::empty()).await;
            assert!(is_refused(&answer), "nothing of the hub: {permission}: {route}: {answer:?}");
        }
    }
    assert!(count > 50, "{count}");
}

#[tokio::test]
async fn lists_show_a_limited_token_its_environments_alone() {
    let two = Two::new().await;
    let program = two.token(json!({ "environments": [two.here] })).await;
    let names = async |path: &str| {
        let answer = two.hub.get(&program, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        let items = answer.body["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("/api/v1/environments").await, ["here"]);
    assert_eq!(names("/api/v1/groups").await, ["Paris"]);
    assert_eq!(two.hub.get(&program, "/api/v1/overview").await.body["environments"]["total"], 1);
    for list in ["agents", "containers", "images", "volumes", "networks", "jobs", "activity", "terminals", "recordings"]
    {
        let answer = two.hub.get(&program, &format!("/api/v1/{list}")).await;
        assert_eq!((answer.status, &answer.body["items"]), (StatusCode::OK, &json!([])), "{list}");
    }
    for of_hub in ["audit", "audit/export", "users", "enrollment-tokens", "grants", "storage"] {
        assert!(is_refused(&two.hub.get(&program, &format!("/api/v1/{of_hub}")).await), "{of_hub}");
    }
    let me = two.hub.get(&program, "/api/v1/me").await.body;
    assert_eq!(me["permissions"], json!([]));

    let path = format!("/api/v1/environments/{}", two.here);
    let of_group = two.token(json!({ "groups": [two.group] })).await;
    assert_eq!(two.hub.get(&of_group, &path).await.status, StatusCode::OK);
    two.put_into(Value::Null).await;
    assert_eq!(two.hub.get(&of_group, &path).await.status, StatusCode::NOT_FOUND, "it left the group");
    assert_eq!(two.hub.get(&program, &path).await.status, StatusCode::OK);
    two.hub.delete(&Client::local(), &path).await;
    assert_eq!(two.hub.get(&program, &path).await.status, StatusCode::NOT_FOUND);
    assert!(is_refused(&two.hub.get(&program, "/api/v1/users").await), "a token whose place is gone has none");
}

/// C-36 of the threat list.
#[tokio::test]
async fn c36_a_token_has_no_more_than_its_owner_has_now() {
    let two = Two::new().await;
    let hub = &two.hub;
    let program = two.token(json!({ "scopes": ["read", "operate"] })).await;
    let restart = format!("/api/v1/environments/{}/containers/web/restart", two.here);
    assert!(!is_refused(&hub.post(&program, &restart, json!({})).await));
    assert_eq!(hub.get(&program, "/api/v1/audit").await.status, StatusCode::OK);
    let second = json!({ "name": "second", "role": "administrator", "password": crate::testing::PASSWORD });
    hub.post(&Client::local(), "/api/v1/users", second).await;
    let admin = hub.get(&program, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{admin}");
    hub.patch(&Client::local(), &path, json!({ "role": "viewer" })).await;
    assert!(is_refused(&hub.post(&program, &restart, json!({})).await), "a viewer operates nothing");
    assert!(is_refused(&hub.get(&program, "/api/v1/audit").await));
    assert_eq!(hub.get(&program, "/api/v1/containers").await.status, StatusCode::OK);
    hub.post(&Client::local(), &format!("{path}/disable"), json!({})).await;
    assert_eq!(hub.get(&program, "/api/v1/containers").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_is_good_from_its_networks_only() {
    let two = Two::new().await;
    let program = two.token(json!({ "networks": ["10.0.0.0/8", "2001:db8::/64"] })).await;
    for (address, status) in [
        ("10.1.2.3:1", StatusCode::OK),
        ("[2001:db8::7]:1", StatusCode::OK),
        ("192.0.2.1:1", StatusCode::UNAUTHORIZED),
        ("[2001:db8:1::7]:1", StatusCode::UNAUTHORIZED),
    ] {
        let from = program.clone().at_address(address, Scheme::Https).with("x-forwarded-for", "10.1.2.3");
        assert_eq!(two.hub.get(&from, "/api/v1/environments").await.status, status, "{address}");
    }
}

#[tokio::test]
async fn a_token_makes_none_that_may_do_more_or_lives_longer() {
    let two = Two::new().await;
    let hub = &two.hub;
    let limits = json!({ "scopes": ["read", "operate"], "environments": [two.here], "networks": ["192.0.2.0/24"] });
    let program = two.token(limits).await;
    let make = async |asked: Value| {
        let mut new = json!({ "name": "child" });
        new.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        hub.post(&program, "/api/v1/api-tokens", new).await
    };
    for more in [
        json!({ "scopes": ["admin"] }),
        json!({ "scopes": ["read", "deploy"] }),
        json!({ "networks": ["192.0.0.0/16"] }),
        json!({ "networks": ["192.0.2.0/24", "::/0"] }),
    ] {
        let answer = make(more.clone()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "exceeds_token"), "{more}");
    }
    let elsewhere = make(json!({ "environments": [two.there] })).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (StatusCode::NOT_FOUND, "not_found"), "it is not there for it");
    let group = make(json!({ "groups": [two.group] })).await;
    assert_eq!(group.code(), "exceeds_token", "what is in the group may be another tomorrow");

    let same = make(json!({ "ttl_seconds": 366 * 24 * 60 * 60 })).await;
    assert_eq!(same.body["scopes"], json!(["read", "operate"]));
    assert_eq!((&same.body["environments"], &same.body["networks"]), (&json!([two.here]), &json!(["192.0.2.0/24"])));
    assert_eq!(same.body["expires_at"], "2026-08-02T00:00:00Z", "it ends with the one that made it");
    let less = made(&make(json!({ "scopes": ["read"], "networks": ["192.0.2.1/32"] })).await);
    assert_eq!(hub.get(&less, "/api/v1/environments").await.body["total"], 1);
    let again = hub.post(&less, "/api/v1/api-tokens", json!({ "name": "x", "scopes": ["operate"] })).await;
    assert_eq!(again.code(), "exceeds_token");
}

#[tokio::test]
async fn a_limited_token_sees_and_ends_itself_alone() {
    let two = Two::new().await;
    let hub = &two.hub;
    let browser = hub.signed_in("admin").await;
    let (other, other_id) = hub.program_of("admin").await;
    let program = two.token(json!({ "scopes": ["read"] })).await;
    let listed = hub.get(&program, "/api/v1/api-tokens").await.body;
    assert_eq!((&listed["total"], &listed["items"][0]["scopes"]), (&json!(1), &json!(["read"])));
    let revoke = hub.post(&program, &format!("/api/v1/api-tokens/{other_id}/revoke"), json!({})).await;
    assert_eq!(revoke.status, StatusCode::NOT_FOUND);
    let sessions = hub.get(&browser, "/api/v1/sessions").await.body;
    let session = format!("/api/v1/sessions/{}", sessions["items"][0]["id"].as_str().unwrap());
    for answer in [
        hub.get(&program, "/api/v1/sessions").await,
        hub.delete(&program, &session).await,
        hub.get(&program, "/api/v1/token-families").await,
        hub.delete(&program, &format!("/api/v1/token-families/{}", Uuid::nil())).await,
    ] {
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "limited_token"));
    }
    assert_eq!(
        hub.get(&other, "/api/v1/sessions").await.body["total"],
        1,
        "one without limits is as good as its owner"
    );
    let own = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(hub.post(&program, &format!("/api/v1/api-tokens/{own}/revoke"), json!({})).await.status, StatusCode::OK);
    assert_eq!(hub.get(&program, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused_and_none_are_all_that_the_owner_may() {
    let two = Two::new().await;
    let hub = &two.hub;
    let many: Vec<String> = (0..101).map(|i| format!("10.0.0.{i}/32")).collect();
    for (limits, status, code) in [
        (json!({ "scopes": [] }), 400, "no_scopes"),
        (json!({ "scopes": ["write"] }), 422, "invalid_body"),
        (json!({ "scope": ["read"] }), 422, "invalid_body"),
        (json!({ "environments": [Uuid::nil()] }), 404, "not_found"),
        (json!({ "environments": ["here"] }), 422, "invalid_body"),
        (json!({ "groups": [Uuid::nil()] }), 404, "not_found"),
        (json!({ "networks": ["10.0.0.0/33"] }), 422, "invalid_body"),
        (json!({ "networks": many }), 400, "too_many_limits"),
    ] {
        let mut new = json!({ "name": "test", "user": "admin" });
        new.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let answer = hub.post(&Client::local(), "/api/v1/api-tokens", new).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{limits}");
    }
    let (program, _) = hub.program_of("admin").await;
    let listed = hub.get(&program, "/api/v1/api-tokens").await.body["items"][0].clone();
    assert_eq!((&listed["scopes"], &listed["environments"]), (&json!(["admin"]), &json!([])));
    assert_eq!(hub.get(&program, "/api/v1/users").await.status, StatusCode::OK);
    let record = hub.get(&program, "/api/v1/audit?action=api_token.create").await.body["items"][0].clone();
    assert_eq!(record["details"]["scopes"], json!(["admin"]));
}

#[tokio::test]
async fn limits_survive_postgresql_too() {
    let two = Two::on(TestHub::on(TestDb::postgres().await).await).await;
    let user = json!({ "name": "admin", "role": "administrator", "password": crate::testing::PASSWORD });
    assert_eq!(two.hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    let limits =
        json!({ "scopes": ["read"], "environments": [two.here], "groups": [two.group], "networks": ["192.0.2.1/32"] });
    let program = two.token(limits.clone()).await;
    let listed = two.hub.get(&program, "/api/v1/api-tokens").await.body["items"][0].clone();
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(listed[name], *value, "{name}");
    }
    assert_eq!(two.hub.get(&program, "/api/v1/environments").await.body["total"], 1);
    let path = format!("/api/v1/environments/{}", two.there);
    assert_eq!(two.hub.get(&program, &path).await.status, StatusCode::NOT_FOUND);
}
