//! The handles: a session's connection and its streams, which share the state
//! machine with the driver.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::local::ReadStep;
use super::{Effects, Mux, Slot};
use crate::limits::{FRAME_PAYLOAD_SENT, WRITE_JOIN_MAX};
use crate::session::{CloseReason, OpenError, Priority, ResetCode, Side, TransportKind};

/// The state machine and those who wait for it.
#[derive(Debug)]
pub struct Shared {
    mux: Mutex<Mux>,
    driver: AtomicWaker,
    opened: Notify,
    answered: Notify,
    ended: CancellationToken,
}

impl Shared {
    pub fn new(side: Side, now: Instant) -> Self {
        Self {
            mux: Mutex::new(Mux::new(side, now)),
            driver: AtomicWaker::new(),
            opened: Notify::new(),
            answered: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// One step of a handle. Wakes whom it concerns after the lock is free.
    pub fn step<T>(&self, act: impl FnOnce(&mut Mux) -> T) -> T {
        let mut mux = self.lock();
        let result = act(&mut mux);
        let wakes_driver = mux.wakes_driver();
        let effects = mux.take_effects();
        drop(mux);
        if wakes_driver {
            self.driver.wake();
        }
        self.apply(effects);
        result
    }

    /// For the driver, which needs no waking and applies the effects itself.
    pub fn lock(&self) -> MutexGuard<'_, Mux> {
        // A panic elsewhere leaves the queues as they were between two steps.
        self.mux.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn apply(&self, effects: Effects) {
        if effects.opened {
            self.opened.notify_one();
        }
        if effects.answered {
            self.answered.notify_waiters();
        }
        if effects.ended {
            self.ended.cancel();
        }
        effects.wakes.into_iter().for_each(std::task::Waker::wake);
    }

    pub fn register_driver(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    fn reason(&self) -> CloseReason {
        let lost = || CloseReason::Lost("the session is gone".to_owned());
        self.lock().ended().cloned().unwrap_or_else(lost)
    }
}

#[derive(Clone, Debug)]
pub struct MuxConnection {
    shared: Arc<Shared>,
    kind: TransportKind,
}

impl MuxConnection {
    pub fn new(shared: Arc<Shared>, kind: TransportKind) -> Self {
        Self { shared, kind }
    }

    pub fn kind(&self) -> TransportKind {
        self.kind
    }

    pub fn open(&self, priority: Priority) -> Result<MuxStream, OpenError> {
        let slot = self.shared.step(|mux| mux.open(priority, Instant::now()))?;
        Ok(MuxStream::new(Arc::clone(&self.shared), slot))
    }

    pub async fn accept(&self) -> Result<MuxStream, CloseReason> {
        loop {
            if let Some(slot) = self.shared.step(Mux::accept) {
                // One notification may stand for several streams.
                self.shared.opened.notify_one();
                return Ok(MuxStream::new(Arc::clone(&self.shared), slot));
            }
            tokio::select! {
                biased;
                () = self.shared.ended.cancelled() => return Err(self.shared.reason()),
                () = self.shared.opened.notified() => {}
            }
        }
    }

    pub async fn ping(&self) -> Result<Duration, CloseReason> {
        let number = self.shared.step(Mux::ping);
        loop {
            let answered = self.shared.answered.notified();
            if self.shared.ended.is_cancelled() {
                return Err(self.shared.reason());
            }
            if let Some(rtt) = self.shared.lock().rtt_of(number) {
                return Ok(rtt);
            }
            tokio::select! {
                () = self.shared.ended.cancelled() => return Err(self.shared.reason()),
                () = answered => {}
            }
        }
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.shared.lock().rtt()
    }

    pub fn close(&self, reason: &str) {
        self.shared.step(|mux| mux.end(CloseReason::Local(reason.to_owned())));
    }

    pub async fn closed(&self) -> CloseReason {
        self.shared.ended.cancelled().await;
        self.shared.reason()
    }
}

/// A stream's handle. What was taken from the session and not yet read waits
/// here, so that its reader copies without the lock.
#[derive(Debug)]
pub struct MuxStream {
    shared: Arc<Shared>,
    /// `None` once the stream was given back.
    slot: Option<Slot>,
    unread: BytesMut,
}

impl MuxStream {
    fn new(shared: Arc<Shared>, slot: Slot) -> Self {
        Self { shared, slot: Some(slot), unread: BytesMut::new() }
    }

    pub fn reset(mut self, code: ResetCode) {
        if let Some(slot) = self.slot.take() {
            self.shared.step(|mux| mux.cut(slot, code));
        }
    }

    fn slot(&self) -> Slot {
        self.slot.expect("only consuming the handle gives the stream back")
    }

    fn step<T>(&self, act: impl FnOnce(&mut Mux, Slot) -> T) -> T {
        let slot = self.slot();
        self.shared.step(|mux| act(mux, slot))
    }

    fn copy_to(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let progress = ready!(tokio::task::coop::poll_proceed(cx));
        if self.unread.is_empty() {
            match ready!(self.step(|mux, slot| mux.poll_read(slot, cx)))? {
                ReadStep::Bytes(bytes) => self.unread = bytes,
                ReadStep::End => return Poll::Ready(Ok(())),
            }
        }
        progress.made_progress();
        self.copy_to(buf);
        // A reader with a large buffer gets all that is there, so that a pipe
        // writes onwards in large pieces.
        while buf.remaining() > 0
            && let Some(more) = self.step(Mux::read_more)
        {
            self.unread = more;
            self.copy_to(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return self.step(|mux, slot| still_stands(mux, slot, cx));
        }
        let progress = ready!(tokio::task::coop::poll_proceed(cx));
        let length = if buf.len() <= WRITE_JOIN_MAX {
            ready!(self.step(|mux, slot| write_small(mux, slot, cx, buf)))?
        } else {
            // Copied between two steps: this handle is the only writer, so the
            // room can only have grown meanwhile. One piece for each frame: its
            // size is one that allocators keep at hand.
            let room = ready!(self.step(|mux, slot| mux.poll_room(slot, cx)))?;
            let length = room.min(buf.len());
            let pieces: Vec<_> = buf[..length].chunks(FRAME_PAYLOAD_SENT).map(BytesMut::from).collect();
            self.step(|mux, slot| mux.write_owned(slot, pieces));
            length
        };
        progress.made_progress();
        Poll::Ready(Ok(length))
    }

    /// Bytes leave by themselves; a flush only makes a stream known to which
    /// nothing was written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.step(Mux::announce_now);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.step(Mux::finish);
        Poll::Ready(Ok(()))
    }
}

/// What an empty write asks: has the stream been cut? Room does not matter.
fn still_stands(mux: &mut Mux, slot: Slot, cx: &Context<'_>) -> Poll<io::Result<usize>> {
    match mux.poll_room(slot, cx) {
        Poll::Ready(Err(cut)) => Poll::Ready(Err(cut)),
        Poll::Ready(Ok(_)) | Poll::Pending => Poll::Ready(Ok(0)),
    }
}

fn write_small(mux: &mut Mux, slot: Slot, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    let room = ready!(mux.poll_room(slot, cx))?;
    let length = room.min(buf.len());
    mux.write(slot, &buf[..length]);
    Poll::Ready(Ok(length))
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.shared.step(|mux| mux.release(slot));
        }
    }
}
