//! What one attempt is counted by, wherever that is kept.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::peers::Lasting;

/// Failures that cost nothing.
const FREE_FAILURES: u32 = 5;
/// Failures are forgotten after this long without another.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);
/// The first delay; each further failure doubles it.
const DELAY_FIRST: Duration = Duration::from_secs(5);
/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);

/// Attempts of everybody together that may fail at once.
const FAILURES_OF_ALL: u32 = 300;
/// And then one more in this time.
pub const FAILURE_OF_ALL_EVERY: Duration = Duration::from_secs(1);
/// Who was right from an address is known there for so long.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Failures of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    failures: u32,
    pub last: Timestamp,
    pub blocked_until: Timestamp,
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self { failures: 0, last: now, blocked_until: now }
    }

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

    /// Takes one back. Whoever is right need not wait.
    fn uncount(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_sub(1);
        self.blocked_until = now;
    }

    /// Until when it counts.
    pub fn ends(&self) -> Timestamp {
        self.last.max(self.blocked_until) + WINDOW
    }

    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends()
    }
}

/// What is counted of somebody who tries, before and after an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// When as many of everybody may fail again as ever.
    pub whole_at: Option<Timestamp>,
    /// Of the account, asked for from where its owner is not known.
    pub account: Option<Entry>,
    /// Of the address.
    pub address: Option<Entry>,
    /// Until when the account's owner is known at the address.
    pub known_until: Option<Timestamp>,
    /// Of the account, asked for from there.
    pub known: Option<Entry>,
    /// Whether there is an address.
    pub has_address: bool,
}

impl Counted {
    pub fn begin(&mut self, now: Timestamp) -> Result<(), Duration> {
        let is_known = self.is_known(now);
        let blocked = self.entries(now).into_iter().flatten().map(|entry| entry.blocked_until.since(now));
        let wait = blocked.max().unwrap_or_default().max(if is_known { Duration::ZERO } else { self.wait_of_all(now) });
        if !wait.is_zero() {
            return Err(wait);
        }
        if !is_known {
            self.whole_at = Some(self.whole_at(now) + FAILURE_OF_ALL_EVERY);
        }
        for entry in self.entries(now) {
            entry.get_or_insert_with(|| Entry::new(now)).count(now);
        }
        Ok(())
    }

    pub fn forgive(&mut self, now: Timestamp) {
        if self.is_known(now) {
            self.known = None;
        } else {
            self.account = None;
            self.give_back(now);
        }
        // Others may be guessing from the same address.
        if let Some(entry) = &mut self.address {
            entry.uncount(now);
        }
        if self.has_address {
            self.known_until = Some(now + KNOWN_FOR);
        }
    }

    pub fn take_back(&mut self, now: Timestamp) {
        let is_known = self.is_known(now);
        for entry in self.entries(now).into_iter().flatten() {
            let blocked_until = entry.blocked_until;
            entry.uncount(now);
            // Where another attempt came since, the wait is that one's.
            if entry.last != now {
                entry.blocked_until = blocked_until;
            }
        }
        if !is_known {
            self.give_back(now);
        }
    }

    /// By what an attempt is counted now.
    fn entries(&mut self, now: Timestamp) -> Vec<&mut Option<Entry>> {
        let of_account = if self.is_known(now) { &mut self.known } else { &mut self.account };
        let of_address = self.has_address.then_some(&mut self.address);
        std::iter::once(of_account).chain(of_address).collect()
    }

    fn is_known(&self, now: Timestamp) -> bool {
        self.known_until.is_some_and(|until| until > now)
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

    /// What hubs count together: of all, of the account and, where there is an
    /// address, of it, until when its owner is known there, and of them.
    pub fn from_texts(texts: &[Option<String>]) -> Self {
        let [all, account, there @ ..] = texts else { return Self::default() };
        let (whole_at, account) = (read(all), read(account));
        match there {
            [address, known_until, known] => Self {
                whole_at,
                account,
                address: read(address),
                known_until: read(known_until),
                known: read(known),
                has_address: true,
            },
            _ => Self { whole_at, account, ..Self::default() },
        }
    }

    /// The same as it is now.
    pub fn into_texts(self, count: usize, now: Timestamp) -> Vec<Option<Lasting>> {
        let Self { whole_at, account, address, known_until, known, has_address: _ } = self;
        let moment = |moment: Option<Timestamp>| moment.and_then(|moment| write(&moment, moment.since(now)));
        let entry = |entry: Option<Entry>| entry.and_then(|entry| write(&entry, entry.ends().since(now)));
        let all = [moment(whole_at), entry(account), entry(address), moment(known_until), entry(known)];
        all.into_iter().take(count).collect()
    }
}

/// What cannot be read was not counted.
fn read<T: DeserializeOwned>(text: &Option<String>) -> Option<T> {
    serde_json::from_str(text.as_deref()?).ok()
}

/// What is over is nothing to be kept.
fn write(value: &impl Serialize, life: Duration) -> Option<Lasting> {
    (!life.is_zero()).then(|| serde_json::to_string(value).ok()).flatten().map(|text| Lasting { text, life })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_goes_to_other_hubs_and_comes_back() {
        let now: Timestamp = time::macros::datetime!(2026-05-04 0:00 UTC).into();
        let mut counted = Counted::from_texts(&[const { None }; 5]);
        assert!(counted.has_address);
        counted.begin(now).unwrap();
        counted.forgive(now);
        counted.begin(now).unwrap();
        let lasting = counted.clone().into_texts(5, now);
        let texts: Vec<_> =
            lasting.iter().map(|lasting| lasting.as_ref().map(|lasting| lasting.text.clone())).collect();
        assert_eq!(Counted { whole_at: None, ..counted.clone() }, Counted::from_texts(&texts));
        let lives: Vec<_> = lasting.iter().map(|lasting| lasting.as_ref().map(|lasting| lasting.life)).collect();
        assert_eq!(lives, [None, None, Some(WINDOW), Some(KNOWN_FOR), Some(WINDOW)]);

        let mut nowhere = Counted::from_texts(&[None, None]);
        assert!(!nowhere.has_address);
        nowhere.begin(now).unwrap();
        let lasting = nowhere.into_texts(2, now);
        let lives: Vec<_> = lasting.iter().map(|lasting| lasting.as_ref().map(|lasting| lasting.life)).collect();
        assert_eq!(lives, [Some(FAILURE_OF_ALL_EVERY), Some(WINDOW)]);
    }
}
