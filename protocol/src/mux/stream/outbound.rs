//! The sending half of a stream: what its writer left and was not sent, and
//! what the peer allows.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::inbound::charge;
use crate::limits::{FRAME_CHARGE_MIN, FRAME_PAYLOAD_SENT, SEND_QUEUE_MAX, WRITE_JOIN_MAX};

#[derive(Debug)]
pub struct Outbound {
    chunks: VecDeque<BytesMut>,
    queued: usize,
    credit: u32,
    end: SendEnd,
}

/// How far the sending half is with ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendEnd {
    /// More may be written.
    Open,
    /// Nothing more is written; what is queued still goes out.
    Finishing,
    /// The peer was told the end.
    Finished,
}

impl Outbound {
    pub fn new(credit: u32) -> Self {
        Self { chunks: VecDeque::new(), queued: 0, credit, end: SendEnd::Open }
    }

    /// How many bytes may be queued now.
    pub fn room(&self) -> usize {
        SEND_QUEUE_MAX.saturating_sub(self.queued)
    }

    /// Whether a waiting writer should be woken: only once the room of a whole
    /// flush is free, so that it is woken once for many frames.
    pub fn has_room_again(&self) -> bool {
        self.room() >= 2 * FRAME_PAYLOAD_SENT
    }

    /// Queues bytes that fit the [`room`](Self::room).
    pub fn push(&mut self, bytes: &[u8]) {
        self.queued += bytes.len();
        match self.chunks.back_mut() {
            Some(last) if bytes.len() <= WRITE_JOIN_MAX && last.len() <= WRITE_JOIN_MAX => {
                last.extend_from_slice(bytes);
            }
            Some(_) | None => self.chunks.push_back(BytesMut::from(bytes)),
        }
    }

    /// Queues a buffer that fits the [`room`](Self::room).
    pub fn push_owned(&mut self, bytes: BytesMut) {
        self.queued += bytes.len();
        self.chunks.push_back(bytes);
    }

    /// How many bytes the next data frame may carry; zero when it must wait.
    pub fn next_len(&self, payload_max: usize) -> usize {
        let credit = self.credit as usize;
        if credit < FRAME_CHARGE_MIN {
            return 0;
        }
        self.queued.min(payload_max).min(credit)
    }

    /// Hands the first `length` bytes to `sink`, without copying them, and
    /// charges them as one frame.
    pub fn take(&mut self, length: usize, mut sink: impl FnMut(Bytes)) {
        self.credit -= charge(length);
        self.queued -= length;
        let mut missing = length;
        while missing > 0 {
            let first = self.chunks.front_mut().expect("as many bytes are queued as are counted");
            let part = first.split_to(missing.min(first.len()));
            if first.is_empty() {
                self.chunks.pop_front();
            }
            missing -= part.len();
            sink(part.freeze());
        }
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    /// Adds to what the peer allows; `None` when the sum is beyond reason.
    pub fn add_credit(&mut self, credit: u32) -> Option<()> {
        self.credit = self.credit.checked_add(credit)?;
        Some(())
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.queued
    }

    /// Whether everything queued has been sent.
    pub fn is_drained(&self) -> bool {
        self.queued == 0
    }

    pub fn end(&self) -> SendEnd {
        self.end
    }

    pub fn set_end(&mut self, end: SendEnd) {
        self.end = end;
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.chunks.iter().map(BytesMut::capacity).sum::<usize>() + self.chunks.capacity() * size_of::<BytesMut>()
    }

    /// Forgets what was not sent.
    pub fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.queued = 0;
    }
}
