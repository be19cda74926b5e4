//! What a stream of kind Metrics carries. The hub opens one a session and says
//! what it has already; the agent sends what it measured since, then each
//! measurement as it is made. Meanwhile the hub says what it has kept, and what
//! somebody looks at.
//!
//! A subject is named once and has a number from then on; a measurement tells
//! only which numbers changed and by how much. [`deltas`] is both ends of that.

pub mod deltas;

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Tail};
use crate::limits::{METRICS_MAX, METRICS_WISH_MAX};
use crate::message::report::{ObjectId, Position};

/// The first message on the stream, from the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsRequest {
    /// The last measurement that the hub has kept; none wants all there are.
    pub after: Option<Position>,
}

/// A later message from the hub. New variants are appended; an agent passes
/// over the ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricsWish {
    /// The agent may forget everything until here.
    Kept(Position),
    /// Somebody looks at these, in the place of those before: they are measured
    /// more often. At most
    /// [`METRIC_WATCHED_MAX`](crate::limits::METRIC_WATCHED_MAX) are.
    Watch(Vec<Subject>),
}

/// A message from the agent. New variants are appended; a hub passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metrics {
    /// What the sequence numbers that follow belong to.
    Epoch([u8; 8]),
    /// What a number means from now on. All values begin as unknown.
    Subject {
        /// The number.
        number: u32,
        /// Whose it is.
        subject: Subject,
    },
    /// A measurement of everything there is.
    Sample(Sample),
    /// A measurement of what somebody looks at. It is not kept.
    Glance(Sample),
}

/// What can be measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// The host; its values are in the order of [`HostValue`].
    Host,
    /// A file system of the host, by where it is mounted: [`DiskValue`].
    Disk(String),
    /// A container that runs: [`ContainerValue`].
    Container(ObjectId),
}

/// What is measured of a host, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostValue {
    /// Of all its processors, in thousandths of a percent.
    Cpu,
    /// Processes that wanted to run in the last minute, in hundredths.
    Load1,
    /// The same over five minutes.
    Load5,
    /// The same over fifteen minutes.
    Load15,
    /// Memory in use that cannot be had back at once, in KiB.
    Memory,
    /// All memory, in KiB.
    MemoryTotal,
    /// Swap in use, in KiB.
    Swap,
    /// All swap, in KiB.
    SwapTotal,
    /// Received from networks, in bytes a second.
    Received,
    /// Sent to networks, in bytes a second.
    Sent,
    /// Read from disks, in bytes a second.
    Read,
    /// Written to disks, in bytes a second.
    Written,
}

/// What is measured of a file system, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskValue {
    /// What is taken, in KiB.
    Used,
    /// What there is for those who are not root, taken or free, in KiB.
    Size,
}

/// What is measured of a container, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerValue {
    /// Of one processor, in thousandths of a percent.
    Cpu,
    /// Memory without the files that can be dropped, in KiB.
    Memory,
    /// How much it may have, in KiB.
    MemoryLimit,
    /// Received from networks, in bytes a second.
    Received,
    /// Sent to networks, in bytes a second.
    Sent,
    /// Read from disks, in bytes a second.
    Read,
    /// Written to disks, in bytes a second.
    Written,
    /// Its processes and threads.
    Processes,
}

impl HostValue {
    /// How many there are.
    pub const COUNT: usize = Self::Written as usize + 1;
}

impl DiskValue {
    /// How many there are.
    pub const COUNT: usize = Self::Size as usize + 1;
}

impl ContainerValue {
    /// How many there are.
    pub const COUNT: usize = Self::Processes as usize + 1;
}

/// A measurement, told by what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its number among those of its epoch; of a glance, zero.
    pub sequence: u64,
    /// How long ago it was made when it was sent, in milliseconds: no clock of
    /// the host is believed.
    pub age_millis: u64,
    /// Numbers that mean nothing any more.
    pub gone: Vec<u32>,
    /// What is not as it was told last. A glance has all its subjects here.
    pub changed: Vec<Changed>,
}

/// How one subject changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Its number.
    pub number: u32,
    /// Which of its values changed, the first one in the lowest bit.
    pub which: u32,
    /// By how much, in the order of the bits. A value counts from one; zero is
    /// one that is not known.
    pub by: Vec<i64>,
}

impl Message for MetricsRequest {
    const NAME: &'static str = "metrics request";
    const LIMIT: usize = METRICS_WISH_MAX;
    const TAIL: Tail = Tail::Ignored;
}

impl Message for MetricsWish {
    const NAME: &'static str = "metrics wish";
    const LIMIT: usize = METRICS_WISH_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(2);
}

impl Message for Metrics {
    const NAME: &'static str = "metrics";
    const LIMIT: usize = METRICS_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(4);
}
