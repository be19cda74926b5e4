//! Users and their credentials through the API.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::tokens::LIFE_DEFAULT;
use super::users::setup::CODE_LIFE;
use crate::config::SessionOptions;
use crate::db::testing::TestDb;
use crate::http::Scheme;
use crate::testing::{Client, PASSWORD, TestHub};

fn setup(code: &str) -> serde_json::Value {
    json!({ "code": code, "name": "ada", "password": PASSWORD })
}

#[tokio::test]
async fn the_setup_code_makes_one_administrator_who_is_signed_in() {
    let hub = TestHub::empty().await;
    let code = hub.app.identity.issue_setup_code().unwrap();
    let wrong = hub.post(&Client::browser(), "/api/v1/setup", setup("0000-0000-0000-0000")).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::FORBIDDEN, "wrong_setup_code"));

    assert_eq!(hub.get(&Client::browser(), "/api/v1/setup").await.body, json!({ "needed": true }));
    let done = hub.post(&Client::browser(), "/api/v1/setup", setup(&code)).await;
    assert_eq!((done.status, &done.body["role"]), (StatusCode::CREATED, &json!("administrator")));
    assert_eq!(hub.get(&Client::browser(), "/api/v1/setup").await.body, json!({ "needed": false }));
    let me = hub.get(&Client::browser().with("cookie", &done.cookie()), "/api/v1/me").await;
    assert_eq!(me.body["name"], "ada");

    let again = hub.post(&Client::browser(), "/api/v1/setup", setup(&code)).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "already_set_up"));
    assert!(hub.app.identity.issue_setup_code().is_none());
}

#[tokio::test]
async fn an_old_setup_code_and_a_weak_password_make_nobody() {
    let hub = TestHub::empty().await;
    let code = hub.app.identity.issue_setup_code().unwrap();
    let weak = json!({ "code": *code, "name": "ada", "password": "password1234" });
    assert_eq!(hub.post(&Client::browser(), "/api/v1/setup", weak).await.code(), "weak_password");
    hub.clock.advance(CODE_LIFE);
    assert_eq!(hub.post(&Client::browser(), "/api/v1/setup", setup(&code)).await.code(), "wrong_setup_code");
    assert_eq!(hub.get(&Client::local(), "/api/v1/users").await.body["total"], 0);
}

#[tokio::test]
async fn a_new_setup_code_ends_the_one_before_and_is_on_record() {
    let hub = TestHub::empty().await;
    let first = hub.app.identity.issue_setup_code().unwrap();
    let renewed = hub.post(&Client::local(), "/api/v1/setup/code", json!({})).await;
    assert_eq!((renewed.status, &renewed.body["ttl_seconds"]), (StatusCode::CREATED, &json!(900)));
    assert_eq!(hub.post(&Client::browser(), "/api/v1/setup", setup(&first)).await.code(), "wrong_setup_code");
    let code = renewed.body["code"].as_str().unwrap();
    assert_eq!(hub.post(&Client::browser(), "/api/v1/setup", setup(code)).await.status, StatusCode::CREATED);

    let refused = hub.post(&Client::local(), "/api/v1/setup/code", json!({})).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "already_set_up"));
    let records = hub.get(&Client::local(), "/api/v1/audit?action=user.setup_code").await.body["items"].take();
    assert_eq!(records.as_array().unwrap().len(), 1, "{records}");
    assert_eq!((&records[0]["actor_kind"], &records[0]["outcome"]), (&json!("local"), &json!("done")));
}

#[tokio::test]
async fn of_many_who_use_the_setup_code_at_once_one_wins() {
    let hub = TestHub::empty().await;
    let code = hub.app.identity.issue_setup_code().unwrap();
    let attempts = (0..5).map(|i| {
        let client = Client::browser().at_address(&format!("192.0.2.{i}:1"), Scheme::Https);
        let request = json!({ "code": *code, "name": format!("user{i}"), "password": PASSWORD });
        let hub = &hub;
        async move { hub.post(&client, "/api/v1/setup", request).await.status }
    });
    let statuses = futures_util::future::join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1, "{statuses:?}");
    assert_eq!(hub.get(&Client::local(), "/api/v1/users").await.body["total"], 1);
}

#[tokio::test]
async fn a_session_ends_by_signing_out_by_revoking_and_by_itself() {
    let hub = TestHub::with_users().await;
    let status = async |client: &Client| hub.get(client, "/api/v1/me").await.status;

    let first = hub.signed_in("viewer").await;
    assert_eq!(hub.delete(&first, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&first).await, StatusCode::UNAUTHORIZED);

    let second = hub.signed_in("viewer").await;
    let sessions = hub.get(&second, "/api/v1/sessions").await.body;
    let id = sessions["items"][0]["id"].as_str().unwrap().to_owned();
    let admin = hub.signed_in("admin").await;
    assert_eq!(hub.delete(&admin, &format!("/api/v1/sessions/{id}")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(status(&second).await, StatusCode::UNAUTHORIZED);

    let terms = SessionOptions::default();
    let step = terms.idle() / 2;
    for _ in 1..terms.life().as_secs() / step.as_secs() {
        hub.clock.advance(step);
        assert_eq!(status(&admin).await, StatusCode::OK, "it is used");
    }
    hub.clock.advance(step);
    assert_eq!(status(&admin).await, StatusCode::UNAUTHORIZED);
    assert!(hub.app.identity.delete_expired().await.unwrap() >= 1);
}

#[tokio::test]
async fn a_session_that_is_not_used_ends_and_one_that_is_says_when() {
    let hub = TestHub::with_users().await;
    let (used, left) = (hub.signed_in("admin").await, hub.signed_in("viewer").await);
    let idle = SessionOptions::default().idle();
    hub.clock.advance(idle - Duration::from_secs(60));
    let sessions = hub.get(&used, "/api/v1/sessions").await.body;
    let times = |name: &str| {
        let found = sessions["items"].as_array().unwrap().iter().find(|session| session["user_name"] == name).unwrap();
        (found["created_at"].clone(), found["last_used_at"].clone())
    };
    let ((began, last), (left_began, left_last)) = (times("admin"), times("viewer"));
    assert!(began != last && left_began == left_last, "{sessions}");
    hub.clock.advance(Duration::from_secs(60));
    assert_eq!(hub.get(&left, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(hub.get(&used, "/api/v1/sessions").await.body["total"], 1);
}

#[tokio::test]
async fn signing_in_again_ends_the_session_that_the_browser_had() {
    let hub = TestHub::with_users().await;
    let planted = hub.signed_in("viewer").await;
    let fresh = hub.sign_in(&planted, "admin", PASSWORD).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert_eq!(hub.get(&planted, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    let fresh = Client::browser().with("cookie", &fresh.cookie());
    assert_eq!(hub.get(&fresh, "/api/v1/me").await.body["name"], "admin");
}

#[tokio::test]
async fn a_viewer_sees_and_ends_only_their_own_sessions_and_tokens() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let (_, token) = hub.program_of("admin").await;
    let viewer = hub.signed_in("viewer").await;
    let admins = hub.get(&admin, "/api/v1/sessions").await.body;
    assert_eq!(admins["total"], 2);
    let foreign = admins["items"].as_array().unwrap().iter().find(|s| s["user_name"] == "admin").unwrap();
    let (session, user) = (foreign["id"].as_str().unwrap(), foreign["user_id"].as_str().unwrap());

    let own = hub.get(&viewer, &format!("/api/v1/sessions?user={user}")).await.body;
    assert_eq!((own["total"].clone(), own["items"][0]["user_name"].clone()), (json!(1), json!("viewer")));
    assert_eq!(hub.delete(&viewer, &format!("/api/v1/sessions/{session}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get(&viewer, "/api/v1/api-tokens").await.body["total"], 0);
    let revoke = hub.post(&viewer, &format!("/api/v1/api-tokens/{token}/revoke"), json!({})).await;
    assert_eq!(revoke.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_look_alike_and_are_slowed() {
    let hub = TestHub::with_users().await;
    let unknown = hub.sign_in(&Client::browser(), "nobody", PASSWORD).await;
    let wrong = hub.sign_in(&Client::browser(), "admin", "wrong password").await;
    assert_eq!((unknown.status, &unknown.body["error"]["message"]), (wrong.status, &wrong.body["error"]["message"]));

    for _ in 0..3 {
        hub.sign_in(&Client::browser(), "admin", "wrong password").await;
    }
    let slowed = hub.sign_in(&Client::browser(), "viewer", PASSWORD).await;
    assert_eq!((slowed.status, slowed.headers["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "5"));
    hub.clock.advance(Duration::from_secs(5));
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_account_is_slowed_for_every_address_and_forwarded_addresses_count_for_nothing() {
    let hub = TestHub::with_users().await;
    for i in 0..5 {
        let client = Client::browser().at_address(&format!("198.51.100.{i}:1"), Scheme::Https);
        hub.sign_in(&client, "ADMIN", "wrong password").await;
    }
    let elsewhere = Client::browser().at_address("203.0.113.9:1", Scheme::Https).with("x-forwarded-for", "10.0.0.1");
    assert_eq!(hub.sign_in(&elsewhere, "admin", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn disabling_a_user_shuts_out_every_credential_at_the_next_request() {
    let hub = TestHub::with_users().await;
    let browser = hub.signed_in("viewer").await;
    let (program, _) = hub.program_of("viewer").await;
    let viewer = hub.get(&Client::local(), "/api/v1/users?name=VIEWER").await.body["items"][0]["id"].clone();
    let path = format!("/api/v1/users/{}", viewer.as_str().unwrap());

    assert_eq!(hub.post(&Client::local(), &format!("{path}/disable"), json!({})).await.status, StatusCode::OK);
    for client in [&browser, &program] {
        assert_eq!(hub.get(client, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::UNAUTHORIZED);

    hub.post(&Client::local(), &format!("{path}/enable"), json!({})).await;
    assert_eq!(hub.get(&program, "/api/v1/me").await.status, StatusCode::OK);
    assert_eq!(hub.get(&browser, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_last_active_administrator_cannot_be_disabled() {
    let hub = TestHub::with_users().await;
    let admin = hub.get(&Client::local(), "/api/v1/users?role=administrator").await.body["items"][0]["id"].clone();
    let answer =
        hub.post(&Client::local(), &format!("/api/v1/users/{}/disable", admin.as_str().unwrap()), json!({})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "last_administrator"));
}

#[tokio::test]
async fn another_role_holds_from_the_next_request_on_for_every_credential() {
    let hub = TestHub::with_users().await;
    let browser = hub.signed_in("viewer").await;
    let (program, _) = hub.program_of("viewer").await;
    let id = hub.get(&browser, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{id}");
    let changed = hub.patch(&Client::local(), &path, json!({ "role": "administrator" })).await;
    assert_eq!((changed.status, &changed.body["role"]), (StatusCode::OK, &json!("administrator")), "{changed:?}");
    for client in [&browser, &program] {
        assert_eq!(hub.get(client, "/api/v1/users").await.status, StatusCode::OK);
    }
    hub.patch(&Client::local(), &path, json!({ "role": "operator" })).await;
    for client in [&browser, &program] {
        let refused = hub.get(client, "/api/v1/users").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_permitted"));
        let me = hub.get(client, "/api/v1/me").await.body;
        assert_eq!((&me["role"], me["permissions"].as_array().unwrap().len()), (&json!("operator"), 15), "{me}");
    }
    let done = hub.get(&Client::local(), "/api/v1/audit?action=user.role").await.body;
    assert_eq!(
        done["items"][0]["details"],
        json!({ "before": "administrator", "target_name": "viewer", "role": "operator" }),
        "{done}"
    );
}

#[tokio::test]
async fn the_last_administrator_stays_one_and_only_those_who_manage_users_change_roles() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let id = hub.get(&admin, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{id}");
    let refused = hub.patch(&admin, &path, json!({ "role": "viewer" })).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "last_administrator"));
    let operator = hub.signed_in("operator").await;
    let own = hub.get(&operator, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    for target in [path, format!("/api/v1/users/{own}")] {
        let refused = hub.patch(&operator, &target, json!({ "role": "administrator" })).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_permitted"));
    }
    let wrong = hub.patch(&admin, &format!("/api/v1/users/{own}"), json!({ "role": "root" })).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_body"));
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_replaces_the_old_one() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let id = hub.get(&viewer, "/api/v1/me").await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{id}/reset-password");
    let answer = hub.post(&Client::local(), &path, json!({ "password": "violet-anchor-ninety" })).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(hub.get(&viewer, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", "violet-anchor-ninety").await.status, StatusCode::OK);
}

#[tokio::test]
async fn changing_ones_own_password_takes_the_old_one_and_a_browser() {
    let hub = TestHub::with_users().await;
    let viewer = hub.signed_in("viewer").await;
    let other_browser = hub.signed_in("viewer").await;
    let change = |present: &str| json!({ "present_password": present, "new_password": "violet-anchor-ninety" });
    let wrong = hub.post(&viewer, "/api/v1/me/password", change("wrong password")).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::FORBIDDEN, "wrong_password"));
    let (program, _) = hub.program_of("viewer").await;
    assert_eq!(hub.post(&program, "/api/v1/me/password", change(PASSWORD)).await.code(), "session_required");

    let done = hub.post(&viewer, "/api/v1/me/password", change(PASSWORD)).await;
    assert_eq!(done.status, StatusCode::OK);
    for old in [&viewer, &other_browser] {
        assert_eq!(hub.get(old, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    }
    let fresh = Client::browser().with("cookie", &done.cookie());
    assert_eq!(hub.get(&fresh, "/api/v1/me").await.body["name"], "viewer");
}

#[tokio::test]
async fn the_hub_is_set_up_and_used_on_postgresql_as_well() {
    let hub = TestHub::on(TestDb::postgres().await).await;
    let code = hub.app.identity.issue_setup_code().unwrap();
    let done = hub.post(&Client::browser(), "/api/v1/setup", setup(&code)).await;
    let ada = Client::browser().with("cookie", &done.cookie());
    assert_eq!(hub.get(&ada, "/api/v1/users?role=administrator").await.body["items"][0]["name"], "ada");
    let (program, token) = hub.program_of("ada").await;
    assert_eq!(hub.get(&program, "/api/v1/api-tokens?name=test").await.body["items"][0]["id"], token.as_str());
    assert_eq!(hub.get(&program, "/api/v1/sessions").await.body["total"], 1);
    assert_eq!(hub.get(&program, "/api/v1/audit?action=user.setup").await.body["items"][0]["outcome"], "done");
    hub.clock.advance(LIFE_DEFAULT);
    assert_eq!(hub.app.identity.delete_expired().await.unwrap(), 1);
}

#[tokio::test]
async fn an_api_token_is_shown_once_ends_and_is_revoked() {
    let hub = TestHub::with_users().await;
    let (program, id) = hub.program_of("viewer").await;
    assert_eq!(hub.get(&program, "/api/v1/me").await.body["credential"], format!("api-token:{id}"));
    let listed = hub.get(&program, "/api/v1/api-tokens").await.body["items"][0].clone();
    assert_eq!((listed["token"].clone(), listed["id"].clone()), (json!(null), json!(id)));
    assert_eq!(listed["last_used_at"], "2026-05-04T00:00:00Z");

    let revoked = hub.post(&program, &format!("/api/v1/api-tokens/{id}/revoke"), json!({})).await;
    assert_eq!(revoked.status, StatusCode::OK);
    assert_eq!(hub.get(&program, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);

    let (program, _) = hub.program_of("viewer").await;
    hub.clock.advance(LIFE_DEFAULT);
    assert_eq!(hub.get(&program, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_for_others_are_made_only_on_this_machine() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let answer = hub.post(&admin, "/api/v1/api-tokens", json!({ "name": "x", "user": "viewer" })).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "not_your_user"));
    let nobody = hub.post(&Client::local(), "/api/v1/api-tokens", json!({ "name": "x" })).await;
    assert_eq!(nobody.code(), "user_required");
}

#[tokio::test]
async fn an_api_token_with_another_secret_is_nobodys() {
    let hub = TestHub::with_users().await;
    let (_, id) = hub.program_of("admin").await;
    let body = format!("wfa1_{id}_{}", "0".repeat(32));
    let forged = format!("{body}_{}", windflow_protocol::token::checksum(&body));
    assert_eq!(hub.get(&Client::program(&forged), "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_done_and_what_is_refused_is_recorded_without_secrets() {
    let hub = TestHub::with_users().await;
    hub.sign_in(&Client::browser(), "admin", "wrong password").await;
    let admin = hub.signed_in("admin").await;
    hub.program_of("admin").await;
    let records = hub.get(&admin, "/api/v1/audit").await.body;
    let lines: Vec<String> = records["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|r| format!("{} {} {} {}", r["actor_kind"], r["actor_name"], r["action"], r["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(
        lines,
        [
            "system  audit.begin done",
            "local root user.create done",
            "local root user.create done",
            "local root user.create done",
            "nobody  user.sign_in denied",
            "user admin user.sign_in done",
            "local root api_token.create done",
        ]
    );
    let text = records.to_string();
    for secret in [PASSWORD, "wrong password", "wfa1_", "argon2"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let denied = hub.get(&admin, "/api/v1/audit?action=user.sign_in&limit=1").await.body;
    assert_eq!(denied["items"][0]["address"], "192.0.2.1");
    assert!(denied["next"].is_string());
}

/// C-43, ASVS 16.2.5: what gets into the wrong field stays out of the log, and
/// so does what would end a line of one (16.4.1).
#[tokio::test]
async fn c43_what_is_typed_as_a_name_is_recorded_only_where_it_could_be_one() {
    let hub = TestHub::with_users().await;
    let (program, _) = hub.program_of("admin").await;
    let token = program.header("authorization").replace("Bearer ", "");
    let typed = ["somebody", "seventeen quiet herons", &token, "WFE1_abc", "a\r\nuser.sign_in done", "eyJh.eyJp.c2ln"];
    for name in typed {
        let body = json!({ "name": name, "password": "wrong password" });
        let client = Client::browser();
        let answer = hub.post(&client, "/api/v1/session", body).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        hub.clock.advance(std::time::Duration::from_secs(3600));
    }
    let records = hub.get(&Client::local(), "/api/v1/audit?action=user.sign_in&outcome=denied").await.body;
    let names: Vec<_> = records["items"].as_array().unwrap().iter().map(|record| &record["target_id"]).collect();
    let none = "(no name of a user)";
    assert_eq!(names, [none, none, none, none, none, "somebody"]);
}

#[tokio::test]
async fn names_are_unique_in_any_case_and_plain() {
    let hub = TestHub::with_users().await;
    let create = async |name: &str| {
        let user = json!({ "name": name, "role": "viewer", "password": PASSWORD });
        hub.post(&Client::local(), "/api/v1/users", user).await.code().to_owned()
    };
    assert_eq!(create("ADMIN").await, "name_taken");
    for name in ["", "-x", "a b", "a/b", "ä", "a\nb", &"x".repeat(65)] {
        assert_eq!(create(name).await, "invalid_name", "{name:?}");
    }
}
