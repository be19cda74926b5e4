//! Two hubs on one PostgreSQL that meet in a real Redis.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use super::testing::{TestRedis, until_met};
use super::{Apart, Lasting, Name, Take};
use crate::config::RateOptions;
use crate::db::testing::TestDb;
use crate::http::Scheme;
use crate::testing::{Client, Ground, PASSWORD, TestHub};

const ME: &str = "/api/v1/me";

struct Hubs {
    redis: TestRedis,
    one: TestHub,
    other: TestHub,
}

impl Hubs {
    async fn start() -> Self {
        Self::rationed(RateOptions::OFF).await
    }

    async fn rationed(rates: RateOptions) -> Self {
        let redis = TestRedis::start().await;
        let ground = Ground { rates, peers: redis.peers(), ..Ground::on(TestDb::postgres().await) };
        let one = TestHub::build(ground).await;
        one.add_users().await;
        let other = one.another(redis.peers(), rates).await;
        let hubs = Self { redis, one, other };
        hubs.until_met(true).await;
        hubs
    }

    async fn until_met(&self, are_met: bool) {
        until_met(&self.one.app.peers, are_met).await;
        until_met(&self.other.app.peers, are_met).await;
    }

    async fn end(self) {
        for hub in [&self.one, &self.other] {
            hub.app.lifecycle.links.cancel();
        }
    }
}

/// Waits until somebody is let in, or is not any more. The clock of the hubs
/// stands still, so what they know does not end by itself.
async fn until(hub: &TestHub, client: &Client, status: StatusCode) {
    let changed = async {
        while hub.get(client, ME).await.status != status {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("it changes");
}

fn guesser(number: u8) -> Client {
    Client::browser().at_address(&format!("198.51.100.{number}:4000"), Scheme::Https)
}

#[tokio::test]
async fn who_is_signed_in_on_one_hub_is_on_the_other_and_is_out_on_both_at_once() {
    let hubs = Hubs::start().await;
    let ada = hubs.one.signed_in("viewer").await;
    let (program, token) = hubs.one.program_of("operator").await;
    for client in [&ada, &program] {
        assert_eq!(hubs.other.get(client, ME).await.status, StatusCode::OK);
    }
    assert_eq!(hubs.one.delete(&ada, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    assert_eq!(hubs.one.get(&ada, ME).await.status, StatusCode::UNAUTHORIZED);
    until(&hubs.other, &ada, StatusCode::UNAUTHORIZED).await;

    assert_eq!(hubs.other.get(&program, ME).await.status, StatusCode::OK);
    let revoke = format!("/api/v1/api-tokens/{token}/revoke");
    assert_eq!(hubs.other.post(&Client::local(), &revoke, json!({})).await.status, StatusCode::OK);
    until(&hubs.one, &program, StatusCode::UNAUTHORIZED).await;
    hubs.end().await;
}

#[tokio::test]
async fn c35_guesses_on_all_hubs_count_together_and_an_owner_is_known_to_all() {
    let hubs = Hubs::start().await;
    hubs.one.signed_in("admin").await;
    for (number, hub) in [&hubs.one, &hubs.other, &hubs.one, &hubs.other, &hubs.one].into_iter().enumerate() {
        let answer = hub.sign_in(&guesser(number as u8), "admin", "not the password").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    for hub in [&hubs.one, &hubs.other] {
        let answer = hub.sign_in(&guesser(99), "ADMIN", PASSWORD).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
        let answer = hub.sign_in(&Client::browser(), "admin", PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "she was right there before, on one of them: {answer:?}");
    }
    let keys: Vec<String> = hubs.redis.ask(redis::cmd("KEYS").arg("*")).await;
    assert!(keys.iter().any(|key| key.contains(":account:")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("admin") || key.contains("198.51")), "{keys:?}");
    hubs.end().await;
}

#[tokio::test]
async fn many_guesses_on_both_hubs_at_the_same_moment_count_as_many() {
    let hubs = Hubs::start().await;
    let home = guesser(7);
    let tries = (0..20).map(|number| {
        let hub = if number % 2 == 0 { &hubs.one } else { &hubs.other };
        hub.sign_in(&home, "admin", "not the password")
    });
    let answers = futures_util::future::join_all(tries).await;
    let looked_at = answers.iter().filter(|answer| answer.status == StatusCode::UNAUTHORIZED).count();
    assert_eq!(looked_at, 5, "{answers:?}");
    hubs.end().await;
}

#[tokio::test]
async fn requests_to_all_hubs_are_taken_from_one_allowance() {
    let limit = |text: &str| text.parse().unwrap();
    let rates = RateOptions { api_rate: limit("1:6"), api_rate_anonymous: limit("off"), api_rate_total: limit("off") };
    let hubs = Hubs::rationed(rates).await;
    let (program, _) = hubs.one.program_of("viewer").await;
    let begun = Instant::now();
    let mut passed = 0;
    for _ in 0..10 {
        for hub in [&hubs.one, &hubs.other] {
            passed += usize::from(hub.get(&program, ME).await.status == StatusCode::OK);
        }
    }
    // Of both hubs by themselves it would be twelve.
    let allowed = 6 + begun.elapsed().as_secs() as usize + 1;
    assert!((6..=allowed).contains(&passed), "{passed} of {allowed}");
    hubs.end().await;
}

#[tokio::test]
async fn without_redis_each_hub_goes_on_by_itself_and_finds_out_what_ended() {
    let mut hubs = Hubs::start().await;
    let ada = hubs.one.signed_in("viewer").await;
    assert_eq!(hubs.other.get(&ada, ME).await.status, StatusCode::OK);
    hubs.redis.kill();
    hubs.until_met(false).await;
    let ready = |hub: &TestHub| hub.app.peers.are_met();
    assert_eq!((ready(&hubs.one), ready(&hubs.other)), (Some(false), Some(false)));

    let bob = hubs.other.signed_in("operator").await;
    assert_eq!(hubs.one.get(&bob, ME).await.status, StatusCode::OK, "the database has it");
    assert_eq!(hubs.one.delete(&ada, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    until(&hubs.other, &ada, StatusCode::UNAUTHORIZED).await;
    for number in 0..5 {
        hubs.one.sign_in(&guesser(number), "admin", "not the password").await;
    }
    let answer = hubs.one.sign_in(&guesser(99), "admin", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "it counts by itself");

    hubs.redis.begin().await;
    hubs.until_met(true).await;
    assert_eq!(hubs.one.delete(&bob, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    until(&hubs.other, &bob, StatusCode::UNAUTHORIZED).await;
    hubs.end().await;
}

#[tokio::test]
async fn a_redis_that_does_not_know_the_password_is_no_redis() {
    let redis = TestRedis::start().await;
    let ground = Ground { peers: redis.peers_with("another"), ..Ground::on(TestDb::sqlite().await) };
    let hub = TestHub::build(ground).await;
    hub.add_users().await;
    let ada = hub.signed_in("viewer").await;
    assert_eq!(hub.get(&ada, ME).await.status, StatusCode::OK);
    assert_eq!(hub.app.peers.are_met(), Some(false));
    assert_eq!(hub.app.peers.take(&[take("x", 1)]).await, Err(Apart));
    hub.app.lifecycle.links.cancel();
}

#[tokio::test]
async fn what_is_counted_together_ends_by_itself_and_rubbish_is_nothing() {
    let hubs = Hubs::start().await;
    let name = [Name::new("account", b"admin".as_slice())];
    let lasting = |text: &str| Some(Lasting { text: text.to_owned(), life: Duration::from_secs(60) });
    let peers = &hubs.one.app.peers;
    assert_eq!(peers.change(&name, |before| (vec![lasting("{not JSON")], before.to_vec())).await, Ok(vec![None]));
    let seen =
        hubs.other.app.peers.change(&name, |before| (before.iter().map(|_| lasting("{")).collect(), before.len()));
    assert_eq!(seen.await, Ok(1));
    assert_eq!(hubs.other.sign_in(&guesser(1), "admin", PASSWORD).await.status, StatusCode::OK);
    let keys: Vec<String> = hubs.redis.ask(redis::cmd("KEYS").arg("*")).await;
    for key in keys.iter().filter(|key| !key.ends_with(":ended")) {
        let life: i64 = hubs.redis.ask(redis::cmd("PTTL").arg(key)).await;
        assert!(life > 0, "{key} stays for ever: {life}");
    }
    hubs.end().await;
}

#[tokio::test]
async fn an_allowance_is_taken_from_all_or_from_none_and_given_back() {
    let redis = TestRedis::start().await;
    let hub = TestHub::build(Ground { peers: redis.peers(), ..Ground::on(TestDb::sqlite().await) }).await;
    let peers = &hub.app.peers;
    until_met(peers, true).await;
    let (small, large) = (take("small", 1), take("large", 100));
    assert_eq!(peers.take(&[large.clone(), small.clone()]).await, Ok(Ok(())));
    let wait = peers.take(&[large.clone(), small.clone()]).await.unwrap().unwrap_err();
    assert!(wait <= small.each, "{wait:?}");
    peers.give_back(&small).await;
    assert_eq!(peers.take(&[large.clone(), small.clone()]).await, Ok(Ok(())));
    // What was refused took nothing of the other: 98 are left.
    let mut left = 0;
    while peers.take(std::slice::from_ref(&large)).await == Ok(Ok(())) {
        left += 1;
    }
    assert_eq!(left, 98);
    hub.app.lifecycle.links.cancel();
}

/// An hour for each, so that nothing comes back while the test runs.
fn take(kind: &'static str, burst: u32) -> Take {
    let each = Duration::from_secs(60 * 60);
    Take { name: Name::new(kind, []), each, ahead: each * (burst - 1) }
}

#[tokio::test]
async fn fleets_that_use_one_redis_do_not_hear_of_each_other() {
    let redis = TestRedis::start().await;
    let mut hubs = Vec::new();
    for _ in 0..2 {
        let hub = TestHub::build(Ground { peers: redis.peers(), ..Ground::on(TestDb::sqlite().await) }).await;
        until_met(&hub.app.peers, true).await;
        hubs.push(hub);
    }
    let [one, other] = hubs.as_slice() else { unreachable!("there are two") };
    let taken = take("x", 1);
    assert_eq!(one.app.peers.take(std::slice::from_ref(&taken)).await, Ok(Ok(())));
    assert_eq!(other.app.peers.take(std::slice::from_ref(&taken)).await, Ok(Ok(())), "an allowance of its own");
    let heard = other.app.peers.ended();
    one.app.peers.tell_credentials_ended();
    // What is recalled is asked for after what ended was told.
    let name = Name::new("session", b"x".as_slice());
    let told = async {
        while one.app.peers.recall(&name).await.is_err() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told");
    assert_eq!(other.app.peers.ended(), heard);
    for hub in [one, other] {
        hub.app.lifecycle.links.cancel();
    }
}
