//! Copies both directions between a stream and the engine.
//!
//! Each direction ends by itself and the other goes on for as long as it
//! likes. A direction that waits holds no buffer, so that idle keep-alive
//! streams and open terminals cost next to nothing.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::io::poll_read_buf;
use windflow_protocol::transport::{ResetCode, Stream};

/// Bytes copied in one piece.
const BUFFER: usize = 64 * 1024;
/// Buffers one session keeps for the next direction that becomes ready.
const SPARE_BUFFERS_MAX: usize = 8;
/// Pieces copied before other tasks get a turn.
const PIECES_PER_POLL: usize = 4;
/// An engine that has answered without taking the whole request leaves the hub
/// this long to read the answer before the stream is cut.
const LINGER: Duration = Duration::from_secs(5);
/// A stream on which only the engine may still speak is looked at this often:
/// nothing else tells that the hub has lost interest.
const HALF_OPEN_CHECK: Duration = Duration::from_secs(5);

/// Spare buffers, shared by the streams of one session.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() == BUFFER {
            spare.push(buffer);
        }
    }
}

/// Copies until both directions have ended or one end broke.
pub(super) async fn pipe<E: AsyncRead + AsyncWrite + Unpin>(stream: Stream, engine: E, buffers: &Buffers) {
    let mut pipe = Pipe {
        up: Direction::new(buffers),
        down: Direction::new(buffers),
        half_open: half_open_interval(),
        stream,
        engine,
    };
    if let Err(error) = poll_fn(|cx| pipe.poll_both(cx)).await {
        tracing::debug!(%error, "a Docker stream broke");
        return pipe.stream.reset(ResetCode::Internal);
    }
    if pipe.up.state == State::Discarding {
        // Past the deadline the stream is dropped, which cuts it.
        tokio::time::timeout(LINGER, poll_fn(|cx| pipe.poll_up(cx))).await.ok();
    }
}

struct Pipe<'a, E> {
    /// Hub to engine.
    up: Direction<'a>,
    /// Engine to hub.
    down: Direction<'a>,
    half_open: Interval,
    stream: Stream,
    engine: E,
}

impl<E: AsyncRead + AsyncWrite + Unpin> Pipe<'_, E> {
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let down = self.poll_down(cx)?;
        let up = self.poll_up(cx)?;
        match (down, up) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            // An engine that answered and takes no more has nothing to wait for.
            (Poll::Ready(()), Poll::Pending) if self.up.state == State::Discarding => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Ready(())) => self.poll_interest(cx),
            (Poll::Ready(()) | Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    }

    /// An engine that closes with part of the request unread shows as a reset
    /// behind its answer, and what it answered must still arrive.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let copied = self.down.poll_copy(cx, &mut self.engine, &mut self.stream);
        match copied {
            Poll::Ready(Err(Broken::Read(error))) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.down.end();
                self.down.poll_copy(cx, &mut self.engine, &mut self.stream).map_err(Broken::into_io)
            }
            copied => copied.map_err(Broken::into_io),
        }
    }

    /// An engine may answer and close before it has read the whole request.
    /// The answer must still arrive, so the rest is read and thrown away.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let copied = self.up.poll_copy(cx, &mut self.stream, &mut self.engine);
        let Poll::Ready(Err(Broken::Write(_))) = copied else {
            return copied.map_err(Broken::into_io);
        };
        self.up.discard();
        self.up.poll_copy(cx, &mut self.stream, &mut self.engine).map_err(Broken::into_io)
    }

    /// Nothing more is read from the stream, so a cut would go unseen while
    /// the engine is quiet. Writing nothing shows it.
    fn poll_interest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.half_open.poll_tick(cx).is_ready() {
            if self.down.state == State::Copying
                && let Poll::Ready(Err(cut)) = Pin::new(&mut self.stream).poll_write(cx, &[])
            {
                return Poll::Ready(Err(cut));
            }
        }
        Poll::Pending
    }
}

fn half_open_interval() -> Interval {
    let mut interval = tokio::time::interval(HALF_OPEN_CHECK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Copying,
    /// The receiver takes no more; the sender is heard out.
    Discarding,
    /// The sender has ended; the receiver is being told.
    Closing,
    Ended,
}

enum Broken {
    Read(io::Error),
    Write(io::Error),
}

impl Broken {
    fn into_io(self) -> io::Error {
        match self {
            Self::Read(error) | Self::Write(error) => error,
        }
    }
}

struct Direction<'a> {
    buffers: &'a Buffers,
    /// Taken while there is something in it; without capacity otherwise.
    piece: Vec<u8>,
    /// How much of the piece is written.
    written: usize,
    unflushed: bool,
    state: State,
}

impl<'a> Direction<'a> {
    fn new(buffers: &'a Buffers) -> Self {
        Self { buffers, piece: Vec::new(), written: 0, unflushed: false, state: State::Copying }
    }

    /// The sender has ended. A receiver that takes no more need not be told.
    fn end(&mut self) {
        self.give_back();
        self.state = if self.state == State::Discarding { State::Ended } else { State::Closing };
    }

    fn discard(&mut self) {
        self.give_back();
        self.state = State::Discarding;
    }

    fn poll_copy<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..PIECES_PER_POLL {
            match self.state {
                State::Copying => {
                    ready!(self.poll_read(cx, from, to))?;
                    ready!(self.poll_write(cx, to)).map_err(Broken::Write)?;
                }
                State::Discarding => {
                    ready!(self.poll_read(cx, from, to))?;
                    self.piece.clear();
                }
                State::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broken::Write)?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Makes sure that the piece holds something, unless the sender has ended.
    fn poll_read<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.piece.capacity() == 0 {
            self.piece = self.buffers.take();
        }
        match poll_read_buf(Pin::new(from), cx, &mut self.piece) {
            Poll::Ready(Ok(0)) => {
                self.end();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Broken::Read(error))),
            Poll::Pending => {
                self.give_back();
                self.poll_flush(cx, to)
            }
        }
    }

    fn poll_write<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        while self.written < self.piece.len() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.piece[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.unflushed = true;
        }
        self.piece.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Never ready without an error: the reader is what is waited for.
    fn poll_flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<Result<(), Broken>> {
        if self.unflushed && self.state == State::Copying {
            ready!(Pin::new(to).poll_flush(cx)).map_err(Broken::Write)?;
            self.unflushed = false;
        }
        Poll::Pending
    }

    fn give_back(&mut self) {
        self.written = 0;
        if self.piece.capacity() > 0 {
            self.buffers.give_back(std::mem::take(&mut self.piece));
        }
    }
}
