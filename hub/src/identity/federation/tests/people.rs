//! Who comes in as whom, with which grants, and who links what.

use std::time::Duration;

use axum::http::StatusCode;
use data_encoding::BASE32_NOPAD;
use ring::hmac;
use serde_json::{Value, json};

use super::{World, browser_at, cookies, location, merged, session, with_cookie};
use crate::clock::Clock;
use crate::testing::{Client, PASSWORD};

fn outside(reason: &str) -> String {
    format!("/sign-in?failed={reason}")
}

/// What an authenticator app shows at this moment.
pub(super) fn code_of(world: &World, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &BASE32_NOPAD.decode(secret.as_bytes()).unwrap());
    let step = world.hub.clock.now().as_micros() / 30_000_000;
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// Sets up a second factor for whoever is signed in; gives its secret.
pub(super) async fn set_up_factor(world: &World, client: &Client, password: Option<&str>) -> String {
    let body = password.map_or_else(|| json!({}), |password| json!({ "password": password }));
    let begun = world.hub.post(client, "/api/v1/me/second-factor", body).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    let code = json!({ "code": code_of(world, &secret) });
    let confirmed = world.hub.post(client, "/api/v1/me/second-factor/confirm", code).await;
    assert_eq!(confirmed.status, StatusCode::OK, "{confirmed:?}");
    world.hub.clock.advance(Duration::from_secs(30));
    secret
}

#[tokio::test]
async fn c32_a_name_leads_to_nobody_who_is_there_already() {
    let world = World::new().await;
    let client = world.signed_in(json!({ "preferred_username": "Admin", "email": "admin@corp.example" })).await;
    let me = world.me(&client).await;
    assert_eq!((&me["name"], &me["role"]), (&json!("Admin-2"), &json!("restricted")));
    let same = world.signed_in(json!({ "preferred_username": "renamed" })).await;
    assert_eq!(world.me(&same).await["id"], me["id"], "it is the subject that counts");
    let other = world.signed_in(json!({ "preferred_username": "admin", "sub": "s-2" })).await;
    assert_eq!(world.me(&other).await["name"], "admin-3");
}

#[tokio::test]
async fn c33_an_address_leads_to_nobody_verified_or_not() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for (i, verified) in [json!(false), json!(true)].into_iter().enumerate() {
        let said = json!({ "sub": format!("e-{i}"), "email": "ada@corp.example", "email_verified": verified,
            "preferred_username": "ada" });
        let client = world.signed_in(said).await;
        ids.push(world.me(&client).await["id"].clone());
    }
    assert_ne!(ids[0], ids[1], "the same address is two users");

    let other = super::Issuer::start().await;
    let body = super::provider_of(&other, "other");
    assert_eq!(world.hub.post(&Client::local(), "/api/v1/identity-providers", body).await.status, StatusCode::CREATED);
    let begun = world.begin_at(&Client::browser(), "other").await;
    let said = json!({ "iss": other.url, "sub": "e-0", "email": "ada@corp.example", "preferred_username": "ada" });
    other.give(&other.token(&merged(world.claims(&begun), said)));
    let path = world.way_back(&begun).replace("/corp/", "/other/");
    let iss = |url: &str| url::form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>();
    let answer = world.hub.get(&begun.client, &path.replace(&iss(&world.issuer.url), &iss(&other.url))).await;
    let client = Client::browser().with("cookie", &session(&answer).unwrap());
    assert!(!ids.contains(&world.me(&client).await["id"]), "the same subject of another issuer is another user");
}

#[tokio::test]
async fn who_is_unknown_is_let_in_only_where_users_are_made() {
    let world = World::with(json!({ "create_users": false })).await;
    let answer = world.sign_in(json!({})).await;
    assert_eq!((location(&answer), session(&answer)), (outside("unknown").as_str(), None));
    assert_eq!(world.last_refusal().await, "nobody here is linked with this identity");
    assert_eq!(world.hub.get(&Client::local(), "/api/v1/users").await.body["total"], 3);
}

#[tokio::test]
async fn who_is_in_the_wrong_group_or_disabled_is_kept_out() {
    let world = World::with(json!({ "required_group": "staff" })).await;
    let answer = world.sign_in(json!({ "groups": ["guests"] })).await;
    assert_eq!((location(&answer), session(&answer)), (outside("group").as_str(), None));
    assert_eq!(world.last_refusal().await, "not in the group that is let in");
    let client = world.signed_in(json!({ "groups": ["staff"] })).await;
    let id = world.me(&client).await["id"].as_str().unwrap().to_owned();
    let out = world.hub.post(&Client::local(), &format!("/api/v1/users/{id}/disable"), json!({})).await;
    assert_eq!(out.status, StatusCode::OK);
    let answer = world.sign_in(json!({ "groups": ["staff"] })).await;
    assert_eq!((location(&answer), session(&answer)), (outside("disabled").as_str(), None));
}

#[tokio::test]
async fn a_group_brings_grants_and_takes_them_away_and_leaves_those_by_hand_alone() {
    let everywhere = json!({ "kind": "everywhere" });
    let mappings = json!([
        { "value": "ops", "role": "operator", "scope": everywhere },
        { "value": "dev", "role": "operator", "scope": everywhere },
        { "value": "dev", "role": "viewer", "scope": { "kind": "label", "label": "site=fra" } },
    ]);
    let world = World::with(json!({ "mappings": mappings })).await;
    let client = world.signed_in(json!({ "groups": ["ops", "dev", "unknown"] })).await;
    let me = world.me(&client).await;
    let by_hand = json!({ "user_id": me["id"], "role": "operator", "scope": everywhere });
    assert_eq!(world.hub.post(&Client::local(), "/api/v1/grants", by_hand).await.status, StatusCode::CREATED);
    let grant = |role: &str, mapped| (role.to_owned(), mapped);
    assert_eq!(world.grants(&me).await, [grant("operator", false), grant("viewer", true), grant("operator", true)]);
    assert!(me["permissions"].as_array().unwrap().contains(&json!("containers.operate")));

    world.signed_in(json!({ "groups": ["ops"] })).await;
    assert_eq!(world.grants(&me).await, [grant("operator", false), grant("operator", true)]);
    world.signed_in(json!({ "groups": [] })).await;
    assert_eq!(world.grants(&me).await, [grant("operator", false)]);
    world.signed_in(json!({ "groups": "dev" })).await;
    assert_eq!(world.grants(&me).await.len(), 3);

    let changed = world.change(json!({ "mappings": [mappings[2]] })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(
        world.grants(&me).await,
        [grant("viewer", true), grant("operator", false)],
        "what is not mapped goes at once"
    );
    let path = format!("/api/v1/identity-providers/{}", world.id());
    assert_eq!(world.hub.delete(&Client::local(), &path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.grants(&me).await, [grant("operator", false)]);
    assert_eq!(world.me(&client).await["id"], me["id"], "the user stays");
}

#[tokio::test]
async fn a_grant_that_goes_ends_what_it_allowed_in_a_session_that_runs() {
    let mappings = json!([{ "value": "ops", "role": "viewer", "scope": { "kind": "everywhere" } }]);
    let world = World::with(json!({ "mappings": mappings })).await;
    let client = world.signed_in(json!({ "groups": ["ops"] })).await;
    assert_eq!(world.hub.get(&client, "/api/v1/environments").await.status, StatusCode::OK);
    world.signed_in(json!({ "groups": [] })).await;
    assert_eq!(world.hub.get(&client, "/api/v1/environments").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn c32_ones_own_second_factor_is_asked_after_the_provider() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let secret = set_up_factor(&world, &client, None).await;

    let begun = world.begin(&Client::browser()).await;
    let answer = world.come_back(&begun, json!({})).await;
    assert_eq!((location(&answer), session(&answer)), ("/sign-in?code=1&next=%2Fcontainers", None));
    let waiting = begun.client.clone().with("cookie", &with_cookie(&begun.client.header("cookie"), &answer));
    let waiting = waiting.with("origin", "https://hub.example:8443");
    assert_eq!(world.hub.get(&waiting, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    let complete = async |client: &Client, code: &str| {
        world.hub.post(client, "/api/v1/auth/second-factor", json!({ "code": code })).await
    };
    let before = begun.client.clone().with("origin", "https://hub.example:8443");
    for stranger in [Client::browser(), before] {
        assert_eq!(complete(&stranger, &code_of(&world, &secret)).await.code(), "sign_in_expired");
    }
    assert_eq!(complete(&waiting, "000000").await.code(), "wrong_second_factor");
    let inside = complete(&waiting, &code_of(&world, &secret)).await;
    assert_eq!(
        (inside.status, &inside.body["next"], &inside.body["user"]["name"]),
        (StatusCode::OK, &json!("/containers"), &json!("grace"))
    );
    assert!(session(&inside).is_some());
    world.hub.clock.advance(Duration::from_secs(30));
    let again = complete(&waiting, &code_of(&world, &secret)).await;
    assert_eq!((again.code(), session(&again)), ("sign_in_expired", None), "an attempt ends once");
}

#[tokio::test]
async fn c32_a_code_is_not_guessed_and_not_waited_for_without_end() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let secret = set_up_factor(&world, &client, None).await;
    let begun = world.begin(&Client::browser()).await;
    let answer = world.come_back(&begun, json!({})).await;
    let waiting = Client::browser().with("cookie", &with_cookie("", &answer));
    let mut last = StatusCode::OK;
    for _ in 0..7 {
        last = world.hub.post(&waiting, "/api/v1/auth/second-factor", json!({ "code": "000000" })).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    world.hub.clock.advance(Duration::from_secs(600));
    let late = json!({ "code": code_of(&world, &secret) });
    assert_eq!(world.hub.post(&waiting, "/api/v1/auth/second-factor", late).await.code(), "sign_in_expired");
}

#[tokio::test]
async fn a_provider_that_is_trusted_asks_for_the_second_factor_itself() {
    let world = World::with(json!({ "trusted_for_second_factor": true })).await;
    let client = world.signed_in(json!({})).await;
    set_up_factor(&world, &client, None).await;
    world.signed_in(json!({ "amr": ["pwd", "otp"] })).await;
    let answer = world.sign_in(json!({ "amr": ["pwd"] })).await;
    assert_eq!(location(&answer), "/sign-in?code=1&next=%2Fcontainers", "it says that it asked for a password alone");
}

#[tokio::test]
async fn where_everyone_is_asked_for_a_factor_a_trusted_provider_has_it() {
    for (trusted, due) in [(true, false), (false, true)] {
        let world = World::with(json!({ "trusted_for_second_factor": trusted })).await;
        let policy = axum::http::Request::put("/api/v1/settings/sign-in").header("content-type", "application/json");
        let policy =
            world.hub.send(&Client::local(), policy, json!({ "second_factor": "everyone" }).to_string().into()).await;
        assert_eq!(policy.status, StatusCode::OK);
        let client = world.signed_in(json!({})).await;
        assert_eq!(world.me(&client).await["second_factor_due"], due);
        if due {
            world.hub.clock.advance(Duration::from_secs(601));
            let late = world.hub.post(&client, "/api/v1/me/second-factor", json!({})).await;
            assert_eq!(late.code(), "signed_in_too_long_ago");
            let again = world.signed_in(json!({})).await;
            set_up_factor(&world, &again, None).await;
            assert_eq!(world.me(&again).await["second_factor_due"], false);
        }
        let alone = json!({ "sub": "s-2", "amr": ["pwd"] });
        if trusted {
            let answer = world.sign_in(alone).await;
            assert_eq!((location(&answer), session(&answer)), (outside("factor").as_str(), None));
        } else {
            let client = world.signed_in(alone).await;
            assert_eq!(world.me(&client).await["second_factor_due"], true);
        }
        // Who has a password here could sign in without the provider.
        let admin = world.hub.signed_in("admin").await;
        assert_eq!(world.me(&admin).await["second_factor_due"], true);
    }
}

#[tokio::test]
async fn who_came_from_elsewhere_has_no_password() {
    let world = World::new().await;
    world.signed_in(json!({})).await;
    for password in ["", PASSWORD] {
        let answer = world.hub.sign_in(&Client::browser(), "grace", password).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    }
}

/// Begins to link `client` with who they are at the provider.
async fn begin_link(world: &World, client: &Client, password: Option<&str>) -> Result<super::Begun, String> {
    let body = json!({ "provider": "corp", "password": password });
    let answer = world.hub.post(client, "/api/v1/me/identities", body).await;
    if answer.status != StatusCode::OK {
        return Err(answer.code().to_owned());
    }
    let client = client.clone().with("cookie", &with_cookie(&client.header("cookie"), &answer)).without("origin");
    Ok(super::Begun { location: answer.body["location"].as_str().unwrap().parse().unwrap(), client })
}

#[tokio::test]
async fn c32_linking_takes_ones_password_and_ones_own_browser() {
    let world = World::with(json!({ "create_users": false })).await;
    let viewer = world.hub.signed_in("viewer").await;
    for wrong in [None, Some("not the password")] {
        assert_eq!(begin_link(&world, &viewer, wrong).await.unwrap_err(), "wrong_password");
    }
    let foreign = viewer.clone().with("origin", "https://evil.example");
    assert_eq!(begin_link(&world, &foreign, Some(PASSWORD)).await.unwrap_err(), "foreign_origin");
    let (program, _) = world.hub.program_of("viewer").await;
    assert_eq!(begin_link(&world, &program, Some(PASSWORD)).await.unwrap_err(), "session_required");

    let begun = begin_link(&world, &viewer, Some(PASSWORD)).await.unwrap();
    assert_eq!(begun.asked("prompt"), "login", "whoever is signed in there is asked again");
    let admin = world.hub.signed_in("admin").await;
    let attempt = begun.client.header("cookie").split("; ").find(|pair| pair.contains("sign-in")).unwrap().to_owned();
    let stolen = admin.clone().without("origin").with("cookie", &format!("{}; {attempt}", admin.header("cookie")));
    let hijacked = super::Begun { client: stolen, ..begun.clone() };
    let answer = world.come_back(&hijacked, json!({})).await;
    assert_eq!(location(&answer), "/account?failed=expired");

    let begun = begin_link(&world, &viewer, Some(PASSWORD)).await.unwrap();
    let answer = world.come_back(&begun, json!({ "preferred_username": "somebody" })).await;
    assert_eq!((location(&answer), session(&answer)), ("/account?linked=1", None));
    let identities = world.hub.get(&viewer, "/api/v1/me/identities").await.body;
    let linked = &identities["items"][0];
    assert_eq!((&linked["subject"], &linked["provider_name"]), (&json!("s-1"), &json!("Corp")));
    assert_eq!((&identities["has_password"], identities["items"].as_array().unwrap().len()), (&json!(true), 1));
    let by_provider = world.signed_in(json!({})).await;
    assert_eq!(world.me(&by_provider).await["name"], "viewer");

    let begun = begin_link(&world, &admin, Some(PASSWORD)).await.unwrap();
    let taken = world.come_back(&begun, json!({})).await;
    assert_eq!(location(&taken), "/account?failed=linked", "it is somebody else's");
    assert_eq!(world.hub.get(&admin, "/api/v1/me/identities").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_link_can_be_taken_away_unless_it_is_the_only_way_in() {
    let mappings = json!([{ "value": "ops", "role": "operator", "scope": { "kind": "everywhere" } }]);
    let world = World::with(json!({ "mappings": mappings })).await;
    let viewer = world.hub.signed_in("viewer").await;
    let begun = begin_link(&world, &viewer, Some(PASSWORD)).await.unwrap();
    world.come_back(&begun, json!({ "groups": ["ops"] })).await;
    let me = world.me(&viewer).await;
    assert_eq!(world.grants(&me).await, [("operator".to_owned(), true)]);
    let id = async |client: &Client| {
        let all = world.hub.get(client, "/api/v1/me/identities").await.body;
        all["items"][0]["id"].as_str().unwrap_or_default().to_owned()
    };
    let path = format!("/api/v1/me/identities/{}", id(&viewer).await);
    let stranger = world.hub.signed_in("admin").await;
    assert_eq!(world.hub.delete(&stranger, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.hub.delete(&viewer, &path).await.status, StatusCode::NO_CONTENT);
    assert!(world.grants(&me).await.is_empty(), "what followed from it goes too");

    let grace = world.signed_in(json!({ "sub": "s-9" })).await;
    let path = format!("/api/v1/me/identities/{}", id(&grace).await);
    assert_eq!(world.hub.delete(&grace, &path).await.code(), "last_way_in");
}

#[tokio::test]
async fn signing_out_says_where_to_end_the_rest() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let out = world.hub.delete(&client, "/api/v1/session").await;
    let address: url::Url = out.body["end_session_url"].as_str().unwrap().parse().unwrap();
    assert!(address.as_str().starts_with(&format!("{}/end?", world.issuer.url)));
    let back = address.query_pairs().find(|(key, _)| key == "post_logout_redirect_uri").unwrap().1.into_owned();
    assert_eq!(back, "https://hub.example:8443/sign-in");
    assert_eq!(world.hub.get(&client, "/api/v1/me").await.status, StatusCode::UNAUTHORIZED);
    assert!(cookies(&out).contains(&("__Host-windflow".to_owned(), String::new())));

    let admin = world.hub.signed_in("admin").await;
    assert_eq!(world.hub.delete(&admin, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_record_says_by_which_provider_somebody_signed_in() {
    let world = World::new().await;
    world.signed_in(json!({})).await;
    let records = world.hub.get(&Client::local(), "/api/v1/audit?limit=200").await.body;
    let of = |action: &str| {
        let items = records["items"].as_array().unwrap();
        items.iter().find(|record| record["action"] == action && record["details"]["provider"] == "Corp").cloned()
    };
    assert_eq!(of("user.sign_in").unwrap()["actor_name"], "grace");
    assert_eq!(of("user.create").unwrap()["details"]["subject"], "s-1");
    let text = records.to_string();
    for secret in [super::CLIENT_SECRET, "canary-of-access"] {
        assert!(!text.contains(secret), "{secret} is in the audit log");
    }
}

#[tokio::test]
async fn nobody_comes_in_before_the_first_administrator() {
    let hub = crate::testing::TestHub::empty().await;
    let issuer = super::Issuer::start().await;
    let body = super::provider_of(&issuer, "corp");
    let provider = hub.post(&Client::local(), "/api/v1/identity-providers", body).await.body;
    let world = World { hub, issuer, provider };
    let begun = world.begin(&browser_at(1)).await;
    let answer = world.come_back(&begun, json!({})).await;
    assert_eq!((location(&answer), session(&answer)), (outside("unknown").as_str(), None));
    let needed: Value = world.hub.get(&Client::browser(), "/api/v1/setup").await.body;
    assert_eq!(needed["needed"], true);
}
