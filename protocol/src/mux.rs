//! Many streams on one byte stream.
//!
//! [`Mux`] is the state machine: frames and the time go in, frames, wake-ups
//! and the next deadline come out. It does no I/O, never waits and never reads
//! a clock. The driver is the one task that owns the I/O; streams and the
//! connection share the state machine with it under a lock that is held for
//! queue operations only.
//!
//! What a peer can make this end hold is bounded: per stream its receive
//! window, its send queue and one window frame; per session the growth of all
//! windows together, one pong, the resets that wait, and the streams
//! themselves. There is no credit for the whole session, so a reader that
//! stalls stops its own stream and no other.

mod connection;
mod driver;
mod liveness;
mod local;
mod receive;
mod stream;
mod transmit;

use std::collections::VecDeque;
use std::task::Waker;

use tokio::time::{Duration, Instant};

pub(crate) use self::connection::{MuxConnection, MuxStream, Shared};
pub use self::driver::Driver;
use self::liveness::Liveness;
pub use self::stream::Slot;
use self::stream::{Owner, Schedule, SendEnd, Streams, Wire};
pub use self::transmit::Batch;
use crate::frame::{Settings, StreamId};
use crate::limits::{GOAWAY_TEXT_MAX, RESETS_QUEUED_MAX, WINDOW_GROWTH_AGENT, WINDOW_GROWTH_HUB};
use crate::session::{CloseReason, ResetCode, Side};

/// The state of one session at one end.
#[derive(Debug)]
pub struct Mux {
    side: Side,
    settings_sent: bool,
    /// What the peer told in its first frame.
    peer: Option<Settings>,
    streams: Streams,
    /// The highest number a stream was opened with.
    last_id: StreamId,
    backlog: VecDeque<Slot>,
    schedule: Schedule,
    windows: VecDeque<Slot>,
    resets: VecDeque<(StreamId, ResetCode)>,
    pong: Option<u64>,
    goodbye: Option<String>,
    liveness: Liveness,
    /// What windows may still grow.
    growth_left: u32,
    ended: Option<CloseReason>,
    effects: Effects,
    driver: DriverState,
}

/// Whether the driver must be woken for new output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DriverState {
    /// It will ask by itself: it is at work, or the network takes no more.
    Busy,
    /// It has sent everything and waits.
    Waiting,
}

/// What the state machine asks of its surroundings after a step.
#[derive(Debug, Default)]
pub struct Effects {
    /// Readers and writers that can go on.
    pub wakes: Vec<Waker>,
    /// A stream waits to be accepted.
    pub opened: bool,
    /// A ping was answered.
    pub answered: bool,
    /// The session has ended.
    pub ended: bool,
}

impl Mux {
    /// A new session whose bytes start to flow now.
    pub fn new(side: Side, now: Instant) -> Self {
        let growth_left = match side {
            Side::Hub => WINDOW_GROWTH_HUB,
            Side::Agent => WINDOW_GROWTH_AGENT,
        };
        Self {
            side,
            settings_sent: false,
            peer: None,
            streams: Streams::default(),
            last_id: StreamId::SESSION,
            backlog: VecDeque::new(),
            schedule: Schedule::new(),
            windows: VecDeque::new(),
            resets: VecDeque::new(),
            pong: None,
            goodbye: None,
            liveness: Liveness::new(now),
            growth_left,
            ended: None,
            effects: Effects::default(),
            driver: DriverState::Busy,
        }
    }

    /// Notes that the driver has sent everything there was.
    pub fn wait_for_output(&mut self) {
        self.driver = DriverState::Waiting;
    }

    /// Whether the last step made work for a driver that waits. To be asked
    /// before [`take_effects`](Self::take_effects).
    pub fn wakes_driver(&mut self) -> bool {
        let has_work = self.driver == DriverState::Waiting && self.has_output();
        if has_work {
            self.driver = DriverState::Busy;
        }
        has_work || self.effects.ended
    }

    /// What to do for others now that the step is over.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// When [`on_timer`](Self::on_timer) is to be called again, at the latest.
    pub fn deadline(&self) -> Instant {
        self.liveness.deadline()
    }

    /// Sends the heartbeat when it is due, and ends a session whose peer is
    /// silent.
    pub fn on_timer(&mut self, now: Instant) {
        if self.liveness.is_silent(now) {
            self.end(CloseReason::Silent);
        }
        self.liveness.on_timer(now);
    }

    /// Notes that bytes have arrived, of whatever kind.
    pub fn hear(&mut self, now: Instant) {
        self.liveness.hear(now);
    }

    /// Why the session has ended, once it has.
    pub fn ended(&self) -> Option<&CloseReason> {
        self.ended.as_ref()
    }

    /// Queues a ping and returns its number.
    pub fn ping(&mut self) -> u64 {
        self.liveness.ask()
    }

    /// The round trip of the ping with this number, or of a later one, once it
    /// was answered.
    pub fn rtt_of(&self, number: u64) -> Option<Duration> {
        if self.liveness.is_answered(number) { self.liveness.rtt() } else { None }
    }

    /// The last measured round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    /// Ends the session and all its streams. The first reason stays. Where the
    /// peer can use it, it is told.
    pub fn end(&mut self, reason: CloseReason) {
        if self.ended.is_some() {
            return;
        }
        self.goodbye = match &reason {
            CloseReason::Local(text) | CloseReason::Violation(text) => Some(cut_text(text)),
            CloseReason::Remote(_) | CloseReason::Lost(_) | CloseReason::Silent => None,
        };
        self.ended = Some(reason);
        self.effects.ended = true;
        self.resets.clear();
        self.windows.clear();
        self.pong = None;
        self.schedule = Schedule::new();
        for slot in self.streams.all() {
            self.end_stream(slot);
        }
        self.backlog.clear();
    }

    fn end_stream(&mut self, slot: Slot) {
        self.streams.retire(slot);
        let stream = self.streams.at(slot);
        stream.outbound.clear();
        self.effects.wakes.extend(stream.reader.take());
        self.effects.wakes.extend(stream.writer.take());
        match stream.owner {
            Owner::Handle => {}
            Owner::Backlog | Owner::Nobody => self.remove(slot),
        }
    }

    /// Lets a stream wait for its turn if it has something to send.
    fn schedule(&mut self, slot: Slot) {
        let Some(peer) = &self.peer else { return };
        let payload_max = peer.payload_max as usize;
        let stream = self.streams.at(slot);
        if stream.can_send(payload_max) {
            self.schedule.add(slot, stream);
        }
    }

    /// Queues a window frame if the stream's reader has taken enough.
    fn queue_window(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if matches!(stream.wire, Wire::Live(_)) && stream.inbound.is_due() && !stream.window_queued {
            stream.window_queued = true;
            self.windows.push_back(slot);
        }
    }

    fn queue_reset(&mut self, id: StreamId, code: ResetCode) {
        if self.resets.len() >= RESETS_QUEUED_MAX {
            return self.end(CloseReason::Violation("too many resets wait to be sent".to_owned()));
        }
        self.resets.push_back((id, code));
    }

    /// Nothing more goes either way; a handle may still read what is left.
    fn retire_if_over(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if !(stream.inbound.is_ended() && stream.outbound.end() == SendEnd::Finished) {
            return;
        }
        self.streams.retire(slot);
        if self.streams.at(slot).owner == Owner::Nobody {
            self.remove(slot);
        }
    }

    /// Forgets a stream and gives back what it held.
    fn remove(&mut self, slot: Slot) {
        let Some(stream) = self.streams.remove(slot) else { return };
        self.growth_left += stream.inbound.growth();
        if stream.is_ready {
            self.schedule.remove(slot);
        }
        if stream.window_queued {
            self.windows.retain(|waiting| *waiting != slot);
        }
        if stream.owner == Owner::Backlog {
            self.backlog.retain(|waiting| *waiting != slot);
        }
    }
}

/// At most as much of `text` as a goodbye may carry.
fn cut_text(text: &str) -> String {
    text[..text.floor_char_boundary(GOAWAY_TEXT_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
