//! One stream's state, and the places in which a session keeps its streams.

mod inbound;
mod outbound;
mod schedule;

use std::collections::HashMap;
use std::task::{Context, Waker};

use tokio::time::Instant;

pub use self::inbound::Inbound;
pub use self::outbound::{Outbound, SendEnd};
pub use self::schedule::Schedule;
use crate::frame::StreamId;
use crate::session::{Priority, ResetCode};

/// Where a session keeps a stream. Valid until the stream is removed, which
/// happens after its handle is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

#[derive(Debug)]
pub struct Stream {
    pub wire: Wire,
    pub priority: Priority,
    pub owner: Owner,
    pub inbound: Inbound,
    pub outbound: Outbound,
    /// Why it was cut, when it was.
    pub cut: Option<ResetCode>,
    /// Whether it waits for its turn to send.
    pub is_ready: bool,
    /// The last turn in which it sent.
    pub turn: u64,
    /// Whether a window frame is to be sent for it.
    pub window_queued: bool,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

/// What the peer knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Nothing yet: it gets its number with its first bytes.
    Unannounced,
    /// It is announced as soon as it has its turn, with or without bytes.
    Announcing,
    /// It is open under this number.
    Live(StreamId),
    /// It has ended in both directions.
    Gone,
}

/// Who holds the stream at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It waits to be accepted.
    Backlog,
    /// A handle.
    Handle,
    /// Nobody: its last bytes are on their way, and then it is cut.
    Nobody,
}

impl Stream {
    pub fn new(wire: Wire, priority: Priority, credit: u32, now: Instant) -> Self {
        Self {
            wire,
            priority,
            owner: if matches!(wire, Wire::Live(_)) { Owner::Backlog } else { Owner::Handle },
            inbound: Inbound::new(now),
            outbound: Outbound::new(credit),
            cut: None,
            is_ready: false,
            turn: 0,
            window_queued: false,
            reader: None,
            writer: None,
        }
    }

    /// Whether a frame can go out now.
    pub fn can_send(&self, payload_max: usize) -> bool {
        match self.wire {
            Wire::Gone => false,
            Wire::Announcing => true,
            Wire::Unannounced | Wire::Live(_) => {
                let ends = self.outbound.is_drained() && self.outbound.end() == SendEnd::Finishing;
                ends || self.outbound.next_len(payload_max) > 0
            }
        }
    }

    pub fn wait_readable(&mut self, cx: &Context<'_>) {
        keep(&mut self.reader, cx);
    }

    pub fn wait_writable(&mut self, cx: &Context<'_>) {
        keep(&mut self.writer, cx);
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// All streams of a session.
#[derive(Debug, Default)]
pub struct Streams {
    slots: Vec<Option<Box<Stream>>>,
    free: Vec<usize>,
    by_id: HashMap<StreamId, Slot>,
    live: usize,
}

impl Streams {
    /// Keeps a stream that has not ended.
    pub fn insert(&mut self, stream: Stream) -> Slot {
        let wire = stream.wire;
        let slot = match self.free.pop() {
            Some(free) => Slot(free),
            None => {
                self.slots.push(None);
                Slot(self.slots.len() - 1)
            }
        };
        self.slots[slot.0] = Some(Box::new(stream));
        self.live += 1;
        if let Wire::Live(id) = wire {
            self.by_id.insert(id, slot);
        }
        slot
    }

    /// The stream in `slot`, which must not have been removed.
    pub fn at(&mut self, slot: Slot) -> &mut Stream {
        self.slots[slot.0].as_deref_mut().expect("a slot is used only while its stream is kept")
    }

    /// Where the stream with this number is, while the peer may speak of it.
    pub fn find(&self, id: StreamId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// Streams that count against the peer's limit: announced and not ended,
    /// or about to be announced.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Gives a stream its number.
    pub fn announce(&mut self, slot: Slot, id: StreamId) {
        self.at(slot).wire = Wire::Live(id);
        self.by_id.insert(id, slot);
    }

    /// The peer will not speak of the stream again, or will be ignored.
    pub fn retire(&mut self, slot: Slot) {
        match std::mem::replace(&mut self.at(slot).wire, Wire::Gone) {
            Wire::Gone => return,
            Wire::Unannounced | Wire::Announcing => {}
            Wire::Live(id) => drop(self.by_id.remove(&id)),
        }
        self.live -= 1;
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Box<Stream>> {
        self.retire(slot);
        let stream = self.slots[slot.0].take();
        self.free.push(slot.0);
        stream
    }

    pub fn all(&self) -> Vec<Slot> {
        let taken = |(index, slot): (usize, &Option<_>)| slot.is_some().then_some(Slot(index));
        self.slots.iter().enumerate().filter_map(taken).collect()
    }
}
