//! The first bytes of every stream: what it is for. The opener sends it
//! together with its first data and waits for no answer.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::capability::Capabilities;
use crate::codec::{self, CodecError, Message, Tail};
use crate::limits::PREAMBLE_MAX;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Hello and control messages; the hub opens it first, once a session.
    Control,
    /// The Docker API as plain HTTP/1.1, to the host's engine.
    Docker,
    /// What the engine has, told by the agent; the hub opens one a session.
    Report,
    /// What a container said and says, line by line.
    Logs,
    /// What happens on the engine; the hub opens one a session.
    Events,
    /// What host and containers use, measured by the agent; the hub opens one a
    /// session.
    Metrics,
}

impl StreamKind {
    /// Every kind this build knows.
    pub const ALL: [Self; 6] = [Self::Control, Self::Docker, Self::Report, Self::Logs, Self::Metrics, Self::Events];

    /// The number on the wire. Numbers are never reused.
    pub const fn number(self) -> u16 {
        match self {
            Self::Control => 1,
            Self::Docker => 2,
            Self::Report => 3,
            Self::Logs => 4,
            Self::Events => 6,
            Self::Metrics => 5,
        }
    }

    /// The kind with this number, if this build knows it.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// What both ends must have named in the hello before such a stream is
    /// opened.
    pub const fn requires(self) -> Capabilities {
        match self {
            Self::Control => Capabilities::NONE,
            Self::Docker => Capabilities::DOCKER,
            Self::Report => Capabilities::REPORT,
            Self::Logs => Capabilities::LOGS,
            Self::Events => Capabilities::EVENTS,
            Self::Metrics => Capabilities::METRICS,
        }
    }
}

/// Why a stream's first bytes were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PreambleError {
    /// It names a kind that this build does not know.
    #[error("unknown stream kind {0}")]
    UnknownKind(u16),
    /// It is no preamble.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Starts a stream of `kind`.
///
/// # Errors
/// When the stream fails.
pub async fn write_preamble<W: AsyncWrite + Unpin>(to: &mut W, kind: StreamKind) -> Result<(), CodecError> {
    codec::write_message(to, &Preamble { kind: kind.number() }).await
}

/// Reads what a new stream is for. The caller brings the deadline.
///
/// # Errors
/// [`PreambleError`] when it is unknown, malformed or cut short.
pub async fn read_preamble<R: AsyncRead + Unpin>(from: &mut R) -> Result<StreamKind, PreambleError> {
    let preamble: Preamble = codec::read_message(from).await?;
    StreamKind::from_number(preamble.kind).ok_or(PreambleError::UnknownKind(preamble.kind))
}

/// The wire form: a number, so that an unknown kind can be named when it is
/// refused, and room behind it for what later kinds need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preamble {
    /// A [`StreamKind`] by number.
    pub kind: u16,
}

impl Message for Preamble {
    const NAME: &'static str = "stream preamble";
    const LIMIT: usize = PREAMBLE_MAX;
    const TAIL: Tail = Tail::Ignored;
}
