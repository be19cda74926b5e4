//! Subjects as they are stored, and how close to each other their points are.

use std::time::Duration;

use windflow_protocol::message::metrics::Subject;

use crate::clock::Timestamp;

/// The kinds of subjects, as the database has them.
pub const HOST: i64 = 0;
pub const DISK: i64 = 1;
pub const CONTAINER: i64 = 2;

/// A subject by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredSubject {
    pub kind: i64,
    pub name: String,
}

impl From<&Subject> for StoredSubject {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Host => Self { kind: HOST, name: String::new() },
            Subject::Disk(path) => Self { kind: DISK, name: path.clone() },
            Subject::Container(id) => Self { kind: CONTAINER, name: id.to_string() },
        }
    }
}

/// How close to each other points are, and in which chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Seconds between points.
    pub step: i64,
    /// Seconds in one chunk; a multiple of that of the tier before.
    pub chunk: i64,
}

/// From the closest to the farthest.
pub const TIERS: [Tier; 3] = [
    Tier { step: 15, chunk: 60 * 60 },
    Tier { step: 60, chunk: 6 * 60 * 60 },
    Tier { step: 15 * 60, chunk: 48 * 60 * 60 },
];
/// How long the points of each tier are kept: then they go on in the next one,
/// or away.
pub type Lives = [Duration; TIERS.len()];

/// Most chunks of one environment, of all tiers: those of some eight hundred
/// containers that live long, or of fifty thousand that live an hour.
pub const CHUNKS_MAX: i64 = 150_000;

impl Tier {
    /// When the chunk starts that has this moment, in seconds since 1970.
    pub const fn start(self, at: i64) -> i64 {
        at - at.rem_euclid(self.chunk)
    }
}

/// Seconds since 1970.
pub fn seconds(moment: Timestamp) -> i64 {
    moment.as_micros().div_euclid(1_000_000)
}

/// The moment of these seconds since 1970; one that no calendar has becomes the
/// beginning.
pub fn moment(seconds: i64) -> Timestamp {
    let exact = seconds.checked_mul(1_000_000).and_then(|micros| Timestamp::from_micros(micros).ok());
    exact.unwrap_or_else(|| Timestamp::from_micros(0).expect("1970 is a year"))
}
