//! How often somebody may ask, each and all together, in an hour.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// The time over which is counted.
pub(in crate::identity::users) const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Who is counted at once.
const COUNTED_MAX: usize = 10_000;

/// Counts by key and in all.
#[derive(Debug)]
pub(in crate::identity::users) struct Pace<K> {
    each: u32,
    all: u32,
    counters: Mutex<Counters<K>>,
}

#[derive(Debug)]
struct Counters<K> {
    each: HashMap<K, Counter>,
    all: Counter,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    since: Option<Timestamp>,
    count: u32,
}

impl Counter {
    /// How long until one more fits, where it does not now.
    fn wait(&self, most: u32, now: Timestamp) -> Option<Duration> {
        let over = (self.since? + WINDOW).since(now);
        (self.count >= most && !over.is_zero()).then_some(over)
    }

    fn count(&mut self, now: Timestamp) {
        if self.since.is_none_or(|since| now.since(since) >= WINDOW) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.since.is_none_or(|since| now.since(since) >= WINDOW)
    }
}

impl<K: Eq + Hash> Pace<K> {
    /// So many in an hour from each, and in all.
    pub fn new(each: u32, all: u32) -> Self {
        let counters = Counters { each: HashMap::new(), all: Counter::default() };
        Self { each, all, counters: Mutex::new(counters) }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// How long to wait, when there were too many. Then nothing is counted.
    pub fn admit(&self, key: Option<K>, now: Timestamp) -> Result<(), Duration> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = counters.all.wait(self.all, now) {
            return Err(wait);
        }
        if let Some(key) = key {
            if !counters.each.contains_key(&key) && counters.each.len() >= COUNTED_MAX {
                counters.each.retain(|_, counter| !counter.is_over(now));
            }
            let room = counters.each.len() < COUNTED_MAX;
            let Some(counter) = entry(&mut counters.each, key, room) else { return Err(WINDOW) };
            if let Some(wait) = counter.wait(self.each, now) {
                return Err(wait);
            }
            counter.count(now);
        }
        counters.all.count(now);
        Ok(())
    }
}

fn entry<K: Eq + Hash>(counters: &mut HashMap<K, Counter>, key: K, room: bool) -> Option<&mut Counter> {
    (room || counters.contains_key(&key)).then(|| counters.entry(key).or_default())
}

/// An IPv6 host has a whole /64 to ask from.
pub(in crate::identity::users) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        time::macros::datetime!(2026-05-04 0:00 UTC).into()
    }

    /// C-35: each, all together, and nothing for good.
    #[test]
    fn c35_each_and_all_together_are_slowed_for_an_hour() {
        let pace = Pace::new(2, 3);
        pace.admit(Some("a"), now()).unwrap();
        pace.admit(Some("a"), now()).unwrap();
        assert_eq!(pace.admit(Some("a"), now()), Err(WINDOW));
        pace.admit(Some("b"), now() + Duration::from_secs(60)).unwrap();
        assert_eq!(pace.admit(Some("c"), now() + Duration::from_secs(60)), Err(WINDOW - Duration::from_secs(60)));
        assert!(pace.admit(None, now()).is_err(), "in all");
        pace.admit(Some("a"), now() + WINDOW).unwrap();
    }

    #[test]
    fn a_flood_of_keys_is_refused_and_does_not_grow_the_table() {
        let pace = Pace::new(1, u32::MAX);
        for key in 0..COUNTED_MAX {
            pace.admit(Some(key), now()).unwrap();
        }
        assert!(pace.admit(Some(COUNTED_MAX), now()).is_err());
        pace.admit(Some(COUNTED_MAX), now() + WINDOW).unwrap();
        assert_eq!(pace.counters.lock().unwrap().each.len(), 1);
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
