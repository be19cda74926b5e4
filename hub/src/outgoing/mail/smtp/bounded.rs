//! A connection on which a server can say only so much: its answers are read
//! line by line, and a line that never ends would fill the memory.
//!
//! Where TLS begins later, nothing is read ahead either. What somebody on the
//! way puts behind the answer to STARTTLS would otherwise count as said under
//! TLS.

use std::fmt::{Debug, Formatter};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// All that a server may say on one connection, its certificates included.
const READ_MAX: usize = 256 * 1024;

/// What a server is talked to over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {
    /// Who is at the other end.
    fn peer(&self) -> io::Result<SocketAddr>;
}

impl Stream for TcpStream {
    fn peer(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

impl Stream for TlsStream<TcpStream> {
    fn peer(&self) -> io::Result<SocketAddr> {
        self.get_ref().0.peer_addr()
    }
}

/// The stream, and how much may still come.
pub(super) struct Bounded<S> {
    inner: S,
    left: usize,
    ahead: Ahead,
}

/// How far it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// As far as there is something.
    Far,
    /// No further than asked: byte by byte.
    Nothing,
}

impl<S> Bounded<S> {
    pub fn new(inner: S, ahead: Ahead) -> Self {
        Self { inner, left: READ_MAX, ahead }
    }
}

impl<S> Debug for Bounded<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<S: Stream> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer()
    }
}

impl<S: Stream> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server says too much")));
        }
        let before = into.filled().len();
        let polled = match self.ahead {
            Ahead::Far => Pin::new(&mut self.inner).poll_read(cx, into),
            Ahead::Nothing => {
                let mut byte = [0; 1];
                let mut one = ReadBuf::new(&mut byte);
                let polled = Pin::new(&mut self.inner).poll_read(cx, &mut one);
                into.put_slice(one.filled());
                polled
            }
        };
        let read = into.filled().len() - before;
        self.left = self.left.saturating_sub(read);
        polled
    }
}

impl<S: Stream> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
