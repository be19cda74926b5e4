//! A stream that brings so many bytes and no more: what reads it whole holds at
//! most that much, whatever the other end sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream with a budget. Once it is spent the stream fails.
#[derive(Debug)]
pub(super) struct Budgeted<S> {
    pub(super) stream: S,
    /// Bytes that may still come.
    pub(super) left: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Budgeted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                buf.set_filled(before);
                Poll::Ready(Err(io::Error::other("the engine's answer is too long")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Budgeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_stream_brings_its_budget_and_then_fails() {
        let mut enough = Budgeted { stream: &b"four"[..], left: 4 };
        let mut text = String::new();
        enough.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "four");
        let mut spent = Budgeted { stream: &b"fives"[..], left: 4 };
        assert!(spent.read_to_end(&mut Vec::new()).await.is_err());
    }
}
