//! Identity providers as those see them who manage the hub.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{CLIENT_SECRET, Issuer, World, browser_at, location, merged, provider_of, session};
use crate::clock::Clock;
use crate::testing::{Client, TestHub};

const PROVIDERS: &str = "/api/v1/identity-providers";

#[tokio::test]
async fn a_provider_is_listed_with_all_but_its_secret() {
    let world = World::new().await;
    let listed = world.hub.get(&Client::local(), PROVIDERS).await.body;
    let provider = &listed["items"][0];
    assert_eq!((&provider["slug"], &provider["has_client_secret"]), (&json!("corp"), &json!(true)));
    assert_eq!(provider["configuration"]["kind"], "oidc");
    assert_eq!(provider["configuration"]["scopes"], json!(["profile", "email"]));
    assert!(!listed.to_string().contains(CLIENT_SECRET));
    let one = world.hub.get(&Client::local(), &format!("{PROVIDERS}/{}", world.id())).await.body;
    assert_eq!(&one, provider);
}

#[tokio::test]
async fn a_sign_in_page_learns_the_names_of_those_that_are_on() {
    let world = World::new().await;
    let off = merged(provider_of(&world.issuer, "off"), json!({ "enabled": false, "name": "Off" }));
    assert_eq!(world.hub.post(&Client::local(), PROVIDERS, off).await.status, StatusCode::CREATED);
    let listed = world.hub.get(&Client::browser(), "/api/v1/auth/providers").await.body;
    assert_eq!(listed, json!({ "items": [{ "slug": "corp", "name": "Corp" }] }));
    for slug in ["off", "none", "..", "%2e%2e"] {
        let answer = world.hub.get(&Client::browser(), &format!("/api/v1/auth/oidc/{slug}/start")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{slug}");
    }
    let begun = world.begin(&Client::browser()).await;
    assert_eq!(world.change(json!({ "enabled": false })).await.status, StatusCode::OK);
    let late = world.come_back(&begun, json!({})).await;
    assert_eq!((late.status, session(&late)), (StatusCode::NOT_FOUND, None), "it was turned off meanwhile");
}

#[tokio::test]
async fn c07_another_issuer_is_not_told_the_secret_of_the_one_before() {
    let world = World::new().await;
    let kept = world.change(json!({ "client_secret": null, "name": "Renamed" })).await;
    assert_eq!((&kept.body["name"], &kept.body["has_client_secret"]), (&json!("Renamed"), &json!(true)));
    let sealed_by = world.sign_in(json!({})).await;
    assert!(session(&sealed_by).is_some(), "the secret is still the right one");

    let other = Issuer::start().await;
    let moved = json!({ "client_secret": null, "configuration": { "issuer": other.url } });
    let moved = world.change(moved).await;
    assert_eq!((moved.status, &moved.body["has_client_secret"]), (StatusCode::OK, &json!(false)));
    let begun = world.begin(&browser_at(1)).await;
    assert!(begun.location.as_str().starts_with(&other.url));
    let now = world.hub.clock.now().as_micros() / 1_000_000;
    other.give(&other.token(&json!({
        "iss": other.url, "aud": "windflow", "sub": "s-1", "exp": now + 60, "iat": now, "nonce": begun.asked("nonce"),
        "preferred_username": "grace", "groups": [],
    })));
    let iss: String = url::form_urlencoded::byte_serialize(other.url.as_bytes()).collect();
    let path = format!("/api/v1/auth/oidc/corp/callback?state={}&code=x&iss={iss}", begun.asked("state"));
    assert!(session(&world.hub.get(&begun.client, &path).await).is_some());
    let asked = &other.asked("/token")[0];
    assert_eq!(asked.authorization, "");
    assert!(!asked.body.contains(CLIENT_SECRET) && asked.body.contains("client_id=windflow"), "{}", asked.body);
}

#[tokio::test]
async fn a_test_tells_each_step_and_no_more() {
    let world = World::new().await;
    let path = format!("{PROVIDERS}/{}/test", world.id());
    let test = async || world.hub.post(&Client::local(), &path, json!({})).await.body["steps"].clone();
    let trouble = |steps: &Value, i: usize| (steps[i]["passed"].clone(), steps[i]["trouble"].clone());
    let steps = test().await;
    let passed: Vec<&Value> = steps.as_array().unwrap().iter().map(|step| &step["passed"]).collect();
    assert_eq!(passed, [true, true, true]);
    assert_eq!((&steps[0]["found"], &steps[2]["found"]), (&json!([world.issuer.url]), &json!(["1"])));
    assert_eq!(steps[1]["found"].as_array().unwrap().len(), 5);

    world.issuer.says(json!({ "jwks_uri": format!("{}/nowhere", world.issuer.url) }));
    assert_eq!(trouble(&test().await, 2), (json!(false), json!("no_document")));
    world.issuer.says(json!({ "token_endpoint": "javascript:alert(1)" }));
    let steps = test().await;
    assert_eq!(
        (trouble(&steps, 1), trouble(&steps, 2)),
        ((json!(false), json!("endpoints")), (Value::Null, Value::Null))
    );
    world.issuer.says(json!({ "issuer": "https://evil.example" }));
    assert_eq!(trouble(&test().await, 0), (json!(false), json!("other_issuer")));

    for (configuration, told) in [
        (json!({ "allow_private": false }), "private"),
        (json!({ "issuer": "http://127.0.0.1:1" }), "no_document"),
        (json!({ "issuer": format!("{}/nothing/here", world.issuer.url) }), "no_document"),
    ] {
        assert_eq!(world.change(json!({ "configuration": configuration })).await.status, StatusCode::OK);
        let steps = test().await;
        assert_eq!(trouble(&steps, 0), (json!(false), json!(told)));
        assert!(!steps.to_string().contains("nothing here at"), "C-39: no word of the other end");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_is_told_on_the_page_and_left_alone_for_a_while() {
    let world = World::new().await;
    world.issuer.says(json!({ "issuer": "https://evil.example" }));
    for _ in 0..5 {
        let answer = world.hub.get(&Client::browser(), "/api/v1/auth/oidc/corp/start").await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::SEE_OTHER, "/sign-in?failed=provider"));
    }
    assert_eq!(world.issuer.asked("/.well-known/openid-configuration").len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new().await;
    let nobody = "018f0000-0000-7000-8000-000000000000";
    let mapping = |role: &str, scope: Value| json!({ "mappings": [{ "value": "ops", "role": role, "scope": scope }] });
    let everywhere = json!({ "kind": "everywhere" });
    let configuration = |changes: Value| json!({ "configuration": changes });
    for (changes, code) in [
        (configuration(json!({ "issuer": "http://idp.example", "allow_http": false })), "invalid_issuer"),
        (configuration(json!({ "issuer": "https://user:password@idp.example" })), "invalid_issuer"),
        (configuration(json!({ "issuer": "https://idp.example?x" })), "invalid_issuer"),
        (configuration(json!({ "issuer": "javascript:x" })), "invalid_issuer"),
        (configuration(json!({ "client_id": "" })), "invalid_client_id"),
        (configuration(json!({ "scopes": ["a b"] })), "invalid_scopes"),
        (configuration(json!({ "authorities": "hello" })), "invalid_authorities"),
        (
            merged(mapping("viewer", everywhere.clone()), configuration(json!({ "groups_claim": null }))),
            "invalid_claim",
        ),
        (json!({ "client_secret": "" }), "invalid_secret"),
        (json!({ "slug": "A/B" }), "invalid_body"),
        (json!({ "name": "" }), "invalid_body"),
        (json!({ "unknown": 1 }), "invalid_body"),
        (configuration(json!({ "unknown": 1 })), "invalid_body"),
        (configuration(json!({ "kind": "ldap" })), "invalid_body"),
        (mapping("restricted", everywhere.clone()), "invalid_body"),
        (mapping(nobody, everywhere), "not_found"),
        (mapping("viewer", json!({ "kind": "group", "group_id": nobody })), "not_found"),
        (mapping("viewer", json!({ "kind": "label", "label": "=x" })), "invalid_label"),
    ] {
        let answer = world.change(changes.clone()).await;
        assert_eq!(answer.code(), code, "{changes}");
    }
    let twice = world.hub.post(&Client::local(), PROVIDERS, provider_of(&world.issuer, "corp")).await;
    assert_eq!(twice.code(), "name_taken");
}

#[tokio::test]
async fn who_manages_the_hub_but_no_users_lets_nobody_in() {
    let world = World::new().await;
    let role = json!({ "name": "Keeper", "permissions": ["hub.manage"] });
    let role = world.hub.post(&Client::local(), "/api/v1/roles", role).await.body["id"].clone();
    let viewer = world.hub.signed_in("viewer").await;
    let id = world.me(&viewer).await["id"].clone();
    let grant = json!({ "user_id": id, "role": role, "scope": { "kind": "everywhere" } });
    assert_eq!(world.hub.post(&Client::local(), "/api/v1/grants", grant).await.status, StatusCode::CREATED);
    let keeper = world.hub.signed_in("viewer").await;
    assert_eq!(world.hub.get(&keeper, PROVIDERS).await.status, StatusCode::OK);
    let added = world.hub.post(&keeper, PROVIDERS, provider_of(&world.issuer, "mine")).await;
    assert_eq!((added.status, added.code()), (StatusCode::FORBIDDEN, "not_permitted"));
    let path = format!("{PROVIDERS}/{}", world.id());
    assert_eq!(world.hub.delete(&keeper, &path).await.code(), "not_permitted");
}

#[tokio::test]
async fn a_hub_without_providers_has_none_on_its_page() {
    let hub = TestHub::with_users().await;
    assert_eq!(hub.get(&Client::browser(), "/api/v1/auth/providers").await.body, json!({ "items": [] }));
}
