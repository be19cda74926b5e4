//! The multiplexer's rules, and what its tests share: one end whose frames are
//! looked at, and two ends joined without a network.

mod bounds;
mod faults;
mod model;
mod order;
mod rules;
mod session;
mod windows;

use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, BytesMut};
use tokio::time::{Duration, Instant};

use super::local::ReadStep;
use super::*;
use crate::frame::{Decoder, Frame, MUX_VERSION, Payload};
use crate::limits::{FRAME_PAYLOAD_MAX, STREAMS_MAX, WINDOW_INITIAL};
use crate::session::Priority;

/// What a well-behaved peer says first.
const PEER: Settings = Settings {
    version: MUX_VERSION,
    window: WINDOW_INITIAL,
    payload_max: FRAME_PAYLOAD_MAX as u32,
    streams_max: STREAMS_MAX as u32,
};

/// One state machine, its clock, and nobody behind it.
struct End {
    mux: Mux,
    now: Instant,
    decoder: Decoder,
}

impl End {
    /// An end that has just started.
    fn fresh(side: Side) -> Self {
        let now = Instant::now();
        Self { mux: Mux::new(side, now), now, decoder: Decoder::default() }
    }

    /// An end that has exchanged settings and nothing else.
    fn greeted(side: Side) -> Self {
        let mut end = Self::fresh(side);
        end.gets(Frame::Settings(PEER));
        end.sends();
        end
    }

    fn gets(&mut self, frame: Frame<'_>) {
        self.mux.receive(frame, self.now);
    }

    fn gets_open(&mut self, id: u32) {
        self.gets(Frame::Open { stream: StreamId(id), priority: Priority::Normal });
    }

    fn gets_data(&mut self, id: u32, bytes: &[u8]) {
        self.gets(Frame::Data { stream: StreamId(id), fin: false, payload: Payload::Borrowed(bytes) });
    }

    /// The frames of one flush.
    fn sends(&mut self) -> Vec<Frame<'static>> {
        let mut batch = Batch::default();
        self.mux.transmit(self.now, &mut batch);
        let mut frames = Vec::new();
        feed(&mut batch, &mut self.decoder, |frame| frames.push(crate::frame::tests::owned(frame)));
        frames
    }

    /// The same, as short words.
    fn says(&mut self) -> Vec<String> {
        self.sends().iter().map(word).collect()
    }

    fn opens(&mut self, priority: Priority) -> Slot {
        self.mux.open(priority, self.now).unwrap()
    }

    fn writes(&mut self, slot: Slot, length: usize) {
        self.mux.write_owned(slot, [BytesMut::zeroed(length)]);
    }

    /// Fills the stream's send queue.
    fn fills(&mut self, slot: Slot) {
        if let Poll::Ready(room) = self.mux.poll_room(slot, &context()) {
            self.writes(slot, room.unwrap());
        }
    }

    /// Reads what is there, at most once.
    fn reads(&mut self, slot: Slot) -> Option<BytesMut> {
        match self.mux.poll_read(slot, &context()) {
            Poll::Ready(Ok(ReadStep::Bytes(bytes))) => Some(bytes),
            Poll::Ready(_) | Poll::Pending => None,
        }
    }

    fn reads_all(&mut self, slot: Slot) -> usize {
        std::iter::from_fn(|| self.reads(slot)).map(|bytes| bytes.len()).sum()
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    fn violation(&self) -> &str {
        match self.mux.ended() {
            Some(CloseReason::Violation(text)) => text,
            other => panic!("a violation, not {other:?}"),
        }
    }
}

/// Hands a batch to a decoder as a network would.
fn feed(batch: &mut Batch, decoder: &mut Decoder, mut sink: impl FnMut(Frame<'_>)) {
    while batch.has_remaining() {
        let mut space = decoder.space();
        let length = space.remaining_mut().min(batch.chunk().len());
        space.put_slice(&batch.chunk()[..length]);
        batch.advance(length);
        while let Some(frame) = decoder.next_frame().unwrap() {
            sink(frame);
        }
    }
}

/// Sends one flush of `from` to `to` and says how many bytes it had.
fn flush(from: &mut End, to: &mut End) -> usize {
    let mut batch = Batch::default();
    from.mux.transmit(from.now, &mut batch);
    let length = batch.remaining();
    let (decoder, mux, now) = (&mut to.decoder, &mut to.mux, to.now);
    feed(&mut batch, decoder, |frame| mux.receive(frame, now));
    length
}

/// Lets both ends send until neither has anything left.
fn settle(left: &mut End, right: &mut End) {
    while flush(left, right) + flush(right, left) > 0 {}
}

/// Two ends that know each other.
fn pair() -> (End, End) {
    let (mut hub, mut agent) = (End::fresh(Side::Hub), End::fresh(Side::Agent));
    settle(&mut hub, &mut agent);
    (hub, agent)
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn word(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Settings(_) => "settings".to_owned(),
        Frame::Open { stream, priority: Priority::Normal } => format!("open {}", stream.0),
        Frame::Open { stream, priority: Priority::Interactive } => format!("open! {}", stream.0),
        Frame::Data { stream, fin: false, payload } => format!("data {} {}", stream.0, payload.len()),
        Frame::Data { stream, fin: true, payload } => format!("last {} {}", stream.0, payload.len()),
        Frame::Window { stream, credit } => format!("window {} {credit}", stream.0),
        Frame::Fin { stream } => format!("fin {}", stream.0),
        Frame::Reset { stream, code } => format!("reset {} {code:?}", stream.0),
        Frame::Ping(number) => format!("ping {number}"),
        Frame::Pong(number) => format!("pong {number}"),
        Frame::GoAway(reason) => format!("goaway {reason}"),
    }
}
