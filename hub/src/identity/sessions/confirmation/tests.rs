//! Confirming through the API: what asks for it, what counts, and for whom.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::SessionOptions;
use crate::db::testing::TestDb;
use crate::http::{Authenticate, Confirmation, Credential, RouteRecord};
use crate::identity::users::second_factor::code_at;
use crate::router::records;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const CONFIRM: &str = "/api/v1/session/confirmation";
const TOKENS: &str = "/api/v1/api-tokens";

/// What asks for a confirmation. A change of this is a decision.
const CONFIRMED: [&str; 38] = [
    "POST /api/v1/api-tokens",
    "POST /api/v1/backups",
    "GET /api/v1/environments/{id}/containers/{container}/inspect?reveal",
    "GET /api/v1/environments/{id}/containers/{container}/spec?reveal",
    "POST /api/v1/grants",
    "DELETE /api/v1/grants/{id}",
    "POST /api/v1/identity-providers",
    "DELETE /api/v1/identity-providers/{id}",
    "PUT /api/v1/identity-providers/{id}",
    "POST /api/v1/invitations",
    "POST /api/v1/keys/rotate",
    "DELETE /api/v1/me/identities/{id}",
    "POST /api/v1/roles",
    "DELETE /api/v1/roles/{id}",
    "PATCH /api/v1/roles/{id}",
    "PUT /api/v1/settings/audit-shipping",
    "DELETE /api/v1/settings/mail",
    "PUT /api/v1/settings/mail",
    "PUT /api/v1/settings/sign-in",
    "DELETE /api/v1/teams/{id}",
    "DELETE /api/v1/teams/{id}/members/{user}",
    "PUT /api/v1/teams/{id}/members/{user}",
    "POST /api/v1/users",
    "PATCH /api/v1/users/{id}",
    "POST /api/v1/users/{id}/enable",
    "POST /api/v1/users/{id}/reset-password",
    "DELETE /api/v1/users/{id}/passkeys",
    "DELETE /api/v1/users/{id}/second-factor",
    // The proof is in the request.
    "POST /api/v1/me/email!",
    "POST /api/v1/me/identities!",
    "POST /api/v1/me/passkeys!",
    "POST /api/v1/me/passkeys/challenge!",
    "DELETE /api/v1/me/passkeys/{id}!",
    "POST /api/v1/me/password!",
    "DELETE /api/v1/me/second-factor!",
    "POST /api/v1/me/second-factor!",
    "POST /api/v1/me/second-factor/confirm!",
    "POST /api/v1/me/second-factor/recovery-codes!",
];

fn window() -> Duration {
    SessionOptions::default().confirm_window()
}

async fn with_users_on_postgres() -> TestHub {
    let hub = TestHub::on(TestDb::postgres().await).await;
    for (name, role) in [("admin", "administrator"), ("viewer", "viewer")] {
        let user = json!({ "name": name, "role": role, "password": PASSWORD });
        assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    }
    hub
}

async fn confirm(hub: &TestHub, client: &Client, password: &str, code: Option<&str>) -> Answer {
    let body = json!({ "kind": "password", "password": password, "code": code });
    hub.post(client, CONFIRM, body).await
}

/// The browser after an answer that gave it another cookie.
fn after(answer: &Answer) -> Client {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    Client::browser().with("cookie", &answer.cookie())
}

/// What comes of an attempt to make an API token.
async fn makes_token(hub: &TestHub, client: &Client) -> String {
    let answer = hub.post(client, TOKENS, json!({ "name": "x" })).await;
    match answer.status {
        StatusCode::CREATED => "made".to_owned(),
        _ => answer.code().to_owned(),
    }
}

async fn records_of(hub: &TestHub, outcome: &str) -> Vec<Value> {
    let path = format!("/api/v1/audit?action=session.confirm&outcome={outcome}");
    hub.get(&Client::local(), &path).await.body["items"].as_array().unwrap().clone()
}

/// Sets up a second factor; gives its secret.
async fn set_up_factor(hub: &TestHub, client: &Client) -> String {
    let begun = hub.post(client, "/api/v1/me/second-factor", json!({ "password": PASSWORD })).await;
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    let code = json!({ "code": code_at(&secret, hub.clock.now()) });
    assert_eq!(hub.post(client, "/api/v1/me/second-factor/confirm", code).await.status, StatusCode::OK);
    hub.clock.advance(Duration::from_secs(31));
    secret
}

fn marked(route: &RouteRecord) -> Option<String> {
    let line = format!("{} {}", route.method, route.path);
    match route.confirmation {
        Confirmation::NotAsked => None,
        Confirmation::Recent => Some(line),
        Confirmation::RecentFor(key) => Some(format!("{line}?{key}")),
        Confirmation::InRequest => Some(format!("{line}!")),
    }
}

/// A request that one of them answers to.
fn sample(marked: &str) -> axum::http::request::Builder {
    let (method, path) = marked.split_once(' ').unwrap();
    let filled = |part: &str| if part.starts_with('{') { uuid::Uuid::nil().to_string() } else { part.to_owned() };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.split('/').map(filled).collect::<Vec<_>>().join("/");
    let query = if query.is_empty() { String::new() } else { format!("?{query}=true") };
    Request::builder().method(method).uri(format!("{path}{query}"))
}

#[tokio::test]
async fn what_asks_for_a_confirmation_was_decided() {
    let hub = TestHub::empty().await;
    let mut known: Vec<String> = CONFIRMED.map(str::to_owned).to_vec();
    known.sort_unstable();
    let mut found: Vec<String> = records(&hub.app).iter().filter_map(marked).collect();
    found.sort_unstable();
    assert_eq!(found, known);
}

#[tokio::test]
async fn each_of_them_is_refused_once_the_proof_is_too_old_and_programs_are_not_asked() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let (program, _) = hub.program_of("admin").await;
    let asked: Vec<&str> = CONFIRMED.into_iter().filter(|marked| !marked.ends_with('!')).collect();
    let code = async |client: &Client, marked: &str| hub.send(client, sample(marked), Body::empty()).await;
    hub.clock.advance(window());
    for marked in &asked {
        let answer = code(&admin, marked).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "confirmation_required"), "{marked}");
    }
    for client in [&program, &Client::local()] {
        for marked in &asked {
            assert_ne!(code(client, marked).await.code(), "confirmation_required", "{marked}");
        }
    }
    let admin = after(&confirm(&hub, &admin, PASSWORD, None).await);
    for marked in &asked {
        assert_ne!(code(&admin, marked).await.code(), "confirmation_required", "{marked}");
    }
}

#[tokio::test]
async fn secrets_are_asked_for_however_the_query_says_it() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    hub.clock.advance(window());
    let path = format!("/api/v1/environments/{}/containers/x/inspect", uuid::Uuid::nil());
    for (query, is_asked) in [
        ("", false),
        ("?reveal=false", false),
        ("?reveal=true", true),
        ("?reveal", true),
        ("?reveal=1", true),
        ("?rev%65al=true", true),
        ("?reveal=false&reveal=true", true),
    ] {
        let answer = hub.get(&admin, &format!("{path}{query}")).await;
        assert_eq!(answer.code() == "confirmation_required", is_asked, "{query}: {answer:?}");
    }
}

async fn a_password_confirms(hub: TestHub) {
    let (admin, other) = (hub.signed_in("admin").await, hub.signed_in("admin").await);
    let confirmed = hub.get(&admin, CONFIRM).await.body;
    assert_eq!(
        confirmed,
        json!({
            "confirmed_until": "2026-05-04T00:05:00Z", "needs_code": false, "ways": [{ "kind": "password" }],
        })
    );
    hub.clock.advance(window() - Duration::from_secs(1));
    assert_eq!(makes_token(&hub, &admin).await, "made");
    hub.clock.advance(Duration::from_secs(1));
    assert_eq!(makes_token(&hub, &admin).await, "confirmation_required");
    assert_eq!(hub.get(&admin, CONFIRM).await.body["confirmed_until"], json!(null));
    assert_eq!(hub.get(&admin, "/api/v1/users").await.status, StatusCode::OK, "the rest goes on");

    let answer = confirm(&hub, &admin, "not this one at all", None).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "wrong_password"));
    assert_eq!(makes_token(&hub, &admin).await, "confirmation_required");
    let answer = confirm(&hub, &admin, PASSWORD, None).await;
    assert_eq!(answer.body["confirmed_until"], "2026-05-04T00:10:00Z");
    let renewed = after(&answer);
    assert_eq!(makes_token(&hub, &renewed).await, "made");
    assert_eq!(makes_token(&hub, &other).await, "confirmation_required", "another session of the same user");
    assert_eq!(hub.get(&admin, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED, "the secret before");
    let own = hub.get(&renewed, "/api/v1/me").await.body["credential"].as_str().unwrap().to_owned();

    let (done, denied) = (records_of(&hub, "done").await, records_of(&hub, "denied").await);
    assert_eq!((done.len(), denied.len()), (1, 1), "{done:?} {denied:?}");
    let record = &done[0];
    assert_eq!((&record["actor_name"], &record["details"]["way"]), (&json!("admin"), &json!("password")));
    assert_eq!(own, format!("session:{}", record["target_id"].as_str().unwrap()));
    assert_eq!((&denied[0]["actor_name"], &denied[0]["target_id"]), (&json!("admin"), &record["target_id"]));
    hub.clock.advance(window());
    assert_eq!(makes_token(&hub, &renewed).await, "confirmation_required");
}

#[tokio::test]
async fn a_password_confirms_one_session_for_minutes() {
    a_password_confirms(TestHub::with_users().await).await;
}

#[tokio::test]
async fn a_password_confirms_one_session_for_minutes_on_postgresql_as_well() {
    a_password_confirms(with_users_on_postgres().await).await;
}

async fn a_code_counts_once(hub: TestHub) {
    let secret = set_up_factor(&hub, &hub.signed_in("viewer").await).await;
    let sign_in = json!({ "name": "viewer", "password": PASSWORD, "code": code_at(&secret, hub.clock.now()) });
    let viewer = after(&hub.post(&Client::browser(), "/api/v1/session", sign_in).await);
    hub.clock.advance(window());
    assert_eq!(hub.get(&viewer, CONFIRM).await.body["needs_code"], json!(true));
    let code = code_at(&secret, hub.clock.now());
    let refusals = [(None, "second_factor_required"), (Some("000000"), "wrong_second_factor")];
    for (code, refusal) in refusals {
        let answer = confirm(&hub, &viewer, PASSWORD, code).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, refusal));
        assert_eq!(makes_token(&hub, &viewer).await, "confirmation_required", "the password alone");
    }
    let answer = confirm(&hub, &viewer, "not this one at all", Some(&code)).await;
    assert_eq!(answer.code(), "wrong_password");
    let renewed = after(&confirm(&hub, &viewer, PASSWORD, Some(&code)).await);
    assert_eq!(makes_token(&hub, &renewed).await, "made");
    let again = confirm(&hub, &renewed, PASSWORD, Some(&code)).await;
    assert_eq!((again.status, again.code()), (StatusCode::FORBIDDEN, "wrong_second_factor"));
    assert_eq!(hub.get(&renewed, "/api/v1/me").await.status, StatusCode::OK, "a refusal ends nothing");
}

#[tokio::test]
async fn a_code_is_asked_for_where_a_sign_in_takes_one_and_counts_once() {
    a_code_counts_once(TestHub::with_users().await).await;
}

#[tokio::test]
async fn a_code_is_asked_for_where_a_sign_in_takes_one_and_counts_once_on_postgresql_as_well() {
    a_code_counts_once(with_users_on_postgres().await).await;
}

#[tokio::test]
async fn guesses_are_slowed_and_recorded_as_those_of_a_sign_in() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    hub.clock.advance(window());
    for _ in 0..5 {
        assert_eq!(confirm(&hub, &admin, "not this one at all", None).await.code(), "wrong_password");
    }
    let slowed = confirm(&hub, &admin, PASSWORD, None).await;
    assert_eq!((slowed.status, slowed.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"));
    assert_eq!(hub.sign_in(&Client::browser(), "admin", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(records_of(&hub, "denied").await.len(), 5);
    assert_eq!(hub.get(&admin, "/api/v1/me").await.status, StatusCode::OK);
    hub.clock.advance(Duration::from_secs(5));
    after(&confirm(&hub, &admin, PASSWORD, None).await);
}

#[tokio::test]
async fn nobody_confirms_as_somebody_else_or_without_a_browser() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    hub.clock.advance(window());
    // The administrator has the same password.
    let body = json!({ "kind": "directory", "name": "admin", "password": PASSWORD });
    let answer = hub.post(&viewer, CONFIRM, body).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "wrong_password"));
    assert_eq!(records_of(&hub, "denied").await[0]["details"]["detail"], "somebody else");
    assert_eq!(makes_token(&hub, &viewer).await, "confirmation_required");

    let (program, _) = hub.program_of("viewer").await;
    assert_eq!(confirm(&hub, &program, PASSWORD, None).await.code(), "session_required");
    assert_eq!(hub.get(&program, CONFIRM).await.code(), "session_required");
    assert_eq!(confirm(&hub, &Client::local(), PASSWORD, None).await.code(), "user_required");
    let foreign = viewer.clone().with("origin", "https://evil.example");
    assert_eq!(confirm(&hub, &foreign, PASSWORD, None).await.code(), "foreign_origin");
    let unknown = json!({ "kind": "password", "password": PASSWORD, "name": "viewer" });
    assert_eq!(hub.post(&viewer, CONFIRM, unknown).await.code(), "invalid_body");
}

#[tokio::test]
async fn a_clock_that_was_set_back_confirms_nothing() {
    let hub = TestHub::with_users().await;
    hub.clock.advance(Duration::from_secs(3600));
    let admin = hub.signed_in("admin").await;
    assert_eq!(makes_token(&hub, &admin).await, "made");
    hub.clock.set_back(Duration::from_secs(1));
    assert_eq!(makes_token(&hub, &admin).await, "confirmation_required");
    hub.clock.advance(Duration::from_secs(1));
    assert_eq!(makes_token(&hub, &admin).await, "made", "it was corrected");
}

#[tokio::test]
async fn what_is_open_goes_on_with_the_same_session_until_its_user_is_shut_out() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let secret = viewer.header("cookie").split_once('=').unwrap().1.to_owned();
    let credential = Credential::Session(Zeroizing::new(secret));
    let held = hub.app.identity.authenticate(&credential).await.unwrap().unwrap();
    hub.clock.advance(window());
    let renewed = after(&confirm(&hub, &viewer, PASSWORD, None).await);
    assert!(hub.app.identity.stands(&held).await.unwrap(), "live updates and terminals go by the session");
    assert!(hub.app.identity.authenticate(&credential).await.unwrap().is_none());

    let path = format!("/api/v1/users/{}", held.id);
    assert_eq!(hub.patch(&Client::local(), &path, json!({ "role": "operator" })).await.status, StatusCode::OK);
    assert!(!hub.app.identity.stands(&held).await.unwrap());
    assert_eq!(hub.get(&renewed, "/api/v1/me").await.body["role"], "operator");
    assert_eq!(hub.post(&Client::local(), &format!("{path}/disable"), json!({})).await.status, StatusCode::OK);
    assert_eq!(hub.get(&renewed, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(confirm(&hub, &renewed, PASSWORD, None).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn of_many_confirmations_of_one_session_at_once_one_gives_the_secret() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    hub.clock.advance(window());
    let answers = futures_util::future::join_all((0..4).map(|_| confirm(&hub, &admin, PASSWORD, None))).await;
    let good: Vec<&Answer> = answers.iter().filter(|answer| answer.status == StatusCode::OK).collect();
    assert_eq!(good.len(), 1, "{answers:?}");
    assert_eq!(makes_token(&hub, &after(good[0])).await, "made");
}
