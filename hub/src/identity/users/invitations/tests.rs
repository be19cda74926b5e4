//! Invitations through the API.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::LIFE_DEFAULT;
use crate::db::testing::TestDb;
use crate::http::Scheme;
use crate::mail::testing::{PUBLIC_URL, set_server, waiting};
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const INVITATIONS: &str = "/api/v1/invitations";
const LOOK: &str = "/api/v1/auth/invitation";
const ACCEPT: &str = "/api/v1/auth/invitation/accept";

/// Makes an invitation as the operator on this machine. Its id and its secret.
async fn invite(hub: &TestHub, by: &Client, new: Value) -> (String, String) {
    let made = hub.post(by, INVITATIONS, new).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = made.body["path"].as_str().unwrap();
    let (page, secret) = path.split_once('#').unwrap();
    assert_eq!(page, "/invitation");
    (made.body["id"].as_str().unwrap().to_owned(), secret.to_owned())
}

async fn accept(hub: &TestHub, secret: &str, name: &str) -> Answer {
    let request = json!({ "secret": secret, "name": name, "password": PASSWORD });
    hub.post(&Client::browser(), ACCEPT, request).await
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn a_link_makes_one_user_with_all_that_it_brings() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = TestHub::on(db).await;
        let team = hub.post(&Client::local(), "/api/v1/teams", json!({ "name": "Ops" })).await.body["id"].take();
        let group = hub.post(&Client::local(), "/api/v1/groups", json!({ "name": "Paris" })).await.body["id"].take();
        let scope = json!({ "kind": "group", "group_id": group });
        let new = json!({ "team_ids": [team], "grants": [{ "role": "operator", "scope": scope }], "language": "fr" });
        let (id, secret) = invite(&hub, &Client::local(), new).await;
        let looked = hub.post(&Client::browser(), LOOK, json!({ "secret": secret })).await;
        assert_eq!((looked.status, &looked.body["invited_by"]), (StatusCode::OK, &json!("root")), "{looked:?}");

        let made = accept(&hub, &secret, "eve").await;
        assert_eq!((made.status, &made.body["role"]), (StatusCode::CREATED, &json!("restricted")), "{made:?}");
        assert_eq!((&made.body["language"], &made.body["email"]), (&json!("fr"), &Value::Null));
        let eve = made.body["id"].as_str().unwrap();
        let grants = hub.get(&Client::local(), &format!("/api/v1/grants?user={eve}")).await.body;
        assert_eq!((&grants["total"], &grants["items"][0]["role_id"]), (&json!(1), &json!("operator")));
        let path = format!("/api/v1/teams/{}/members", team.as_str().unwrap());
        assert_eq!(hub.get(&Client::local(), &path).await.body["items"][0]["user_name"], "eve");
        assert_eq!(hub.sign_in(&Client::browser(), "eve", PASSWORD).await.status, StatusCode::OK);

        assert_eq!(outcome(&accept(&hub, &secret, "mallory").await), (403, "invalid_link"));
        assert_eq!(hub.post(&Client::browser(), LOOK, json!({ "secret": secret })).await.code(), "invalid_link");
        let listed = hub.get(&Client::local(), INVITATIONS).await.body;
        let shown = &listed["items"][0];
        assert_eq!(
            (&shown["id"], &shown["state"], &shown["accepted_by"]),
            (&json!(id), &json!("accepted"), &json!("eve"))
        );
        assert!(!listed.to_string().contains("wfl1_"), "a list has no links");
        let records = hub.get(&Client::local(), "/api/v1/audit?action=invitation.").await.body;
        let actions: Vec<_> = records["items"].as_array().unwrap().iter().map(|record| &record["action"]).collect();
        assert_eq!(actions, ["invitation.accept", "invitation.create"]);
        assert!(!records.to_string().contains("wfl1_"));
    }
}

/// ASVS 2.3.4: one-use things survive a race.
#[tokio::test]
async fn asvs_2_3_4_of_a_hundred_who_accept_at_once_one_wins() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = TestHub::on(db).await;
        let (_, secret) = invite(&hub, &Client::local(), json!({})).await;
        let attempts = (0..100).map(|number| {
            let client = Client::browser().at_address(&format!("192.0.2.{number}:1"), Scheme::Https);
            let request = json!({ "secret": secret, "name": format!("user{number}"), "password": PASSWORD });
            let hub = &hub;
            async move { outcome(&hub.post(&client, ACCEPT, request).await).0 }
        });
        let statuses = futures_util::future::join_all(attempts).await;
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 99, "{statuses:?}");
        assert_eq!(hub.get(&Client::local(), "/api/v1/users").await.body["total"], 1);
    }
}

#[tokio::test]
async fn an_invitation_by_mail_shows_its_link_to_nobody_else_and_proves_the_address() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let new = json!({ "email": "Eve@Example.com", "language": "fr", "role": "viewer" });
    assert_eq!(outcome(&hub.post(&admin, INVITATIONS, new.clone()).await), (409, "mail_not_configured"));
    set_server(&hub).await;
    let made = hub.post(&admin, INVITATIONS, new.clone()).await;
    assert_eq!((made.status, &made.body["path"]), (StatusCode::CREATED, &Value::Null));
    let mails = waiting(&hub).await;
    assert_eq!((mails.len(), mails[0].to.as_str()), (1, "eve@example.com"));
    assert!(
        mails[0].text.contains("admin vous invite") && mails[0].text.contains(&format!("{PUBLIC_URL}/invitation#"))
    );
    let user = accept(&hub, &mails[0].secret(), "eve").await.body;
    assert_eq!((&user["email"], &user["role"]), (&json!("eve@example.com"), &json!("viewer")));
    assert_eq!(user["email_verified_at"], "2026-05-04T00:00:00Z");
    assert_eq!(outcome(&hub.post(&admin, INVITATIONS, new).await), (409, "email_taken"));
}

#[tokio::test]
async fn a_refused_try_leaves_the_link_as_it_is() {
    let hub = TestHub::with_users().await;
    let team = hub.post(&Client::local(), "/api/v1/teams", json!({ "name": "Ops" })).await.body["id"].take();
    let (_, secret) = invite(&hub, &Client::local(), json!({ "team_ids": [team] })).await;
    let try_with = async |name: &str, password: &str| {
        let request = json!({ "secret": secret, "name": name, "password": password });
        let answer = hub.post(&Client::browser(), ACCEPT, request).await;
        (answer.status.as_u16(), answer.code().to_owned())
    };
    assert_eq!(try_with("eve", "password1234").await, (400, "weak_password".into()));
    assert_eq!(try_with("e\r\nve", PASSWORD).await, (400, "invalid_name".into()));
    assert_eq!(try_with("VIEWER", PASSWORD).await, (409, "name_taken".into()));
    let path = format!("/api/v1/teams/{}", team.as_str().unwrap());
    assert_eq!(hub.delete(&Client::local(), &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(try_with("eve", PASSWORD).await, (409, "invitation_outdated".into()));
    let users = hub.get(&Client::local(), "/api/v1/users?name=eve").await.body;
    assert_eq!(users["total"], 0, "nothing of it was done");
    assert_eq!(hub.get(&Client::local(), INVITATIONS).await.body["items"][0]["state"], "waiting");
    for wrong in ["", "wfl1_", "wfl1_aaaa", &secret.to_uppercase(), &secret[..secret.len() - 1]] {
        assert_eq!(outcome(&accept(&hub, wrong, "eve").await), (403, "invalid_link"), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_link_ends_with_its_time_by_hand_and_with_what_its_maker_may_do() {
    let hub = TestHub::with_users().await;
    let admin = hub.signed_in("admin").await;
    let works = async |secret: &str| {
        hub.post(&Client::browser(), LOOK, json!({ "secret": secret })).await.status == StatusCode::OK
    };
    let (id, revoked) = invite(&hub, &admin, json!({})).await;
    let path = format!("{INVITATIONS}/{id}");
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(hub.delete(&admin, &path).await.status, StatusCode::NOT_FOUND);
    assert!(!works(&revoked).await);
    assert_eq!(outcome(&accept(&hub, &revoked, "eve").await), (403, "invalid_link"));

    let (_, short) = invite(&hub, &admin, json!({ "ttl_seconds": 300 })).await;
    let (_, usual) = invite(&hub, &admin, json!({})).await;
    assert!(works(&short).await && works(&usual).await);
    hub.clock.advance(Duration::from_secs(300));
    assert!(!works(&short).await && works(&usual).await);
    assert_eq!(outcome(&accept(&hub, &short, "eve").await), (403, "invalid_link"));

    let users = hub.get(&Client::local(), "/api/v1/users?name=admin").await.body;
    let maker = format!("/api/v1/users/{}", users["items"][0]["id"].as_str().unwrap());
    let second = json!({ "name": "second", "role": "administrator", "password": PASSWORD });
    assert_eq!(hub.post(&Client::local(), "/api/v1/users", second).await.status, StatusCode::CREATED);
    for (role, may) in [("operator", false), ("administrator", true)] {
        assert_eq!(hub.patch(&Client::local(), &maker, json!({ "role": role })).await.status, StatusCode::OK);
        assert_eq!(works(&usual).await, may, "{role}");
    }
    assert_eq!(hub.post(&Client::local(), &format!("{maker}/disable"), json!({})).await.status, StatusCode::OK);
    assert_eq!(outcome(&accept(&hub, &usual, "eve").await), (403, "invalid_link"));
    hub.post(&Client::local(), &format!("{maker}/enable"), json!({})).await;
    hub.clock.advance(LIFE_DEFAULT);
    assert!(!works(&usual).await);
}

#[tokio::test]
async fn an_invitation_brings_only_what_can_be_granted() {
    let hub = TestHub::empty().await;
    let nil = uuid::Uuid::nil();
    let everywhere = json!({ "kind": "everywhere" });
    for (new, refused) in [
        (json!({ "team_ids": [nil] }), (404, "not_found")),
        (json!({ "grants": [{ "role": nil, "scope": everywhere }] }), (404, "not_found")),
        (json!({ "grants": [{ "role": "restricted", "scope": everywhere }] }), (422, "invalid_body")),
        (
            json!({ "grants": [{ "role": "viewer", "scope": { "kind": "group", "group_id": nil } }] }),
            (404, "not_found"),
        ),
        (
            json!({ "grants": [{ "role": "viewer", "scope": { "kind": "label", "label": "=" } }] }),
            (400, "invalid_label"),
        ),
        (json!({ "team_ids": vec![nil; 51] }), (400, "too_many")),
        (json!({ "ttl_seconds": 31 * 24 * 60 * 60 }), (400, "invalid_ttl")),
        (json!({ "ttl_seconds": 1 }), (400, "invalid_ttl")),
        (json!({ "email": "eve@example.com\r\nBcc: mallory@example.com" }), (422, "invalid_body")),
    ] {
        assert_eq!(outcome(&hub.post(&Client::local(), INVITATIONS, new.clone()).await), refused, "{new}");
    }
    assert_eq!(hub.get(&Client::local(), INVITATIONS).await.body["total"], 0);
}

#[tokio::test]
async fn a_link_in_a_query_is_refused() {
    let hub = TestHub::empty().await;
    let (_, secret) = invite(&hub, &Client::local(), json!({})).await;
    let answer = hub.get(&Client::browser(), &format!("/api/v1/setup?invitation={secret}")).await;
    assert_eq!(outcome(&answer), (401, "unauthorized"));
}

/// C-04: who manages no users invites nobody, to whatever it is.
#[tokio::test]
async fn c04_who_manages_no_users_invites_nobody() {
    let hub = TestHub::with_users().await;
    let (id, secret) = invite(&hub, &Client::local(), json!({ "role": "administrator" })).await;
    for name in ["operator", "viewer"] {
        let client = hub.signed_in(name).await;
        for role in ["administrator", "operator", "viewer", "restricted"] {
            let refused = hub.post(&client, INVITATIONS, json!({ "role": role })).await;
            assert_eq!(outcome(&refused), (403, "not_permitted"), "{name}: {role}");
        }
        assert_eq!(outcome(&hub.get(&client, INVITATIONS).await), (403, "not_permitted"));
        assert_eq!(outcome(&hub.delete(&client, &format!("{INVITATIONS}/{id}")).await), (403, "not_permitted"));
    }
    let more = json!({ "secret": secret, "name": "eve", "password": PASSWORD, "role": "administrator" });
    assert_eq!(outcome(&hub.post(&Client::browser(), ACCEPT, more).await), (422, "invalid_body"));
}
