//! The mail server's settings, and what becomes of mails.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::testing::{Behaviour, Server, server_at, set, waiting};
use super::*;
use crate::db::testing::TestDb;
use crate::on_tx;
use crate::testing::{Answer, Client, TestHub};

const SETTINGS: &str = "/api/v1/settings/mail";

async fn put(hub: &TestHub, settings: Value) -> Answer {
    let request = Request::put(SETTINGS).header("content-type", "application/json");
    hub.send(&Client::local(), request, Body::from(settings.to_string())).await
}

fn with(mut settings: Value, changes: Value) -> Value {
    settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    settings
}

/// Queues one mail to ada.
async fn queue(hub: &TestHub) {
    let mut tx = hub.app.db.write().await.unwrap();
    let to = "ada@example.com".parse().unwrap();
    let letter = Letter::PasswordChanged { name: "ada".into() };
    let useful_until = hub.clock.now() + LIFE_MAX;
    let mailing = Mailing { to: &to, language: Language::Fr, letter, useful_until };
    hub.app.mail.queue(&mut tx, mailing).await.unwrap();
    tx.commit().await.unwrap();
}

async fn send(hub: &TestHub) {
    hub.app.mail.send_due(&CancellationToken::new()).await.unwrap();
}

async fn outbox(hub: &TestHub) -> Value {
    hub.get(&Client::local(), "/api/v1/settings/mail/outbox").await.body["items"].take()
}

/// C-07 of the threat list.
#[tokio::test]
async fn c07_a_password_is_never_shown_and_goes_to_no_other_place_than_it_was_given_for() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = TestHub::on(db).await;
        assert_eq!(hub.get(&Client::local(), SETTINGS).await.body, json!({ "server": null }));
        let first = with(server_at(25), json!({ "user": "hub", "password": "quiet secret" }));
        let put_first = put(&hub, first.clone()).await;
        assert_eq!((put_first.status, &put_first.body["has_password"]), (StatusCode::OK, &json!(true)));
        let shown = hub.get(&Client::local(), SETTINGS).await;
        assert!(!shown.body.to_string().contains("quiet secret") && !put_first.body.to_string().contains("quiet"));
        let stored: Vec<u8> = settings_value(&hub, "mail.password").await.unwrap();
        assert!(!stored.windows(5).any(|window| window == b"quiet"), "it is sealed");

        let same = with(server_at(25), json!({ "user": "hub", "sender": "other@example.com" }));
        assert_eq!(put(&hub, same).await.body["has_password"], true, "it goes where it went");
        for elsewhere in [
            json!({ "host": "127.0.0.2" }),
            json!({ "port": 26 }),
            json!({ "security": "starttls" }),
            json!({ "user": "eve" }),
            json!({ "user": null }),
            json!({ "allow_plain": true }),
        ] {
            assert_eq!(put(&hub, first.clone()).await.body["has_password"], true);
            let changed = with(with(server_at(25), json!({ "user": "hub" })), elsewhere.clone());
            let answer = put(&hub, changed).await;
            assert_eq!((answer.status, &answer.body["has_password"]), (StatusCode::OK, &json!(false)), "{elsewhere}");
            assert!(settings_value(&hub, "mail.password").await.is_none(), "{elsewhere}");
        }
        assert_eq!(hub.delete(&Client::local(), SETTINGS).await.status, StatusCode::NO_CONTENT);
        assert_eq!(hub.get(&Client::local(), SETTINGS).await.body, json!({ "server": null }));
    }
}

async fn settings_value(hub: &TestHub, key: &str) -> Option<Vec<u8>> {
    crate::settings::find(&mut hub.app.db.read().await.unwrap(), key).await.unwrap()
}

#[tokio::test]
async fn c20_settings_that_make_no_sense_are_refused() {
    let hub = TestHub::empty().await;
    let refused = async |changes: Value, code: &str| {
        let answer = put(&hub, with(server_at(25), changes.clone())).await;
        assert!(answer.status.is_client_error(), "{changes}: {answer:?}");
        assert_eq!(answer.code(), code, "{changes}");
    };
    refused(json!({ "host": "mail.example" }), "invalid_mail_settings").await;
    refused(json!({ "user": "hub\r\nRSET" }), "invalid_mail_settings").await;
    refused(json!({ "user": "" }), "invalid_mail_settings").await;
    refused(json!({ "password": "nobody's" }), "invalid_mail_settings").await;
    refused(json!({ "authority": "no certificate" }), "invalid_mail_settings").await;
    for (field, wrong) in [
        ("host", "mail.example\r\nX: y"),
        ("host", "mail.example:25"),
        ("host", "-x"),
        ("sender", "hub@example.com\r\nBcc: eve@example.com"),
        ("sender_name", "Windflow\r\nBcc: eve@example.com"),
        ("sender_name", "Windflow\nBcc: eve@example.com"),
        ("public_url", "https://hub.example\r\nBcc: eve@example.com"),
        ("public_url", "//evil.example"),
        ("security", "maybe"),
    ] {
        refused(json!({ field: wrong }), "invalid_body").await;
    }
    refused(json!({ "port": 0 }), "invalid_body").await;
    let allowed = json!({ "host": "mail.example", "allow_plain": true });
    assert_eq!(put(&hub, with(server_at(25), allowed)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_mail_is_sent_once_in_its_language_and_nothing_of_it_stays() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let (hub, server) = (TestHub::on(db).await, Server::start(Behaviour::Takes).await);
        set(&hub, with(server_at(server.port), json!({ "user": "hub", "password": "quiet secret" }))).await;
        queue(&hub).await;
        assert_eq!(waiting(&hub).await.len(), 1);
        send(&hub).await;
        send(&hub).await;
        let taken = server.taken();
        assert_eq!(taken.len(), 1);
        for part in [
            "From: Windflow <hub@example.com>\r\n",
            "To: ada@example.com\r\n",
            "Date: Mon, 04 May 2026 00:00:00 +0000\r\n",
            "Subject: ",
            "Message-ID: <",
            "multipart/alternative",
            "text/plain; charset=utf-8",
            "text/html; charset=utf-8",
        ] {
            assert!(taken[0].contains(part), "{part} in {}", taken[0]);
        }
        let heard = server.heard();
        assert!(heard.iter().any(|line| line == "EHLO hub.example"), "{heard:?}");
        assert!(heard.iter().any(|line| line.starts_with("AUTH PLAIN ")), "{heard:?}");
        let sent = &outbox(&hub).await[0];
        let shown = (&sent["state"], &sent["kind"], &sent["attempts"], &sent["recipient"]);
        assert_eq!(shown, (&json!("sent"), &json!("password_changed"), &json!(1), &json!("ada@example.com")));
        assert!(waiting(&hub).await.is_empty(), "what it said is gone");
        hub.clock.advance(KEPT + Duration::from_secs(1));
        assert_eq!(hub.app.mail.delete_old().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_mail_waits_for_a_server_that_is_away_and_is_given_up_after_a_day() {
    let hub = TestHub::empty().await;
    let server = Server::start(Behaviour::Takes).await;
    set(&hub, server_at(1)).await;
    queue(&hub).await;
    send(&hub).await;
    let tried = outbox(&hub).await[0].clone();
    assert_eq!((&tried["state"], &tried["attempts"]), (&json!("waiting"), &json!(1)));
    assert!(tried["error"].as_str().unwrap().contains("takes no connection"), "{tried}");
    send(&hub).await;
    assert_eq!(outbox(&hub).await[0]["attempts"], 1, "it is not its turn yet");
    hub.clock.advance(Duration::from_secs(10));
    send(&hub).await;
    assert_eq!(outbox(&hub).await[0]["attempts"], 2);
    set(&hub, server_at(server.port)).await;
    send(&hub).await;
    assert_eq!(server.taken().len(), 1, "another server is tried at once");

    set(&hub, server_at(1)).await;
    queue(&hub).await;
    send(&hub).await;
    hub.clock.advance(LIFE_MAX);
    send(&hub).await;
    let given_up = &outbox(&hub).await[0];
    assert_eq!(given_up["state"], "failed");
    assert!(given_up["error"].as_str().unwrap().contains("takes no connection"), "{given_up}");
    assert!(waiting(&hub).await.is_empty(), "what it said is gone");
}

#[tokio::test]
async fn what_a_server_refuses_for_good_is_not_tried_again() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::RefusesRecipients).await);
    set(&hub, server_at(server.port)).await;
    queue(&hub).await;
    send(&hub).await;
    let failed = &outbox(&hub).await[0];
    assert_eq!((&failed["state"], &failed["attempts"]), (&json!("failed"), &json!(1)));
    assert!(failed["error"].as_str().unwrap().contains("no such mailbox"), "{failed}");
}

#[tokio::test]
async fn a_server_can_say_only_so_much() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::Babbles).await);
    set(&hub, server_at(server.port)).await;
    let to = json!({ "to": "ada@example.com" });
    let test = hub.post(&Client::local(), "/api/v1/settings/mail/test", to).await.body;
    let last = test["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&test["sent"], &last["step"], &last["ok"]), (&json!(false), &json!("connect"), &json!(false)));
    assert!(last["detail"].as_str().unwrap().contains("says too much"), "{last}");
}

#[tokio::test]
async fn asvs_12_3_1_a_password_is_not_sent_where_no_protection_is_offered() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::Takes).await);
    let protected = json!({ "security": "starttls", "user": "hub", "password": "quiet secret" });
    set(&hub, with(server_at(server.port), protected)).await;
    queue(&hub).await;
    send(&hub).await;
    assert_eq!(outbox(&hub).await[0]["state"], "waiting");
    assert!(server.taken().is_empty());
    let heard = server.heard();
    assert!(!heard.is_empty() && !heard.iter().any(|line| line.starts_with("AUTH")), "{heard:?}");
}

/// The class of CVE-2021-38371: what is put behind the answer to STARTTLS is
/// not taken for said under TLS.
#[tokio::test]
async fn what_was_said_before_tls_does_not_count_after_it() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::IsPrecededUnderTls).await);
    let protected = json!({ "host": "localhost", "security": "starttls", "authority": server.certificate });
    set(&hub, with(server_at(server.port), protected)).await;
    let to = json!({ "to": "ada@example.com" });
    let test = hub.post(&Client::local(), "/api/v1/settings/mail/test", to).await.body;
    let last = test["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&test["sent"], &last["step"], &last["ok"]), (&json!(false), &json!("tls"), &json!(false)), "{test}");
    assert!(server.taken().is_empty() && server.heard().is_empty());
}

#[tokio::test]
async fn a_test_tells_of_each_step() {
    let (hub, server) = (TestHub::with_users().await, Server::start(Behaviour::Takes).await);
    let path = "/api/v1/settings/mail/test";
    let admin = hub.signed_in("admin").await;
    let to = json!({ "to": "ada@example.com" });
    assert_eq!(hub.post(&admin, path, to.clone()).await.code(), "mail_not_configured");
    set(&hub, server_at(server.port)).await;
    assert_eq!(hub.post(&admin, path, json!({})).await.code(), "no_address");
    let test = hub.post(&admin, path, to).await;
    assert_eq!((test.status, &test.body["sent"]), (StatusCode::OK, &json!(true)), "{test:?}");
    let steps: Vec<&str> =
        { test.body["steps"].as_array().unwrap().iter() }.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["resolve", "connect", "tls", "sign_in", "accept"]);
    assert_eq!(server.taken().len(), 1);
    assert_eq!(outbox(&hub).await, json!([]), "it does not wait");
}

#[tokio::test]
async fn a_letter_in_another_row_is_not_sent() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::Takes).await);
    set(&hub, server_at(server.port)).await;
    queue(&hub).await;
    let mut tx = hub.app.db.write().await.unwrap();
    on_tx!(&mut tx, |c| sqlx::query("UPDATE outbox SET id = $1").bind(Uuid::now_v7()).execute(c).await.map(drop))
        .unwrap();
    tx.commit().await.unwrap();
    send(&hub).await;
    assert_eq!(outbox(&hub).await[0]["state"], "failed");
    assert!(server.taken().is_empty());
}

#[tokio::test]
async fn only_so_many_mails_wait() {
    let hub = TestHub::empty().await;
    set(&hub, server_at(1)).await;
    let mut tx = hub.app.db.write().await.unwrap();
    let to = "ada@example.com".parse().unwrap();
    let mailing = |name: &str| {
        let letter = Letter::PasswordChanged { name: name.into() };
        Mailing { to: &to, language: Language::En, letter, useful_until: hub.clock.now() + LIFE_MAX }
    };
    for _ in 0..WAITING_MAX {
        hub.app.mail.queue(&mut tx, mailing("ada")).await.unwrap();
    }
    assert!(matches!(hub.app.mail.queue(&mut tx, mailing("eve")).await, Err(MailError::Full)));
}

/// Whoever runs the server reads the links with which passwords are chosen.
#[tokio::test]
async fn who_manages_the_hub_but_no_users_does_not_say_where_mail_goes() {
    let hub = TestHub::with_users().await;
    let role = json!({ "name": "Keeper", "permissions": ["hub.manage"] });
    let role = hub.post(&Client::local(), "/api/v1/roles", role).await.body["id"].clone();
    let id = hub.get(&Client::local(), "/api/v1/users?name=viewer").await.body["items"][0]["id"].clone();
    let grant = json!({ "user_id": id, "role": role, "scope": { "kind": "everywhere" } });
    assert_eq!(hub.post(&Client::local(), "/api/v1/grants", grant).await.status, StatusCode::CREATED);
    let keeper = hub.signed_in("viewer").await;
    assert_eq!(hub.get(&keeper, SETTINGS).await.status, StatusCode::OK);
    let request = Request::put(SETTINGS).header("content-type", "application/json");
    let refused = hub.send(&keeper, request, Body::from(server_at(25).to_string())).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_permitted"));
    assert_eq!(hub.get(&keeper, SETTINGS).await.body["server"], Value::Null);
}

/// C-38 and ASVS 1.3.6 for mail: no way into private networks unless it is allowed, and none
/// to where clouds hand out credentials.
#[tokio::test]
async fn c38_a_server_in_a_private_network_takes_a_word_and_a_clouds_own_is_never_reached() {
    let hub = TestHub::empty().await;
    let tried = async |changes: Value| {
        set(&hub, with(server_at(1), with(json!({ "security": "starttls" }), changes))).await;
        let to = json!({ "to": "ada@example.com" });
        let test = hub.post(&Client::local(), "/api/v1/settings/mail/test", to).await.body;
        let last = test["steps"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&test["sent"], &last["ok"]), (&json!(false), &json!(false)));
        (last["step"].as_str().unwrap().to_owned(), last["detail"].as_str().unwrap().to_owned())
    };
    for private in ["10.0.0.1", "192.168.1.1", "172.17.0.1", "::ffff:127.0.0.1", "fd00::1", "2130706433", "127.1"] {
        let (step, said) = tried(json!({ "host": private })).await;
        assert!(step == "resolve" && said.contains("private network"), "{private}: {step}: {said}");
    }
    for never in ["169.254.169.254", "fd00:ec2::254", "0.0.0.0", "224.0.0.1", "100.100.100.200", "::"] {
        let (step, said) = tried(json!({ "host": never, "allow_private": true })).await;
        assert!(step == "resolve" && said.contains("no address that may be used"), "{never}: {step}: {said}");
    }
    let (step, said) = tried(json!({ "host": "::ffff:127.0.0.1", "allow_private": true })).await;
    assert_eq!(step, "connect", "allowed, and nobody is there: {said}");
    let (step, said) = tried(json!({ "host": "localhost" })).await;
    assert_eq!(step, "connect", "it is named as this machine's: {said}");
}

/// C-39: a filter tells what it does not like about a mail, and that is the link.
#[tokio::test]
async fn c39_a_server_that_repeats_a_mail_does_not_show_its_link() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::Quotes).await);
    set(&hub, server_at(server.port)).await;
    let mut tx = hub.app.db.write().await.unwrap();
    let to = "ada@example.com".parse().unwrap();
    let (now, secret) = (hub.clock.now(), format!("wfl1_{}", "a2".repeat(26)));
    let link = format!("{}/password-reset#{secret}", super::testing::PUBLIC_URL);
    let letter = Letter::PasswordReset { name: "ada".into(), link, until: now + LIFE_MAX };
    let mailing = Mailing { to: &to, language: Language::En, letter, useful_until: now + LIFE_MAX };
    hub.app.mail.queue(&mut tx, mailing).await.unwrap();
    tx.commit().await.unwrap();
    let sql = "SELECT letter_sealed FROM outbox";
    let mut tx = hub.app.db.read().await.unwrap();
    let sealed: Vec<u8> = on_tx!(&mut tx, |c| sqlx::query_scalar(sql).fetch_one(c).await).unwrap();
    drop(tx);
    assert!(!sealed.windows(5).any(|window| window == b"wfl1_"), "it is sealed while it waits");
    send(&hub).await;
    let listed = outbox(&hub).await;
    assert_eq!(listed[0]["state"], "failed");
    let why = listed[0]["error"].as_str().unwrap();
    assert!(why.contains("#wfl1_…") && !why.contains("a2"), "{why}");
}

/// A server that takes a connection and says nothing costs ten seconds.
#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let (hub, server) = (TestHub::empty().await, Server::start(Behaviour::Hangs).await);
    set(&hub, server_at(server.port)).await;
    let (to, letter) = ("ada@example.com".parse().unwrap(), Letter::Test { address: "x".into() }.render(Language::En));
    let known = hub.app.mail.server().await.unwrap().unwrap();
    let post = smtp::Post { id: Uuid::now_v7(), to: &to, letter: &letter, at: hub.clock.now() };
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let delivered = smtp::deliver(&known, &post).await;
    let failure = delivered.failure().unwrap();
    assert!(failure.detail.contains("does not answer in time") && !delivered.is_final, "{failure:?}");
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
}
