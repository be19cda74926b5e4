//! When to dial again. The only user of the crate of that name.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use windflow_protocol::message::hello::{RejectReason, Rejected};

/// The first wait is a random part of this.
const FIRST: Duration = Duration::from_secs(1);
/// Every wait is a random part of at most this.
const LONGEST: Duration = Duration::from_secs(60);
/// A session that lasted this long clears what failed before it.
const STABLE: Duration = Duration::from_secs(30);
/// An agent that is not wanted asks this often whether that has changed.
const UNWANTED: Duration = Duration::from_secs(15 * 60);

/// How long to wait before the next dial: exponential with full jitter.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        // The crate spreads a wait around its interval, from nothing to twice
        // as much; half the interval makes that a random part of the whole.
        Self(ExponentialBackoff {
            current_interval: FIRST / 2,
            initial_interval: FIRST / 2,
            max_interval: LONGEST / 2,
            multiplier: 2.0,
            randomization_factor: 1.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }
}

impl Backoff {
    /// Notes how long a session lasted. Only a stable one clears the past: a
    /// link that breaks every few seconds is a failing link.
    pub fn session_lasted(&mut self, lasted: Duration) {
        if lasted >= STABLE {
            self.0.reset();
        }
    }

    /// The wait before the next dial.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }

    /// The wait after the hub turned the agent away: as long as the hub asks
    /// for, and a little more each agent for itself, or long where only an
    /// administrator can change anything.
    pub fn after_rejection(&mut self, rejected: &Rejected) -> Duration {
        match rejected.reason {
            RejectReason::Revoked | RejectReason::UnknownIdentity | RejectReason::ReenrollmentRequired => {
                self.after_revocation()
            }
            RejectReason::Version
            | RejectReason::CertificateExpired
            | RejectReason::DuplicateIdentity
            | RejectReason::Busy
            | RejectReason::Malformed
            | RejectReason::Unavailable => {
                let asked = Duration::from_secs(rejected.retry_after_secs.into()).min(UNWANTED);
                self.next_wait().max(asked + part_of(asked / 4))
            }
        }
    }

    /// The wait after a revocation.
    pub fn after_revocation(&mut self) -> Duration {
        UNWANTED.mul_f64(0.9) + part_of(UNWANTED / 5)
    }

    /// The wait after a hub said that it shuts down as planned.
    pub fn after_draining(&mut self, spread: Duration) -> Duration {
        self.0.reset();
        part_of(spread.min(UNWANTED))
    }
}

fn part_of(whole: Duration) -> Duration {
    whole.mul_f64(rand::random_range(0.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(reason: RejectReason, retry_after_secs: u32) -> Rejected {
        Rejected { reason, message: String::new(), retry_after_secs }
    }

    /// The longest of many waits, each from a backoff in the same state.
    fn longest(waits: impl Fn() -> Duration) -> Duration {
        (0..500).map(|_| waits()).max().unwrap()
    }

    fn after_failures(failures: u32) -> Backoff {
        let mut backoff = Backoff::default();
        for _ in 0..failures {
            backoff.next_wait();
        }
        backoff
    }

    #[test]
    fn waits_double_from_one_second_to_sixty() {
        for (failures, bound) in [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (50, 60)] {
            let bound = Duration::from_secs(bound);
            let longest = longest(|| after_failures(failures).next_wait());
            assert!(longest <= bound + Duration::from_millis(1), "{failures}: {longest:?}");
            assert!(longest > bound.mul_f64(0.9), "{failures}: {longest:?}");
        }
    }

    #[test]
    fn waits_start_at_nothing_so_that_a_fleet_spreads() {
        let shortest = (0..500).map(|_| after_failures(10).next_wait()).min().unwrap();
        assert!(shortest < Duration::from_secs(6), "{shortest:?}");
    }

    #[test]
    fn only_a_stable_session_clears_the_past() {
        let after = |lasted: u64| {
            longest(|| {
                let mut backoff = after_failures(10);
                backoff.session_lasted(Duration::from_secs(lasted));
                backoff.next_wait()
            })
        };
        assert!(after(29) > Duration::from_secs(50));
        assert!(after(30) <= Duration::from_millis(1001));
    }

    #[test]
    fn a_hub_that_says_when_is_obeyed() {
        let mut backoff = Backoff::default();
        let wait = backoff.after_rejection(&rejected(RejectReason::DuplicateIdentity, 60));
        assert!((60..=75).contains(&wait.as_secs()), "{wait:?}");
    }

    #[test]
    fn an_unwanted_agent_asks_every_quarter_of_an_hour() {
        for reason in [RejectReason::Revoked, RejectReason::UnknownIdentity, RejectReason::ReenrollmentRequired] {
            let wait = Backoff::default().after_rejection(&rejected(reason, 0));
            assert!((810..=990).contains(&wait.as_secs()), "{wait:?}");
        }
    }

    #[test]
    fn a_draining_hub_is_dialled_within_its_spread() {
        let spread = Duration::from_secs(20);
        let longest = longest(|| Backoff::default().after_draining(spread));
        assert!(longest <= spread && longest > spread.mul_f64(0.9), "{longest:?}");
    }
}
