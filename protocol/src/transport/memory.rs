//! The transport within one process: each stream is a pair of bounded pipes.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{CloseReason, Connection, OpenError, Priority, ResetCode, Side, StreamReset};
use crate::limits::{STREAMS_MAX, WINDOW_INITIAL};

/// Two connected ends, hub first.
pub fn pair() -> (Connection, Connection) {
    let shared = Arc::new(Shared {
        ended: CancellationToken::new(),
        reason: OnceLock::new(),
        slots: Arc::new(Semaphore::new(STREAMS_MAX)),
    });
    let (opened, incoming) = mpsc::channel(STREAMS_MAX);
    let incoming = Arc::new(tokio::sync::Mutex::new(incoming));
    let end = |side, opened| MemoryConnection { side, shared: Arc::clone(&shared), opened, incoming: incoming.clone() };
    let hub = end(Side::Hub, Some(opened));
    let agent = end(Side::Agent, None);
    (Connection(super::Carrier::Memory(hub)), Connection(super::Carrier::Memory(agent)))
}

#[derive(Clone, Debug)]
pub(super) struct MemoryConnection {
    side: Side,
    shared: Arc<Shared>,
    /// Only the hub's end opens streams.
    opened: Option<mpsc::Sender<MemoryStream>>,
    incoming: Arc<tokio::sync::Mutex<mpsc::Receiver<MemoryStream>>>,
}

#[derive(Debug)]
struct Shared {
    ended: CancellationToken,
    reason: OnceLock<(Side, String)>,
    slots: Arc<Semaphore>,
}

impl MemoryConnection {
    pub(super) fn open(&self, _priority: Priority) -> Result<MemoryStream, OpenError> {
        if self.shared.ended.is_cancelled() {
            return Err(self.reason().into());
        }
        let opened = self.opened.as_ref().ok_or(OpenError::TooManyStreams)?;
        let slot = Arc::clone(&self.shared.slots).try_acquire_owned().map_err(|_| OpenError::TooManyStreams)?;
        let (ours, theirs) = tokio::io::duplex(WINDOW_INITIAL as usize);
        let cut = Arc::new(Cut { code: AtomicU32::new(NOT_CUT), _slot: slot });
        let end = |pipe| MemoryStream {
            pipe,
            cut: Arc::clone(&cut),
            ended: Box::pin(self.shared.ended.clone().cancelled_owned()),
            read_ended: false,
            write_ended: false,
        };
        opened.try_send(end(theirs)).map_err(|_| OpenError::TooManyStreams)?;
        Ok(end(ours))
    }

    pub(super) async fn accept(&self) -> Result<MemoryStream, CloseReason> {
        let mut incoming = self.incoming.lock().await;
        tokio::select! {
            biased;
            () = self.shared.ended.cancelled() => Err(self.reason()),
            stream = incoming.recv() => stream.ok_or_else(|| CloseReason::Lost("the other end is gone".to_owned())),
        }
    }

    pub(super) fn ping(&self) -> Result<Duration, CloseReason> {
        if self.shared.ended.is_cancelled() {
            return Err(self.reason());
        }
        Ok(Duration::ZERO)
    }

    pub(super) fn close(&self, reason: &str) {
        self.shared.reason.get_or_init(|| (self.side, reason.to_owned()));
        self.shared.ended.cancel();
    }

    pub(super) async fn closed(&self) -> CloseReason {
        self.shared.ended.cancelled().await;
        self.reason()
    }

    fn reason(&self) -> CloseReason {
        match self.shared.reason.get() {
            Some((side, reason)) if *side == self.side => CloseReason::Local(reason.clone()),
            Some((_, reason)) => CloseReason::Remote(reason.clone()),
            None => CloseReason::Lost("the other end is gone".to_owned()),
        }
    }
}

/// No reset has happened; every real code fits in sixteen bits.
const NOT_CUT: u32 = u32::MAX;

/// Shared by both ends of a stream: whether one of them cut it, and the slot
/// it occupies while either end lives.
#[derive(Debug)]
struct Cut {
    code: AtomicU32,
    _slot: tokio::sync::OwnedSemaphorePermit,
}

impl Cut {
    fn with(&self, code: ResetCode) {
        // The first cause stays; a later one changes nothing.
        self.code.compare_exchange(NOT_CUT, code.number().into(), Ordering::AcqRel, Ordering::Acquire).ok();
    }

    fn check(&self) -> io::Result<()> {
        match self.code.load(Ordering::Acquire) {
            NOT_CUT => Ok(()),
            code => Err(StreamReset(ResetCode::from_number(code as u16)).into()),
        }
    }
}

pub(super) struct MemoryStream {
    pipe: DuplexStream,
    cut: Arc<Cut>,
    /// Wakes a waiting reader or writer when the session ends.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    read_ended: bool,
    write_ended: bool,
}

impl MemoryStream {
    pub(super) fn reset(self, code: ResetCode) {
        self.cut.with(code);
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.cut.check()?;
        match self.ended.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session has ended")),
            Poll::Pending => Ok(()),
        }
    }
}

impl std::fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStream").field("cut", &self.cut).finish_non_exhaustive()
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.pipe).poll_read(cx, buf) else {
            self.check(cx)?;
            return Poll::Pending;
        };
        read?;
        if buf.filled().len() == before && buf.remaining() > 0 {
            // The pipe looks ended both after a shutdown and after a cut.
            self.check(cx)?;
            self.read_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        let written = ready!(Pin::new(&mut self.pipe).poll_write(cx, buf));
        Poll::Ready(written.or_else(|broken| self.check(cx).and(Err(broken))))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_ended = true;
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        if !(self.read_ended && self.write_ended) {
            self.cut.with(ResetCode::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_cross_and_each_direction_ends_by_itself() {
        let (hub, agent) = pair();
        let mut ours = hub.open(Priority::Normal).unwrap();
        ours.write_all(b"question").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut theirs = agent.accept().await.unwrap();
        let mut question = Vec::new();
        theirs.read_to_end(&mut question).await.unwrap();
        theirs.write_all(b"answer").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        assert_eq!((question.as_slice(), answer.as_slice()), (&b"question"[..], &b"answer"[..]));
    }

    #[tokio::test]
    async fn a_reset_says_why() {
        let (hub, agent) = pair();
        let mut ours = hub.open(Priority::Normal).unwrap();
        agent.accept().await.unwrap().reset(ResetCode::EngineUnavailable);
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(StreamReset::code_of(&error), Some(ResetCode::EngineUnavailable));
    }

    #[tokio::test]
    async fn closing_ends_open_streams_and_says_why() {
        let (hub, agent) = pair();
        let mut ours = hub.open(Priority::Normal).unwrap();
        let mut theirs = agent.accept().await.unwrap();
        hub.close("revoked");
        assert_eq!(agent.closed().await, CloseReason::Remote("revoked".to_owned()));
        assert_eq!(hub.closed().await, CloseReason::Local("revoked".to_owned()));
        let mut byte = [0];
        assert!(theirs.read(&mut byte).await.is_err(), "a waiting reader must not wait for ever");
        assert!(theirs.write_all(b"x").await.is_err());
        assert!(ours.write_all(b"x").await.is_err());
        assert!(hub.open(Priority::Normal).is_err());
    }

    #[tokio::test]
    async fn a_stream_gives_its_slot_back() {
        let (hub, agent) = pair();
        for _ in 0..3 * STREAMS_MAX {
            drop(hub.open(Priority::Normal).unwrap());
            drop(agent.accept().await.unwrap());
        }
    }
}
