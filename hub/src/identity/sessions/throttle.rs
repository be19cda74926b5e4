//! Slows down whoever guesses: per account, per address, and all together.

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

/// Attempts of everybody together that may fail at once.
const FAILURES_OF_ALL: u32 = 300;
/// And then one more in this time.
const FAILURE_OF_ALL_EVERY: Duration = Duration::from_secs(1);
/// Who was right from an address is known there for so long.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Counts failed attempts.
///
/// Whoever knows a name could hold its owner off by failing on purpose. So who
/// was right from an address before is counted there by themselves, and what
/// others do to the same account from elsewhere, or to all accounts, does not
/// delay them.
#[derive(Debug, Default)]
pub struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Until when who is known from where.
    known: HashMap<(String, IpAddr), Timestamp>,
    /// When as many may fail again as ever.
    whole_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
    /// An account, asked for from where its owner is known.
    Known(String, IpAddr),
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
        let mut state = self.lock();
        let (keys, is_known) = state.keys(account, address, now);
        let blocked = keys.iter().filter_map(|key| state.entries.get(key)).map(|entry| entry.blocked_until.since(now));
        let of_all = if is_known { Duration::ZERO } else { state.wait_of_all(now) };
        let wait = blocked.max().unwrap_or_default().max(of_all);
        if !wait.is_zero() {
            return Err(wait);
        }
        if !is_known {
            state.whole_at = Some(state.whole_at(now) + FAILURE_OF_ALL_EVERY);
        }
        let entries = &mut state.entries;
        for key in keys {
            if !entries.contains_key(&key) && entries.len() >= ENTRIES_MAX {
                make_room(entries, now);
            }
            let entry = entries.entry(key).or_insert(Entry { failures: 0, last: now, blocked_until: now });
            entry.count(now);
        }
        Ok(())
    }

    /// Takes back what [`begin`](Self::begin) counted: the attempt succeeded.
    /// From now on its owner is known there.
    pub fn forgive(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut state = self.lock();
        let (keys, is_known) = state.keys(account, address, now);
        for key in keys {
            match key {
                Key::Account(_) | Key::Known(..) => drop(state.entries.remove(&key)),
                // Others may be guessing from the same address.
                Key::Address(_) => {
                    if let Some(entry) = state.entries.get_mut(&key) {
                        entry.failures = entry.failures.saturating_sub(1);
                        entry.blocked_until = now;
                    }
                }
            }
        }
        if !is_known {
            state.give_back(now);
        }
        if let Some(address) = address {
            state.know(account, network(address), now);
        }
    }

    /// Takes back what [`begin`](Self::begin) counted at `now` and nothing else:
    /// the attempt was right as far as it went, and is to be made again with
    /// what is missing. What was counted before it stays.
    pub fn take_back(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let mut state = self.lock();
        let (keys, is_known) = state.keys(account, address, now);
        for key in keys {
            if let Some(entry) = state.entries.get_mut(&key) {
                entry.failures = entry.failures.saturating_sub(1);
                // Where another attempt came since, the wait is that one's.
                if entry.last == now {
                    entry.blocked_until = now;
                }
            }
        }
        if !is_known {
            state.give_back(now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the throttle")
    }
}

impl State {
    /// By what an attempt is counted, and whether its owner is known there.
    fn keys(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> (Vec<Key>, bool) {
        let (account, address) = (account.to_lowercase(), address.map(network));
        let is_known = |address: IpAddr| self.known.get(&(account.clone(), address)).is_some_and(|until| *until > now);
        match address.filter(|address| is_known(*address)) {
            Some(address) => (vec![Key::Known(account, address), Key::Address(address)], true),
            None => (std::iter::once(Key::Account(account)).chain(address.map(Key::Address)).collect(), false),
        }
    }

    fn know(&mut self, account: &str, address: IpAddr, now: Timestamp) {
        let key = (account.to_lowercase(), address);
        if !self.known.contains_key(&key) && self.known.len() >= ENTRIES_MAX {
            self.known.retain(|_, until| *until > now);
            let oldest = self.known.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| self.known.len() >= ENTRIES_MAX) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, now + KNOWN_FOR);
    }

    /// A clock that was set back makes nobody wait for longer.
    fn whole_at(&self, now: Timestamp) -> Timestamp {
        let latest = now + FAILURE_OF_ALL_EVERY * FAILURES_OF_ALL;
        self.whole_at.map_or(now, |whole_at| whole_at.max(now).min(latest))
    }

    fn wait_of_all(&self, now: Timestamp) -> Duration {
        self.whole_at(now).since(now + FAILURE_OF_ALL_EVERY * (FAILURES_OF_ALL - 1))
    }

    fn give_back(&mut self, now: Timestamp) {
        self.whole_at = Some(self.whole_at(now) - FAILURE_OF_ALL_EVERY);
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
            throttle.lock().whole_at = None;
            throttle.begin(&format!("user {i}"), None, now()).unwrap();
        }
        assert_eq!(throttle.lock().entries.len(), ENTRIES_MAX);
    }

    #[test]
    fn c35_a_known_owner_is_not_held_off_by_those_who_fail_on_purpose_elsewhere() {
        let throttle = Throttle::default();
        throttle.begin("ada", HOME, now()).unwrap();
        throttle.forgive("ada", HOME, now());
        let mut at = now();
        for i in 0..200 {
            at = at + Duration::from_secs(60);
            let wait = throttle.begin("ADA", address(i), at).err().unwrap_or_default();
            at = at + wait;
            throttle.begin("ada", address(i), at).ok();
            throttle.begin("ada", HOME, at).expect("where she is known");
            throttle.forgive("ada", HOME, at);
        }
        assert!(throttle.begin("ada", address(250), at).is_err(), "her success does not help those who guess");
        assert!(throttle.begin("ada", HOME, at).is_ok());

        // Where she is known guesses are slowed as well.
        let tries = (0..10).filter(|_| throttle.begin("ada", HOME, at).is_ok()).count();
        assert!(tries < 5, "{tries}");
        let long_after = at + KNOWN_FOR;
        for _ in 0..5 {
            throttle.begin("ada", address(1), long_after).unwrap();
        }
        assert!(throttle.begin("ada", HOME, long_after).is_err(), "nobody is known for ever");
    }

    #[test]
    fn c35_many_accounts_from_many_addresses_are_slowed_together() {
        let throttle = Throttle::default();
        throttle.begin("ada", HOME, now()).unwrap();
        throttle.forgive("ada", HOME, now());
        let spread = |i: u32| Some(IpAddr::V4(std::net::Ipv4Addr::from(i)));
        let tries = (0..1_000).filter(|i| throttle.begin(&format!("user {i}"), spread(*i), now()).is_ok()).count();
        assert_eq!(tries, 300);
        let wait = throttle.begin("another", spread(5_000), now()).unwrap_err();
        assert_eq!(wait, FAILURE_OF_ALL_EVERY);
        throttle.begin("ada", HOME, now()).expect("where she is known");
        throttle.begin("another", spread(5_000), now() + wait).unwrap();
        throttle.forgive("another", spread(5_000), now() + wait);
        throttle.begin("a third", spread(6_000), now() + wait).expect("a success costs the others nothing");
        // The clock is set back by a day.
        let back = now() - Duration::from_secs(24 * 60 * 60);
        assert!(throttle.begin("a fourth", spread(7_000), back).unwrap_err() <= FAILURE_OF_ALL_EVERY);
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
