//! Two hubs on one PostgreSQL that meet in a Redis with TLS and a password.

use serde_json::json;
use windflow_tests::network::{Authority, Redis};
use windflow_tests::product::{Hub, HubOptions, LiveChannel, Postgres};
use windflow_tests::secrets;
use windflow_tests::wait;

use crate::scenarios::SOON;

/// A hub on this database that meets the others in this Redis.
fn options(postgres: &Postgres, redis: &Redis) -> HubOptions {
    let mut options = HubOptions::default();
    options.arguments.extend(["--database-url".to_owned(), postgres.url()]);
    let authority = redis.authority_file().display().to_string();
    options
        .environment
        .extend([("WINDFLOW_REDIS_URL".to_owned(), redis.url()), ("SSL_CERT_FILE".to_owned(), authority)]);
    options
}

/// What `/readyz` says of Redis; the hub is ready in either case.
fn redis_at(hub: &Hub) -> String {
    let ready = hub.request_with("GET", "/readyz", &[]);
    assert_eq!(ready.status, 200, "{}", ready.body);
    let redis = ready.component("redis");
    assert_eq!(redis["needed"], false);
    redis["status"].as_str().unwrap().to_owned()
}

fn wait_for_redis(hubs: [&Hub; 2], status: &str) {
    wait::until_true("the hubs to meet, or to find out that they do not", SOON, || {
        hubs.iter().all(|hub| redis_at(hub) == status)
    });
}

/// A sign-in, and how it went.
fn sign_in(hub: &Hub, name: &str, password: &str) -> u16 {
    let body = json!({ "name": name, "password": password }).to_string();
    hub.request_from_page("POST", "/api/v1/session", "", &body).status
}

#[test]
fn what_ends_on_one_hub_ends_on_the_other_also_after_redis_was_gone() {
    let (postgres, authority) = (Postgres::start(), Authority::generate());
    let mut redis = Redis::start(&authority);
    let one = Hub::start_with(options(&postgres, &redis));
    let other = Hub::start_beside(&one, options(&postgres, &redis));
    wait_for_redis([&one, &other], "ready");

    for hub in [&one, &other, &one, &other, &one] {
        assert_eq!(sign_in(hub, "bea", &secrets::fresh("a guess")), 401);
    }
    for hub in [&one, &other] {
        assert_eq!(sign_in(hub, "bea", &secrets::fresh("a guess")), 429, "what was guessed at both counts together");
    }
    assert_eq!(other.read("/api/v1/me")["name"], "ada", "a token of the one is one of the other");
    secrets::assert_tells_nothing("what is in Redis", redis.dump().as_bytes());

    redis.kill();
    wait_for_redis([&one, &other], "degraded");
    assert_eq!(other.read("/api/v1/me")["name"], "ada", "they go on by themselves");
    redis.start_again();
    wait_for_redis([&one, &other], "ready");

    // Without the other hub's word it would be half a minute.
    let mut live = LiveChannel::open(&other, &json!({ "watch": ["environments"] }));
    live.until("somebody looking on at the other hub", SOON, |message| message["kind"] == "reset");
    let token = one.api_token().split('_').nth(1).unwrap();
    one.cli(["api-token", "revoke", token]).succeeded();
    while live.next(SOON).is_some() {}
    wait::until_true("the other hub to refuse the token", SOON, || {
        other.request("GET", "/api/v1/me", "").status == 401
    });
}
