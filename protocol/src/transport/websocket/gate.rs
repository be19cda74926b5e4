//! What lies between the network and the WebSocket codec: it reads ahead where
//! the codec reads in small steps, and counts what the codec was given.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes read at once from a busy network.
const READ_AHEAD: usize = 64 * 1024;
/// Longest head of a response that is waited for, in bytes.
const HEAD_MAX: usize = 16 * 1024;
const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
pub(super) struct Gate<S> {
    io: S,
    /// Read and not yet handed out; holds memory only while the network is busy.
    ahead: BytesMut,
    state: State,
    /// Bytes handed out behind the head.
    handed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The head of an HTTP response is collected, then handed out in one
    /// piece: the codec takes a head in many small pieces for an attack, and
    /// nothing behind it may be counted as part of it.
    Head,
    /// The last read left room: what comes next is probably small.
    Quiet,
    /// The last read filled its buffer.
    Busy,
}

impl<S> Gate<S> {
    pub(super) fn before_head(io: S) -> Self {
        Self { io, ahead: BytesMut::new(), state: State::Head, handed: 0 }
    }

    pub(super) fn behind_head(io: S) -> Self {
        Self { io, ahead: BytesMut::new(), state: State::Quiet, handed: 0 }
    }

    pub(super) const fn get_ref(&self) -> &S {
        &self.io
    }

    /// How many bytes of frames have been read through it.
    pub(super) const fn handed(&self) -> u64 {
        self.handed
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = loop {
            if let Some(end) = self.ahead.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) {
                break end + HEAD_END.len();
            }
            if self.ahead.len() >= HEAD_MAX {
                break self.ahead.len();
            }
            self.ahead.reserve(1024);
            if ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.ahead))? == 0 {
                break self.ahead.len();
            }
        };
        let taken = end.min(buf.remaining());
        self.hand_out(taken, buf);
        if taken == end {
            self.state = State::Quiet;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_small(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.handed += (buf.filled().len() - before) as u64;
        if buf.remaining() == 0 {
            self.state = State::Busy;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_large(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.ahead.reserve(READ_AHEAD);
        let Poll::Ready(read) = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.ahead) else {
            self.ahead = BytesMut::new();
            return Poll::Pending;
        };
        if read? < buf.remaining() {
            self.state = State::Quiet;
        }
        self.hand_out_frames(buf);
        Poll::Ready(Ok(()))
    }

    fn hand_out_frames(&mut self, buf: &mut ReadBuf<'_>) {
        let taken = self.ahead.len().min(buf.remaining());
        self.hand_out(taken, buf);
        self.handed += taken as u64;
    }

    fn hand_out(&mut self, taken: usize, buf: &mut ReadBuf<'_>) {
        buf.put_slice(&self.ahead[..taken]);
        self.ahead.advance(taken);
        if self.ahead.is_empty() && self.state != State::Busy {
            self.ahead = BytesMut::new();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.state {
            State::Head => self.poll_head(cx, buf),
            State::Quiet | State::Busy if !self.ahead.is_empty() => {
                self.hand_out_frames(buf);
                Poll::Ready(Ok(()))
            }
            State::Quiet => self.poll_small(cx, buf),
            State::Busy => self.poll_large(cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
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
