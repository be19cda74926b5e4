//! Slows down whoever guesses: per account, and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Timestamp;

/// Failures that cost nothing.
const FREE_FAILURES: u32 = 5;
/// Failures are forgotten after this long without another.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// The first delay; each further failure doubles it.
const DELAY_FIRST: Duration = Duration::from_secs(5);
/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// Accounts and addresses remembered at once.
const ENTRIES_MAX: usize = 10_000;

/// Counts failed attempts.
#[derive(Debug, Default)]
pub struct Throttle {
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Timestamp,
    blocked_until: Timestamp,
}

impl Throttle {
    /// Counts an attempt on `account` from `address` as failed before it is
    /// made, so that many at once count as many; a success is [`forgiven`].
    ///
    /// # Errors
    /// How long to wait, when there were too many. Then nothing is counted.
    ///
    /// [`forgiven`]: Throttle::forgive
    pub fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        let keys = keys(account, address);
        let mut entries = self.lock();
        let wait = keys.iter().filter_map(|key| entries.get(key)).map(|entry| entry.blocked_until.since(now)).max();
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        for key in keys {
            if !entries.contains_key(&key) && entries.len() >= ENTRIES_MAX {
                make_room(&mut entries, now);
            }
            let entry = entries.entry(key).or_insert(Entry { failures: 0, last: now, blocked_until: now });
            entry.count(now);
        }
        Ok(())
    }

    /// Takes back what [`begin`](Self::begin) counted: the attempt succeeded.
    pub fn forgive(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut entries = self.lock();
        for key in keys(account, address) {
            match key {
                Key::Account(_) => drop(entries.remove(&key)),
                // Others may be guessing from the same address.
                Key::Address(_) => {
                    if let Some(entry) = entries.get_mut(&key) {
                        entry.failures = entry.failures.saturating_sub(1);
                        entry.blocked_until = now;
                    }
                }
            }
        }
    }

    /// Takes back what [`begin`](Self::begin) counted at `now` and nothing else:
    /// the attempt was right as far as it went, and is to be made again with
    /// what is missing. What was counted before it stays.
    pub fn take_back(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut entries = self.lock();
        for key in keys(account, address) {
            if let Some(entry) = entries.get_mut(&key) {
                entry.failures = entry.failures.saturating_sub(1);
                // Where another attempt came since, the wait is that one's.
                if entry.last == now {
                    entry.blocked_until = now;
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().expect("no code panics while it holds the throttle")
    }
}

impl Entry {
    fn count(&mut self, now: Timestamp) {
        if self.is_over(now) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(excess) = self.failures.checked_sub(FREE_FAILURES) {
            let delay = DELAY_FIRST.saturating_mul(1 << excess.min(16));
            self.blocked_until = now + delay.min(DELAY_MAX);
        }
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last.max(self.blocked_until)) >= WINDOW
    }
}

/// Drops what is over, and if nothing is, what is closest to it.
fn make_room(entries: &mut HashMap<Key, Entry>, now: Timestamp) {
    entries.retain(|_, entry| !entry.is_over(now));
    if entries.len() < ENTRIES_MAX {
        return;
    }
    let oldest = entries.iter().min_by_key(|(_, entry)| entry.last.max(entry.blocked_until));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        entries.remove(&key);
    }
}

fn keys(account: &str, address: Option<IpAddr>) -> Vec<Key> {
    let account = Key::Account(account.to_lowercase());
    std::iter::once(account).chain(address.map(network).map(Key::Address)).collect()
}

/// An IPv6 host has a whole /64 to guess from.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn now() -> Timestamp {
        time::macros::datetime!(2026-05-04 0:00 UTC).into()
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some([198, 51, 100, last].into())
    }

    #[test]
    fn the_delay_starts_after_five_failures_and_grows() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            throttle.begin("ada", HOME, now()).unwrap();
        }
        assert_eq!(throttle.begin("ada", HOME, now()), Err(Duration::from_secs(5)));
        let later = now() + Duration::from_secs(5);
        throttle.begin("ada", HOME, later).unwrap();
        assert_eq!(throttle.begin("ada", HOME, later), Err(Duration::from_secs(10)));
    }

    #[test]
    fn an_account_is_guarded_against_many_addresses_and_an_address_against_many_accounts() {
        let throttle = Throttle::default();
        for i in 0..5 {
            throttle.begin("Ada", address(i), now()).unwrap();
        }
        assert!(throttle.begin("ada", address(99), now()).is_err());
        for i in 0..5 {
            throttle.begin(&format!("user {i}"), HOME, now()).unwrap();
        }
        assert!(throttle.begin("someone else", HOME, now()).is_err());
        throttle.begin("someone else", address(100), now()).unwrap();
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one() {
        let throttle = Throttle::default();
        for i in 0..5 {
            let address = format!("2001:db8::{i}").parse().unwrap();
            throttle.begin(&format!("user {i}"), Some(address), now()).unwrap();
        }
        assert!(throttle.begin("x", Some("2001:db8::ffff".parse().unwrap()), now()).is_err());
        throttle.begin("x", Some("2001:db8:1::1".parse().unwrap()), now()).unwrap();
    }

    #[test]
    fn success_and_quiet_are_forgiven() {
        let throttle = Throttle::default();
        for _ in 0..20 {
            throttle.begin("ada", HOME, now()).unwrap();
            throttle.forgive("ada", HOME, now());
        }
        for _ in 0..5 {
            throttle.begin("ada", HOME, now()).unwrap();
        }
        let quiet = now() + Duration::from_secs(5) + WINDOW;
        throttle.begin("ada", HOME, quiet).unwrap();
        throttle.begin("ada", HOME, quiet).unwrap();
    }

    #[test]
    fn the_table_is_bounded() {
        let throttle = Throttle::default();
        for i in 0..ENTRIES_MAX + 10 {
            throttle.begin(&format!("user {i}"), None, now()).unwrap();
        }
        assert_eq!(throttle.lock().len(), ENTRIES_MAX);
    }

    #[test]
    fn half_a_sign_in_neither_costs_anything_nor_forgives_wrong_codes() {
        let throttle = Throttle::default();
        let mut at = now();
        for _ in 0..20 {
            throttle.begin("ada", HOME, at).unwrap();
            throttle.take_back("ada", HOME, at);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            // The password, and then a wrong code.
            throttle.begin("ada", HOME, at).unwrap();
            throttle.take_back("ada", HOME, at);
            throttle.begin("ada", HOME, at).unwrap();
            let wait = throttle.begin("ada", HOME, at).err().unwrap_or_default();
            if wait.is_zero() {
                throttle.take_back("ada", HOME, at);
            }
            waits.push(wait.as_secs());
            at = at + wait;
        }
        assert_eq!(waits, [0, 0, 0, 0, 5, 10, 20, 40]);
    }

    #[test]
    fn what_is_taken_back_late_leaves_the_wait_of_a_later_attempt() {
        let throttle = Throttle::default();
        for _ in 0..4 {
            throttle.begin("ada", None, now()).unwrap();
        }
        let later = now() + Duration::from_millis(1);
        throttle.begin("ada", None, later).unwrap();
        throttle.take_back("ada", None, now());
        assert!(throttle.begin("ada", None, later).is_err());
    }
}
