//! What time it is and what is random: inputs of the hub, so that tests can
//! choose the one and nothing reaches past the other.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;

/// A moment in UTC, cut to whole microseconds, which is what both databases
/// keep. Prints and serialises as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

impl Timestamp {
    /// The moment `micros` microseconds after the start of 1970.
    ///
    /// # Errors
    /// When the year does not fit four digits.
    pub fn from_micros(micros: i64) -> Result<Self, time::error::ComponentRange> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map(Self)
    }

    /// The moment that many seconds after the start of 1970; `None` for zero,
    /// with which engines say never, and for what is no time.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        let micros = seconds.checked_mul(1_000_000).filter(|micros| *micros > 0)?;
        Self::from_micros(micros).ok()
    }

    /// Microseconds since the start of 1970.
    pub fn as_micros(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos() / 1_000).expect("four-digit years fit 64 bits of microseconds")
    }

    /// The same moment for the `time` crate and those that take it.
    pub fn as_datetime(self) -> OffsetDateTime {
        self.0
    }

    /// How long after `earlier` this is; zero where it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0 - earlier.0).unwrap_or_default()
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        let utc = moment.to_offset(time::UtcOffset::UTC);
        Self(utc.replace_microsecond(utc.microsecond()).expect("a microsecond of a valid time is valid"))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self::from(self.0 + later)
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, earlier: Duration) -> Self {
        Self::from(self.0 - earlier)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.format(&time::format_description::well_known::Rfc3339).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}

/// Where the hub gets the time of day from.
pub trait Clock: Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else takes the time from")]
    fn now(&self) -> Timestamp {
        OffsetDateTime::now_utc().into()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().expect("no code panics while it holds the clock");
        *now = *now + by;
    }

    /// Moves the clock back.
    pub fn set_back(&self, by: Duration) {
        let mut now = self.0.lock().expect("no code panics while it holds the clock");
        *now = *now - by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no code panics while it holds the clock")
    }
}

/// A clock that is behind by this much was set back, not corrected.
const SETBACK_MIN: Duration = Duration::from_secs(30);

/// Notices that the clock was set back while the hub runs, by the machine's
/// steady clock, which cannot be.
#[derive(Debug)]
pub struct ClockGuard {
    wall: Timestamp,
    steady: Instant,
}

impl ClockGuard {
    /// Both clocks as they are now.
    pub fn new(wall: Timestamp, steady: Instant) -> Self {
        Self { wall, steady }
    }

    /// By how much the clock was set back since it was looked at last.
    pub fn look(&mut self, wall: Timestamp, steady: Instant) -> Option<Duration> {
        let due = self.wall + steady.duration_since(self.steady);
        *self = Self { wall, steady };
        Some(due.since(wall)).filter(|behind| *behind >= SETBACK_MIN)
    }
}

/// The operating system's cryptographic random source.
#[derive(Clone, Debug)]
pub struct Random(SystemRandom);

impl Default for Random {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Random {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).expect("the operating system has random bytes");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_cut_to_microseconds_and_survives_its_number() {
        let precise = time::macros::datetime!(2026-05-04 03:02:01.123456789 +02:00);
        let cut = Timestamp::from(precise);
        assert_eq!(cut.to_string(), "2026-05-04T01:02:01.123456Z");
        assert_eq!(Timestamp::from_micros(cut.as_micros()).unwrap(), cut);
    }

    #[test]
    fn a_moment_before_another_is_no_time_after_it() {
        let clock = ManualClock::new(time::macros::datetime!(2026-05-04 0:00 UTC).into());
        let before = clock.now();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(before), Duration::from_secs(5));
        assert_eq!(before.since(clock.now()), Duration::ZERO);
    }

    #[test]
    fn only_a_clock_that_is_set_back_is_noticed_and_only_once() {
        let (start, steady) = (Timestamp::from(time::macros::datetime!(2026-05-04 0:00 UTC)), Instant::now());
        let after = |seconds: u64| steady + Duration::from_secs(seconds);
        let mut guard = ClockGuard::new(start, steady);
        assert_eq!(guard.look(start + Duration::from_secs(9), after(10)), None, "a small correction");
        assert_eq!(guard.look(start + Duration::from_secs(7200), after(20)), None, "set forward");
        let back = guard.look(start + Duration::from_secs(3610), after(30));
        assert_eq!(back, Some(Duration::from_secs(3600)));
        assert_eq!(guard.look(start + Duration::from_secs(3620), after(40)), None);
    }
}
