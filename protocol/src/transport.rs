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
pub use crate::session::{CloseReason, OpenError, Priority, ResetCode, Side, StreamReset, TransportKind};

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
