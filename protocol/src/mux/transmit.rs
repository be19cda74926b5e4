//! What is sent next, and in which order: control frames, then streams by
//! their turn.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use super::Mux;
use super::stream::{Owner, SendEnd, Slot, Wire};
use crate::frame::{Frame, Header, MUX_VERSION, Settings, StreamId};
use crate::limits::{FLUSH_MAX, FRAME_PAYLOAD_MAX, FRAME_PAYLOAD_SENT, STREAMS_MAX, WINDOW_INITIAL};
use crate::session::{CloseReason, ResetCode};

impl Mux {
    /// Whether [`transmit`](Self::transmit) would add anything.
    pub fn has_output(&self) -> bool {
        let control = self.pong.is_some() || self.liveness.has_queued() || self.goodbye.is_some();
        control
            || !self.settings_sent
            || !self.resets.is_empty()
            || !self.windows.is_empty()
            || !self.schedule.is_empty()
    }

    /// Fills `batch` with what is to be sent now, up to [`FLUSH_MAX`] and at
    /// most one frame more.
    pub fn transmit(&mut self, now: Instant, batch: &mut Batch) {
        if !std::mem::replace(&mut self.settings_sent, true) {
            batch.push_frame(&Frame::Settings(OWN_SETTINGS));
        }
        if let Some(reason) = self.goodbye.take() {
            batch.push_frame(&Frame::GoAway(reason));
        }
        if self.ended.is_some() {
            return;
        }
        self.transmit_control(now, batch);
        let Some(peer) = self.peer else { return };
        let payload_max = FRAME_PAYLOAD_SENT.min(peer.payload_max as usize);
        while batch.remaining() < FLUSH_MAX
            && let Some((slot, turn)) = self.schedule.pop()
        {
            let stream = self.streams.at(slot);
            stream.is_ready = false;
            stream.turn = turn;
            self.transmit_stream(slot, payload_max, batch);
        }
    }

    fn transmit_control(&mut self, now: Instant, batch: &mut Batch) {
        if let Some(number) = self.pong.take() {
            batch.push_frame(&Frame::Pong(number));
        }
        if let Some(number) = self.liveness.take_queued(now) {
            batch.push_frame(&Frame::Ping(number));
        }
        while let Some((stream, code)) = self.resets.pop_front() {
            batch.push_frame(&Frame::Reset { stream, code });
        }
        while let Some(slot) = self.windows.pop_front() {
            self.transmit_window(slot, now, batch);
        }
    }

    fn transmit_window(&mut self, slot: Slot, now: Instant, batch: &mut Batch) {
        let stream = self.streams.at(slot);
        stream.window_queued = false;
        let Wire::Live(id) = stream.wire else { return };
        let left = &mut self.growth_left;
        let credit = stream.inbound.grant(now, self.liveness.rtt_min(), |growth| match left.checked_sub(growth) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        });
        batch.push_frame(&Frame::Window { stream: id, credit });
    }

    /// Sends one frame of a stream, after its announcement if it is new.
    fn transmit_stream(&mut self, slot: Slot, payload_max: usize, batch: &mut Batch) {
        let Some(id) = self.announce(slot, batch) else { return };
        let stream = self.streams.at(slot);
        let length = stream.outbound.next_len(payload_max);
        let is_finishing = stream.outbound.end() == SendEnd::Finishing;
        if length > 0 {
            let fin = is_finishing && stream.outbound.len() == length;
            let header = if fin { Header::last_data(id, length) } else { Header::data(id, length) };
            batch.push(&header.to_bytes());
            stream.outbound.take(length, |bytes| batch.push_bytes(bytes));
            if fin {
                stream.outbound.set_end(SendEnd::Finished);
            } else if stream.outbound.has_room_again() {
                self.effects.wakes.extend(stream.writer.take());
            }
        } else if is_finishing && stream.outbound.is_drained() {
            batch.push_frame(&Frame::Fin { stream: id });
            stream.outbound.set_end(SendEnd::Finished);
        }
        self.after_stream(slot, id, batch);
    }

    fn after_stream(&mut self, slot: Slot, id: StreamId, batch: &mut Batch) {
        let stream = self.streams.at(slot);
        if stream.outbound.end() != SendEnd::Finished {
            return self.schedule(slot);
        }
        if stream.owner == Owner::Nobody && !stream.inbound.is_ended() {
            batch.push_frame(&Frame::Reset { stream: id, code: ResetCode::Cancelled });
            return self.remove(slot);
        }
        self.retire_if_over(slot);
    }

    /// The stream's number, which the peer learns now if it does not know it.
    fn announce(&mut self, slot: Slot, batch: &mut Batch) -> Option<StreamId> {
        let stream = self.streams.at(slot);
        match stream.wire {
            Wire::Live(id) => return Some(id),
            Wire::Gone => return None,
            Wire::Unannounced | Wire::Announcing => {}
        }
        let priority = stream.priority;
        let Some(number) = self.last_id.0.checked_add(1) else {
            self.end(CloseReason::Local("the session has used up its stream numbers".to_owned()));
            return None;
        };
        self.last_id = StreamId(number);
        self.streams.announce(slot, self.last_id);
        batch.push_frame(&Frame::Open { stream: self.last_id, priority });
        Some(self.last_id)
    }
}

const OWN_SETTINGS: Settings = Settings {
    version: MUX_VERSION,
    window: WINDOW_INITIAL,
    payload_max: FRAME_PAYLOAD_MAX as u32,
    streams_max: STREAMS_MAX as u32,
};

/// Bytes on their way out: small pieces are joined, large ones pass through as
/// they are.
#[derive(Debug, Default)]
pub struct Batch {
    pieces: VecDeque<Bytes>,
    /// The end of the batch, still growing.
    tail: BytesMut,
    length: usize,
}

/// A piece below this is cheaper to copy than to pass on by itself.
const JOIN_BELOW: usize = 2 * 1024;

impl Batch {
    fn push_frame(&mut self, frame: &Frame<'_>) {
        let before = self.tail.len();
        frame.encode(&mut self.tail);
        self.length += self.tail.len() - before;
    }

    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < JOIN_BELOW {
            return self.push(&bytes);
        }
        self.length += bytes.len();
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// Gives the memory of a batch that was sent back.
    pub fn release(&mut self) {
        if self.length == 0 {
            *self = Self::default();
        }
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.tail, |first| first)
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        self.tail.advance(count);
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain(tail);
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }
}
