//! What a provider says of sessions that ended there (Back-Channel Logout 1.0).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures_util::future::join_all;
use ring::hmac;
use serde_json::{Value, json};

use super::issuer::Key;
use super::people::{code_of, set_up_factor};
use super::{CLIENT_ID, CLIENT_SECRET, Issuer, World, browser_at, location, merged, provider_of, session, with_cookie};
use crate::clock::Clock;
use crate::db::testing::TestDb;
use crate::http::{Authenticate, Scheme};
use crate::on_tx;
use crate::testing::{Answer, Client};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const PATH: &str = "/api/v1/auth/oidc/corp/backchannel-logout";
const EXPIRED: &str = "/sign-in?failed=expired";

/// A server, not a browser: no origin and no cookie.
fn server() -> Client {
    Client::browser().without("origin").at_address("198.51.100.200:4000", Scheme::Https)
}

fn server_at(last: usize) -> Client {
    server().at_address(&format!("198.51.100.{last}:4000"), Scheme::Https)
}

/// A form with this token in it.
async fn send(world: &World, client: &Client, token: &str) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
    send_form(world, client, body).await
}

async fn send_form(world: &World, client: &Client, body: String) -> Answer {
    let request = Request::post(PATH).header("content-type", "application/x-www-form-urlencoded");
    let answer = world.hub.send(client, request, Body::from(body)).await;
    // What begins from now on begins later.
    world.hub.clock.advance(Duration::from_millis(1));
    answer
}

impl World {
    fn logout(&self, id: &str, changes: Value) -> Value {
        let now = self.hub.clock.now().as_micros() / 1_000_000;
        let claims = json!({
            "iss": self.issuer.url, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": id, "events": { EVENT: {} },
        });
        let Value::Object(claims) = merged(claims, changes) else { unreachable!() };
        // What is null is not there.
        claims.into_iter().filter(|(_, value)| !value.is_null()).collect::<serde_json::Map<_, _>>().into()
    }

    async fn say(&self, id: &str, changes: Value) -> Answer {
        let token = self.issuer.token_of_kind(&json!("logout+jwt"), &self.logout(id, changes));
        send(self, &server(), &token).await
    }

    async fn is_in(&self, client: &Client) -> bool {
        self.hub.get(client, "/api/v1/me").await.status == StatusCode::OK
    }

    async fn records(&self, action: &str) -> Vec<Value> {
        let records = self.hub.get(&Client::local(), &format!("/api/v1/audit?action={action}")).await.body;
        records["items"].as_array().unwrap().clone()
    }
}

fn is_refused(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid_logout_token"), "{what}");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
}

async fn one_session_or_all_of_somebody_end(db: TestDb) {
    let world = World::on(db).await;
    let admin = world.hub.signed_in("admin").await;
    let one = world.signed_in(json!({ "sid": "a" })).await;
    let other = world.signed_in(json!({ "sid": "b" })).await;
    let third = world.signed_in(json!({ "sid": "c" })).await;
    let stranger = world.signed_in(json!({ "sub": "s-2", "sid": "d" })).await;

    let answer = world.say("1", json!({ "sid": "a" })).await;
    assert_eq!((answer.status, &answer.headers[header::CACHE_CONTROL]), (StatusCode::OK, &"no-store".parse().unwrap()));
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
    assert_eq!((world.is_in(&one).await, world.is_in(&other).await), (false, true));

    let nobody = world.say("2", json!({ "sub": "s-2", "sid": "b" })).await;
    assert_eq!(nobody.status, StatusCode::OK, "nothing of it is here");
    assert!(world.is_in(&other).await, "the session of somebody else is left alone");
    assert_eq!(world.say("3", json!({ "sub": "s-1", "sid": "b" })).await.status, StatusCode::OK);
    assert_eq!((world.is_in(&other).await, world.is_in(&third).await), (false, true));

    let again = world.signed_in(json!({ "sid": "e" })).await;
    assert_eq!(world.say("4", json!({ "sub": "s-1" })).await.status, StatusCode::OK);
    assert_eq!((world.is_in(&third).await, world.is_in(&again).await), (false, false), "all of them");
    assert_eq!((world.is_in(&stranger).await, world.is_in(&admin).await), (true, true));

    let outs = world.records("user.sign_out").await;
    assert_eq!((outs.len(), &outs[0]["details"]["target_name"]), (3, &json!("grace")));
    assert_eq!((&outs[0]["details"]["sessions"], &outs[0]["details"]["provider"]), (&json!(2), &json!("Corp")));
    let said = world.records("identity_provider.logout").await;
    let counts: Vec<_> = said.iter().map(|record| record["details"]["sessions"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 1, 0, 1]);
    assert_eq!((&said[3]["details"]["session"], &said[0]["details"]["subject"]), (&json!("a"), &json!("s-1")));
    assert_eq!((&said[0]["address"], &said[0]["outcome"]), (&json!("198.51.100.200"), &json!("done")));
}

async fn a_session_of_which_less_is_known_ends_with_its_subject(db: TestDb) {
    let world = World::on(db).await;
    let unnamed = world.signed_in(json!({})).await;
    assert_eq!(world.say("1", json!({ "sid": "a" })).await.status, StatusCode::OK);
    assert!(world.is_in(&unnamed).await, "nobody knows whose that was");
    assert_eq!(world.say("2", json!({ "sub": "s-1", "sid": "a" })).await.status, StatusCode::OK);
    assert!(!world.is_in(&unnamed).await);

    let old = world.signed_in(json!({ "sid": "b" })).await;
    let mut tx = world.hub.app.db.write().await.unwrap();
    let sql = "UPDATE sessions SET provider_issuer = NULL, provider_subject = NULL, provider_session = NULL";
    on_tx!(&mut tx, |c| sqlx::query(sql).execute(c).await.map(drop)).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.say("3", json!({ "sub": "s-2" })).await.status, StatusCode::OK);
    assert!(world.is_in(&old).await);
    assert_eq!(world.say("4", json!({ "sub": "s-1" })).await.status, StatusCode::OK);
    assert!(!world.is_in(&old).await, "from before the hub noted who somebody is there");
}

async fn a_token_counts_once(db: TestDb) {
    let world = World::on(db).await;
    let token = world.issuer.token_of_kind(&json!("logout+jwt"), &world.logout("one", json!({ "sub": "s-1" })));
    let answers = join_all((0..8).map(|i| {
        let (world, token) = (&world, &token);
        async move { send(world, &server_at(i), token).await.status }
    }));
    let good = answers.await.into_iter().filter(|status| *status == StatusCode::OK).count();
    assert_eq!(good, 1, "of many at once");
    let client = world.signed_in(json!({})).await;
    is_refused(&send(&world, &server_at(20), &token).await, "again");
    assert!(world.is_in(&client).await);
    assert_eq!(world.records("identity_provider.logout").await[0]["details"]["detail"], "it came before");
    world.hub.clock.advance(Duration::from_secs(21 * 60));
    world.hub.app.identity.delete_expired().await.unwrap();
    is_refused(&send(&world, &server_at(21), &token).await, "also once it was forgotten");
    assert!(world.is_in(&client).await);
}

async fn what_began_before_does_not_end_after_it(db: TestDb) {
    let world = World::on(db).await;
    for (i, ended) in [json!({ "sub": "s-1" }), json!({ "sid": "a" })].into_iter().enumerate() {
        let begun = world.begin(&browser_at(i)).await;
        assert_eq!(world.say(&format!("{i}"), ended).await.status, StatusCode::OK);
        let other = world.begin(&browser_at(50 + i)).await;
        let late = world.come_back(&begun, json!({ "sid": "a" })).await;
        assert_eq!((location(&late), session(&late)), (EXPIRED, None));
        assert!(session(&world.come_back(&other, json!({ "sid": "a" })).await).is_some(), "it began later");
        world.hub.clock.advance(Duration::from_secs(1));
    }
    let begun = world.begin(&browser_at(9)).await;
    assert_eq!(world.say("s-9", json!({ "sub": "s-9" })).await.status, StatusCode::OK);
    assert!(session(&world.come_back(&begun, json!({ "sid": "a" })).await).is_some(), "somebody else's end");
}

async fn signing_in_and_ending_at_once_leaves_nobody_in(db: TestDb) {
    let world = World::on(db).await;
    world.signed_in(json!({})).await;
    for round in 0..5_usize {
        let begun = world.begin(&browser_at(round)).await;
        let id = format!("round {round}");
        let (answer, ended) =
            tokio::join!(world.come_back(&begun, json!({ "sid": "a" })), world.say(&id, json!({ "sub": "s-1" })));
        assert_eq!(ended.status, StatusCode::OK);
        if let Some(cookie) = session(&answer) {
            assert!(!world.is_in(&Client::browser().with("cookie", &cookie)).await, "round {round}");
        }
        world.hub.clock.advance(Duration::from_secs(1));
    }
}

macro_rules! on_both {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn sqlite() {
                super::$name(TestDb::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(TestDb::postgres().await).await;
            }
        }
    )*};
}

on_both! {
    one_session_or_all_of_somebody_end
    a_session_of_which_less_is_known_ends_with_its_subject
    a_token_counts_once
    what_began_before_does_not_end_after_it
    signing_in_and_ending_at_once_leaves_nobody_in
}

#[tokio::test]
async fn who_was_asked_for_their_code_when_it_ended_begins_anew() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let secret = set_up_factor(&world, &client, None).await;
    let begun = world.begin(&Client::browser()).await;
    let answer = world.come_back(&begun, json!({ "sid": "a" })).await;
    assert!(location(&answer).starts_with("/sign-in?code=1"), "{answer:?}");
    let waiting = Client::browser().with("cookie", &with_cookie("", &answer));
    assert_eq!(world.say("1", json!({ "sid": "a" })).await.status, StatusCode::OK);
    let code = json!({ "code": code_of(&world, &secret) });
    let late = world.hub.post(&waiting, "/api/v1/auth/second-factor", code).await;
    assert_eq!((late.status, late.code(), session(&late)), (StatusCode::UNAUTHORIZED, "sign_in_expired", None));
}

#[tokio::test]
async fn c32_what_a_token_says_wrongly_ends_nothing() {
    let world = World::new().await;
    let client = world.signed_in(json!({ "sid": "a" })).await;
    let now = world.logout("x", json!({}))["iat"].as_i64().unwrap();
    let cases = [
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("the issuer with a slash", json!({ "iss": format!("{}/", world.issuer.url) })),
        ("no issuer", json!({ "iss": null })),
        ("another audience", json!({ "aud": "other" })),
        ("another audience too", json!({ "aud": ["windflow", "other"] })),
        ("no audience", json!({ "aud": [] })),
        ("expired", json!({ "exp": now - 61 })),
        ("no end", json!({ "exp": null })),
        ("an end that is none", json!({ "exp": "tomorrow" })),
        ("of the future", json!({ "iat": now + 61 })),
        ("old, whatever its end", json!({ "iat": now - 361, "exp": now + 3600 })),
        ("no begin", json!({ "iat": null })),
        ("not yet", json!({ "nbf": now + 61 })),
        ("no event", json!({ "events": null })),
        ("another event", json!({ "events": { EVENT: null, "https://other.example": {} } })),
        ("an event that says nothing", json!({ "events": { EVENT: "yes" } })),
        ("events in a list", json!({ "events": [EVENT] })),
        ("a nonce", json!({ "nonce": "x" })),
        ("an empty nonce", json!({ "nonce": "" })),
        ("no id", json!({ "jti": null })),
        ("an empty id", json!({ "jti": "" })),
        ("an endless id", json!({ "jti": "x".repeat(256) })),
        ("nobody", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("an empty subject beside a session", json!({ "sub": "", "sid": "a" })),
        ("a session that is no text", json!({ "sid": 7 })),
        ("an endless session", json!({ "sid": "x".repeat(256) })),
    ];
    for (i, (name, changes)) in cases.into_iter().enumerate() {
        let claims = world.logout(&format!("j-{i}"), merged(json!({ "sub": "s-1" }), changes));
        let token = world.issuer.token_of_kind(&json!("logout+jwt"), &claims);
        is_refused(&send(&world, &server_at(i), &token).await, name);
        assert!(world.is_in(&client).await, "{name}");
        let record = &world.records("identity_provider.logout").await[0];
        assert_eq!((&record["outcome"], &record["actor_kind"]), (&json!("denied"), &json!("nobody")), "{name}");
    }
    let nonce = world.issuer.token_of_kind(
        &json!("logout+jwt"),
        &json!({ "nonce": null, "iss": world.issuer.url, "aud": CLIENT_ID, "iat": now, "exp": now + 9, "jti": "n",
            "events": { EVENT: {} }, "sub": "s-1" }),
    );
    is_refused(&send(&world, &server_at(90), &nonce).await, "a nonce of nothing");
    for (i, kind) in [json!("at+jwt"), json!("JOSE"), json!(7), json!("")].into_iter().enumerate() {
        let token = world.issuer.token_of_kind(&kind, &world.logout(&format!("k-{i}"), json!({ "sub": "s-1" })));
        is_refused(&send(&world, &server_at(100 + i), &token).await, "another kind");
    }
    assert!(world.is_in(&client).await);
    for (i, kind) in
        [json!("logout+jwt"), json!("application/Logout+JWT"), json!("JWT"), Value::Null].iter().enumerate()
    {
        let client = world.signed_in(json!({})).await;
        let claims = world.logout(&format!("g-{i}"), json!({ "sub": "s-1", "aud": ["windflow"], "nbf": now }));
        let answer = send(&world, &server(), &world.issuer.token_of_kind(kind, &claims)).await;
        assert_eq!((answer.status, world.is_in(&client).await), (StatusCode::OK, false), "{kind}");
    }
}

#[tokio::test]
async fn c32_how_a_token_is_signed_wrongly_ends_nothing() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let claims = |i: usize| world.logout(&format!("j-{i}"), json!({ "sub": "s-1" }));
    let es256 = |kid: &str| json!({ "alg": "ES256", "kid": kid, "typ": "logout+jwt" });
    let (other, eddsa) = (Key::es256("key-1"), Key::eddsa("key-1"));
    let hmac =
        |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec();
    let public = world.issuer.public_key().to_string();
    let forge = |i: usize| {
        let forged = |header: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| world.issuer.forged(&header, &claims(i), sign);
        let good = world.issuer.token(&claims(i));
        match i {
            0 => ("another key", forged(es256("key-1"), &|m| other.sign(m))),
            1 => ("an unknown key", forged(es256("key-2"), &|m| other.sign(m))),
            2 => ("another key without a name", forged(json!({ "alg": "ES256" }), &|m| other.sign(m))),
            3 => ("no algorithm", forged(json!({ "alg": "none" }), &|_| Vec::new())),
            4 => ("no algorithm for a known key", forged(json!({ "alg": "none", "kid": "key-1" }), &|_| Vec::new())),
            5 => ("no signature", forged(es256("key-1"), &|_| Vec::new())),
            6 => ("the client secret", forged(json!({ "alg": "HS256" }), &|m| hmac(CLIENT_SECRET.as_bytes(), m))),
            7 => ("the public key", forged(json!({ "alg": "HS256", "kid": "key-1" }), &|m| hmac(public.as_bytes(), m))),
            8 => ("a key of another kind", forged(json!({ "alg": "EdDSA", "kid": "key-1" }), &|m| eddsa.sign(m))),
            9 => {
                let header = json!({ "alg": "ES256", "kid": "key-1", "jwk": other.public() });
                ("a key that it brings along", forged(header, &|m| other.sign(m)))
            }
            10 => {
                let header = merged(es256("key-1"), json!({ "crit": ["exp"] }));
                ("a header that must be understood", world.issuer.signed_with(&header, &claims(i)))
            }
            11 => ("a key name that is none", forged(json!({ "alg": "ES256", "kid": 1 }), &|m| other.sign(m))),
            12 => ("a cut token", good[..good.len() - 4].to_owned()),
            13 => ("nonsense", "a.b.c".to_owned()),
            14 => ("nothing", String::new()),
            15 => ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
            16 => ("four parts", format!("{good}.e30")),
            17 => ("an endless token", format!("{good}{}", "A".repeat(70_000))),
            _ => ("padding", format!("{good}==")),
        }
    };
    for i in 0..19 {
        let (name, token) = forge(i);
        is_refused(&send(&world, &server_at(i), &token).await, name);
        assert!(world.is_in(&client).await, "{name}");
    }
    assert_eq!(world.issuer.asked("/keys").len(), 1, "an unknown key has them read anew once a minute at most");
    assert_eq!(world.say("good", json!({ "sub": "s-1" })).await.status, StatusCode::OK);
    assert!(!world.is_in(&client).await, "the key itself is right");

    let client = world.signed_in(json!({})).await;
    world.issuer.rotate(Key::eddsa("key-9"));
    world.hub.clock.advance(Duration::from_secs(61));
    assert_eq!(world.say("new key", json!({ "sub": "s-1" })).await.status, StatusCode::OK);
    assert!(!world.is_in(&client).await);
}

#[tokio::test]
async fn c32_no_token_stands_for_one_of_the_other_kind() {
    let world = World::new().await;
    let begun = world.begin(&browser_at(1)).await;
    let token = world.issuer.token(&world.claims(&begun));
    is_refused(&send(&world, &server_at(1), &token).await, "one for signing in");
    let said = world.logout("x", json!({ "sub": "s-1", "nonce": begun.asked("nonce") }));
    for kind in ["logout+jwt", "JWT"] {
        let begun = world.begin(&browser_at(2)).await;
        let said = if kind == "JWT" { world.logout("y", json!({ "sub": "s-1" })) } else { said.clone() };
        let answer = world.come_back_with(&begun, &world.issuer.token_of_kind(&json!(kind), &said)).await;
        assert_eq!((location(&answer), session(&answer)), ("/sign-in?failed=refused", None), "{kind}");
    }
    let other = Issuer::start().await;
    let body = provider_of(&other, "other");
    assert_eq!(world.hub.post(&Client::local(), "/api/v1/identity-providers", body).await.status, StatusCode::CREATED);
    let client = world.signed_in(json!({ "sid": "a" })).await;
    let theirs = world.logout("z", json!({ "iss": other.url, "sub": "s-1", "sid": "a" }));
    is_refused(&send(&world, &server_at(3), &other.token(&theirs)).await, "another provider's");
    let path = PATH.replace("corp", "other");
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &other.token(&theirs))
        .finish();
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(world.hub.send(&server(), request, Body::from(body)).await.status, StatusCode::OK);
    assert!(world.is_in(&client).await, "the same names with another provider are somebody else's");
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_for_its_keys_ends_nothing_until_it_can() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    world.hub.clock.advance(Duration::from_secs(61 * 60));
    world.issuer.says(json!({ "issuer": "https://evil.example" }));
    is_refused(&world.say("1", json!({ "sub": "s-1" })).await, "it says nothing that can be used");
    assert!(world.is_in(&client).await);
    let record = &world.records("identity_provider.logout").await[0];
    assert!(record["details"]["detail"].as_str().unwrap().contains("cannot be asked for its keys"), "{record}");
    world.issuer.says(json!({ "issuer": world.issuer.url }));
    world.hub.clock.advance(Duration::from_secs(6));
    assert_eq!(
        world.say("1", json!({ "sub": "s-1" })).await.status,
        StatusCode::OK,
        "what was refused was not used up"
    );
    assert!(!world.is_in(&client).await);
}

#[tokio::test]
async fn who_sends_too_many_bad_ones_is_slowed_down_and_holds_up_no_good_one() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(send(&world, &server(), "nonsense").await.status);
    }
    assert_eq!(statuses[..5], [StatusCode::BAD_REQUEST; 5]);
    assert_eq!(*statuses.last().unwrap(), StatusCode::TOO_MANY_REQUESTS);
    assert!(world.records("identity_provider.logout").await.len() < 7, "nor do they fill the records");
    assert_eq!(world.say("1", json!({ "sub": "s-1" })).await.status, StatusCode::OK, "from the same address");
    assert!(!world.is_in(&client).await);
}

#[tokio::test]
async fn only_a_form_of_a_server_is_read() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    let token = world.issuer.token(&world.logout("1", json!({ "sub": "s-1" })));
    let in_json = world.hub.post(&server_at(1), PATH, json!({ "logout_token": token })).await;
    is_refused(&in_json, "JSON");
    let twice = format!("logout_token={token}&logout_token={token}");
    is_refused(&send_form(&world, &server_at(2), twice).await, "two of them");
    is_refused(&send_form(&world, &server_at(3), format!("token={token}")).await, "another name");
    let much = format!("logout_token={token}&x={}", "x".repeat(100 * 1024));
    is_refused(&send_form(&world, &server_at(4), much).await, "more than fits");
    let page = Client::browser().with("origin", "https://evil.example");
    let foreign = send(&world, &page, &token).await;
    assert_eq!((foreign.status, foreign.code()), (StatusCode::FORBIDDEN, "foreign_origin"));
    let in_query = world.hub.post(&server_at(5), &format!("{PATH}?logout_token={token}"), json!({})).await;
    assert_eq!(in_query.status, StatusCode::UNAUTHORIZED, "no credential in an address");
    let nowhere =
        Request::post(PATH.replace("corp", "none")).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(world.hub.send(&server(), nowhere, Body::empty()).await.status, StatusCode::NOT_FOUND);
    assert!(world.is_in(&client).await);
    let with_more = format!("logout_token={token}&other=1");
    assert_eq!(send_form(&world, &server(), with_more).await.status, StatusCode::OK);
    assert!(!world.is_in(&client).await);
}

#[tokio::test]
async fn what_is_open_learns_of_it_and_a_provider_that_is_off_still_ends() {
    let world = World::new().await;
    let client = world.signed_in(json!({})).await;
    assert!(world.is_in(&client).await);
    assert_eq!(world.change(json!({ "enabled": false })).await.status, StatusCode::OK);
    let endings = world.hub.app.identity.endings();
    let before = endings.borrow().credentials;
    assert_eq!(world.say("1", json!({ "sub": "s-1" })).await.status, StatusCode::OK);
    assert_eq!(endings.borrow().credentials, before + 1, "sockets and terminals ask again at once");
    assert!(!world.is_in(&client).await);
}
