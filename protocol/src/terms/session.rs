//! The words for a session and its streams that every layer shares: which end
//! it is, how it travels, what goes first, and why something ended.

use std::io;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that opens streams.
    Hub,
    /// The end that accepts them.
    Agent,
}

/// How a connection travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Within the hub's own process.
    Memory,
    /// The multiplexer inside TLS inside a WebSocket.
    WebSocket,
    /// QUIC's own streams.
    Quic,
}

impl TransportKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Memory, Self::WebSocket, Self::Quic];

    /// The name used in the API, the CLI and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::WebSocket => "websocket",
            Self::Quic => "quic",
        }
    }
}

impl std::fmt::Display for TransportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How soon a stream's bytes go out when several wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// A person or a control loop waits: terminals, control.
    Interactive,
    /// Everything else, in turn.
    #[default]
    Normal,
}

/// Why a stream was cut. Numbers are on the wire and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ResetCode {
    /// The other end no longer wants it.
    Cancelled = 0,
    /// Its first bytes could not be read.
    Malformed = 1,
    /// Its kind is unknown to the other end.
    UnknownKind = 2,
    /// Its kind was not agreed on in the hello.
    NotAgreed = 3,
    /// The other end has too many streams.
    Refused = 4,
    /// Nothing answers at the engine's address.
    EngineUnavailable = 5,
    /// The other end failed.
    Internal = 6,
    /// It did not make progress in time.
    Deadline = 7,
}

impl ResetCode {
    const ALL: [Self; 8] = [
        Self::Cancelled,
        Self::Malformed,
        Self::UnknownKind,
        Self::NotAgreed,
        Self::Refused,
        Self::EngineUnavailable,
        Self::Internal,
        Self::Deadline,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number; an unknown one counts as
    /// [`Internal`](Self::Internal).
    pub fn from_number(number: u16) -> Self {
        Self::ALL.into_iter().find(|code| code.number() == number).unwrap_or(Self::Internal)
    }
}

/// The error a reader or writer gets when the other end cut the stream. It is
/// the inner error of an [`io::Error`] of kind `ConnectionReset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end cut the stream: {0:?}")]
pub struct StreamReset(pub ResetCode);

impl StreamReset {
    /// The code of a reset stream's error, or `None` for any other error.
    pub fn code_of(error: &(dyn std::error::Error + 'static)) -> Option<ResetCode> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Self(code)) = error.downcast_ref() {
                return Some(*code);
            }
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = inner.map(|inner| inner as _).or_else(|| error.source());
        }
        None
    }
}

impl From<StreamReset> for io::Error {
    fn from(reset: StreamReset) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, reset)
    }
}

/// Why a connection ended. The first cause is the one that is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This end closed it.
    #[error("closed here: {0}")]
    Local(String),
    /// The other end closed it and said why.
    #[error("closed by the other end: {0}")]
    Remote(String),
    /// The network closed it.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Nothing was heard for [`SILENCE_MAX`](crate::limits::SILENCE_MAX).
    #[error("connection lost: the other end has been silent for too long")]
    Silent,
    /// The other end broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(String),
}

/// Why a stream could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many streams are open as the session may have.
    #[error("too many streams are open on this session")]
    TooManyStreams,
    /// The connection has ended.
    #[error(transparent)]
    Closed(#[from] CloseReason),
}
