//! What a frame from the peer does.

use tokio::time::Instant;

use super::Mux;
use super::stream::{Owner, SendEnd, Slot, Stream, Wire};
use crate::frame::{Frame, FrameError, MUX_VERSION, Payload, Settings, StreamId};
use crate::limits::{FRAME_CHARGE_MIN, FRAME_PAYLOAD_LEAST, STREAMS_MAX};
use crate::session::{CloseReason, Priority, ResetCode, Side};

/// Why the session cannot go on with this peer.
#[derive(Debug, thiserror::Error)]
enum Violation {
    #[error("the first frame is not settings")]
    NoSettings,
    #[error("settings came twice")]
    SettingsTwice,
    #[error("multiplexer version {0} is not known")]
    Version(u16),
    #[error("settings that nothing can be sent with")]
    Settings,
    #[error("the agent opened a stream")]
    AgentOpened,
    #[error("stream {0} opened after stream {1}")]
    OpenedBackwards(u32, u32),
    #[error("a frame for stream {0}, which was not opened")]
    FutureStream(u32),
    #[error("stream {0} sent more than its window")]
    BeyondCredit(u32),
    #[error("stream {0} sent after its end")]
    AfterEnd(u32),
    #[error("a window of stream {0} that grows beyond reason")]
    Window(u32),
    #[error("a pong that nobody asked for")]
    Pong,
}

impl Mux {
    /// Takes in one frame. A peer that breaks the protocol ends the session.
    pub fn receive(&mut self, frame: Frame<'_>, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if let Err(violation) = self.handle(frame, now) {
            self.end(CloseReason::Violation(violation.to_string()));
        }
    }

    /// Takes in that the peer's bytes are no frame.
    pub fn receive_garbage(&mut self, error: FrameError) {
        self.end(CloseReason::Violation(error.to_string()));
    }

    fn handle(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Violation> {
        match (&self.peer, &frame) {
            (None, Frame::Settings(_) | Frame::GoAway(_)) | (Some(_), _) => {}
            (None, _) => return Err(Violation::NoSettings),
        }
        match frame {
            Frame::Settings(settings) => self.on_settings(settings),
            Frame::Open { stream, priority } => self.on_open(stream, priority, now),
            Frame::Data { stream, fin, payload } => self.on_data(stream, fin, payload),
            Frame::Window { stream, credit } => self.on_window(stream, credit),
            Frame::Fin { stream } => self.on_fin(stream),
            Frame::Reset { stream, code } => self.on_reset(stream, code),
            Frame::Ping(number) => {
                self.pong = Some(number);
                Ok(())
            }
            Frame::Pong(number) => self.on_pong(number, now),
            Frame::GoAway(reason) => {
                self.end(CloseReason::Remote(reason));
                Ok(())
            }
        }
    }

    fn on_settings(&mut self, settings: Settings) -> Result<(), Violation> {
        if self.peer.is_some() {
            return Err(Violation::SettingsTwice);
        }
        if settings.version != MUX_VERSION {
            return Err(Violation::Version(settings.version));
        }
        let usable = settings.window >= FRAME_CHARGE_MIN as u32 && settings.payload_max >= FRAME_PAYLOAD_LEAST as u32;
        if !usable {
            return Err(Violation::Settings);
        }
        self.peer = Some(settings);
        for slot in self.streams.all() {
            // Streams opened before the peer was heard had no credit yet.
            self.streams.at(slot).outbound.add_credit(settings.window).ok_or(Violation::Settings)?;
            self.schedule(slot);
        }
        Ok(())
    }

    fn on_open(&mut self, id: StreamId, priority: Priority, now: Instant) -> Result<(), Violation> {
        if self.side == Side::Hub {
            return Err(Violation::AgentOpened);
        }
        if id <= self.last_id {
            return Err(Violation::OpenedBackwards(id.0, self.last_id.0));
        }
        self.last_id = id;
        if self.streams.live() >= STREAMS_MAX || self.backlog.len() >= STREAMS_MAX {
            self.queue_reset(id, ResetCode::Refused);
            return Ok(());
        }
        let credit = self.peer.map_or(0, |peer| peer.window);
        let slot = self.streams.insert(Stream::new(Wire::Live(id), priority, credit, now));
        self.backlog.push_back(slot);
        self.effects.opened = true;
        Ok(())
    }

    fn on_data(&mut self, id: StreamId, fin: bool, payload: Payload<'_>) -> Result<(), Violation> {
        let Some(slot) = self.find(id)? else { return Ok(()) };
        let stream = self.streams.at(slot);
        if stream.inbound.is_ended() {
            return Err(Violation::AfterEnd(id.0));
        }
        let taken = match stream.owner {
            Owner::Backlog | Owner::Handle => stream.inbound.push(payload),
            Owner::Nobody => stream.inbound.discard(payload.len()),
        };
        taken.map_err(|_| Violation::BeyondCredit(id.0))?;
        self.effects.wakes.extend(stream.reader.take());
        if fin {
            return self.on_fin(id);
        }
        self.queue_window(slot);
        Ok(())
    }

    fn on_fin(&mut self, id: StreamId) -> Result<(), Violation> {
        let Some(slot) = self.find(id)? else { return Ok(()) };
        let stream = self.streams.at(slot);
        if stream.inbound.is_ended() {
            return Err(Violation::AfterEnd(id.0));
        }
        stream.inbound.end();
        self.effects.wakes.extend(stream.reader.take());
        self.retire_if_over(slot);
        Ok(())
    }

    fn on_window(&mut self, id: StreamId, credit: u32) -> Result<(), Violation> {
        let Some(slot) = self.find(id)? else { return Ok(()) };
        self.streams.at(slot).outbound.add_credit(credit).ok_or(Violation::Window(id.0))?;
        self.schedule(slot);
        Ok(())
    }

    fn on_reset(&mut self, id: StreamId, code: ResetCode) -> Result<(), Violation> {
        let Some(slot) = self.find(id)? else { return Ok(()) };
        self.streams.retire(slot);
        let stream = self.streams.at(slot);
        let is_whole = stream.inbound.is_ended();
        if !is_whole {
            stream.inbound.clear();
        }
        stream.outbound.clear();
        stream.outbound.set_end(SendEnd::Finished);
        stream.cut = Some(code);
        self.effects.wakes.extend(stream.reader.take());
        self.effects.wakes.extend(stream.writer.take());
        match stream.owner {
            Owner::Handle => {}
            // What came before its end is still to be accepted and read.
            Owner::Backlog if is_whole => {}
            Owner::Backlog | Owner::Nobody => self.remove(slot),
        }
        Ok(())
    }

    fn on_pong(&mut self, number: u64, now: Instant) -> Result<(), Violation> {
        self.liveness.answer(number, now).map_err(|_| Violation::Pong)?;
        self.effects.answered = true;
        Ok(())
    }

    /// The stream a frame is for; `None` for one that was and is no more.
    fn find(&self, id: StreamId) -> Result<Option<Slot>, Violation> {
        if id > self.last_id {
            return Err(Violation::FutureStream(id.0));
        }
        Ok(self.streams.find(id))
    }
}
