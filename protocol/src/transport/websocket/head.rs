//! What lies between the network and the WebSocket client while the head of the
//! response arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Longest head of a response that is waited for, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Bytes of a head that are read at once.
const READ_AT_ONCE: usize = 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Collects the head of an HTTP response and hands it out in one piece: the
/// client takes a head in many small pieces for an attack, and must get nothing
/// of what comes behind it.
#[derive(Debug)]
pub(super) struct Head<S> {
    io: S,
    /// Read and not yet handed out.
    ahead: BytesMut,
    is_out: bool,
}

impl<S> Head<S> {
    pub(super) fn of(io: S) -> Self {
        Self { io, ahead: BytesMut::new(), is_out: false }
    }

    /// The network, and what was read of it behind the head.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.ahead)
    }
}

impl<S: AsyncRead + Unpin> Head<S> {
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = loop {
            if let Some(end) = self.ahead.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) {
                break end + HEAD_END.len();
            }
            if self.ahead.len() >= HEAD_MAX {
                break self.ahead.len();
            }
            self.ahead.reserve(READ_AT_ONCE);
            if ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.ahead))? == 0 {
                break self.ahead.len();
            }
        };
        let taken = end.min(buf.remaining());
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        self.is_out = taken == end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Head<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // The client has what it needs: the rest is not for it.
        if self.is_out { Poll::Pending } else { self.poll_head(cx, buf) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Head<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
