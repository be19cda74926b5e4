//! What somebody tries who has a part of what it takes.

use super::*;

const PRESENT: &str = "/api/v1/me/password";

async fn pending_at(hub: &TestHub, client: &Client, email: &str) -> String {
    let asked = hub.post(client, OWN, json!({ "email": email, "password": PASSWORD })).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
    let mails = waiting(hub).await;
    let secret = mails.iter().find(|mail| mail.to == email).unwrap().secret();
    forget_mails(hub).await;
    secret
}

async fn verify(hub: &TestHub, secret: &str) -> Answer {
    hub.post(&Client::browser(), VERIFY, json!({ "secret": secret })).await
}

/// ASVS 6.3.8: neither the answer nor its time tells. What there is to look up
/// is looked up behind it, here while the database takes nothing.
#[tokio::test]
async fn asvs_6_3_8_the_answer_waits_for_nothing_that_depends_on_the_account() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let held = hub.app.db.write().await.unwrap();
    let mut answers = Vec::new();
    for account in ["viewer", "viewer@example.com", "admin", "nobody", "nobody@example.com"] {
        let asked = tokio::time::timeout(Duration::from_secs(20), ask(&hub, account)).await;
        let answer = asked.unwrap_or_else(|_| panic!("{account} is looked up before the answer"));
        answers.push((answer.status, answer.body));
    }
    assert!(answers.iter().all(|answer| answer.0 == StatusCode::ACCEPTED && *answer == answers[0]), "{answers:?}");
    drop(held);
    assert_eq!(forget_mails(&hub).await.len(), 2);
}

/// Who had a session and the password asks for another address; its owner
/// changes the password, which ends that too.
#[tokio::test]
async fn asvs_7_4_3_another_password_ends_the_address_that_somebody_else_asked_for() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = hub_with_mail(db).await;
        let path = format!("/api/v1/users/{}", id_of(&hub, "viewer").await);

        let thief = hub.signed_in("viewer").await;
        let theirs = pending_at(&hub, &thief, "eve1@example.org").await;
        ask(&hub, "viewer").await;
        let reset = forget_mails(&hub).await.pop().unwrap();
        assert_eq!(confirm(&hub, &reset, PASSWORD).await.status, StatusCode::NO_CONTENT);
        assert_eq!(outcome(&verify(&hub, &theirs).await), (403, "invalid_link"), "after a new one by mail");

        hub.clock.advance(WINDOW);
        let thief = hub.signed_in("viewer").await;
        let theirs = pending_at(&hub, &thief, "eve2@example.org").await;
        let by_admin =
            hub.post(&Client::local(), &format!("{path}/reset-password"), json!({ "password": PASSWORD })).await;
        assert_eq!(by_admin.status, StatusCode::OK);
        assert_eq!(outcome(&verify(&hub, &theirs).await), (403, "invalid_link"), "after an administrator's");

        hub.clock.advance(WINDOW);
        let owner = hub.signed_in("viewer").await;
        let theirs = pending_at(&hub, &owner, "eve3@example.org").await;
        ask(&hub, "viewer").await;
        let mailed = forget_mails(&hub).await.pop().unwrap();
        let own =
            hub.post(&owner, PRESENT, json!({ "present_password": PASSWORD, "new_password": OTHER_PASSWORD })).await;
        assert!(own.status.is_success(), "{own:?}");
        assert_eq!(outcome(&verify(&hub, &theirs).await), (403, "invalid_link"), "after one's own");
        assert_eq!(outcome(&confirm(&hub, &mailed, PASSWORD).await), (403, "invalid_link"), "after one's own");
        let shown = hub.get(&Client::local(), &path).await.body;
        assert_eq!(shown["email"], "viewer@example.com");
    }
}

/// What an administrator asked for is no thief's: it outlives the first password.
#[tokio::test]
async fn the_present_address_is_verified_after_another_password_too() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    give_address(&hub, "admin", "admin@example.com").await;
    let secret = forget_mails(&hub).await.pop().unwrap();
    let path = format!("/api/v1/users/{}/reset-password", id_of(&hub, "admin").await);
    assert_eq!(hub.post(&Client::local(), &path, json!({ "password": PASSWORD })).await.status, StatusCode::OK);
    assert_eq!(verify(&hub, &secret).await.status, StatusCode::NO_CONTENT);
}

/// A link is of one user: it says nothing of whom it serves, and serves nobody
/// else.
#[tokio::test]
async fn c04_a_link_serves_its_user_alone() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    ask(&hub, "viewer").await;
    let secret = forget_mails(&hub).await.pop().unwrap();
    let body = json!({ "secret": secret, "password": OTHER_PASSWORD, "account": "admin" });
    assert_eq!(outcome(&hub.post(&Client::browser(), CONFIRM, body).await), (422, "invalid_body"));
    assert_eq!(outcome(&verify(&hub, &secret).await), (403, "invalid_link"));
    assert_eq!(confirm(&hub, &secret, OTHER_PASSWORD).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.sign_in(&Client::browser(), "admin", PASSWORD).await.status, StatusCode::OK);
    assert_eq!(hub.sign_in(&Client::browser(), "viewer", OTHER_PASSWORD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_link_does_not_work_for_who_is_shut_out_nor_once_they_are_let_in_again() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let viewer = hub.signed_in("viewer").await;
    let elsewhere = pending_at(&hub, &viewer, "eve@example.org").await;
    ask(&hub, "viewer").await;
    let reset = forget_mails(&hub).await.pop().unwrap();
    let path = format!("/api/v1/users/{}", id_of(&hub, "viewer").await);
    for (action, open) in [("disable", false), ("enable", true)] {
        let done = hub.post(&Client::local(), &format!("{path}/{action}"), json!({})).await;
        assert_eq!((done.status, done.body["disabled_at"].is_null()), (StatusCode::OK, open));
        assert_eq!(outcome(&confirm(&hub, &reset, OTHER_PASSWORD).await), (403, "invalid_link"), "{action}");
        assert_eq!(outcome(&verify(&hub, &elsewhere).await), (403, "invalid_link"), "{action}");
    }
}

/// C-35, on every way by which a link is tried.
#[tokio::test]
async fn c35_who_tries_links_is_slowed_down() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    ask(&hub, "viewer").await;
    let good = forget_mails(&hub).await.pop().unwrap();
    let ways = [CONFIRM, VERIFY, "/api/v1/auth/invitation", "/api/v1/auth/invitation/accept"];
    let body = |way: &str| match way {
        CONFIRM => json!({ "secret": "wfl1_x", "password": PASSWORD }),
        "/api/v1/auth/invitation/accept" => json!({ "secret": "wfl1_x", "name": "eve", "password": PASSWORD }),
        _ => json!({ "secret": "wfl1_x" }),
    };
    let guesser = Client::browser().at_address("198.51.100.7:1", Scheme::Https);
    for number in 0..120 {
        let way = ways[number % ways.len()];
        assert_eq!(outcome(&hub.post(&guesser, way, body(way)).await), (403, "invalid_link"), "{number}");
    }
    for way in ways {
        assert_eq!(outcome(&hub.post(&guesser, way, body(way)).await), (429, "too_many_attempts"), "{way}");
    }
    assert_eq!(confirm(&hub, &good, OTHER_PASSWORD).await.status, StatusCode::NO_CONTENT, "from elsewhere");
}
