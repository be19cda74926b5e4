//! Second factors through the API.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::totp::code_at;
use crate::clock::Clock;
use crate::db::testing::TestDb;
use crate::http::{Access, Scheme};
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const FACTOR: &str = "/api/v1/me/second-factor";
const CONFIRM: &str = "/api/v1/me/second-factor/confirm";
const RECOVERY: &str = "/api/v1/me/second-factor/recovery-codes";
const SETTINGS: &str = "/api/v1/settings/sign-in";
/// Longer than a code is the present one.
const NEXT_CODE: std::time::Duration = std::time::Duration::from_secs(31);

/// Somebody's app and what it was given.
struct Phone {
    secret: String,
    recovery: Vec<String>,
}

impl Phone {
    fn code(&self, hub: &TestHub) -> String {
        code_at(&self.secret, hub.clock.now())
    }
}

async fn send(hub: &TestHub, client: &Client, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    hub.send(client, request, Body::from(body.to_string())).await
}

async fn set_up(hub: &TestHub, client: &Client) -> Phone {
    let begun = hub.post(client, FACTOR, json!({ "password": PASSWORD })).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    assert!(begun.body["uri"].as_str().unwrap().contains(&format!("secret={secret}&issuer=Windflow%20hub.example")));
    let code = code_at(&secret, hub.clock.now());
    let confirmed = hub.post(client, CONFIRM, json!({ "code": code })).await;
    assert_eq!(confirmed.status, StatusCode::OK, "{confirmed:?}");
    let recovery: Vec<String> = serde_json::from_value(confirmed.body["recovery_codes"].clone()).unwrap();
    assert_eq!(recovery.len(), 10);
    hub.clock.advance(NEXT_CODE);
    Phone { secret, recovery }
}

async fn sign_in_with(hub: &TestHub, name: &str, password: &str, code: &str) -> Answer {
    let body = json!({ "name": name, "password": password, "code": code });
    hub.post(&Client::browser(), "/api/v1/session", body).await
}

async fn ask_for(hub: &TestHub, policy: &str) {
    let done = send(hub, &Client::local(), Method::PUT, SETTINGS, json!({ "second_factor": policy })).await;
    assert_eq!((done.status, &done.body["second_factor"]), (StatusCode::OK, &json!(policy)));
}

fn browser_of(answer: &Answer) -> Client {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    Client::browser().with("cookie", &answer.cookie())
}

fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code().to_owned())
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn signing_in_takes_a_code(hub: TestHub) {
    let viewer = hub.signed_in("viewer").await;
    let off = json!({ "since": null, "recovery_codes": 0, "is_asked_for": false, "has_password": true });
    assert_eq!(hub.get(&viewer, FACTOR).await.body, off);
    let phone = set_up(&hub, &viewer).await;
    let on = hub.get(&viewer, FACTOR).await.body;
    assert_eq!((&on["since"], &on["recovery_codes"]), (&json!("2026-05-04T00:00:00Z"), &json!(10)));

    let asked = hub.sign_in(&Client::browser(), "viewer", PASSWORD).await;
    assert_eq!(outcome(&asked), refusal(401, "second_factor_required"));
    assert!(!asked.headers.contains_key("set-cookie"));
    let wrong = sign_in_with(&hub, "viewer", PASSWORD, "000000").await;
    assert_eq!(outcome(&wrong), refusal(401, "wrong_second_factor"));
    assert!(!wrong.headers.contains_key("set-cookie"));

    let code = phone.code(&hub);
    let signed_in = browser_of(&sign_in_with(&hub, "viewer", PASSWORD, &code).await);
    assert_eq!(hub.get(&signed_in, "/api/v1/me").await.body["name"], "viewer");
    let again = sign_in_with(&hub, "viewer", PASSWORD, &code).await;
    assert_eq!(outcome(&again), refusal(401, "wrong_second_factor"), "a code is accepted once");

    let [first, second, ..] = &phone.recovery[..] else { panic!("ten codes") };
    browser_of(&sign_in_with(&hub, "viewer", PASSWORD, &first.to_uppercase()).await);
    assert_eq!(outcome(&sign_in_with(&hub, "viewer", PASSWORD, first).await), refusal(401, "wrong_second_factor"));
    browser_of(&sign_in_with(&hub, "viewer", PASSWORD, second).await);
    assert_eq!(hub.get(&viewer, FACTOR).await.body["recovery_codes"], 8);
    let used = hub.get(&Client::local(), "/api/v1/audit?action=user.recovery_code_used").await.body;
    let lefts: Vec<&Value> = used["items"].as_array().unwrap().iter().map(|item| &item["details"]["left"]).collect();
    assert_eq!((lefts, &used["items"][0]["actor_name"]), (vec![&json!(8), &json!(9)], &json!("viewer")));
}

#[tokio::test]
async fn signing_in_takes_a_code_that_counts_once() {
    signing_in_takes_a_code(TestHub::with_users().await).await;
}

#[tokio::test]
async fn signing_in_takes_a_code_that_counts_once_on_postgresql_as_well() {
    let hub = TestHub::on(TestDb::postgres().await).await;
    let user = json!({ "name": "viewer", "role": "viewer", "password": PASSWORD });
    assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    signing_in_takes_a_code(hub).await;
}

async fn one_of_many_wins(hub: TestHub) {
    let phone = set_up(&hub, &hub.signed_in("viewer").await).await;
    for code in [phone.code(&hub), phone.recovery[0].clone()] {
        let attempts = (0..4).map(|_| sign_in_with(&hub, "viewer", PASSWORD, &code));
        let answers = futures_util::future::join_all(attempts).await;
        let statuses: Vec<StatusCode> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
        hub.clock.advance(std::time::Duration::from_secs(3600));
    }
}

#[tokio::test]
async fn of_many_who_come_with_one_code_at_once_one_is_let_in() {
    one_of_many_wins(TestHub::with_users().await).await;
}

#[tokio::test]
async fn of_many_who_come_with_one_code_at_once_one_is_let_in_on_postgresql_as_well() {
    let hub = TestHub::on(TestDb::postgres().await).await;
    let user = json!({ "name": "viewer", "role": "viewer", "password": PASSWORD });
    assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    one_of_many_wins(hub).await;
}

#[tokio::test]
async fn a_wrong_password_is_answered_alike_with_and_without_a_second_factor() {
    let hub = TestHub::with_users().await;
    let phone = set_up(&hub, &hub.signed_in("viewer").await).await;
    let code = phone.code(&hub);
    let bodies = [
        sign_in_with(&hub, "viewer", "wrong password", &code).await,
        hub.sign_in(&Client::browser(), "viewer", "wrong password").await,
        hub.sign_in(&Client::browser(), "operator", "wrong password").await,
        hub.sign_in(&Client::browser(), "nobody", "wrong password").await,
    ];
    for answer in &bodies {
        assert_eq!(outcome(answer), refusal(401, "unauthorized"));
        assert_eq!(answer.body["error"]["message"], bodies[0].body["error"]["message"]);
    }
    browser_of(&sign_in_with(&hub, "viewer", PASSWORD, &code).await);
}

#[tokio::test]
async fn wrong_codes_slow_down_like_wrong_passwords_and_the_password_alone_does_not_help() {
    let hub = TestHub::with_users().await;
    let phone = set_up(&hub, &hub.signed_in("viewer").await).await;
    for address in 0..5 {
        let client = Client::browser().at_address(&format!("198.51.100.{address}:1"), Scheme::Https);
        let body = json!({ "name": "viewer", "password": PASSWORD });
        assert_eq!(hub.post(&client, "/api/v1/session", body).await.code(), "second_factor_required");
        let body = json!({ "name": "viewer", "password": PASSWORD, "code": "000000" });
        assert_eq!(hub.post(&client, "/api/v1/session", body).await.code(), "wrong_second_factor");
    }
    let code = phone.code(&hub);
    let elsewhere = Client::browser().at_address("203.0.113.9:1", Scheme::Https);
    for (password, code) in [(PASSWORD, Some(&code)), (PASSWORD, None), ("wrong password", None)] {
        let body = json!({ "name": "viewer", "password": password, "code": code });
        let refused = hub.post(&elsewhere, "/api/v1/session", body).await;
        assert_eq!(outcome(&refused), refusal(429, "too_many_attempts"), "whatever the password");
    }
    hub.clock.advance(std::time::Duration::from_secs(6));
    let body = json!({ "name": "viewer", "password": PASSWORD, "code": phone.code(&hub) });
    browser_of(&hub.post(&elsewhere, "/api/v1/session", body).await);
}

#[tokio::test]
async fn setting_up_takes_the_password_a_browser_and_a_first_code_in_time() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let begin = async |client: &Client, password: &str| hub.post(client, FACTOR, json!({ "password": password })).await;
    assert_eq!(outcome(&begin(&viewer, "wrong password").await), refusal(403, "wrong_password"));
    let (program, _) = hub.program_of("viewer").await;
    assert_eq!(outcome(&begin(&program, PASSWORD).await), refusal(403, "session_required"));
    assert_eq!(outcome(&begin(&Client::local(), PASSWORD).await), refusal(403, "user_required"));
    let confirm = async |code: &str| hub.post(&viewer, CONFIRM, json!({ "code": code })).await;
    assert_eq!(outcome(&confirm("123456").await), refusal(409, "second_factor_not_begun"));

    let first = begin(&viewer, PASSWORD).await.body["secret"].as_str().unwrap().to_owned();
    let second = begin(&viewer, PASSWORD).await.body["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    for code in [code_at(&first, hub.clock.now()), "none".to_owned(), String::new()] {
        assert_eq!(outcome(&confirm(&code).await), refusal(403, "wrong_second_factor"), "{code}");
    }
    assert_eq!(
        hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status,
        StatusCode::OK,
        "it does not count yet"
    );
    hub.clock.advance(super::CONFIRM_WITHIN);
    let late = confirm(&code_at(&second, hub.clock.now())).await;
    assert_eq!(outcome(&late), refusal(409, "second_factor_not_begun"));

    set_up(&hub, &viewer).await;
    assert_eq!(outcome(&begin(&viewer, PASSWORD).await), refusal(409, "second_factor_on"));
}

#[tokio::test]
async fn turning_it_off_takes_password_and_code_and_new_recovery_codes_end_the_old() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let end = async |password: &str, code: &str| {
        send(&hub, &viewer, Method::DELETE, FACTOR, json!({ "password": password, "code": code })).await
    };
    assert_eq!(outcome(&end(PASSWORD, "123456").await), refusal(409, "second_factor_off"));
    let phone = set_up(&hub, &viewer).await;
    assert_eq!(outcome(&end("wrong password", &phone.code(&hub)).await), refusal(403, "wrong_password"));
    assert_eq!(outcome(&end(PASSWORD, "000000").await), refusal(403, "wrong_second_factor"));

    let wrong = hub.post(&viewer, RECOVERY, json!({ "code": "000000" })).await;
    assert_eq!(outcome(&wrong), refusal(403, "wrong_second_factor"));
    let renewed = hub.post(&viewer, RECOVERY, json!({ "code": phone.code(&hub) })).await;
    let fresh: Vec<String> = serde_json::from_value(renewed.body["recovery_codes"].clone()).unwrap();
    assert_eq!(outcome(&end(PASSWORD, &phone.recovery[0]).await), refusal(403, "wrong_second_factor"));
    assert_eq!(end(PASSWORD, &fresh[0]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::OK);
    assert_eq!(hub.get(&viewer, FACTOR).await.body["since"], json!(null));
}

#[tokio::test]
async fn a_lost_phone_is_taken_away_by_those_who_manage_users_but_not_by_its_owner() {
    let hub = TestHub::with_users().await;
    let (admin, viewer) = (hub.signed_in("admin").await, hub.signed_in("viewer").await);
    set_up(&hub, &viewer).await;
    let listed = hub.get(&admin, "/api/v1/users?name=viewer").await.body["items"][0].clone();
    assert_eq!(listed["second_factor_since"], "2026-05-04T00:00:00Z");
    let path = format!("/api/v1/users/{}/second-factor", listed["id"].as_str().unwrap());
    assert_eq!(outcome(&hub.delete(&viewer, &path).await), refusal(403, "not_permitted"));
    let done = hub.delete(&admin, &path).await;
    assert_eq!((done.status, &done.body["second_factor_since"]), (StatusCode::OK, &json!(null)));
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::OK, "there is nothing left to take");
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::OK);
    let records = hub.get(&admin, "/api/v1/audit?action=user.second_factor_reset").await.body["items"].clone();
    assert_eq!(records.as_array().unwrap().len(), 1, "{records}");
    assert_eq!((&records[0]["actor_name"], &records[0]["details"]["target_name"]), (&json!("admin"), &json!("viewer")));

    set_up(&hub, &admin).await;
    let own = hub.get(&admin, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{own}/second-factor");
    assert_eq!(outcome(&hub.delete(&admin, &path).await), refusal(403, "own_second_factor"));
    assert_eq!(hub.delete(&Client::local(), &path).await.status, StatusCode::OK);
    let nobody = format!("/api/v1/users/{}/second-factor", uuid::Uuid::nil());
    assert_eq!(hub.delete(&admin, &nobody).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whose_second_factor_is_due_may_set_it_up_and_nothing_else() {
    let hub = TestHub::with_users().await;
    let (admin, (program, _)) = (hub.signed_in("admin").await, hub.program_of("admin").await);
    ask_for(&hub, "administrators").await;
    let signed_in = hub.signed_in("admin").await;
    for route in crate::router::records(&hub.app) {
        if !matches!(route.access, Access::SignedIn | Access::FactorDue | Access::Needs(_)) {
            continue;
        }
        let method = if route.method == "*" { "GET" } else { &route.method };
        let path = route.path.replace("{id}", "1").replace("{container}", "1").replace("{*path}", "1");
        for client in [&admin, &signed_in, &program] {
            if route.access == Access::FactorDue && !client.header("cookie").is_empty() {
                continue;
            }
            let answer = hub.send(client, Request::builder().method(method).uri(&path), Body::empty()).await;
            assert_eq!(outcome(&answer), refusal(403, "second_factor_setup_required"), "{route}");
        }
    }
    assert_eq!(hub.get(&Client::local(), "/api/v1/users").await.status, StatusCode::OK);
    let viewer = hub.signed_in("viewer").await;
    assert_eq!(hub.get(&viewer, "/api/v1/me").await.body["second_factor_due"], false);
    assert_eq!(hub.get(&viewer, "/api/v1/containers").await.status, StatusCode::OK);

    assert_eq!(hub.get(&signed_in, "/api/v1/me").await.body["second_factor_due"], true);
    assert_eq!(hub.get(&signed_in, FACTOR).await.body["is_asked_for"], true);
    set_up(&hub, &signed_in).await;
    for client in [&admin, &signed_in, &program] {
        assert_eq!(hub.get(client, "/api/v1/users").await.status, StatusCode::OK);
    }
    assert_eq!(hub.get(&signed_in, "/api/v1/me").await.body["second_factor_due"], false);
}

#[tokio::test]
async fn asking_everyone_holds_from_the_next_request_on_and_signing_out_stays_possible() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    assert_eq!(hub.get(&viewer, "/api/v1/containers").await.status, StatusCode::OK);
    ask_for(&hub, "everyone").await;
    assert_eq!(hub.get(&viewer, "/api/v1/containers").await.code(), "second_factor_setup_required");
    assert_eq!(hub.delete(&viewer, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    let viewer = hub.signed_in("viewer").await;
    ask_for(&hub, "optional").await;
    assert_eq!(hub.get(&viewer, "/api/v1/containers").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_those_who_manage_the_hub_say_of_whom_it_is_asked() {
    let hub = TestHub::with_users().await;
    let (admin, operator) = (hub.signed_in("admin").await, hub.signed_in("operator").await);
    assert_eq!(hub.get(&admin, SETTINGS).await.body["second_factor"], "optional");
    assert_eq!(outcome(&hub.get(&operator, SETTINGS).await), refusal(403, "not_permitted"));
    let set = async |client: &Client, policy: &str| {
        send(&hub, client, Method::PUT, SETTINGS, json!({ "second_factor": policy })).await
    };
    assert_eq!(outcome(&set(&operator, "everyone").await), refusal(403, "not_permitted"));
    assert_eq!(outcome(&set(&admin, "some").await), refusal(422, "invalid_body"));
    assert_eq!(set(&admin, "optional").await.status, StatusCode::OK);
    assert_eq!(set(&admin, "everyone").await.status, StatusCode::OK);
    let records = hub.get(&Client::local(), "/api/v1/audit?action=hub.sign_in_settings").await.body["items"].clone();
    assert_eq!(records.as_array().unwrap().len(), 1, "{records}");
    assert_eq!(records[0]["details"], json!({ "before": "optional", "second_factor": "everyone" }));
}

#[tokio::test]
async fn nothing_of_a_second_factor_is_told_in_records_or_kept_in_the_clear() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let phone = set_up(&hub, &viewer).await;
    let code = phone.code(&hub);
    browser_of(&sign_in_with(&hub, "viewer", PASSWORD, &code).await);
    browser_of(&sign_in_with(&hub, "viewer", PASSWORD, &phone.recovery[0]).await);
    sign_in_with(&hub, "viewer", PASSWORD, &phone.recovery[0]).await;
    let off = json!({ "password": PASSWORD, "code": phone.recovery[1] });
    let row = super::store::find(&mut hub.app.db.read().await.unwrap(), user_id(&hub, &viewer).await).await.unwrap();
    let bare = data_encoding::BASE32_NOPAD.decode(phone.secret.as_bytes()).unwrap();
    let sealed = row.unwrap().secret_sealed;
    assert!(!sealed.windows(bare.len()).any(|window| window == bare), "the secret is sealed");
    assert_eq!(send(&hub, &viewer, Method::DELETE, FACTOR, off).await.status, StatusCode::NO_CONTENT);

    let audit = hub.get(&Client::local(), "/api/v1/audit?limit=200").await.body;
    let actions: Vec<&str> =
        audit["items"].as_array().unwrap().iter().rev().filter_map(|item| item["action"].as_str()).collect();
    let expected = [
        "user.second_factor_on",
        "user.sign_in",
        "user.sign_in",
        "user.recovery_code_used",
        "user.sign_in",
        "user.recovery_code_used",
        "user.second_factor_off",
    ];
    assert_eq!(actions[actions.len() - expected.len()..], expected);
    let text = audit.to_string();
    for secret in [&phone.secret, &code, &phone.recovery[0], &phone.recovery[1]] {
        assert!(!text.contains(secret.as_str()), "{secret}");
    }
    assert!(text.contains("wrong second factor"), "{text}");
}

async fn user_id(hub: &TestHub, client: &Client) -> crate::http::UserId {
    let id = hub.get(client, "/api/v1/me").await.body["id"].as_str().unwrap().parse().unwrap();
    crate::http::UserId(id)
}

#[tokio::test]
async fn a_secret_that_was_moved_to_another_user_lets_nobody_in() {
    let hub = TestHub::with_users().await;
    let (viewer, operator) = (hub.signed_in("viewer").await, hub.signed_in("operator").await);
    set_up(&hub, &viewer).await;
    let phone = set_up(&hub, &operator).await;
    let (from, to) = (user_id(&hub, &operator).await, user_id(&hub, &viewer).await);
    let mut tx = hub.app.db.write().await.unwrap();
    let sealed = super::store::find(&mut tx, from).await.unwrap().unwrap().secret_sealed;
    let sql = "UPDATE second_factors SET secret_sealed = $2 WHERE user_id = $1";
    crate::on_tx!(&mut tx, |c| sqlx::query(sql).bind(to.0).bind(sealed).execute(c).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
    let refused = sign_in_with(&hub, "viewer", PASSWORD, &phone.code(&hub)).await;
    assert_eq!(outcome(&refused), refusal(500, "internal"));
}
