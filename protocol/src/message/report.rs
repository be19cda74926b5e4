//! What an agent tells of its engine on the report stream. The hub opens the
//! stream and says what it knows already; everything else flows back: first
//! what changed since, or everything, then each change as it happens.
//!
//! Each message holds one thing, so that a newer agent may tell more of it at
//! its end. The things of one moment are followed by a [`Report::Position`].

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Tail};
use crate::limits::{REPORT_MAX, REPORT_REQUEST_MAX};

/// What an engine calls a container, an image or a network: SHA-256 or as
/// random, written as 64 hexadecimal digits elsewhere.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectId(pub [u8; 32]);

/// How far the hub has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Random for each run of the agent: numbers of another run mean nothing.
    pub epoch: [u8; 8],
    /// The number of the last change.
    pub sequence: u64,
}

/// The first message on the stream, from the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// What the hub has heard already; none wants everything.
    pub after: Option<Position>,
}

/// A message from the agent. New variants are appended; a hub passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Everything follows: what is not told until the next position is gone.
    Everything,
    /// What was told until here belongs together, and the hub may go on after
    /// it.
    Position(Position),
    /// A container is there, or not as it was.
    Container(Container),
    /// A container is gone.
    ContainerGone(ObjectId),
    /// An image is there, or not as it was.
    Image(Image),
    /// An image is gone.
    ImageGone(ObjectId),
    /// A volume is there, or not as it was.
    Volume(Volume),
    /// A volume is gone.
    VolumeGone(String),
    /// A network is there, or not as it was.
    Network(Network),
    /// A network is gone.
    NetworkGone(ObjectId),
    /// Until the next position, what was told may be so no longer: the engine
    /// does not say.
    Stale,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: ObjectId,
    /// Its own name, without the slash.
    pub name: String,
    /// What it was made from, in the words of who made it.
    pub image: String,
    /// The image itself, where the engine says so.
    pub image_id: Option<ObjectId>,
    /// Its command line, as the engine shows it.
    pub command: String,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// `running`, `exited` and so on, in the engine's word.
    pub state: String,
    /// `healthy`, `unhealthy` or `starting`; empty where nothing is checked.
    pub health: String,
    /// How its last run ended.
    pub exit_code: i32,
    /// When it was last started, in seconds since 1970; zero for never.
    pub started_at: i64,
    /// When it last ended, in seconds since 1970; zero for never.
    pub finished_at: i64,
    /// How often its engine has restarted it.
    pub restarts: u32,
    /// The ports it offers.
    pub ports: Vec<Port>,
    /// The networks it is in.
    pub networks: Vec<Attachment>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// One port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// The host's address it is published at; empty where it is not.
    pub address: String,
    /// Its number in the container.
    pub private: u16,
    /// Its number on the host, where it is published.
    pub public: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The container's address there; empty while it does not run.
    pub address: String,
}

/// Something mounted in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The volume's name, or the path on the host.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: ObjectId,
    /// What it is called, such as `nginx:1.29`.
    pub tags: Vec<String>,
    /// Where it came from, such as `nginx@sha256:…`.
    pub digests: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// What it takes on the disk, shared layers included, in bytes.
    pub size: u64,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// What keeps it, such as `local`.
    pub driver: String,
    /// Where it is on the host.
    pub path: String,
    /// When it was made, as the engine writes it (RFC 3339); may be empty.
    pub created_at: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: ObjectId,
    /// Its name.
    pub name: String,
    /// `bridge`, `overlay` and so on.
    pub driver: String,
    /// `local` or `swarm`.
    pub scope: String,
    /// Whether nothing outside can be reached from it.
    pub internal: bool,
    /// Its address ranges, such as `172.18.0.0/16`.
    pub subnets: Vec<String>,
    /// When it was made, as the engine writes it (RFC 3339); may be empty.
    pub created_at: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

impl Message for ReportRequest {
    const NAME: &'static str = "report request";
    const LIMIT: usize = REPORT_REQUEST_MAX;
    const TAIL: Tail = Tail::Ignored;
}

impl Message for Report {
    const NAME: &'static str = "report";
    const LIMIT: usize = REPORT_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(11);
}

impl Report {
    /// The position, where it is one.
    pub const fn position(&self) -> Option<Position> {
        match self {
            Self::Position(position) => Some(*position),
            _ => None,
        }
    }
}

impl ObjectId {
    /// Reads 64 hexadecimal digits, with or without `sha256:` before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_digits() {
        let digits = "4c01db0b339c".repeat(5) + "abcd";
        let id = ObjectId::parse(&digits).unwrap();
        assert_eq!(id.to_string(), digits);
        assert_eq!(ObjectId::parse(&format!("sha256:{digits}")), Some(id));
        for wrong in ["", "4c01", &digits[1..], &digits.to_uppercase(), &format!("{digits}00")] {
            assert_eq!(ObjectId::parse(wrong), None, "{wrong:?}");
        }
    }
}
