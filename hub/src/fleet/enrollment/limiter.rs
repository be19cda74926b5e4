//! How often enrollment may fail. Only failures count, so that a rollout of
//! many hosts behind one address is not slowed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use windflow_protocol::token::TokenId;

use crate::clock::Timestamp;

/// The time over which failures are counted.
pub const WINDOW: Duration = Duration::from_secs(60);
const PER_TOKEN: u32 = 5;
const PER_SOURCE: u32 = 30;
const IN_ALL: u32 = 200;
/// Counters kept at once; [`IN_ALL`] bounds how fast they come.
const COUNTERS_MAX: usize = 1_024;

/// Counts failures by token, by source and in all.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<HashMap<Key, Counter>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Token(TokenId),
    Source(IpAddr),
    All,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    since: Timestamp,
    failures: u32,
}

impl Key {
    const fn most(&self) -> u32 {
        match self {
            Self::Token(_) => PER_TOKEN,
            Self::Source(_) => PER_SOURCE,
            Self::All => IN_ALL,
        }
    }
}

impl Limiter {
    /// Whether another attempt may be looked at.
    pub fn allows(&self, token: &TokenId, from: IpAddr, now: Timestamp) -> bool {
        let counters = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        keys(token, from).iter().all(|key| {
            counters.get(key).is_none_or(|counter| counter.failures < key.most() || now.since(counter.since) >= WINDOW)
        })
    }

    /// Counts a failure.
    pub fn failed(&self, token: &TokenId, from: IpAddr, now: Timestamp) {
        let mut counters = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if counters.len() + 3 > COUNTERS_MAX {
            counters.retain(|_, counter| now.since(counter.since) < WINDOW);
        }
        for key in keys(token, from) {
            let counter = counters.entry(key).or_insert(Counter { since: now, failures: 0 });
            if now.since(counter.since) >= WINDOW {
                *counter = Counter { since: now, failures: 0 };
            }
            counter.failures += 1;
        }
    }
}

fn keys(token: &TokenId, from: IpAddr) -> [Key; 3] {
    [Key::Token(token.clone()), Key::Source(network(from)), Key::All]
}

/// One IPv6 host has a whole /64.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_token_that_fails_too_often_rests_for_a_minute() {
        let limiter = Limiter::default();
        let (token, from) = (TokenId::from_random(1), "10.0.0.1".parse().unwrap());
        for _ in 0..PER_TOKEN {
            assert!(limiter.allows(&token, from, at(0)));
            limiter.failed(&token, from, at(0));
        }
        assert!(!limiter.allows(&token, from, at(59)));
        assert!(limiter.allows(&TokenId::from_random(2), from, at(59)), "other tokens are not held up");
        assert!(limiter.allows(&token, from, at(60)));
    }

    #[test]
    fn a_guesser_does_not_grow_the_table() {
        let limiter = Limiter::default();
        for minute in 0..100 {
            for guess in 0..u64::from(IN_ALL) {
                let from = IpAddr::from([10, 0, minute as u8, guess as u8]);
                let token = TokenId::from_random(guess);
                if limiter.allows(&token, from, at(minute * 60)) {
                    limiter.failed(&token, from, at(minute * 60));
                }
            }
        }
        assert!(limiter.0.lock().unwrap().len() <= COUNTERS_MAX);
    }
}
