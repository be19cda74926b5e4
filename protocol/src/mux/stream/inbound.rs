//! The receiving half of a stream: what arrived and was not read, and what the
//! peer may still send.
//!
//! At every moment `allowance + buffered + owed == window`.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio::time::{Duration, Instant};

use crate::frame::Payload;
use crate::limits::{
    FRAME_CHARGE_MIN, RATE_EPOCH_MIN, RTT_FLOOR, RTT_LOCAL, WINDOW_INITIAL, WINDOW_MAX, WINDOW_MAX_LOCAL,
};

/// The peer sent more than it was allowed to.
#[derive(Debug)]
pub struct BeyondCredit;

#[derive(Debug)]
pub struct Inbound {
    chunks: VecDeque<Chunk>,
    /// What the peer may still send.
    allowance: u32,
    /// The charge of what waits for its reader.
    buffered: u32,
    /// The charge of what was read and is not yet granted again.
    owed: u32,
    window: u32,
    epoch: Epoch,
    ended: bool,
}

/// Bytes of one or more frames.
#[derive(Debug)]
struct Chunk {
    bytes: BytesMut,
    /// What its frames were charged.
    charge: u32,
}

/// The stretch of time over which the reader's rate is measured.
#[derive(Debug)]
struct Epoch {
    started: Instant,
    consumed: u64,
}

impl Inbound {
    pub fn new(now: Instant) -> Self {
        Self {
            chunks: VecDeque::new(),
            allowance: WINDOW_INITIAL,
            buffered: 0,
            owed: 0,
            window: WINDOW_INITIAL,
            epoch: Epoch { started: now, consumed: 0 },
            ended: false,
        }
    }

    /// Takes in a frame's payload.
    pub fn push(&mut self, payload: Payload<'_>) -> Result<(), BeyondCredit> {
        let charge = charge(payload.len());
        self.allowance = self.allowance.checked_sub(charge).ok_or(BeyondCredit)?;
        self.buffered += charge;
        match payload {
            Payload::Owned(bytes) => self.chunks.push_back(Chunk { bytes, charge }),
            Payload::Borrowed(bytes) => self.push_small(bytes, charge),
        }
        Ok(())
    }

    fn push_small(&mut self, bytes: &[u8], charge: u32) {
        if let Some(last) = self.chunks.back_mut()
            && last.bytes.capacity() - last.bytes.len() >= bytes.len()
        {
            last.bytes.extend_from_slice(bytes);
            last.charge += charge;
            return;
        }
        // The second and later frames of an unread stream share a buffer, so
        // that tiny frames cost their bytes and not a buffer each.
        let room = if self.chunks.is_empty() { bytes.len() } else { bytes.len().max(SHARED_CHUNK) };
        let mut chunk = BytesMut::with_capacity(room);
        chunk.extend_from_slice(bytes);
        self.chunks.push_back(Chunk { bytes: chunk, charge });
    }

    /// Takes in a frame's payload for which no reader is left.
    pub fn discard(&mut self, length: usize) -> Result<(), BeyondCredit> {
        let charge = charge(length);
        self.allowance = self.allowance.checked_sub(charge).ok_or(BeyondCredit)?;
        self.owed += charge;
        Ok(())
    }

    /// The next bytes for the reader, who from now on owns them.
    pub fn take(&mut self) -> Option<BytesMut> {
        let Chunk { bytes, charge } = self.chunks.pop_front()?;
        self.buffered -= charge;
        self.owed += charge;
        self.epoch.consumed += u64::from(charge);
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT_CHUNKS {
            self.chunks = VecDeque::new();
        }
        Some(bytes)
    }

    /// Forgets what was not read.
    pub fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.owed += std::mem::take(&mut self.buffered);
    }

    /// The peer has sent its last byte.
    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether enough was read to be worth a window frame.
    pub fn is_due(&self) -> bool {
        !self.ended && self.owed >= self.window / 4
    }

    /// What to grant the peer now, growth included. `grow` is asked for more
    /// than the window and may refuse.
    pub fn grant(&mut self, now: Instant, rtt_min: Option<Duration>, grow: impl FnOnce(u32) -> bool) -> u32 {
        if let Some(growth) = self.wanted_growth(now, rtt_min)
            && grow(growth)
        {
            self.window += growth;
            self.owed += growth;
        }
        let credit = std::mem::take(&mut self.owed);
        self.allowance += credit;
        credit
    }

    /// Bytes of memory held for its reader.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        let places = self.chunks.capacity() * size_of::<Chunk>();
        places + self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum::<usize>()
    }

    /// Panics when some of the window was lost or made up.
    #[cfg(test)]
    pub fn check(&self) {
        assert_eq!(self.allowance + self.buffered + self.owed, self.window);
        assert_eq!(self.buffered, self.chunks.iter().map(|chunk| chunk.charge).sum::<u32>());
    }

    #[cfg(test)]
    pub fn window(&self) -> u32 {
        self.window
    }

    /// How much the window has grown beyond its first size.
    pub fn growth(&self) -> u32 {
        self.window - WINDOW_INITIAL
    }

    /// The window doubles while it is what limits the rate: when in one epoch
    /// the reader took so much that two round trips at that rate come near to
    /// the window, and the reader itself keeps up.
    fn wanted_growth(&mut self, now: Instant, rtt_min: Option<Duration>) -> Option<u32> {
        let rtt = rtt_min?.max(RTT_FLOOR);
        let elapsed = now.saturating_duration_since(self.epoch.started);
        if elapsed < rtt.max(RATE_EPOCH_MIN) {
            return None;
        }
        let consumed = std::mem::replace(&mut self.epoch, Epoch { started: now, consumed: 0 }).consumed;
        let in_two_trips = 2 * u128::from(consumed) * rtt.as_micros() / elapsed.as_micros();
        let limit = if rtt < RTT_LOCAL { WINDOW_MAX_LOCAL } else { WINDOW_MAX };
        let is_limiting = 3 * in_two_trips >= 2 * u128::from(self.window);
        let keeps_up = self.buffered < self.window / 2;
        (is_limiting && keeps_up && self.window < limit).then(|| self.window.min(limit - self.window))
    }
}

/// Buffers that later small frames of an unread stream share, in bytes.
const SHARED_CHUNK: usize = 4 * 1024;
/// Places for chunks that an empty queue keeps.
const KEPT_CHUNKS: usize = 8;

/// What a frame counts against the window, at both ends.
pub fn charge(length: usize) -> u32 {
    u32::try_from(length.max(FRAME_CHARGE_MIN)).expect("a payload's limit fits")
}
