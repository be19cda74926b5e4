//! Confirming with a provider that it is they.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::people::{code_of, set_up_factor};
use super::{Begun, World, location, session, with_cookie};
use crate::clock::Clock;
use crate::config::SessionOptions;
use crate::testing::{Answer, Client};

const BEGIN: &str = "/api/v1/session/confirmation/provider";

/// Begins to confirm; the refusal's code where it goes no further.
async fn begin(world: &World, client: &Client, code: Option<&str>) -> Result<Begun, String> {
    let body = json!({ "provider": "corp", "next": "/users?x=1", "code": code });
    let answer = world.hub.post(client, BEGIN, body).await;
    if answer.status != StatusCode::OK {
        return Err(answer.code().to_owned());
    }
    let client = client.clone().with("cookie", &with_cookie(&client.header("cookie"), &answer)).without("origin");
    Ok(Begun { location: answer.body["location"].as_str().unwrap().parse().unwrap(), client })
}

async fn is_confirmed(world: &World, client: &Client) -> bool {
    let answer = world.hub.get(client, "/api/v1/session/confirmation").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    !answer.body["confirmed_until"].is_null()
}

/// The browser after it came back confirmed.
fn confirmed(answer: &Answer) -> Client {
    assert_eq!((answer.status, location(answer)), (StatusCode::SEE_OTHER, "/users?x=1"), "{answer:?}");
    Client::browser().with("cookie", &session(answer).expect("the session has another secret"))
}

async fn last_refusal(world: &World) -> Value {
    let path = "/api/v1/audit?action=session.confirm&outcome=denied";
    world.hub.get(&Client::local(), path).await.body["items"][0].clone()
}

fn window() -> Duration {
    SessionOptions::default().confirm_window()
}

#[tokio::test]
async fn who_has_no_password_confirms_with_a_fresh_sign_in_of_the_same_person() {
    let world = World::new().await;
    let (client, other) = (world.signed_in(json!({})).await, world.signed_in(json!({})).await);
    world.hub.clock.advance(window());
    let stands = world.hub.get(&client, "/api/v1/session/confirmation").await.body;
    let ways = json!([{ "kind": "provider", "slug": "corp", "name": "Corp" }]);
    assert_eq!(stands, json!({ "confirmed_until": null, "needs_code": false, "ways": ways }));

    let begun = begin(&world, &client, None).await.unwrap();
    assert_eq!((begun.asked("prompt").as_str(), begun.asked("max_age").as_str()), ("login", "0"));
    let users = world.hub.get(&Client::local(), "/api/v1/users").await.body["total"].clone();
    let answer = world.come_back(&begun, json!({ "sub": "s-2", "preferred_username": "eve" })).await;
    assert_eq!((location(&answer), session(&answer)), ("/account?failed=somebody_else", None));
    assert!(!is_confirmed(&world, &client).await);
    assert_eq!(world.hub.get(&Client::local(), "/api/v1/users").await.body["total"], users, "nobody is made");
    let record = last_refusal(&world).await;
    assert_eq!(record["details"]["detail"], "somebody else than the user of the session");
    assert_eq!(record["details"]["provider"], "Corp");

    let begun = begin(&world, &client, None).await.unwrap();
    let now = world.hub.clock.now().as_micros() / 1_000_000;
    let renewed = confirmed(&world.come_back(&begun, json!({ "auth_time": now })).await);
    assert!(is_confirmed(&world, &renewed).await && !is_confirmed(&world, &other).await);
    assert_eq!(world.hub.get(&client, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED, "the secret before");
    let path = "/api/v1/audit?action=session.confirm&outcome=done";
    let record = world.hub.get(&Client::local(), path).await.body["items"][0].clone();
    assert_eq!((&record["actor_name"], &record["details"]["way"]), (&json!("grace"), &json!("provider")));
}

#[tokio::test]
async fn a_sign_in_of_before_and_another_browser_confirm_nothing() {
    let world = World::new().await;
    let (client, other) = (world.signed_in(json!({})).await, world.signed_in(json!({})).await);
    world.hub.clock.advance(window());
    let now = world.hub.clock.now().as_micros() / 1_000_000;
    for said in [json!(now - 61), json!("now"), json!(null)] {
        let begun = begin(&world, &client, None).await.unwrap();
        let answer = world.come_back(&begun, json!({ "auth_time": said.clone() })).await;
        assert_eq!(location(&answer), "/account?failed=refused", "{said}");
    }
    let begun = begin(&world, &client, None).await.unwrap();
    let cookie = with_cookie(&begun.client.header("cookie"), &Answer { headers: cookie_of(&other), ..nothing() });
    let stolen = Begun { client: begun.client.clone().with("cookie", &cookie), ..begun };
    let answer = world.come_back(&stolen, json!({})).await;
    assert_eq!(location(&answer), "/account?failed=expired", "another session of the same user");
    assert!(!is_confirmed(&world, &client).await && !is_confirmed(&world, &other).await);
}

fn nothing() -> Answer {
    Answer { status: StatusCode::OK, headers: Default::default(), body: Value::Null }
}

fn cookie_of(client: &Client) -> axum::http::HeaderMap {
    [(axum::http::header::SET_COOKIE, client.header("cookie").parse().unwrap())].into_iter().collect()
}

#[tokio::test]
async fn ones_own_second_factor_is_asked_for_before_one_goes() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let secret = set_up_factor(&world, &client, None).await;
    world.hub.clock.advance(window());
    assert_eq!(begin(&world, &client, None).await.unwrap_err(), "second_factor_required");
    assert_eq!(begin(&world, &client, Some("000000")).await.unwrap_err(), "wrong_second_factor");
    assert_eq!(last_refusal(&world).await["details"]["detail"], "wrong second factor");
    let code = code_of(&world, &secret);
    let begun = begin(&world, &client, Some(&code)).await.unwrap();
    assert_eq!(begin(&world, &client, Some(&code)).await.unwrap_err(), "wrong_second_factor", "it counts once");
    let renewed = confirmed(&world.come_back(&begun, json!({})).await);
    assert!(is_confirmed(&world, &renewed).await);
}

#[tokio::test]
async fn a_provider_that_does_not_know_the_user_confirms_nothing() {
    let world = World::new().await;
    let admin = world.hub.signed_in("admin").await;
    assert_eq!(begin(&world, &admin, None).await.unwrap_err(), "not_found");
    let client = world.signed_in(json!({})).await;
    let elsewhere = json!({ "provider": "corp", "next": "//evil.example" });
    assert_eq!(world.hub.post(&client, BEGIN, elsewhere).await.code(), "invalid_next");
    let begun = begin(&world, &client, None).await.unwrap();
    world.change(json!({ "enabled": false })).await;
    assert_eq!(begin(&world, &client, None).await.unwrap_err(), "not_found");
    let answer = world.come_back(&begun, json!({})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
