//! One authenticated connection between hub and agent, whatever carries it.
//!
//! [`Connection`] opens and accepts [`Stream`]s; nothing above this module
//! knows which transport it has. Only the hub opens streams.

#[cfg(test)]
mod conformance;
pub mod memory;
pub mod quic;
pub mod websocket;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

pub use crate::mux::Driver;
use crate::mux::{MuxConnection, MuxStream, Shared};

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

/// One authenticated connection. Clones are handles to the same one; it lives
/// until [`close`](Self::close) or until the network ends it.
#[derive(Clone, Debug)]
pub struct Connection(Carrier);

#[derive(Clone, Debug)]
enum Carrier {
    Memory(memory::MemoryConnection),
    Quic(quic::QuicConnection),
    Multiplexed(MuxConnection),
}

impl Connection {
    /// A connection on any byte stream, which must be authenticated already.
    /// It lives as long as its [`Driver`], which the caller spawns as a task
    /// of its own.
    pub fn multiplexed<Io>(io: Io, side: Side, kind: TransportKind) -> (Self, Driver)
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::new(Shared::new(side, Instant::now()));
        let driver = Driver::new(io, Arc::clone(&shared));
        (Self(Carrier::Multiplexed(MuxConnection::new(shared, kind))), driver)
    }

    /// Opens a stream. The other end learns of it with the first bytes written.
    ///
    /// # Errors
    /// [`OpenError`] at once: an ended connection or one with too many streams
    /// is never waited for.
    pub fn open(&self, priority: Priority) -> Result<Stream, OpenError> {
        match &self.0 {
            Carrier::Memory(memory) => memory.open(priority).map(|stream| Stream(Channel::Memory(stream))),
            Carrier::Quic(quic) => quic.open(priority).map(|stream| Stream(Channel::Quic(stream))),
            Carrier::Multiplexed(mux) => mux.open(priority).map(|stream| Stream(Channel::Multiplexed(stream))),
        }
    }

    /// Waits for the next stream that the other end opens. Cancel safe.
    ///
    /// # Errors
    /// The reason once the connection has ended.
    pub async fn accept(&self) -> Result<Stream, CloseReason> {
        match &self.0 {
            Carrier::Memory(memory) => memory.accept().await.map(|stream| Stream(Channel::Memory(stream))),
            Carrier::Quic(quic) => quic.accept().await.map(|stream| Stream(Channel::Quic(stream))),
            Carrier::Multiplexed(mux) => mux.accept().await.map(|stream| Stream(Channel::Multiplexed(stream))),
        }
    }

    /// Asks the other end for an answer and measures the round trip. The caller
    /// brings the deadline.
    ///
    /// # Errors
    /// The reason once the connection has ended.
    pub async fn ping(&self) -> Result<Duration, CloseReason> {
        match &self.0 {
            Carrier::Memory(memory) => memory.ping(),
            Carrier::Quic(quic) => quic.ping().await,
            Carrier::Multiplexed(mux) => mux.ping().await,
        }
    }

    /// The last measured round trip; `None` before the first.
    pub fn rtt(&self) -> Option<Duration> {
        match &self.0 {
            Carrier::Memory(_) => Some(Duration::ZERO),
            Carrier::Quic(quic) => Some(quic.rtt()),
            Carrier::Multiplexed(mux) => mux.rtt(),
        }
    }

    /// Ends the connection and every stream on it. The other end is told
    /// `reason` where the network still allows it. Later calls change nothing.
    pub fn close(&self, reason: &str) {
        match &self.0 {
            Carrier::Memory(memory) => memory.close(reason),
            Carrier::Quic(quic) => quic.close(reason),
            Carrier::Multiplexed(mux) => mux.close(reason),
        }
    }

    /// Waits until the connection has ended. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        match &self.0 {
            Carrier::Memory(memory) => memory.closed().await,
            Carrier::Quic(quic) => quic.closed().await,
            Carrier::Multiplexed(mux) => mux.closed().await,
        }
    }

    /// How the connection travels.
    pub fn kind(&self) -> TransportKind {
        match &self.0 {
            Carrier::Memory(_) => TransportKind::Memory,
            Carrier::Quic(_) => TransportKind::Quic,
            Carrier::Multiplexed(mux) => mux.kind(),
        }
    }
}

/// A bidirectional byte stream. Shutting it down ends this direction only;
/// dropping it before both directions have ended cuts it with
/// [`ResetCode::Cancelled`].
#[derive(Debug)]
pub struct Stream(Channel);

#[derive(Debug)]
enum Channel {
    Memory(memory::MemoryStream),
    Quic(quic::QuicStream),
    Multiplexed(MuxStream),
}

impl Stream {
    /// Cuts both directions and tells the other end why.
    pub fn reset(self, code: ResetCode) {
        match self.0 {
            Channel::Memory(stream) => stream.reset(code),
            Channel::Quic(stream) => stream.reset(code),
            Channel::Multiplexed(stream) => stream.reset(code),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Channel::Memory(stream) => Pin::new(stream).poll_read(cx, buf),
            Channel::Quic(stream) => Pin::new(stream).poll_read(cx, buf),
            Channel::Multiplexed(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Channel::Memory(stream) => Pin::new(stream).poll_write(cx, buf),
            Channel::Quic(stream) => Pin::new(stream).poll_write(cx, buf),
            Channel::Multiplexed(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Channel::Memory(stream) => Pin::new(stream).poll_flush(cx),
            Channel::Quic(stream) => Pin::new(stream).poll_flush(cx),
            Channel::Multiplexed(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Channel::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
            Channel::Quic(stream) => Pin::new(stream).poll_shutdown(cx),
            Channel::Multiplexed(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
