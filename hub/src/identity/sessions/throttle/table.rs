//! What one hub counts in its own memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::Who;
use super::attempt::{Counted, Entry};
use crate::clock::Timestamp;

/// Accounts and addresses remembered at once.
const ENTRIES_MAX: usize = 10_000;

/// Who failed, and who is known from where.
#[derive(Debug, Default)]
pub struct Table {
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

impl Table {
    /// Changes what is counted of somebody.
    pub fn change<R>(&mut self, who: &Who, now: Timestamp, change: impl Fn(&mut Counted) -> R) -> R {
        let account = Key::Account(who.account.clone());
        let there = who.address.map(|address| {
            (Key::Address(address), (who.account.clone(), address), Key::Known(who.account.clone(), address))
        });
        let mut counted =
            Counted { whole_at: self.whole_at, account: self.entries.get(&account).copied(), ..Counted::default() };
        if let Some((address, known_until, known)) = &there {
            counted.has_address = true;
            counted.address = self.entries.get(address).copied();
            counted.known_until = self.known.get(known_until).copied();
            counted.known = self.entries.get(known).copied();
        }
        let result = change(&mut counted);
        self.whole_at = counted.whole_at;
        self.put_entry(account, counted.account, now);
        if let Some((address, known_until, known)) = there {
            self.put_entry(address, counted.address, now);
            self.put_entry(known, counted.known, now);
            put(&mut self.known, known_until, counted.known_until, |until| *until <= now, |until| *until);
        }
        result
    }

    fn put_entry(&mut self, key: Key, entry: Option<Entry>, now: Timestamp) {
        put(&mut self.entries, key, entry, |entry| entry.is_over(now), |entry| entry.last.max(entry.blocked_until));
    }
}

/// Puts a value in a table, or takes it out. Where the table is full, what is
/// over goes, and if nothing is, what is closest to it.
fn put<K: Clone + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    key: K,
    value: Option<V>,
    is_over: impl Fn(&V) -> bool,
    age: impl Fn(&V) -> Timestamp,
) {
    let Some(value) = value else {
        table.remove(&key);
        return;
    };
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        table.retain(|_, value| !is_over(value));
        if table.len() >= ENTRIES_MAX {
            let oldest = table.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone());
            oldest.map(|key| table.remove(&key));
        }
    }
    table.insert(key, value);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use std::time::Duration;

    use super::super::attempt::{FAILURE_OF_ALL_EVERY, KNOWN_FOR, WINDOW};
    use super::*;

    /// What one hub counts by itself.
    #[derive(Default)]
    struct Throttle(RefCell<Table>);

    impl Throttle {
        fn begin(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
            self.0.borrow_mut().change(&Who::new(account, address), now, |counted| counted.begin(now))
        }

        fn forgive(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
            self.0.borrow_mut().change(&Who::new(account, address), now, |counted| counted.forgive(now));
        }

        fn take_back(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
            self.0.borrow_mut().change(&Who::new(account, address), now, |counted| counted.take_back(now));
        }
    }

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
            throttle.0.borrow_mut().whole_at = None;
            throttle.begin(&format!("user {i}"), None, now()).unwrap();
        }
        assert_eq!(throttle.0.borrow_mut().entries.len(), ENTRIES_MAX);
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
