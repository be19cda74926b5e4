//! Passkeys through the API, with a simulated authenticator.

mod attacks;
mod authenticator;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use self::authenticator::{Authenticator, GOOD, PRESENT, Scene};
use crate::db::testing::TestDb;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const OWN: &str = "/api/v1/me/passkeys";
const BEGIN: &str = "/api/v1/me/passkeys/challenge";
const CHALLENGE: &str = "/api/v1/session/passkey/challenge";
const ALONE: &str = "/api/v1/session/passkey";
const SESSION: &str = "/api/v1/session";
const CONFIRM: &str = "/api/v1/session/confirmation";
/// Nobody is held up any more after this.
const CALM: Duration = Duration::from_secs(20 * 60);

/// Expands each function to a module with one test per engine.
macro_rules! on_both_hubs {
    ($($(#[$attribute:meta])* async fn $name:ident($hub:ident) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn run($hub: TestHub) $body

            #[tokio::test]
            async fn sqlite() {
                run(hub_on(TestDb::sqlite().await).await).await;
            }

            #[tokio::test]
            async fn postgres() {
                run(hub_on(TestDb::postgres().await).await).await;
            }
        }
    )*};
}
use on_both_hubs;

async fn hub_on(db: TestDb) -> TestHub {
    let hub = TestHub::on(db).await;
    for name in ["viewer", "operator"] {
        let user = json!({ "name": name, "role": name, "password": PASSWORD });
        assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    }
    hub
}

async fn send(hub: &TestHub, client: &Client, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    hub.send(client, request, Body::from(body.to_string())).await
}

async fn begin(hub: &TestHub, client: &Client) -> Value {
    let begun = hub.post(client, BEGIN, json!({ "password": PASSWORD })).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    begun.body
}

async fn finish(hub: &TestHub, client: &Client, credential: &Value) -> Answer {
    hub.post(client, OWN, json!({ "name": "Phone", "credential": credential })).await
}

/// A new passkey of whoever is signed in, and its id.
async fn add(hub: &TestHub, client: &Client) -> (Authenticator, String) {
    let (authenticator, credential) = Authenticator::make(&begin(hub, client).await, &GOOD);
    let added = finish(hub, client, &credential).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    (authenticator, added.body["id"].as_str().unwrap().to_owned())
}

/// A browser that was given a challenge, and the challenge.
async fn challenged(hub: &TestHub) -> (Client, String) {
    let begun = hub.post(&Client::browser(), CHALLENGE, Value::Null).await;
    assert_eq!((begun.status, &begun.body["rp_id"]), (StatusCode::OK, &json!("hub.example")), "{begun:?}");
    let cookie = begun.cookie();
    assert!(cookie.starts_with("__Host-windflow-passkey="), "{cookie}");
    (Client::browser().with("cookie", &cookie), begun.body["challenge"].as_str().unwrap().to_owned())
}

async fn sign_in(hub: &TestHub, authenticator: &Authenticator, count: u32, scene: &Scene) -> Answer {
    let (browser, challenge) = challenged(hub).await;
    hub.post(&browser, ALONE, authenticator.answer(&challenge, count, scene)).await
}

/// Confirms the session of this cookie with a passkey.
async fn confirm(hub: &TestHub, session: &str, authenticator: &Authenticator) -> Answer {
    let begun = hub.post(&Client::browser(), CHALLENGE, Value::Null).await;
    let browser = Client::browser().with("cookie", &format!("{session}; {}", begun.cookie()));
    let mut proof = authenticator.answer(begun.body["challenge"].as_str().unwrap(), 1, &GOOD);
    proof["kind"] = json!("passkey");
    hub.post(&browser, CONFIRM, proof).await
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

async fn audited(hub: &TestHub, action: &str) -> Vec<Value> {
    let list = hub.get(&Client::local(), &format!("/api/v1/audit?action={action}")).await;
    list.body["items"].as_array().unwrap_or_else(|| panic!("{list:?}")).clone()
}

on_both_hubs! {
    async fn a_passkey_is_added_and_signs_in_alone(hub) {
        let viewer = hub.signed_in("viewer").await;
        let none = hub.get(&viewer, OWN).await.body;
        let expected = json!({ "passkeys": [], "rp_id": "hub.example", "refused": null, "most": 20,
                               "has_password": true, "needs_code": false });
        assert_eq!(none, expected);
        let (phone, id) = add(&hub, &viewer).await;
        let listed = hub.get(&viewer, OWN).await.body["passkeys"][0].clone();
        assert_eq!((&listed["id"], &listed["name"]), (&json!(id), &json!("Phone")));
        assert_eq!((&listed["works_here"], &listed["last_used_at"]), (&json!(true), &Value::Null));
        assert_eq!(hub.get(&Client::local(), "/api/v1/users?name=viewer").await.body["items"][0]["passkeys"], 1);

        let answer = sign_in(&hub, &phone, 0, &GOOD).await;
        assert_eq!((answer.status, &answer.body["name"]), (StatusCode::OK, &json!("viewer")), "{answer:?}");
        let session = Client::browser().with("cookie", &answer.cookie());
        assert_eq!(hub.get(&session, "/api/v1/me").await.body["name"], "viewer");
        let told = audited(&hub, "user.sign_in").await[0]["details"].clone();
        assert_eq!((&told["by"], &told["passkey_id"]), (&json!("passkey"), &json!(id)));
        assert_eq!(hub.get(&session, OWN).await.body["passkeys"][0]["last_used_at"], "2026-05-04T00:00:00Z");
    }

    async fn a_passkey_confirms_a_session_and_alone_where_it_is_the_only_second_factor(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        let (others, _) = add(&hub, &hub.signed_in("operator").await).await;
        let session = sign_in(&hub, &phone, 0, &GOOD).await.cookie();
        let browser = Client::browser().with("cookie", &session);
        hub.clock.advance(Duration::from_secs(5 * 60));
        let ways = json!([{ "kind": "passkey" }]);
        let standing = hub.get(&browser, CONFIRM).await.body;
        assert_eq!((&standing["confirmed_until"], &standing["ways"]), (&Value::Null, &ways));
        let password = json!({ "kind": "password", "password": PASSWORD });
        assert_eq!(outcome(&hub.post(&browser, CONFIRM, password).await), (403, "second_factor_required"));
        assert_eq!(outcome(&confirm(&hub, &session, &others).await), (403, "passkey_refused"));

        let confirmed = confirm(&hub, &session, &phone).await;
        assert_eq!(confirmed.status, StatusCode::OK, "{confirmed:?}");
        assert_eq!(hub.get(&browser, CONFIRM).await.status, StatusCode::UNAUTHORIZED, "it has another secret");
        let browser = Client::browser().with("cookie", &confirmed.cookie());
        assert!(hub.get(&browser, CONFIRM).await.body["confirmed_until"].is_string());
        let told: Vec<Value> = audited(&hub, "session.confirm").await;
        let told: Vec<_> = told.iter().map(|record| (&record["outcome"], &record["details"]["way"])).collect();
        let (done, denied) = (json!("done"), json!("denied"));
        assert_eq!(told, [(&done, &json!("passkey")), (&denied, &Value::Null)]);
    }

    async fn beside_a_password_a_passkey_stands_for_a_code(hub) {
        let (phone, _) = add(&hub, &hub.signed_in("viewer").await).await;
        let asked = hub.sign_in(&Client::browser(), "viewer", PASSWORD).await;
        assert_eq!(outcome(&asked), (401, "second_factor_required"));
        assert_eq!(asked.body["error"]["details"], json!({ "code": false, "passkey": true }));
        let coded = json!({ "name": "viewer", "password": PASSWORD, "code": "000000" });
        assert_eq!(outcome(&hub.post(&Client::browser(), SESSION, coded).await), (401, "wrong_second_factor"));

        let (browser, challenge) = challenged(&hub).await;
        let passkey = phone.answer(&challenge, 1, &GOOD);
        let wrong = json!({ "name": "viewer", "password": "not this one", "passkey": passkey });
        assert_eq!(outcome(&hub.post(&browser, SESSION, wrong).await), (401, "unauthorized"));
        let right = json!({ "name": "viewer", "password": PASSWORD, "passkey": passkey });
        let answer = hub.post(&browser, SESSION, right.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "a wrong password used nothing up: {answer:?}");
        assert_eq!(audited(&hub, "user.sign_in").await[0]["details"]["by"], "password and passkey");
        assert_eq!(outcome(&hub.post(&browser, SESSION, right).await), (401, "passkey_refused"));
    }

    async fn where_a_second_factor_is_asked_for_a_passkey_is_one(hub) {
        let viewer = hub.signed_in("viewer").await;
        let settings = json!({ "second_factor": "everyone" });
        let set = send(&hub, &Client::local(), Method::PUT, "/api/v1/settings/sign-in", settings).await;
        assert_eq!(set.status, StatusCode::OK);
        assert_eq!(hub.get(&viewer, "/api/v1/me").await.body["second_factor_due"], true);
        let (phone, _) = add(&hub, &viewer).await;
        assert_eq!(hub.get(&viewer, "/api/v1/me").await.body["second_factor_due"], false);
        let session = Client::browser().with("cookie", &sign_in(&hub, &phone, 0, &GOOD).await.cookie());
        assert_eq!(hub.get(&session, "/api/v1/containers").await.status, StatusCode::OK);
    }

    async fn a_passkey_is_renamed_and_removed_by_its_user_alone(hub) {
        let (viewer, operator) = (hub.signed_in("viewer").await, hub.signed_in("operator").await);
        let (phone, id) = add(&hub, &viewer).await;
        let path = format!("{OWN}/{id}");
        assert_eq!(outcome(&hub.patch(&operator, &path, json!({ "name": "Mine" })).await), (404, "not_found"));
        let remove = json!({ "password": PASSWORD });
        let foreign = send(&hub, &operator, Method::DELETE, &path, remove.clone()).await;
        assert_eq!(outcome(&foreign), (404, "not_found"));
        assert_eq!(hub.patch(&viewer, &path, json!({ "name": "Key" })).await.status, StatusCode::NO_CONTENT);
        assert_eq!(hub.get(&viewer, OWN).await.body["passkeys"][0]["name"], "Key");
        let wrong = send(&hub, &viewer, Method::DELETE, &path, json!({ "password": "not this one" })).await;
        assert_eq!(outcome(&wrong), (403, "wrong_password"));
        let gone = send(&hub, &viewer, Method::DELETE, &path, remove).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
        assert_eq!(outcome(&sign_in(&hub, &phone, 1, &GOOD).await), (401, "passkey_refused"));
        hub.signed_in("viewer").await;
        for action in ["user.passkey_add", "user.passkey_rename", "user.passkey_remove"] {
            assert_eq!(audited(&hub, action).await.len(), 1, "{action}");
        }
    }

    async fn who_manages_users_takes_passkeys_away(hub) {
        let viewer = hub.signed_in("viewer").await;
        let me = hub.get(&viewer, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
        for path in [format!("/api/v1/users/{me}/passkeys"), format!("/api/v1/users/{me}/second-factor")] {
            let (phone, _) = add(&hub, &viewer).await;
            assert_eq!(hub.delete(&viewer, &path).await.status, StatusCode::FORBIDDEN);
            let answer = hub.delete(&Client::local(), &path).await;
            assert_eq!((answer.status, &answer.body["passkeys"]), (StatusCode::OK, &json!(0)), "{answer:?}");
            assert_eq!(hub.get(&viewer, OWN).await.body["passkeys"], json!([]));
            assert_eq!(outcome(&sign_in(&hub, &phone, 1, &GOOD).await), (401, "passkey_refused"));
            hub.clock.advance(CALM);
        }
        assert_eq!(audited(&hub, "user.passkeys_reset").await.len(), 1);
        assert_eq!(audited(&hub, "user.second_factor_reset").await[0]["details"]["passkeys"], 1);
    }

    async fn nobody_has_more_than_twenty(hub) {
        let viewer = hub.signed_in("viewer").await;
        for _ in 0..19 {
            add(&hub, &viewer).await;
        }
        let begun = begin(&hub, &viewer).await;
        assert_eq!(begun["known"].as_array().unwrap().len(), 19);
        let (_, credential) = Authenticator::make(&begun, &GOOD);
        assert_eq!(finish(&hub, &viewer, &credential).await.status, StatusCode::CREATED);
        let full = hub.post(&viewer, BEGIN, json!({ "password": PASSWORD })).await;
        assert_eq!(outcome(&full), (409, "too_many_passkeys"));
    }

    async fn another_password_leaves_passkeys_where_they_are(hub) {
        let viewer = hub.signed_in("viewer").await;
        let (phone, _) = add(&hub, &viewer).await;
        let me = hub.get(&viewer, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
        let reset = json!({ "password": "nine careful badgers" });
        let path = format!("/api/v1/users/{me}/reset-password");
        let answer = hub.post(&Client::local(), &path, reset).await;
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(hub.get(&viewer, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(sign_in(&hub, &phone, 1, &GOOD).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_app_is_asked_for_its_code_before_a_passkey_is_added() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let begun = hub.post(&viewer, "/api/v1/me/second-factor", json!({ "password": PASSWORD })).await;
    let secret = begun.body["secret"].as_str().unwrap();
    let code = crate::identity::users::second_factor::code_at(secret, crate::clock::Clock::now(&*hub.clock));
    let on = hub.post(&viewer, "/api/v1/me/second-factor/confirm", json!({ "code": code })).await;
    let recovery = on.body["recovery_codes"][0].clone();
    assert_eq!(hub.get(&viewer, OWN).await.body["needs_code"], true);
    let without = hub.post(&viewer, BEGIN, json!({ "password": PASSWORD })).await;
    assert_eq!(outcome(&without), (403, "second_factor_required"));
    let wrong = hub.post(&viewer, BEGIN, json!({ "password": PASSWORD, "code": "000000" })).await;
    assert_eq!(outcome(&wrong), (403, "wrong_second_factor"));
    let right = hub.post(&viewer, BEGIN, json!({ "password": PASSWORD, "code": recovery })).await;
    assert_eq!(right.status, StatusCode::OK, "{right:?}");
}

#[tokio::test]
async fn passkeys_are_for_browsers_at_a_name_and_for_who_has_a_password() {
    let hub = TestHub::with_users().await;
    let (program, _) = hub.program_of("viewer").await;
    assert_eq!(outcome(&hub.get(&program, OWN).await), (403, "session_required"));
    assert_eq!(outcome(&hub.get(&Client::local(), OWN).await), (403, "user_required"));
    let viewer = hub.signed_in("viewer").await;
    let at_address = |client: Client| client.with("host", "192.0.2.9:8443").with("origin", "https://192.0.2.9:8443");
    let listed = hub.get(&at_address(viewer.clone()), OWN).await.body;
    assert_eq!((&listed["rp_id"], &listed["refused"]), (&Value::Null, &json!("address")));
    for (client, path) in [(Client::browser(), CHALLENGE), (viewer.clone(), BEGIN)] {
        let answer = hub.post(&at_address(client), path, json!({ "password": PASSWORD })).await;
        assert_eq!(outcome(&answer), (409, "no_passkeys_here"), "{path}");
        assert_eq!(answer.body["error"]["details"]["reason"], "address");
    }
    for (client, works) in [(Client::browser(), true), (at_address(Client::browser()), false)] {
        assert_eq!(hub.get(&client, "/api/v1/auth/ways").await.body["passkeys"], works);
    }
    let blind = hub.post(&Client::browser().without("origin"), CHALLENGE, Value::Null).await;
    assert_eq!(outcome(&blind), (403, "foreign_origin"));
    let foreign = Client::browser().with("origin", "https://evil.example");
    assert_eq!(outcome(&hub.post(&foreign, CHALLENGE, Value::Null).await), (403, "foreign_origin"));
}
