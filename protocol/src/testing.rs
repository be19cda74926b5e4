//! An in-memory link with the faults of a network: delay, a bandwidth, split
//! writes, stalls and cuts. It runs in tokio's time, so a test that pauses the
//! clock gets the same run each time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How a link behaves, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    /// How long a byte takes from end to end.
    pub delay: Duration,
    /// Bytes that can enter per second.
    pub bytes_per_second: Option<u64>,
    /// Bytes that may be under way or unread in one direction.
    pub capacity: usize,
    /// How writes arrive.
    pub split: Split,
}

/// How a link cuts what is written into pieces.
#[derive(Clone, Copy, Debug)]
pub enum Split {
    /// Not at all.
    Whole,
    /// Into pieces of at most this many bytes.
    Fixed(usize),
    /// Into pieces of one to `most` bytes, the same ones for the same seed.
    Random {
        /// The largest piece.
        most: usize,
        /// What the sizes follow from.
        seed: u64,
    },
}

impl Default for LinkOptions {
    /// No delay, no limit on the rate, 64 KiB of buffer.
    fn default() -> Self {
        Self { delay: Duration::ZERO, bytes_per_second: None, capacity: 64 * 1024, split: Split::Whole }
    }
}

/// Two ends of a link and the switch by its side.
pub fn link(options: LinkOptions) -> (LinkEnd, LinkEnd, LinkSwitch) {
    let there = Arc::new(Mutex::new(Direction::new(options)));
    let back = Arc::new(Mutex::new(Direction::new(options)));
    let end = |incoming: &Shared, outgoing: &Shared| LinkEnd {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        arrival: Box::pin(sleep_until(Instant::now())),
    };
    (end(&back, &there), end(&there, &back), LinkSwitch { there, back })
}

/// Breaks and mends a link. Directions are seen from the first end.
#[derive(Clone, Debug)]
pub struct LinkSwitch {
    there: Shared,
    back: Shared,
}

impl LinkSwitch {
    /// Cuts both directions: reads and writes fail from now on.
    pub fn cut(&self) {
        self.both(|direction| direction.state = State::Cut);
    }

    /// Lets nothing through in either direction, without an error, as a
    /// half-open connection does.
    pub fn stall(&self) {
        self.both(|direction| direction.stall());
    }

    /// Lets nothing through from the first end to the second.
    pub fn stall_there(&self) {
        lock(&self.there).stall();
    }

    /// Lets nothing through from the second end to the first.
    pub fn stall_back(&self) {
        lock(&self.back).stall();
    }

    /// Lets through what has waited.
    pub fn resume(&self) {
        self.both(|direction| {
            if direction.state == State::Stalled {
                direction.state = State::Open;
            }
        });
    }

    /// Bytes that entered the link at the first end so far.
    pub fn sent_there(&self) -> u64 {
        lock(&self.there).entered
    }

    fn both(&self, change: impl Fn(&mut Direction)) {
        for direction in [&self.there, &self.back] {
            let mut direction = lock(direction);
            change(&mut direction);
            direction.wake();
        }
    }
}

type Shared = Arc<Mutex<Direction>>;

fn lock(direction: &Shared) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Direction {
    options: LinkOptions,
    state: State,
    pieces: VecDeque<Piece>,
    held: usize,
    entered: u64,
    /// When the link has taken in all that was written.
    free_at: Instant,
    random: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Piece {
    arrives: Instant,
    bytes: VecDeque<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Stalled,
    /// The writer has ended; what is under way still arrives.
    Ended,
    Cut,
}

impl Direction {
    fn new(options: LinkOptions) -> Self {
        let random = match options.split {
            Split::Whole | Split::Fixed(_) => 0,
            Split::Random { seed, .. } => seed,
        };
        Self {
            options,
            state: State::Open,
            pieces: VecDeque::new(),
            held: 0,
            entered: 0,
            free_at: Instant::now(),
            random,
            reader: None,
            writer: None,
        }
    }

    fn stall(&mut self) {
        if self.state == State::Open {
            self.state = State::Stalled;
        }
    }

    fn wake(&mut self) {
        let waiting = self.reader.take().into_iter().chain(self.writer.take());
        waiting.for_each(Waker::wake);
    }

    fn write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.state {
            State::Cut => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            State::Ended => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            State::Open | State::Stalled => {}
        }
        let room = self.options.capacity - self.held;
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = self.piece_len().min(room).min(bytes.len());
        let arrives = self.enter(length);
        self.pieces.push_back(Piece { arrives, bytes: bytes[..length].iter().copied().collect() });
        self.wake();
        Poll::Ready(Ok(length))
    }

    fn enter(&mut self, length: usize) -> Instant {
        self.held += length;
        self.entered += length as u64;
        self.free_at = self.free_at.max(Instant::now());
        if let Some(rate) = self.options.bytes_per_second {
            self.free_at += Duration::from_nanos(length as u64 * 1_000_000_000 / rate);
        }
        self.free_at + self.options.delay
    }

    fn piece_len(&mut self) -> usize {
        match self.options.split {
            Split::Whole => usize::MAX,
            Split::Fixed(most) => most,
            Split::Random { most, .. } => {
                // A linear congruential generator (Knuth's MMIX constants).
                self.random =
                    self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + (self.random >> 33) as usize % most
            }
        }
    }

    fn read(&mut self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        match (self.state, self.pieces.front_mut()) {
            (State::Cut, _) => return Read::Failed,
            (State::Ended, None) => return Read::Done,
            (State::Stalled, _) | (State::Open, None) => {
                self.reader = Some(cx.waker().clone());
                return Read::Waiting;
            }
            (State::Open | State::Ended, Some(piece)) if piece.arrives > Instant::now() => {
                let arrives = piece.arrives;
                self.reader = Some(cx.waker().clone());
                return Read::Until(arrives);
            }
            (State::Open | State::Ended, Some(piece)) => {
                let length = buf.remaining().min(piece.bytes.len());
                let taken: Vec<u8> = piece.bytes.drain(..length).collect();
                buf.put_slice(&taken);
                self.held -= length;
                if piece.bytes.is_empty() {
                    self.pieces.pop_front();
                }
            }
        }
        self.writer.take().into_iter().for_each(Waker::wake);
        Read::Done
    }
}

enum Read {
    Done,
    Waiting,
    Until(Instant),
    Failed,
}

/// One end of a link. Dropping it ends what it sends, as a closed socket does.
#[derive(Debug)]
pub struct LinkEnd {
    incoming: Shared,
    outgoing: Shared,
    arrival: Pin<Box<Sleep>>,
}

impl AsyncRead for LinkEnd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let read = lock(&self.incoming).read(cx, buf);
            match read {
                Read::Done => return Poll::Ready(Ok(())),
                Read::Waiting => return Poll::Pending,
                Read::Failed => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Read::Until(arrives) => {
                    self.arrival.as_mut().reset(arrives);
                    std::task::ready!(self.arrival.as_mut().poll(cx));
                }
            }
        }
    }
}

impl AsyncWrite for LinkEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.outgoing).write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.outgoing);
        Poll::Ready(Ok(()))
    }
}

fn end(direction: &Shared) {
    let mut direction = lock(direction);
    if direction.state == State::Open {
        direction.state = State::Ended;
    }
    direction.wake();
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        end(&self.outgoing);
    }
}
