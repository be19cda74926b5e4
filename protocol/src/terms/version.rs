//! The version of the tunnel protocol and how two ends settle on one.

use serde::{Deserialize, Serialize};

/// A protocol version as it stands on the wire.
///
/// Each published version is a constant below; its documentation is the change
/// log. New behaviour that an older peer can do without is a
/// [capability](crate::capability::Capabilities), not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProtocolVersion(pub u16);

impl ProtocolVersion {
    /// Hello, control, Docker streams, enrollment and renewal.
    pub const V1: Self = Self(1);

    /// The newest version this build speaks.
    pub const CURRENT: Self = Self::V1;

    /// The oldest version this build still speaks.
    pub const OLDEST: Self = Self::V1;

    /// Settles on the newest version both ends speak, where `newest` and
    /// `oldest` are the other end's bounds. `None` means there is no such
    /// version and one end has to be upgraded.
    pub fn settle(newest: Self, oldest: Self) -> Option<Self> {
        let chosen = newest.min(Self::CURRENT);
        (chosen >= oldest && chosen >= Self::OLDEST).then_some(chosen)
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_wins() {
        let future = ProtocolVersion(900);
        assert_eq!(ProtocolVersion::settle(future, ProtocolVersion::V1), Some(ProtocolVersion::CURRENT));
    }

    #[test]
    fn a_peer_that_dropped_our_version_is_refused() {
        assert_eq!(ProtocolVersion::settle(ProtocolVersion(900), ProtocolVersion(899)), None);
        assert_eq!(ProtocolVersion::settle(ProtocolVersion(0), ProtocolVersion(0)), None);
    }
}
