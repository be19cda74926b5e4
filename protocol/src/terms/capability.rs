//! Optional behaviours, named by bits that both ends must set.

use serde::{Deserialize, Serialize};

/// A set of optional behaviours. Each is off until both ends have named it in
/// the hello, so a peer is never asked for what it lacks.
///
/// Bits this build does not know are carried along and mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Streams of kind Docker reach an engine.
    pub const DOCKER: Self = Self(1 << 0);
    /// The agent renews its certificate over the live session.
    pub const RENEW: Self = Self(1 << 1);
    /// The agent tells how many containers its engine has, when that changes.
    pub const COUNTS: Self = Self(1 << 2);
    /// The agent tells what its engine has, and what changes there.
    pub const REPORT: Self = Self(1 << 3);
    /// Streams of kind Logs read and follow what containers say.
    pub const LOGS: Self = Self(1 << 4);
    /// The agent tells what host and containers use, also of the time it was
    /// away.
    pub const METRICS: Self = Self(1 << 5);
    /// Streams of kind Events tell what happens on the engine.
    pub const EVENTS: Self = Self(1 << 6);

    /// The empty set.
    pub const NONE: Self = Self(0);
    /// Every behaviour this build knows.
    pub const ALL: Self = { Self::DOCKER.union(Self::RENEW).union(Self::COUNTS).union(Self::REPORT) }
        .union(Self::LOGS)
        .union(Self::METRICS)
        .union(Self::EVENTS);

    /// The behaviours that both sets name.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The behaviours that either set names.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every behaviour of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set as it stands on the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A set from its wire form, unknown bits included.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_bit_never_becomes_common() {
        let from_the_future = Capabilities::from_bits(u64::MAX);
        assert_eq!(from_the_future.intersection(Capabilities::ALL), Capabilities::ALL);
        assert!(!Capabilities::NONE.contains(Capabilities::DOCKER));
    }
}
