//! The one task that owns a session's I/O.
//!
//! It keeps no buffer while nothing moves, and it is spawned fresh after the
//! handshake: a task keeps the size of its largest wait for life.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::connection::Shared;
use super::transmit::Batch;
use crate::frame::Decoder;
use crate::limits::{GOODBYE_DEADLINE, READ_BUFFER, READ_PER_POLL, WRITE_DEADLINE};
use crate::session::CloseReason;

/// A session's I/O, to be spawned as a task of its own. Ends with the session,
/// whose reason it returns; dropping it ends the session.
pub struct Driver(Pin<Box<dyn Future<Output = CloseReason> + Send>>);

impl Driver {
    pub(crate) fn new<Io>(io: Io, shared: Arc<Shared>) -> Self
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Made outside the future, so that one that is never polled still ends
        // the session when it is dropped.
        let guard = EndOnDrop(shared);
        Self(Box::pin(async move { Drive::new(io, guard).run().await }))
    }
}

impl Future for Driver {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// Wakes everybody who waits on a session that nobody drives any more.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.step(|mux| mux.end(CloseReason::Lost("its task was stopped".to_owned())));
    }
}

struct Drive<Io> {
    io: Io,
    shared: EndOnDrop,
    decoder: Decoder,
    batch: Batch,
    /// Whether bytes were written since the last flush.
    unflushed: bool,
    /// Since when the network takes nothing.
    stuck: Option<Instant>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Drive<Io> {
    fn new(io: Io, shared: EndOnDrop) -> Self {
        Self { io, shared, decoder: Decoder::default(), batch: Batch::default(), unflushed: false, stuck: None }
    }

    async fn run(mut self) -> CloseReason {
        {
            let mut timer = pin!(sleep_until(Instant::now()));
            poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
        }
        // The peer may be gone; it is told where that is still possible.
        timeout(GOODBYE_DEADLINE, self.say_goodbye()).await.ok();
        self.shared.0.lock().ended().cloned().expect("the loop ends with the session")
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<()> {
        self.shared.0.register_driver(cx);
        let now = Instant::now();
        if let Err(error) = self.read(cx, now).and_then(|()| self.write(cx, now)) {
            self.end(CloseReason::Lost(error.to_string()));
        }
        self.watch(cx, timer, now);
        if self.shared.0.lock().ended().is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        let mut total = 0;
        while let Poll::Ready(count) = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.decoder.space()) {
            let count = count?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end hung up"));
            }
            self.receive(now);
            total += count;
            if total >= READ_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.decoder.release();
        Ok(())
    }

    /// Hands all whole frames to the state machine, in one step.
    fn receive(&mut self, now: Instant) {
        let mut mux = self.shared.0.lock();
        mux.hear(now);
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => mux.receive(frame, now),
                Ok(None) => break,
                Err(error) => {
                    mux.receive_garbage(error);
                    break;
                }
            }
            if mux.ended().is_some() {
                break;
            }
        }
        let effects = mux.take_effects();
        drop(mux);
        self.shared.0.apply(effects);
    }

    /// Sends until there is nothing to send or the network takes no more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<()> {
        loop {
            match self.write_batch(cx)? {
                Poll::Ready(()) => self.stuck = None,
                Poll::Pending => {
                    self.stuck.get_or_insert(now);
                    return Ok(());
                }
            }
            let mut mux = self.shared.0.lock();
            mux.transmit(now, &mut self.batch);
            if !self.batch.has_remaining() {
                mux.wait_for_output();
            }
            let effects = mux.take_effects();
            drop(mux);
            self.shared.0.apply(effects);
            if !self.batch.has_remaining() {
                self.batch.release();
                return Ok(());
            }
        }
    }

    /// Writes and flushes the batch at hand.
    fn write_batch(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while self.batch.has_remaining() {
            match poll_write_buf(Pin::new(&mut self.io), cx, &mut self.batch) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => (self.unflushed, self.stuck) = (true, None),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(Poll::Pending),
            }
            self.unflushed = false;
        }
        Ok(Poll::Ready(()))
    }

    /// Keeps the deadlines: the heartbeat, the peer's silence, a stuck write.
    fn watch(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, now: Instant) {
        let stuck_until = self.stuck.map(|since| since + WRITE_DEADLINE);
        if stuck_until.is_some_and(|deadline| now >= deadline) {
            return self.end(CloseReason::Lost("it takes no more bytes".to_owned()));
        }
        loop {
            let deadline = {
                let mux = self.shared.0.lock();
                stuck_until.map_or(mux.deadline(), |until| until.min(mux.deadline()))
            };
            // The timer is only ever brought forward: bytes that arrive move
            // the deadline back, and moving the timer each time would cost more
            // than one wake-up in vain.
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.shared.0.step(|mux| mux.on_timer(now));
            if self.shared.0.lock().ended().is_some() {
                return;
            }
        }
    }

    fn end(&self, reason: CloseReason) {
        self.shared.0.step(|mux| mux.end(reason));
    }

    /// Sends what is left, closes this direction and lets the peer close its
    /// own: to close with bytes unread would make the network drop the words.
    async fn say_goodbye(&mut self) -> io::Result<()> {
        self.shared.0.lock().transmit(Instant::now(), &mut self.batch);
        poll_fn(|cx| match self.write_batch(cx) {
            Ok(poll) => poll.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await?;
        self.io.shutdown().await?;
        let mut ignored = vec![0; READ_BUFFER];
        while self.io.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}
