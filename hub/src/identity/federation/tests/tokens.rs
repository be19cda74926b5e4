//! The matrix of C-32: whatever is wrong with a token or with the way back, its
//! bearer stays outside.

use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use ring::hmac;
use serde_json::{Value, json};

use super::issuer::Key;
use super::{CLIENT_SECRET, World, browser_at, cookies, location, session, with_cookie};
use crate::testing::{Answer, Client};

fn is_outside(answer: &Answer, why: &str) {
    assert_eq!((answer.status, location(answer)), (StatusCode::SEE_OTHER, why), "{answer:?}");
    assert_eq!(session(answer), None);
}

const REFUSED: &str = "/sign-in?failed=refused";
const EXPIRED: &str = "/sign-in?failed=expired";

#[tokio::test]
async fn c32_a_token_that_is_as_it_should_be_signs_in() {
    let world = World::new().await;
    let begun = world.begin(&Client::browser()).await;
    for (name, value) in [("response_type", "code"), ("client_id", "windflow"), ("code_challenge_method", "S256")] {
        assert_eq!(begun.asked(name), value);
    }
    assert_eq!(begun.asked("redirect_uri"), "https://hub.example:8443/api/v1/auth/oidc/corp/callback");
    assert_eq!(begun.asked("scope"), "openid profile email");
    let answer = world.come_back(&begun, json!({})).await;
    assert_eq!(location(&answer), "/containers");
    let client = Client::browser().with("cookie", &session(&answer).unwrap());
    let me = world.me(&client).await;
    assert_eq!((&me["name"], &me["role"], &me["permissions"]), (&json!("grace"), &json!("restricted"), &json!([])));
    assert!(
        cookies(&answer).contains(&("__Host-windflow-sign-in".to_owned(), String::new())),
        "the attempt is forgotten"
    );

    let redeemed = &world.issuer.asked("/token")[0];
    let form: Vec<(String, String)> = url::form_urlencoded::parse(redeemed.body.as_bytes()).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
    let verifier = ring::digest::digest(&ring::digest::SHA256, field("code_verifier").as_bytes());
    assert_eq!(data_encoding::BASE64URL_NOPAD.encode(verifier.as_ref()), begun.asked("code_challenge"));
    assert_eq!((field("code").as_str(), field("grant_type").as_str()), ("the-code", "authorization_code"));
    let expected = format!("Basic {}", data_encoding::BASE64.encode(format!("windflow:{CLIENT_SECRET}").as_bytes()));
    assert_eq!(redeemed.authorization, expected);
}

#[tokio::test]
async fn c32_what_a_token_says_wrongly_keeps_its_bearer_out() {
    let world = World::new().await;
    let now = world.claims(&world.begin(&browser_at(250)).await)["iat"].as_i64().unwrap();
    let cases = [
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("the issuer with a slash", json!({ "iss": format!("{}/", world.issuer.url) })),
        ("no issuer", json!({ "iss": null })),
        ("another audience", json!({ "aud": "other" })),
        ("another audience too", json!({ "aud": ["windflow", "other"] })),
        ("no audience", json!({ "aud": [] })),
        ("another party", json!({ "azp": "other" })),
        ("expired", json!({ "exp": now - 61 })),
        ("no end", json!({ "exp": null })),
        ("of the future", json!({ "iat": now + 3600 })),
        ("not yet", json!({ "nbf": now + 3600 })),
        ("no nonce", json!({ "nonce": null })),
        ("an empty nonce", json!({ "nonce": "" })),
        ("another nonce", json!({ "nonce": "other" })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("an endless subject", json!({ "sub": "x".repeat(256) })),
    ];
    for (i, (name, changes)) in cases.into_iter().enumerate() {
        let begun = world.begin(&browser_at(i)).await;
        let answer = world.come_back(&begun, changes).await;
        assert_eq!((location(&answer), session(&answer)), (REFUSED, None), "{name}");
        assert_eq!(world.last_refusal().await, "the provider refused, or what it said cannot be trusted", "{name}");
    }
    let right =
        world.come_back(&world.begin(&browser_at(99)).await, json!({ "azp": "windflow", "aud": ["windflow"] })).await;
    assert!(session(&right).is_some());
}

#[tokio::test]
async fn c32_how_a_token_is_signed_wrongly_keeps_its_bearer_out() {
    let world = World::new().await;
    let own = |begun: &super::Begun| world.claims(begun);
    let es256 = |kid: &str| json!({ "alg": "ES256", "kid": kid });
    let (other, eddsa) = (Key::es256("key-1"), Key::eddsa("key-1"));
    let hmac =
        |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec();
    let public = world.issuer.public_key().to_string();
    let forge = |i: usize, claims: &Value| {
        let forged = |header: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| world.issuer.forged(&header, claims, sign);
        match i {
            0 => ("another key", forged(es256("key-1"), &|m| other.sign(m))),
            1 => ("an unknown key", forged(es256("key-2"), &|m| other.sign(m))),
            2 => ("another key without a name", forged(json!({ "alg": "ES256" }), &|m| other.sign(m))),
            3 => ("no algorithm", forged(json!({ "alg": "none" }), &|_| Vec::new())),
            4 => ("no algorithm, in capitals", forged(json!({ "alg": "NONE" }), &|_| Vec::new())),
            5 => ("no signature", forged(es256("key-1"), &|_| Vec::new())),
            6 => ("the client secret", forged(json!({ "alg": "HS256" }), &|m| hmac(CLIENT_SECRET.as_bytes(), m))),
            7 => ("the public key", forged(json!({ "alg": "HS256", "kid": "key-1" }), &|m| hmac(public.as_bytes(), m))),
            8 => ("a key of another kind", forged(json!({ "alg": "EdDSA", "kid": "key-1" }), &|m| eddsa.sign(m))),
            9 => ("zeroes", forged(es256("key-1"), &|_| vec![0; 64])),
            10 => {
                let header =
                    json!({ "alg": "ES256", "kid": "key-1", "jwk": other.public(), "jku": "http://evil.example/" });
                ("a key that it brings along", forged(header, &|m| other.sign(m)))
            }
            11 => {
                let header = json!({ "alg": "ES256", "kid": "key-1", "crit": ["exp"] });
                ("a header that must be understood", forged(header, &|m| other.sign(m)))
            }
            12 => {
                let mut token = world.issuer.token(claims);
                token.truncate(token.len() - 4);
                ("a cut signature", token + "AAAA")
            }
            13 => ("nonsense", "a.b.c".to_owned()),
            14 => ("nothing", String::new()),
            15 => {
                let good = world.issuer.token(claims);
                let (header, rest) = good.split_once('.').unwrap();
                let (_, signature) = rest.split_once('.').unwrap();
                let claims = super::merged(claims.clone(), json!({ "sub": "somebody-else" }));
                let claims = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
                ("other claims under a good signature", format!("{header}.{claims}.{signature}"))
            }
            _ => ("a header that is none", format!("e30.{}", world.issuer.token(claims).split_once('.').unwrap().1)),
        }
    };
    for i in 0..17 {
        let begun = world.begin(&browser_at(i)).await;
        let (name, token) = forge(i, &own(&begun));
        let answer = world.come_back_with(&begun, &token).await;
        assert_eq!((location(&answer), session(&answer)), (REFUSED, None), "{name}");
    }
    assert_eq!(world.issuer.asked("/keys").len(), 1, "an unknown key has them read anew once a minute at most");
}

#[tokio::test]
async fn c32_keys_may_change_and_be_of_either_kind() {
    let world = World::new().await;
    assert!(session(&world.sign_in(json!({})).await).is_some());
    for key in [Key::es256("key-2"), Key::eddsa("key-3")] {
        world.issuer.rotate(key);
        let too_soon = world.sign_in(json!({})).await;
        is_outside(&too_soon, REFUSED);
        world.hub.clock.advance(Duration::from_secs(61));
        assert!(session(&world.sign_in(json!({})).await).is_some());
    }
    assert_eq!(world.issuer.asked("/keys").len(), 3);
}

#[tokio::test]
async fn c32_an_attempt_comes_back_once() {
    let world = World::new().await;
    let begun = world.begin(&Client::browser()).await;
    world.issuer.give(&world.issuer.token(&world.claims(&begun)));
    let path = world.way_back(&begun);
    let answers = join_all((0..20).map(|_| world.hub.get(&begun.client, &path))).await;
    let inside = answers.iter().filter(|answer| session(answer).is_some()).count();
    assert_eq!(inside, 1, "of many at once one is let in");
    assert_eq!(answers.iter().filter(|answer| location(answer) == EXPIRED).count(), 19);
    is_outside(&world.hub.get(&begun.client, &path).await, EXPIRED);
    assert_eq!(world.issuer.asked("/token").len(), 1);
}

#[tokio::test]
async fn c32_an_attempt_belongs_to_the_browser_that_began_it() {
    let world = World::new().await;
    let (one, other) = (world.begin(&Client::browser()).await, world.begin(&Client::browser()).await);
    world.issuer.give(&world.issuer.token(&world.claims(&one)));
    let path = world.way_back(&one);
    for stranger in [Client::browser().without("origin"), other.client.clone()] {
        is_outside(&world.hub.get(&stranger, &path).await, EXPIRED);
    }
    let twice = one.client.clone().with("cookie", &format!("{0}; {0}", one.client.header("cookie")));
    is_outside(&world.hub.get(&twice, &path).await, EXPIRED);
    for query in ["", "?state=&code=the-code", "?code=the-code"] {
        let path = format!("/api/v1/auth/oidc/corp/callback{query}");
        is_outside(&world.hub.get(&one.client, &path).await, EXPIRED);
    }
    assert!(world.issuer.asked("/token").is_empty(), "no code was redeemed");
    assert!(session(&world.hub.get(&one.client, &path).await).is_some(), "the browser itself is let in");
}

#[tokio::test]
async fn c32_an_attempt_is_over_after_ten_minutes() {
    let world = World::new().await;
    let begun = world.begin(&Client::browser()).await;
    world.hub.clock.advance(Duration::from_secs(600));
    is_outside(&world.come_back(&begun, json!({})).await, EXPIRED);
}

#[tokio::test]
async fn c32_the_answer_of_another_provider_is_none() {
    let world = World::new().await;
    let other = super::Issuer::start().await;
    let body = super::provider_of(&other, "other");
    let added = world.hub.post(&Client::local(), "/api/v1/identity-providers", body).await;
    assert_eq!(added.status, StatusCode::CREATED);

    let begun = world.begin(&browser_at(1)).await;
    let path = world.way_back(&begun);
    let at_other = path.replace("/oidc/corp/", "/oidc/other/");
    is_outside(&world.hub.get(&begun.client, &at_other).await, EXPIRED);
    assert!(other.asked("/token").is_empty(), "the other one is not shown the code");

    for (i, from) in [other.url.as_str(), "", "https://evil.example"].into_iter().enumerate() {
        let begun = world.begin(&browser_at(10 + i)).await;
        let query = [("state", begun.asked("state")), ("code", "the-code".into()), ("iss", from.to_owned())];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let answer = world.hub.get(&begun.client, &format!("/api/v1/auth/oidc/corp/callback?{query}")).await;
        is_outside(&answer, REFUSED);
    }
    let begun = world.begin(&browser_at(20)).await;
    let unnamed = format!("/api/v1/auth/oidc/corp/callback?state={}&code=the-code", begun.asked("state"));
    is_outside(&world.hub.get(&begun.client, &unnamed).await, REFUSED);
    assert!(world.issuer.asked("/token").is_empty());
}

#[tokio::test]
async fn c32_a_provider_that_refuses_lets_nobody_in() {
    let world = World::new().await;
    let begun = world.begin(&Client::browser()).await;
    let iss: String = url::form_urlencoded::byte_serialize(world.issuer.url.as_bytes()).collect();
    let path = format!(
        "/api/v1/auth/oidc/corp/callback?state={}&iss={iss}&error=access_denied&error_description=%3Cscript%3E",
        begun.asked("state")
    );
    is_outside(&world.hub.get(&begun.client, &path).await, REFUSED);
}

#[tokio::test]
async fn c32_guessing_is_slowed_down() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let begun = world.begin(&Client::browser()).await;
        statuses.push(world.come_back(&begun, json!({ "nonce": "other" })).await.status);
    }
    assert_eq!(statuses[..5], [StatusCode::SEE_OTHER; 5]);
    assert_eq!(*statuses.last().unwrap(), StatusCode::TOO_MANY_REQUESTS);
    let begun = world.begin(&browser_at(7)).await;
    assert!(session(&world.come_back(&begun, json!({})).await).is_some(), "others are not held up");
}

#[tokio::test]
async fn c37_nobody_is_led_elsewhere() {
    let world = World::new().await;
    for next in
        ["//evil.example", "/%5Cevil.example", "https://evil.example", "/%0d%0aset-cookie:%20a=b", "data:text/html,x"]
    {
        let answer = world.hub.get(&Client::browser(), &format!("/api/v1/auth/oidc/corp/start?next={next}")).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "invalid_next"), "{next}");
        assert!(cookies(&answer).is_empty());
    }
    assert!(world.issuer.asked("/.well-known/openid-configuration").is_empty());
}

#[tokio::test]
async fn what_a_provider_tells_only_when_asked_counts_too() {
    let world = World::with(json!({ "required_group": "ops" })).await;
    world.issuer.tells_of_user(json!({ "sub": "s-1", "groups": ["ops"], "iss": "ignored" }));
    let client = world.signed_in(json!({ "groups": null })).await;
    assert_eq!(world.me(&client).await["name"], "grace");
    assert_eq!(world.issuer.asked("/me")[0].authorization, "Bearer canary-of-access");

    world.issuer.tells_of_user(json!({ "sub": "s-2", "groups": ["ops"] }));
    let begun = world.begin(&browser_at(1)).await;
    let claims = super::merged(world.claims(&begun), json!({}));
    let Value::Object(mut claims) = claims else { unreachable!() };
    claims.remove("groups");
    let token = world.issuer.token(&claims.into());
    is_outside(&world.come_back_with(&begun, &token).await, REFUSED);
}

#[tokio::test]
async fn two_attempts_in_one_browser_do_not_mix() {
    let world = World::new().await;
    let first = world.begin(&Client::browser()).await;
    let answer = world.hub.get(&first.client, "/api/v1/auth/oidc/corp/start").await;
    let newer = with_cookie(&first.client.header("cookie"), &answer);
    let client = first.client.clone().with("cookie", &newer);
    world.issuer.give(&world.issuer.token(&world.claims(&first)));
    is_outside(&world.hub.get(&client, &world.way_back(&first)).await, EXPIRED);
}
