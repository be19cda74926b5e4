//! What this end's handles do: open, accept, read, write, end, cut.

use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::time::Instant;

use super::Mux;
use super::stream::{Owner, SendEnd, Slot, Stream, Wire};
use crate::limits::STREAMS_MAX;
use crate::session::{OpenError, Priority, ResetCode, Side, StreamReset};

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// Bytes, at least one.
    Bytes(BytesMut),
    /// The peer has sent its last byte.
    End,
}

impl Mux {
    /// Opens a stream, of which the peer learns with its first bytes.
    ///
    /// # Errors
    /// [`OpenError`] when there are too many or the session has ended. The
    /// agent's end has no stream to open.
    pub fn open(&mut self, priority: Priority, now: Instant) -> Result<Slot, OpenError> {
        if let Some(reason) = &self.ended {
            return Err(reason.clone().into());
        }
        let limit = self.peer.map_or(STREAMS_MAX, |peer| STREAMS_MAX.min(peer.streams_max as usize));
        if self.side == Side::Agent || self.streams.live() >= limit {
            return Err(OpenError::TooManyStreams);
        }
        let credit = self.peer.map_or(0, |peer| peer.window);
        Ok(self.streams.insert(Stream::new(Wire::Unannounced, priority, credit, now)))
    }

    /// The oldest stream that waits to be accepted.
    pub fn accept(&mut self) -> Option<Slot> {
        let slot = self.backlog.pop_front()?;
        self.streams.at(slot).owner = Owner::Handle;
        Some(slot)
    }

    /// The next bytes of a stream.
    ///
    /// # Errors
    /// [`StreamReset`] when the peer cut it, `ConnectionAborted` when the
    /// session has ended; in both cases after what arrived before the end.
    pub fn poll_read(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<io::Result<ReadStep>> {
        if let Some(bytes) = self.read_more(slot) {
            return Poll::Ready(Ok(ReadStep::Bytes(bytes)));
        }
        let stream = self.streams.at(slot);
        if stream.inbound.is_ended() {
            return Poll::Ready(Ok(ReadStep::End));
        }
        let cut = stream.cut;
        stream.wait_readable(cx);
        self.check(cut)?;
        Poll::Pending
    }

    /// The next bytes of a stream, if some are there.
    pub fn read_more(&mut self, slot: Slot) -> Option<BytesMut> {
        let bytes = self.streams.at(slot).inbound.take()?;
        self.queue_window(slot);
        Some(bytes)
    }

    /// How many bytes may be written to a stream now, at least one.
    ///
    /// # Errors
    /// As for reading, and `BrokenPipe` after the stream was shut down here.
    pub fn poll_room(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let cut = self.streams.at(slot).cut;
        self.check(cut)?;
        let stream = self.streams.at(slot);
        if stream.outbound.end() != SendEnd::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match stream.outbound.room() {
            0 => {
                stream.wait_writable(cx);
                Poll::Pending
            }
            room => Poll::Ready(Ok(room)),
        }
    }

    /// Queues bytes, at most as many as [`poll_room`](Self::poll_room) said.
    pub fn write(&mut self, slot: Slot, bytes: &[u8]) {
        self.streams.at(slot).outbound.push(bytes);
        self.schedule(slot);
    }

    /// The same with buffers that are passed on as they are.
    pub fn write_owned(&mut self, slot: Slot, pieces: impl IntoIterator<Item = BytesMut>) {
        let stream = self.streams.at(slot);
        if stream.wire == Wire::Gone {
            return;
        }
        pieces.into_iter().for_each(|bytes| stream.outbound.push_owned(bytes));
        self.schedule(slot);
    }

    /// Announces a stream to which nothing was written yet.
    pub fn announce_now(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if stream.wire == Wire::Unannounced {
            stream.wire = Wire::Announcing;
            self.schedule(slot);
        }
    }

    /// Ends the sending direction after what is queued.
    pub fn finish(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        if stream.outbound.end() == SendEnd::Open {
            stream.outbound.set_end(SendEnd::Finishing);
            self.schedule(slot);
        }
    }

    /// Cuts a stream in both directions; its handle is gone.
    pub fn cut(&mut self, slot: Slot, code: ResetCode) {
        if let Wire::Live(id) = self.streams.at(slot).wire {
            self.queue_reset(id, code);
        }
        self.remove(slot);
    }

    /// Lets go of a stream whose handle is gone. A stream that was shut down
    /// still sends what is queued; any other that has not ended is cut.
    pub fn release(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        match (stream.wire, stream.outbound.end()) {
            (Wire::Gone, _) => self.remove(slot),
            (Wire::Unannounced | Wire::Announcing | Wire::Live(_), SendEnd::Finishing) => self.orphan(slot),
            (Wire::Unannounced | Wire::Announcing | Wire::Live(_), SendEnd::Open | SendEnd::Finished) => {
                self.cut(slot, ResetCode::Cancelled);
            }
        }
    }

    /// Nobody reads any more, but the peer gets all that was written. It may
    /// have to finish writing before it reads, so its bytes are taken in and
    /// dropped.
    fn orphan(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.owner = Owner::Nobody;
        stream.inbound.clear();
        self.queue_window(slot);
    }

    fn check(&self, cut: Option<ResetCode>) -> io::Result<()> {
        match (cut, &self.ended) {
            (Some(code), _) => Err(StreamReset(code).into()),
            (None, Some(reason)) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone())),
            (None, None) => Ok(()),
        }
    }
}
