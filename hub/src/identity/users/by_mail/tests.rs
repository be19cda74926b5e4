//! What users do through their mailbox, through the API.

mod attacks;
mod registration;

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::pace::WINDOW;
use super::password_reset::LINK_LIFE;
use crate::db::testing::TestDb;
use crate::http::Scheme;
use crate::mail::testing::{PUBLIC_URL, set_server, waiting};
use crate::on_tx;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const ASK: &str = "/api/v1/auth/password-reset";
const CONFIRM: &str = "/api/v1/auth/password-reset/confirm";
const VERIFY: &str = "/api/v1/auth/verify-email";
const OWN: &str = "/api/v1/me/email";
const OTHER_PASSWORD: &str = "harbor-violet-nine-thimble";

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// A hub that can send mail, whose user viewer has a verified address.
async fn hub_with_mail(db: TestDb) -> TestHub {
    let hub = TestHub::on(db).await;
    set_server(&hub).await;
    for (name, role) in [("admin", "administrator"), ("viewer", "viewer")] {
        let user = json!({ "name": name, "role": role, "password": PASSWORD });
        assert_eq!(hub.post(&Client::local(), "/api/v1/users", user).await.status, StatusCode::CREATED);
    }
    give_address(&hub, "viewer", "viewer@example.com").await;
    let verification = forget_mails(&hub).await.pop().unwrap();
    let verified = hub.post(&Client::browser(), VERIFY, json!({ "secret": verification })).await;
    assert_eq!(verified.status, StatusCode::NO_CONTENT, "{verified:?}");
    hub
}

async fn id_of(hub: &TestHub, name: &str) -> String {
    let found = hub.get(&Client::local(), &format!("/api/v1/users?name={name}")).await.body;
    found["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn give_address(hub: &TestHub, name: &str, email: &str) {
    let path = format!("/api/v1/users/{}", id_of(hub, name).await);
    let given = hub.patch(&Client::local(), &path, json!({ "email": email })).await;
    assert_eq!((given.status, &given.body["email"]), (StatusCode::OK, &json!(email)), "{given:?}");
    assert_eq!(given.body["email_verified_at"], Value::Null);
}

/// Empties the outbox. The secrets of the links that were in it.
async fn forget_mails(hub: &TestHub) -> Vec<String> {
    let mails = waiting(hub).await;
    let mut tx = hub.app.db.write().await.unwrap();
    on_tx!(&mut tx, |c| sqlx::query("DELETE FROM outbox").execute(c).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
    mails.iter().filter(|mail| mail.text.contains('#')).map(|mail| mail.secret()).collect()
}

async fn ask(hub: &TestHub, account: &str) -> Answer {
    hub.post(&Client::browser(), ASK, json!({ "account": account })).await
}

async fn confirm(hub: &TestHub, secret: &str, password: &str) -> Answer {
    hub.post(&Client::browser(), CONFIRM, json!({ "secret": secret, "password": password })).await
}

#[tokio::test]
async fn asvs_6_4_3_a_new_password_ends_sessions_and_leaves_tokens_and_the_second_factor() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = hub_with_mail(db).await;
        let session = hub.signed_in("viewer").await;
        let (program, _) = hub.program_of("viewer").await;
        let mut tx = hub.app.db.write().await.unwrap();
        on_tx!(&mut tx, |c| {
            let sql = "INSERT INTO second_factors (user_id, secret_sealed, last_step, begun_at, confirmed_at)
                       SELECT id, $1, 1, created_at, created_at FROM users WHERE name = 'viewer'";
            sqlx::query(sql).bind(&[0_u8][..]).execute(c).await.map(drop)
        })
        .unwrap();
        tx.commit().await.unwrap();

        assert_eq!(ask(&hub, "Viewer").await.status, StatusCode::ACCEPTED);
        let mails = waiting(&hub).await;
        assert_eq!((mails.len(), mails[0].to.as_str()), (1, "viewer@example.com"));
        assert!(mails[0].text.contains(&format!("{PUBLIC_URL}/password-reset#wfl1_")), "{}", mails[0].text);
        assert!(mails[0].text.contains("2026-05-04 00:30 UTC"), "{}", mails[0].text);
        let secret = mails[0].secret();
        assert_eq!(outcome(&confirm(&hub, &secret, "password1234").await), (400, "weak_password"));
        assert_eq!(hub.get(&session, "/api/v1/me").await.status, StatusCode::OK, "nothing has happened yet");

        assert_eq!(confirm(&hub, &secret, OTHER_PASSWORD).await.status, StatusCode::NO_CONTENT);
        assert_eq!(outcome(&confirm(&hub, &secret, PASSWORD).await), (403, "invalid_link"));
        assert_eq!(hub.get(&session, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(hub.get(&program, "/api/v1/me").await.status, StatusCode::OK);
        assert_eq!(hub.sign_in(&Client::browser(), "viewer", PASSWORD).await.code(), "unauthorized");
        assert_eq!(hub.sign_in(&Client::browser(), "viewer", OTHER_PASSWORD).await.code(), "second_factor_required");
        let notice = waiting(&hub).await.pop().unwrap();
        assert!(notice.text.contains("Your password was replaced"), "{}", notice.text);

        for action in ["user.password_reset_request", "user.password_reset_by_mail"] {
            let records = hub.get(&Client::local(), &format!("/api/v1/audit?action={action}")).await.body;
            assert_eq!(records["items"].as_array().unwrap().len(), 1, "{action}");
            assert_eq!(records["items"][0]["details"]["target_name"], "viewer", "{action}");
            assert!(!records.to_string().contains("wfl1_"));
        }
    }
}

#[tokio::test]
async fn asvs_6_3_8_known_and_unknown_accounts_are_answered_alike() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    give_address(&hub, "admin", "admin@example.com").await;
    forget_mails(&hub).await;
    let known = ask(&hub, "viewer@example.com").await;
    assert_eq!(forget_mails(&hub).await.len(), 1);
    for silent in ["nobody", "nobody@example.com", "admin", "admin@example.com", "a\r\nb", "viewer\r\nBcc: x@y.z"] {
        let answer = ask(&hub, silent).await;
        assert_eq!((answer.status, &answer.body), (known.status, &known.body), "{silent}");
        assert_eq!(forget_mails(&hub).await.len(), 0, "{silent}: no such account, or no verified address");
    }
    let path = format!("/api/v1/users/{}/disable", id_of(&hub, "viewer").await);
    assert_eq!(hub.post(&Client::local(), &path, json!({})).await.status, StatusCode::OK);
    assert_eq!(ask(&hub, "viewer").await.status, known.status);
    assert_eq!(forget_mails(&hub).await.len(), 0, "shut out");
    let enable = path.replace("/disable", "/enable");
    assert_eq!(hub.post(&Client::local(), &enable, json!({})).await.status, StatusCode::OK);
    let mut tx = hub.app.db.write().await.unwrap();
    on_tx!(&mut tx, |c| {
        sqlx::query("UPDATE users SET password_hash = '' WHERE name = 'viewer'").execute(c).await.map(drop)
    })
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ask(&hub, "viewer").await.status, known.status);
    assert_eq!(forget_mails(&hub).await.len(), 0, "signs in elsewhere only");
    let records = hub.get(&Client::local(), "/api/v1/audit?action=user.password_reset_request&outcome=denied").await;
    assert_eq!(records.body["items"].as_array().unwrap().len(), 8);

    let silent = TestHub::with_users().await;
    assert_eq!(outcome(&ask(&silent, "viewer").await), (409, "mail_not_configured"));
    assert_eq!(outcome(&ask(&silent, "nobody").await), (409, "mail_not_configured"));
}

/// The link is of the address that is set, whatever host a request names.
#[tokio::test]
async fn c37_a_link_leads_to_the_address_that_is_set_and_to_no_other() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let liar = Client::browser().with("host", "evil.example").with("x-forwarded-host", "evil.example");
    let liar = liar.with("origin", "https://evil.example").with("sec-fetch-site", "same-origin");
    hub.post(&liar.without("origin"), ASK, json!({ "account": "viewer" })).await;
    let mails = waiting(&hub).await;
    assert!(!mails.is_empty(), "a mail waits");
    assert!(mails.iter().all(|mail| !mail.text.contains("evil") && !mail.html.contains("evil")), "{mails:?}");
}

/// C-35: per account, per address.
#[tokio::test]
async fn c35_an_account_gets_three_mails_an_hour_and_an_address_asks_twenty_times() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let from = |number: u8| Client::browser().at_address(&format!("192.0.2.{number}:1"), Scheme::Https);
    for number in 0..5 {
        let asked = hub.post(&from(number), ASK, json!({ "account": "viewer" })).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED);
    }
    assert_eq!(forget_mails(&hub).await.len(), 3);
    hub.clock.advance(WINDOW);
    assert_eq!(ask(&hub, "viewer").await.status, StatusCode::ACCEPTED);
    assert_eq!(forget_mails(&hub).await.len(), 1);

    let mut answers = Vec::new();
    for number in 0..21 {
        let asked = hub.post(&from(99), ASK, json!({ "account": format!("nobody{number}") })).await;
        answers.push(asked.status.as_u16());
        forget_mails(&hub).await;
    }
    assert_eq!((answers[..20].to_vec(), answers[20]), (vec![202; 20], 429));
}

/// ASVS 2.3.4.
#[tokio::test]
async fn asvs_2_3_4_of_a_hundred_who_come_with_one_link_one_wins() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = hub_with_mail(db).await;
        ask(&hub, "viewer").await;
        let secret = forget_mails(&hub).await.pop().unwrap();
        let attempts = (0..100).map(|number| {
            let client = Client::browser().at_address(&format!("192.0.2.{number}:1"), Scheme::Https);
            let request = json!({ "secret": secret, "password": format!("{OTHER_PASSWORD}-{number}") });
            let hub = &hub;
            async move { hub.post(&client, CONFIRM, request).await.status.as_u16() }
        });
        let statuses = futures_util::future::join_all(attempts).await;
        let winners: Vec<usize> = (0..100).filter(|number| statuses[*number] == 204).collect();
        assert_eq!(winners.len(), 1, "{statuses:?}");
        let password = format!("{OTHER_PASSWORD}-{}", winners[0]);
        assert_eq!(hub.sign_in(&Client::browser(), "viewer", &password).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn asvs_6_4_1_a_link_ends_with_half_an_hour_with_another_password_and_with_another_address() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let link = async || {
        hub.clock.advance(WINDOW);
        ask(&hub, "viewer").await;
        forget_mails(&hub).await.pop().unwrap()
    };
    let late = link().await;
    hub.clock.advance(LINK_LIFE);
    assert_eq!(outcome(&confirm(&hub, &late, OTHER_PASSWORD).await), (403, "invalid_link"));

    let overtaken = link().await;
    let path = format!("/api/v1/users/{}/reset-password", id_of(&hub, "viewer").await);
    assert_eq!(hub.post(&Client::local(), &path, json!({ "password": PASSWORD })).await.status, StatusCode::OK);
    assert_eq!(outcome(&confirm(&hub, &overtaken, OTHER_PASSWORD).await), (403, "invalid_link"));

    let moved = link().await;
    give_address(&hub, "viewer", "other@example.com").await;
    assert_eq!(outcome(&confirm(&hub, &moved, OTHER_PASSWORD).await), (403, "invalid_link"));
    assert_eq!(ask(&hub, "viewer").await.status, StatusCode::ACCEPTED);
    let mails = waiting(&hub).await;
    let subjects: Vec<_> = mails.iter().map(|mail| (mail.to.as_str(), mail.subject.as_str())).collect();
    assert_eq!(
        subjects,
        [
            ("viewer@example.com", "Your address for Windflow changes"),
            ("other@example.com", "Confirm your address for Windflow"),
        ],
        "an address that is not verified gets no link to choose a password"
    );
    let wrong_kind = confirm(&hub, &mails[1].secret(), OTHER_PASSWORD).await;
    assert_eq!(outcome(&wrong_kind), (403, "invalid_link"));
}

#[tokio::test]
async fn ones_own_address_changes_with_the_password_and_the_link_that_was_sent_there() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let viewer = hub.signed_in("viewer").await;
    let (program, _) = hub.program_of("viewer").await;
    let request = |password: &str| json!({ "email": "New@Example.com", "password": password });
    assert_eq!(outcome(&hub.post(&program, OWN, request(PASSWORD)).await), (403, "session_required"));
    assert_eq!(outcome(&hub.post(&viewer, OWN, request("wrong password")).await), (403, "wrong_password"));
    assert!(waiting(&hub).await.is_empty());

    assert_eq!(hub.post(&viewer, OWN, request(PASSWORD)).await.status, StatusCode::ACCEPTED);
    let mails = waiting(&hub).await;
    let to: Vec<&str> = mails.iter().map(|mail| mail.to.as_str()).collect();
    assert_eq!(to, ["new@example.com", "viewer@example.com"]);
    let own = hub.get(&viewer, OWN).await.body;
    assert_eq!((&own["email"], &own["pending_email"]), (&json!("viewer@example.com"), &json!("new@example.com")));

    let secret = mails[0].secret();
    assert_eq!(hub.post(&Client::browser(), VERIFY, json!({ "secret": secret })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        outcome(&hub.post(&Client::browser(), VERIFY, json!({ "secret": secret })).await),
        (403, "invalid_link")
    );
    let own = hub.get(&viewer, OWN).await.body;
    assert_eq!((&own["email"], &own["pending_email"]), (&json!("new@example.com"), &Value::Null));
    for _ in 0..2 {
        hub.post(&viewer, OWN, request(PASSWORD)).await;
    }
    assert_eq!(outcome(&hub.post(&viewer, OWN, request(PASSWORD)).await), (429, "too_many_attempts"));
}

/// Who asks for another's address hears nothing; only its owner could.
#[tokio::test]
async fn whether_an_address_is_taken_is_told_to_its_owner_only() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let admin = hub.signed_in("admin").await;
    for address in ["viewer@example.com", "free@example.com"] {
        let asked = hub.post(&admin, OWN, json!({ "email": address, "password": PASSWORD })).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{address}");
    }
    let free = forget_mails(&hub).await.pop().unwrap();
    hub.clock.advance(Duration::from_secs(1));
    let path = format!("/api/v1/users/{}", id_of(&hub, "viewer").await);
    let moved = hub.patch(&Client::local(), &path, json!({ "email": "free@example.com" })).await;
    assert_eq!(moved.status, StatusCode::OK);
    let late = hub.post(&Client::browser(), VERIFY, json!({ "secret": free })).await;
    assert_eq!(outcome(&late), (409, "email_taken"));
    let of_admin = format!("/api/v1/users/{}", id_of(&hub, "admin").await);
    let twice = hub.patch(&Client::local(), &of_admin, json!({ "email": "FREE@example.com" })).await;
    assert_eq!(outcome(&twice), (409, "email_taken"));
    let removed = hub.patch(&Client::local(), &path, json!({ "email": null, "language": "fr" })).await.body;
    assert_eq!(
        (&removed["email"], &removed["language"], &removed["role"]),
        (&Value::Null, &json!("fr"), &json!("viewer"))
    );
}

/// C-20 and ASVS 1.3.11, on every way by which an address or a name comes in.
#[tokio::test]
async fn c20_nothing_that_ends_a_line_becomes_an_address_or_a_name() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let viewer = hub.signed_in("viewer").await;
    let user = format!("/api/v1/users/{}", id_of(&hub, "viewer").await);
    for end in ["\r\n", "\n", "\r", "\0", "\u{85}", "\u{2028}", "%0d%0a\n"] {
        let address = format!("x@example.com{end}Bcc: eve@example.com");
        let name = format!("x{end}Bcc: eve@example.com");
        for (path, body) in [
            ("/api/v1/users", json!({ "name": "x", "role": "viewer", "password": PASSWORD, "email": address })),
            ("/api/v1/users", json!({ "name": name, "role": "viewer", "password": PASSWORD })),
            ("/api/v1/invitations", json!({ "email": address })),
            ("/api/v1/auth/register", json!({ "email": address })),
            ("/api/v1/settings/mail/test", json!({ "to": address })),
        ] {
            let answer = hub.post(&Client::local(), path, body).await;
            assert!(["invalid_body", "invalid_name"].contains(&answer.code()), "{path} {end:?}: {answer:?}");
        }
        let own = hub.post(&viewer, OWN, json!({ "email": address, "password": PASSWORD })).await;
        assert_eq!(own.code(), "invalid_body", "{end:?}");
        assert_eq!(hub.patch(&Client::local(), &user, json!({ "email": address })).await.code(), "invalid_body");
    }
    assert!(waiting(&hub).await.is_empty());
}
