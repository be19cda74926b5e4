//! Registering by oneself.

use super::*;

const REGISTER: &str = "/api/v1/auth/register";
const SETTINGS: &str = "/api/v1/settings/sign-in";

async fn set(hub: &TestHub, by: &Client, registration: Value) -> Answer {
    let request = axum::http::Request::put(SETTINGS).header("content-type", "application/json");
    let body = json!({ "second_factor": "optional", "registration": registration });
    hub.send(by, request, body.to_string().into()).await
}

async fn register(hub: &TestHub, email: &str) -> Answer {
    hub.post(&Client::browser(), REGISTER, json!({ "email": email, "language": "fr" })).await
}

async fn accept(hub: &TestHub, secret: &str, name: &str) -> Answer {
    let request = json!({ "secret": secret, "name": name, "password": PASSWORD });
    hub.post(&Client::browser(), "/api/v1/auth/invitation/accept", request).await
}

#[tokio::test]
async fn nobody_registers_unless_it_is_turned_on_and_mail_can_be_sent() {
    let hub = TestHub::with_users().await;
    let ways = hub.get(&Client::browser(), "/api/v1/auth/ways").await.body;
    assert_eq!(ways, json!({ "password_reset": false, "registration": false, "passkeys": true }));
    assert_eq!(outcome(&register(&hub, "eve@example.com").await), (403, "registration_off"));
    assert_eq!(outcome(&set(&hub, &Client::local(), json!({ "enabled": true })).await), (409, "mail_not_configured"));
    set_server(&hub).await;
    assert_eq!(outcome(&register(&hub, "eve@example.com").await), (403, "registration_off"));
    assert_eq!(set(&hub, &Client::local(), json!({ "enabled": true })).await.status, StatusCode::OK);
    let ways = hub.get(&Client::browser(), "/api/v1/auth/ways").await.body;
    assert_eq!(ways, json!({ "password_reset": true, "registration": true, "passkeys": true }));
    let mut only = hub.get(&Client::local(), SETTINGS).await.body;
    only["registration"].take();
    only.as_object_mut().unwrap().remove("registration");
    let request = axum::http::Request::put(SETTINGS).header("content-type", "application/json");
    let kept = hub.send(&Client::local(), request, only.to_string().into()).await.body;
    assert_eq!(kept["registration"]["enabled"], true, "what is left out stays");
}

#[tokio::test]
async fn asvs_6_3_8_who_registers_gets_what_is_set_and_known_addresses_are_answered_alike() {
    for db in [TestDb::sqlite().await, TestDb::postgres().await] {
        let hub = hub_with_mail(db).await;
        let team = hub.post(&Client::local(), "/api/v1/teams", json!({ "name": "New" })).await.body["id"].take();
        let wanted = json!({ "enabled": true, "domains": ["example.com"], "role": "restricted", "team_id": team });
        assert_eq!(set(&hub, &Client::local(), wanted).await.body["registration"]["team_id"], team);
        assert_eq!(outcome(&register(&hub, "eve@example.org").await), (403, "domain_not_allowed"));
        assert_eq!(outcome(&register(&hub, "eve@sub.example.com").await), (403, "domain_not_allowed"));

        let new = register(&hub, "eve@example.com").await;
        let known = register(&hub, "viewer@example.com").await;
        assert_eq!((new.status, &new.body), (StatusCode::ACCEPTED, &known.body));
        assert_eq!(known.status, StatusCode::ACCEPTED);
        let mut mails = waiting(&hub).await;
        mails.sort_by(|one, other| one.to.cmp(&other.to));
        let to: Vec<_> = mails.iter().map(|mail| mail.to.as_str()).collect();
        assert_eq!(to, ["eve@example.com", "viewer@example.com"]);
        assert!(mails[1].text.contains("There is one already") && !mails[1].text.contains('#'), "{}", mails[1].text);
        assert!(mails[0].text.contains("inscription") || mails[0].subject.contains("inscription"));

        let secret = mails[0].secret();
        let eve = accept(&hub, &secret, "eve").await.body;
        assert_eq!((&eve["role"], &eve["email"]), (&json!("restricted"), &json!("eve@example.com")), "{eve}");
        let path = format!("/api/v1/teams/{}/members", team.as_str().unwrap());
        assert_eq!(hub.get(&Client::local(), &path).await.body["items"][0]["user_name"], "eve");
        assert_eq!(outcome(&accept(&hub, &secret, "mallory").await), (403, "invalid_link"));
    }
}

#[tokio::test]
async fn a_link_counts_until_a_newer_one_or_until_registering_is_turned_off() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    set(&hub, &Client::local(), json!({ "enabled": true, "role": "operator" })).await;
    let mut secrets = Vec::new();
    for _ in 0..4 {
        assert_eq!(register(&hub, "eve@example.com").await.status, StatusCode::ACCEPTED);
        secrets.extend(forget_mails(&hub).await);
    }
    assert_eq!(secrets.len(), 3, "three mails an hour");
    assert_eq!(outcome(&accept(&hub, &secrets[0], "eve").await), (403, "invalid_link"));
    set(&hub, &Client::local(), json!({ "enabled": false })).await;
    assert_eq!(outcome(&accept(&hub, &secrets[2], "eve").await), (403, "invalid_link"));
    set(&hub, &Client::local(), json!({ "enabled": true, "role": "viewer" })).await;
    let eve = accept(&hub, &secrets[2], "eve").await.body;
    assert_eq!(eve["role"], "viewer", "what is set now, not what was");
}

#[tokio::test]
async fn what_registering_gives_is_set_by_who_manages_users_and_is_never_everything() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    let role = json!({ "name": "Keeper", "permissions": ["hub.manage"] });
    let role = hub.post(&Client::local(), "/api/v1/roles", role).await.body["id"].take();
    let viewer = id_of(&hub, "viewer").await;
    let grant = json!({ "user_id": viewer, "role": role, "scope": { "kind": "everywhere" } });
    assert_eq!(hub.post(&Client::local(), "/api/v1/grants", grant).await.status, StatusCode::CREATED);
    let keeper = hub.signed_in("viewer").await;
    let open = json!({ "enabled": true, "role": "operator" });
    assert_eq!(outcome(&set(&hub, &keeper, open.clone()).await), (403, "not_permitted"));
    assert_eq!(set(&hub, &Client::local(), open.clone()).await.status, StatusCode::OK);
    let same = json!({ "enabled": true, "role": "operator", "domains": [], "team_id": null });
    assert_eq!(set(&hub, &keeper, same).await.status, StatusCode::OK, "nothing of it changes");
    for (wrong, refused) in [
        (json!({ "enabled": true, "role": "administrator" }), (422, "invalid_body")),
        (json!({ "enabled": true, "domains": ["Example.com"] }), (400, "invalid_domain")),
        (json!({ "enabled": true, "domains": ["example.com\r\nX: y"] }), (400, "invalid_domain")),
        (json!({ "enabled": true, "team_id": uuid::Uuid::nil() }), (404, "not_found")),
    ] {
        assert_eq!(outcome(&set(&hub, &Client::local(), wrong.clone()).await), refused, "{wrong}");
    }
}

#[tokio::test]
async fn a_link_ends_with_the_domain_that_it_was_sent_to() {
    let hub = hub_with_mail(TestDb::sqlite().await).await;
    set(&hub, &Client::local(), json!({ "enabled": true })).await;
    assert_eq!(register(&hub, "eve@example.org").await.status, StatusCode::ACCEPTED);
    let secret = forget_mails(&hub).await.pop().unwrap();
    set(&hub, &Client::local(), json!({ "enabled": true, "domains": ["example.com"] })).await;
    assert_eq!(outcome(&accept(&hub, &secret, "eve").await), (403, "invalid_link"));
    set(&hub, &Client::local(), json!({ "enabled": true, "domains": ["example.org"] })).await;
    assert_eq!(accept(&hub, &secret, "eve").await.status, StatusCode::CREATED);
}
