//! Listens to the head of the one request on a stream. The parser behind it
//! takes a length and an encoding both, and forgets one; here that is seen.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of a head that are looked at; a longer one is refused.
pub(super) const HEAD_MAX: usize = 64 * 1024;
const END: &[u8] = b"\r\n\r\n";

/// A stream whose first head is listened to. Whoever drops it gives it back.
pub(super) struct Tap<S> {
    /// Taken when this is dropped, and not before.
    stream: Option<S>,
    given_back: Arc<Mutex<Option<S>>>,
    /// What was heard until the head ended.
    head: Option<Vec<u8>>,
    is_ambiguous: Arc<AtomicBool>,
}

impl<S> Tap<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: Some(stream), given_back: Arc::default(), head: Some(Vec::new()), is_ambiguous: Arc::default() }
    }

    /// Whether the body's length was told in two ways, once the head was read.
    pub(super) fn ambiguity(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_ambiguous)
    }

    /// Where the stream is once this was dropped.
    pub(super) fn given_back(&self) -> Arc<Mutex<Option<S>>> {
        Arc::clone(&self.given_back)
    }

    fn stream(&mut self) -> io::Result<&mut S> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn listen(&mut self, heard: &[u8]) {
        let Some(head) = &mut self.head else { return };
        let from = head.len().saturating_sub(END.len());
        head.extend_from_slice(heard);
        let end = head[from..].windows(END.len()).position(|bytes| bytes == END).map(|at| from + at);
        if end.is_none() && head.len() < HEAD_MAX {
            return;
        }
        if end.is_none() || is_ambiguous(&head[..end.unwrap_or(head.len())]) {
            self.is_ambiguous.store(true, Ordering::Release);
        }
        self.head = None;
    }
}

impl<S> Drop for Tap<S> {
    fn drop(&mut self) {
        *self.given_back.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

/// Whether a head has a length and an encoding, or one of them twice.
fn is_ambiguous(head: &[u8]) -> bool {
    let names = head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| line.split(|byte| *byte == b':').next());
    let tells_length = |name: &&[u8]| {
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
    };
    names.filter(tells_length).count() > 1
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(this.stream()?).poll_read(cx, buf))?;
        this.listen(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().stream()?).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().stream()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().stream()?).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn heard(head: &str, piece: usize) -> bool {
        let chunks = head.as_bytes().chunks(piece);
        let mut builder = tokio_stub(chunks);
        let ambiguity = builder.ambiguity();
        let mut all = Vec::new();
        builder.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, head.as_bytes());
        ambiguity.load(Ordering::Acquire)
    }

    fn tokio_stub<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Tap<Pieces> {
        Tap::new(Pieces(chunks.map(<[u8]>::to_vec).collect()))
    }

    /// Gives what it has piece by piece.
    struct Pieces(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(buf.remaining()));
                buf.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn c48_a_length_told_twice_is_heard_however_it_arrives() {
        let both = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc";
        let turned = "POST /x HTTP/1.1\r\ncontent-length: 3\r\nTRANSFER-ENCODING : chunked\r\n\r\nabc";
        let twice = "POST /x HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
        let once =
            "POST /x HTTP/1.1\r\nContent-Length: 80\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        for piece in [1, 2, 3, 7, 4096] {
            for head in [both, turned, twice] {
                assert!(heard(head, piece).await, "{piece}: {head}");
            }
            assert!(!heard(once, piece).await, "{piece}");
        }
    }
}
