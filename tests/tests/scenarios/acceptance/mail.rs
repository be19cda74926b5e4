//! Mail over a real server: invitations, new passwords, and a server that is
//! away for a while.

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::network::{MailSecurity, MailServer};
use windflow_tests::product::{Answer, Hub};
use windflow_tests::wait;

use crate::scenarios::SOON;

const SETTINGS: &str = "/api/v1/settings/mail";
const NEW_PASSWORD: &str = "eleven patient foxes sing";
/// A mail is tried again after ten seconds, then after twenty.
const RETRIED: Duration = Duration::from_secs(60);

fn set(hub: &Hub, settings: &Value) {
    let answer = hub.request("PUT", SETTINGS, &settings.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Sends a test to eve. Whether it was sent, and the last step with what is
/// said of it.
fn test(hub: &Hub) -> (bool, String, String) {
    let answer = hub.request("POST", "/api/v1/settings/mail/test", &json!({ "to": "eve@example.com" }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let last = told["steps"].as_array().unwrap().last().unwrap();
    let text = |field: &str| last[field].as_str().unwrap().to_owned();
    (told["sent"].as_bool().unwrap(), text("step"), text("detail"))
}

fn accept(hub: &Hub, secret: &str, name: &str) -> Answer {
    let body = json!({ "secret": secret, "name": name, "password": "seven quiet harbors glow" });
    hub.request_as_nobody("POST", "/api/v1/auth/invitation/accept", &body.to_string())
}

fn ask_for_new_password(hub: &Hub, account: &str) {
    let body = json!({ "account": account }).to_string();
    assert_eq!(hub.request_as_nobody("POST", "/api/v1/auth/password-reset", &body).status, 202);
}

#[test]
fn mail_goes_over_tls_only_to_a_server_that_is_trusted() {
    let (server, other) = (MailServer::start(MailSecurity::Starttls), MailServer::start(MailSecurity::Tls));
    let hub = Hub::start();
    for (server, stranger) in [(&server, &other), (&other, &server)] {
        let mut settings = server.settings();
        settings["authority"] = stranger.settings()["authority"].clone();
        set(&hub, &settings);
        let (sent, step, said) = test(&hub);
        assert!(!sent && step == "tls", "another's authority: {step}: {said}");
        assert!(said.to_lowercase().contains("certificate"), "{said}");

        settings["authority"] = Value::Null;
        set(&hub, &settings);
        let (sent, step, said) = test(&hub);
        assert!(!sent && step == "tls", "what the machine trusts: {step}: {said}");

        let mut settings = server.settings();
        settings["host"] = "127.0.0.1".into();
        set(&hub, &settings);
        let (sent, step, said) = test(&hub);
        assert!(!sent && step == "tls", "another name than the certificate's: {step}: {said}");

        let mut settings = server.settings();
        settings["password"] = "wrong".into();
        set(&hub, &settings);
        let (sent, step, said) = test(&hub);
        assert!(!sent && step == "sign_in", "{step}: {said}");
        assert!(server.taken().is_empty());

        set(&hub, &server.settings());
        assert!(test(&hub).0, "all is as it should be");
        let mail = server.wait_for(0, SOON);
        assert!(
            mail.signed_in && mail.recipients == ["eve@example.com"] && mail.sender == "hub@example.com",
            "{mail:?}"
        );
        assert!(mail.headers.contains(&("From".to_owned(), "Windflow <hub@example.com>".to_owned())), "{mail:?}");
    }
    assert!(!hub.log().contains(MailServer::password()), "no password in the log");
}

#[test]
fn an_invitation_and_a_new_password_come_by_mail_and_each_works_once() {
    let mut server = MailServer::start(MailSecurity::Starttls);
    let mut hub = Hub::start();
    set(&hub, &server.settings());

    let new = json!({ "email": "eve@example.com", "role": "viewer", "language": "fr" }).to_string();
    let invited = hub.request("POST", "/api/v1/invitations", &new);
    assert_eq!(invited.status, 201, "{}", invited.body);
    assert!(!invited.body.contains("wfl1_"), "the link is in the mail alone");
    let invitation = server.wait_for(0, SOON);
    assert_eq!(
        (invitation.subject.as_str(), &*invitation.recipients),
        ("Vous êtes invité à rejoindre Windflow", &["eve@example.com".to_owned()][..],)
    );
    assert!(invitation.text.contains("https://hub.example:8443/invitation#wfl1_"), "{}", invitation.text);
    assert!(invitation.html.contains("<a href=\"https://hub.example:8443/invitation#wfl1_"), "{}", invitation.html);
    let secret = invitation.secret();
    assert_eq!(accept(&hub, &secret, "eve").status, 201);
    let again = accept(&hub, &secret, "mallory");
    assert_eq!((again.status, again.code().as_str()), (403, "invalid_link"));

    ask_for_new_password(&hub, "eve");
    let reset = server.wait_for(1, SOON);
    let confirm = |hub: &Hub| {
        let body = json!({ "secret": reset.secret(), "password": NEW_PASSWORD }).to_string();
        hub.request_as_nobody("POST", "/api/v1/auth/password-reset/confirm", &body).status
    };
    assert_eq!((confirm(&hub), confirm(&hub)), (204, 403));
    let sign_in = json!({ "name": "eve", "password": NEW_PASSWORD }).to_string();
    assert_eq!(hub.request_as_nobody("POST", "/api/v1/session", &sign_in).status, 200);
    assert!(server.wait_for(2, SOON).subject.contains("mot de passe"), "that it was changed");
    ask_for_new_password(&hub, "nobody");

    server.stop();
    ask_for_new_password(&hub, "eve@example.com");
    wait::until_true("a mail that waits", SOON, || {
        let newest = hub.read("/api/v1/settings/mail/outbox")["items"][0].clone();
        newest["state"] == "waiting" && newest["attempts"].as_i64() >= Some(1)
    });
    hub.restart();
    server.start_again();
    let late = server.wait_for(3, RETRIED);
    assert!(late.text.contains("/password-reset#wfl1_"), "{}", late.text);
    wait::until_true("the mail to be known as sent", SOON, || {
        hub.read("/api/v1/settings/mail/outbox")["items"][0]["state"] == "sent"
    });
    let taken = server.taken();
    assert_eq!(taken.len(), 4, "nobody else was written to");
    let mut database = std::fs::read(hub.data_folder().join("windflow.db")).unwrap();
    database.extend(std::fs::read(hub.data_folder().join("windflow.db-wal")).unwrap_or_default());
    assert!(windflow_tests::product::contains(&database, b"eve@example.com"), "it is the database");
    for mail in taken.iter().filter(|mail| mail.text.contains('#')) {
        let secret = mail.secret();
        assert!(!hub.log().contains(&secret), "a link in the log");
        assert!(!windflow_tests::product::contains(&database, secret.as_bytes()), "a link in the database");
    }
}
