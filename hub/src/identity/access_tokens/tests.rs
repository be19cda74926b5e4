//! Programs that sign in, through the API.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{ACCESS_LIFE, FAMILY_LIFE, REFRESH_LIFE};
use crate::config::RateOptions;
use crate::db::testing::TestDb;
use crate::http::{Authenticate, Scheme};
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const LOGOUT: &str = "/api/v1/auth/logout";
const ME: &str = "/api/v1/auth/me";
const JWKS: &str = "/.well-known/jwks.json";

/// A program on another machine without a credential.
fn program() -> Client {
    Client::browser().without("origin").with("user-agent", "windflow-test/1")
}

async fn ask_to_log_in(hub: &TestHub, name: &str, password: &str) -> Answer {
    hub.post(&program(), LOGIN, json!({ "name": name, "password": password })).await
}

/// What one sign-in gave.
#[derive(Clone, Debug)]
struct Tokens {
    access: String,
    refresh: String,
    family: String,
}

impl Tokens {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert!(!answer.headers.contains_key("set-cookie"));
        assert_eq!(answer.headers["cache-control"], "no-store");
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), family: text("family_id") }
    }

    fn client(&self) -> Client {
        Client::program(&self.access)
    }
}

async fn log_in(hub: &TestHub, name: &str) -> Tokens {
    Tokens::of(&ask_to_log_in(hub, name, PASSWORD).await)
}

async fn ask_to_refresh(hub: &TestHub, token: &str) -> Answer {
    hub.post(&program(), REFRESH, json!({ "refresh_token": token })).await
}

async fn knows(hub: &TestHub, tokens: &Tokens) -> bool {
    match hub.get(&tokens.client(), "/api/v1/me").await.status {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

async fn records(hub: &TestHub, action: &str) -> Vec<Value> {
    let path = format!("/api/v1/audit?action={action}");
    hub.get(&Client::local(), &path).await.body["items"].as_array().unwrap().clone()
}

async fn a_program_signs_in_refreshes_and_signs_out(hub: TestHub) {
    let answer = ask_to_log_in(&hub, "viewer", PASSWORD).await;
    assert_eq!((&answer.body["token_type"], &answer.body["expires_in"]), (&json!("Bearer"), &json!(1800)));
    assert_eq!(answer.body["refresh_expires_in"], 7 * 24 * 60 * 60);
    let first = Tokens::of(&answer);
    assert!(first.refresh.starts_with("wfr1_"));
    let me = hub.get(&first.client(), ME).await.body;
    assert_eq!((&me["name"], &me["role"]), (&json!("viewer"), &json!("viewer")));
    assert_eq!(me["credential"], format!("access-token:{}", first.family));
    assert_eq!(hub.get(&first.client(), "/api/v1/users").await.code(), "not_permitted", "it is its user's");
    assert_eq!(hub.get(&first.client(), "/api/v1/containers").await.status, StatusCode::OK);

    hub.clock.advance(ACCESS_LIFE);
    assert!(!knows(&hub, &first).await, "half an hour has passed");
    let second = Tokens::of(&ask_to_refresh(&hub, &first.refresh).await);
    assert_eq!(second.family, first.family);
    assert!(second.access != first.access && second.refresh != first.refresh);
    assert!(knows(&hub, &second).await);
    let listed = hub.get(&second.client(), "/api/v1/token-families").await.body;
    assert_eq!((&listed["total"], &listed["items"][0]["user_agent"]), (&json!(1), &json!("windflow-test/1")));
    assert_eq!(listed["items"][0]["last_used_at"], "2026-05-04T00:30:00Z");
    assert_eq!(listed["items"][0]["address"], "192.0.2.1");

    let out = hub.post(&second.client(), LOGOUT, json!({})).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(!out.headers.contains_key("set-cookie"));
    assert!(!knows(&hub, &second).await);
    assert_eq!(ask_to_refresh(&hub, &second.refresh).await.status, StatusCode::UNAUTHORIZED);
    let signed_in = records(&hub, "user.sign_in").await;
    assert_eq!(signed_in[0]["credential"], format!("access-token:{}", first.family));
    assert_eq!(records(&hub, "user.sign_out").await[0]["actor_name"], "viewer");
}

async fn on_postgres() -> TestHub {
    let hub = TestHub::on(TestDb::postgres().await).await;
    let user = json!({ "name": "viewer", "role": "viewer", "password": PASSWORD });
    assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    hub
}

#[tokio::test]
async fn a_program_signs_in_refreshes_and_signs_out_on_sqlite() {
    a_program_signs_in_refreshes_and_signs_out(TestHub::with_users().await).await;
}

#[tokio::test]
async fn a_program_signs_in_refreshes_and_signs_out_on_postgresql() {
    a_program_signs_in_refreshes_and_signs_out(on_postgres().await).await;
}

/// 2.3.4 of the checklist: of a hundred at once one wins, and since the others
/// came a second time, the family is over, the winner's pair included.
async fn of_a_hundred_refreshes_one_wins_and_the_rest_end_the_family(hub: TestHub) {
    let tokens = log_in(&hub, "viewer").await;
    let other = log_in(&hub, "viewer").await;
    let attempts = (0..100).map(|_| ask_to_refresh(&hub, &tokens.refresh));
    let answers = futures_util::future::join_all(attempts).await;
    let (won, others): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(won.len(), 1);
    let refused = others.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    // On a busy machine some wait too long for the database, and are told so.
    let unheard = others.iter().filter(|answer| answer.code() == "database_unavailable").count();
    assert!(refused > 0 && refused + unheard == 99, "{refused} {unheard} {others:?}");
    let winner = Tokens::of(won[0]);
    for tokens in [&winner, &tokens] {
        assert!(!knows(&hub, tokens).await);
        assert_eq!(ask_to_refresh(&hub, &tokens.refresh).await.status, StatusCode::UNAUTHORIZED);
    }
    let noted = records(&hub, "token_family.reuse").await;
    assert_eq!((noted.len(), &noted[0]["outcome"]), (1, &json!("denied")), "{noted:?}");
    assert_eq!((&noted[0]["target_id"], &noted[0]["details"]["detail"]), (&json!(tokens.family), &json!("viewer")));
    assert!(knows(&hub, &other).await, "another family goes on");
    Tokens::of(&ask_to_refresh(&hub, &other.refresh).await);
}

#[tokio::test]
async fn of_a_hundred_refreshes_one_wins_on_sqlite() {
    of_a_hundred_refreshes_one_wins_and_the_rest_end_the_family(TestHub::with_users().await).await;
}

#[tokio::test]
async fn of_a_hundred_refreshes_one_wins_on_postgresql() {
    of_a_hundred_refreshes_one_wins_and_the_rest_end_the_family(on_postgres().await).await;
}

#[tokio::test]
async fn an_older_refresh_token_ends_the_family_however_often_it_was_refreshed() {
    let hub = TestHub::with_users().await;
    let first = log_in(&hub, "viewer").await;
    let second = Tokens::of(&ask_to_refresh(&hub, &first.refresh).await);
    let third = Tokens::of(&ask_to_refresh(&hub, &second.refresh).await);
    let other = if &first.refresh[20..21] == "0" { "1" } else { "0" };
    let forged = format!("{}{other}{}", &first.refresh[..20], &first.refresh[21..]);
    for wrong in [forged.as_str(), "wfr1_", "", &third.access] {
        assert_eq!(ask_to_refresh(&hub, wrong).await.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert!(knows(&hub, &third).await, "what is no token of the family does not end it");
    assert_eq!(ask_to_refresh(&hub, &first.refresh).await.status, StatusCode::UNAUTHORIZED);
    assert!(!knows(&hub, &third).await);
    assert_eq!(records(&hub, "token_family.reuse").await.len(), 1);
}

#[tokio::test]
async fn a_family_ends_by_itself_a_week_after_its_last_refresh_and_a_month_after_its_begin() {
    let hub = TestHub::with_users().await;
    let idle = log_in(&hub, "viewer").await;
    hub.clock.advance(REFRESH_LIFE);
    assert_eq!(ask_to_refresh(&hub, &idle.refresh).await.status, StatusCode::UNAUTHORIZED);
    assert!(records(&hub, "token_family.reuse").await.is_empty());
    assert!(hub.app.identity.delete_expired().await.unwrap() >= 1);

    let mut used = log_in(&hub, "viewer").await;
    let step = REFRESH_LIFE - Duration::from_secs(60);
    for _ in 0..FAMILY_LIFE.as_secs() / step.as_secs() {
        hub.clock.advance(step);
        let answer = ask_to_refresh(&hub, &used.refresh).await;
        used = Tokens::of(&answer);
    }
    hub.clock.advance(step);
    assert_eq!(ask_to_refresh(&hub, &used.refresh).await.status, StatusCode::UNAUTHORIZED, "a month has passed");
}

/// C-36 of the threat list.
#[tokio::test]
async fn c36_whoever_is_shut_out_is_out_with_the_next_request() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let id = hub.get(&hub.signed_in("viewer").await, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{id}");
    let revoked = log_in(&hub, "viewer").await;
    assert!(knows(&hub, &revoked).await);
    let family = format!("/api/v1/token-families/{}", revoked.family);
    let operator = log_in(&hub, "operator").await;
    assert_eq!(hub.delete(&operator.client(), &family).await.status, StatusCode::NOT_FOUND, "it is another's");
    assert_eq!(hub.get(&operator.client(), "/api/v1/token-families").await.body["total"], 1);
    assert_eq!(hub.delete(&admin, &family).await.status, StatusCode::NO_CONTENT);
    assert!(!knows(&hub, &revoked).await);
    assert_eq!(records(&hub, "token_family.revoke").await[0]["details"]["detail"], "viewer");

    for (method, body) in [
        ("reset-password", json!({ "password": "violet-anchor-ninety" })),
        ("disable", json!({})),
        ("enable", json!({})),
    ] {
        let name = if method == "reset-password" { PASSWORD } else { "violet-anchor-ninety" };
        let tokens = match method {
            "enable" => None,
            _ => Some(Tokens::of(&ask_to_log_in(&hub, "viewer", name).await)),
        };
        assert_eq!(hub.post(&admin, &format!("{path}/{method}"), body).await.status, StatusCode::OK);
        if let Some(tokens) = tokens {
            assert!(!knows(&hub, &tokens).await, "{method}");
            assert_eq!(ask_to_refresh(&hub, &tokens.refresh).await.status, StatusCode::UNAUTHORIZED, "{method}");
        }
    }
    let tokens = Tokens::of(&ask_to_log_in(&hub, "viewer", "violet-anchor-ninety").await);
    hub.patch(&admin, &path, json!({ "role": "administrator" })).await;
    assert_eq!(hub.get(&tokens.client(), "/api/v1/users").await.status, StatusCode::OK, "another role holds at once");
}

#[tokio::test]
async fn what_a_program_has_open_lasts_as_long_as_it_refreshes() {
    let hub = TestHub::with_users().await;
    let tokens = log_in(&hub, "viewer").await;
    let identity = hub.app.identity.clone();
    let user = identity.find_access_user(&tokens.access).await.unwrap().unwrap();
    let stands = async || Authenticate::stands(&*identity, &user).await.unwrap();
    assert!(stands().await);
    hub.clock.advance(ACCESS_LIFE - Duration::from_secs(1));
    let next = Tokens::of(&ask_to_refresh(&hub, &tokens.refresh).await);
    hub.clock.advance(ACCESS_LIFE - Duration::from_secs(1));
    assert!(stands().await, "it was refreshed");
    hub.clock.advance(Duration::from_secs(1));
    assert!(!stands().await, "no access token of it is good any more");
    Tokens::of(&ask_to_refresh(&hub, &next.refresh).await);
    assert!(stands().await);
    hub.delete(&Client::local(), &format!("/api/v1/token-families/{}", tokens.family)).await;
    assert!(!stands().await);
}

#[tokio::test]
async fn what_a_token_says_is_checked() {
    let hub = TestHub::with_users().await;
    let tokens = log_in(&hub, "viewer").await;
    let [header, claims, signature] = tokens.access.split('.').collect::<Vec<_>>().try_into().unwrap();
    let said: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
    let names: BTreeSet<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["aud", "exp", "iat", "iss", "jti", "sid", "sub"]);
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 1800);

    // Anybody can check it by what is published.
    let keys = hub.get(&program(), JWKS).await;
    assert_eq!((keys.status, keys.headers["cache-control"].to_str().unwrap()), (StatusCode::OK, "max-age=300"));
    let key = &keys.body["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    let head: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    assert_eq!(head, json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"] }));
    let public = BASE64URL_NOPAD.decode(key["x"].as_str().unwrap().as_bytes()).unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let signed = format!("{header}.{claims}");
    UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), &signature).unwrap();
    assert!(!keys.body.to_string().contains("\"d\""), "the secret half stays here");

    // A token of another hub, of the same user and family.
    let other = TestHub::with_users().await;
    assert!(!knows(&other, &tokens).await);
    let mut admin = said;
    admin["sub"] = json!("00000000-0000-0000-0000-000000000000");
    let claims = BASE64URL_NOPAD.encode(admin.to_string().as_bytes());
    let forged = Tokens { access: format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&signature)), ..tokens };
    assert!(!knows(&hub, &forged).await);
}

#[tokio::test]
async fn keys_are_replaced_and_the_old_ones_stay_while_a_token_of_theirs_may_live() {
    let hub = TestHub::with_users().await;
    assert_eq!(hub.get(&program(), JWKS).await.body["keys"], json!([]));
    assert_eq!(hub.app.identity.rotate_signing_keys().await.unwrap(), 0);
    let kids = async || {
        let keys = hub.get(&program(), JWKS).await.body["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = kids().await;
    assert_eq!(first.len(), 1);
    hub.clock.advance(Duration::from_secs(30 * 24 * 60 * 60) - Duration::from_secs(1));
    let before = log_in(&hub, "viewer").await;
    hub.app.identity.rotate_signing_keys().await.unwrap();
    assert_eq!(kids().await, first, "it is not due");
    hub.clock.advance(Duration::from_secs(1));
    hub.app.identity.rotate_signing_keys().await.unwrap();
    let both = kids().await;
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    let ages = hub.app.identity.ages_of_signing_keys().await.unwrap();
    let life = Duration::from_secs(30 * 24 * 60 * 60);
    assert_eq!(ages.iter().map(|age| age.replaced_at.since(age.created_at)).collect::<Vec<_>>(), [life, life]);
    assert_eq!((&ages[0].id, ages[1].replaced_at), (&both[0], ages[0].created_at));
    let after = log_in(&hub, "viewer").await;
    assert!(knows(&hub, &before).await && knows(&hub, &after).await);
    hub.clock.advance(ACCESS_LIFE);
    assert_eq!(hub.app.identity.rotate_signing_keys().await.unwrap(), 0, "one of its tokens may still live");
    hub.clock.advance(ACCESS_LIFE + Duration::from_secs(1));
    assert_eq!(hub.app.identity.rotate_signing_keys().await.unwrap(), 1);
    assert_eq!(kids().await, both[..1]);
}

#[tokio::test]
async fn cookies_do_nothing_where_programs_sign_in() {
    let hub = TestHub::with_users().await;
    let browser = hub.signed_in("admin").await;
    for answer in [hub.get(&browser, ME).await, hub.post(&browser, LOGOUT, json!({})).await] {
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    }
    assert_eq!(hub.get(&browser, "/api/v1/me").await.status, StatusCode::OK, "the session is as it was");
    let tokens = Tokens::of(&hub.post(&browser, LOGIN, json!({ "name": "viewer", "password": PASSWORD })).await);
    assert_eq!(hub.get(&browser, "/api/v1/me").await.body["name"], "admin", "the browser is who it was");
    let both = tokens.client().with("cookie", &browser.header("cookie"));
    assert_eq!(hub.get(&both, ME).await.body["name"], "viewer");
    let (api_token, _) = hub.program_of("viewer").await;
    assert_eq!(hub.get(&api_token, ME).await.status, StatusCode::OK);
    assert_eq!(hub.post(&api_token, LOGOUT, json!({})).await.code(), "no_family");
    let foreign = program().with("origin", "https://evil.example");
    let refused = hub.post(&foreign, LOGIN, json!({ "name": "viewer", "password": PASSWORD })).await;
    assert_eq!(refused.code(), "foreign_origin");
    for (path, body) in [(REFRESH, json!({ "refresh_token": tokens.refresh, "x": 1 })), (LOGIN, json!({ "name": "x" }))]
    {
        assert_eq!(hub.post(&program(), path, body).await.code(), "invalid_body");
    }
}

/// C-35 of the threat list: both ways to sign in are one to whoever guesses.
#[tokio::test]
async fn c35_wrong_passwords_count_for_both_ways_to_sign_in() {
    let hub = TestHub::with_users().await;
    let unknown = ask_to_log_in(&hub, "nobody", PASSWORD).await;
    let wrong = ask_to_log_in(&hub, "viewer", "wrong password").await;
    assert_eq!((unknown.status, &unknown.body["error"]["message"]), (wrong.status, &wrong.body["error"]["message"]));
    hub.sign_in(&Client::browser(), "viewer", "wrong password").await;
    for i in 0..3 {
        let elsewhere = program().at_address(&format!("198.51.100.{i}:1"), Scheme::Https);
        hub.post(&elsewhere, LOGIN, json!({ "name": "viewer", "password": "wrong" })).await;
    }
    let elsewhere = program().at_address("203.0.113.9:1", Scheme::Https).with("x-forwarded-for", "10.0.0.1");
    let slowed = hub.post(&elsewhere, LOGIN, json!({ "name": "viewer", "password": PASSWORD })).await;
    assert_eq!((slowed.status, slowed.headers["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "5"));
    assert_eq!(slowed.code(), "too_many_attempts");
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    let denied = records(&hub, "user.sign_in").await;
    assert!(denied.iter().all(|record| record["outcome"] == "denied"));
    assert!(!json!(denied).to_string().contains("wrong password"));
}

/// C-35: who is known somewhere is not kept out by those who fail on purpose.
#[tokio::test]
async fn c35_an_account_is_not_locked_where_its_owner_is_known() {
    let hub = TestHub::with_users().await;
    hub.signed_in("viewer").await;
    for i in 0..20 {
        let elsewhere = program().at_address(&format!("198.51.100.{i}:1"), Scheme::Https);
        hub.post(&elsewhere, LOGIN, json!({ "name": "viewer", "password": "wrong" })).await;
    }
    assert_eq!(ask_to_log_in(&hub, "viewer", PASSWORD).await.status, StatusCode::OK);
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::OK);
    let stranger = program().at_address("203.0.113.9:1", Scheme::Https);
    let held_off = hub.post(&stranger, LOGIN, json!({ "name": "viewer", "password": PASSWORD })).await;
    assert_eq!(held_off.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn of_whom_a_second_factor_is_asked_a_program_gets_nothing() {
    let hub = TestHub::with_users().await;
    let before = log_in(&hub, "viewer").await;
    let policy = json!({ "second_factor": "everyone" }).to_string();
    let request = Request::put("/api/v1/settings/sign-in").header("content-type", "application/json");
    assert_eq!(hub.send(&Client::local(), request, Body::from(policy)).await.status, StatusCode::OK);
    for answer in [
        ask_to_log_in(&hub, "viewer", PASSWORD).await,
        ask_to_refresh(&hub, &before.refresh).await,
        hub.get(&before.client(), ME).await,
        hub.get(&before.client(), "/api/v1/containers").await,
        hub.get(&before.client(), "/api/v1/me/second-factor").await,
    ] {
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "second_factor_setup_required"));
    }
    for _ in 0..10 {
        assert_eq!(ask_to_log_in(&hub, "viewer", PASSWORD).await.status, StatusCode::FORBIDDEN, "it does not count");
    }
    let back = json!({ "second_factor": "optional" }).to_string();
    let request = Request::put("/api/v1/settings/sign-in").header("content-type", "application/json");
    hub.send(&Client::local(), request, Body::from(back)).await;
    Tokens::of(&ask_to_refresh(&hub, &before.refresh).await);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limit = |text: &str| text.parse().unwrap();
    let rates =
        RateOptions { api_rate: limit("1:40"), api_rate_anonymous: limit("1:20"), api_rate_total: limit("off") };
    let hub = TestHub::rationed(rates).await;
    let tokens = log_in(&hub, "viewer").await;
    let statuses = async |client: &Client, path: &str, count: usize| {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(hub.get(client, path).await);
        }
        all
    };
    let passed = |answers: &[Answer]| answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let answers = statuses(&tokens.client(), "/api/v1/me", 60).await;
    assert!((39..55).contains(&passed(&answers)), "{}", passed(&answers));
    let refused = answers.last().unwrap();
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.body["error"]["request_id"], refused.headers["x-request-id"].to_str().unwrap());
    let gateway = statuses(&tokens.client(), "/api/v1/environments/x/engine/info", 3).await;
    let gateway = gateway.into_iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).unwrap();
    assert_eq!((gateway.status, &gateway.body["message"]), (refused.status, &gateway.body["error"]["message"]));

    // Neither another credential nor what is no question to the API is held up.
    let other = log_in(&hub, "operator").await;
    assert_eq!(hub.get(&other.client(), "/api/v1/me").await.status, StatusCode::OK);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(passed(&statuses(&program(), path, 100).await), 100, "{path}");
    }
    assert_eq!(passed(&statuses(&Client::local(), "/api/v1/me", 100).await), 100);

    // Made-up credentials are held to what their address may.
    let made_up = statuses(&Client::program("wfa1_x"), "/api/v1/me", 60).await;
    let unauthorized = made_up.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    assert!((15..40).contains(&unauthorized), "{unauthorized}");
    let mut logins = Vec::new();
    for _ in 0..3 {
        logins.push(ask_to_log_in(&hub, "viewer", PASSWORD).await);
    }
    assert!(logins.iter().any(|login| login.code() == "rate_limited"), "before the password is looked at: {logins:?}");
    assert_eq!(hub.get(&other.client(), "/api/v1/me").await.status, StatusCode::OK, "who is known goes on");
}
