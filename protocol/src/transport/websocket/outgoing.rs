//! Frames on their way out. A message is collected behind room for its header,
//! masked where it lies and written from there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::mask::Mask;
use crate::limits::WEBSOCKET_MESSAGE_MAX;

/// Longest header of a frame (RFC 6455 §5.2), in bytes.
const HEADER_MAX: usize = 14;
/// Bytes that are masked right after they were copied, while the processor has
/// them at hand.
const MASK_BLOCK: usize = 4 * 1024;
/// A message below this is followed by no more of its kind: the memory of
/// larger ones is given back.
const SMALL: usize = 4 * 1024;

/// The writing half.
#[derive(Debug)]
pub(super) struct Outgoing {
    role: Role,
    /// Room for a header, then the payload, masked already; or a sealed frame.
    frame: Vec<u8>,
    /// The mask of the message at hand, as far as it has come, and its key.
    mask: Option<(Mask, [u8; 4])>,
    state: State,
    /// A control frame that waits for its turn, sealed.
    control: Vec<u8>,
    /// Whether the goodbye was said: nothing may follow.
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    /// The frame is sealed and written up to here.
    Sending(usize),
}

impl Outgoing {
    pub(super) const fn new(role: Role) -> Self {
        Self { role, frame: Vec::new(), mask: None, state: State::Filling, control: Vec::new(), is_closed: false }
    }

    /// Waits until the message has room for at least one byte, and says for how
    /// many. A full message is sent first.
    pub(super) fn poll_room<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        if self.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.state != State::Filling || self.payload_len() >= WEBSOCKET_MESSAGE_MAX {
            ready!(self.poll_send(io, cx))?;
        }
        Poll::Ready(Ok(WEBSOCKET_MESSAGE_MAX - self.payload_len()))
    }

    /// Adds bytes to the message, as many as there is room for.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.frame.is_empty() {
            self.frame.reserve(HEADER_MAX + bytes.len());
            self.frame.resize(HEADER_MAX, 0);
            self.mask = self.new_key().map(|key| (Mask::new(key), key));
        }
        let Some((mask, _)) = &mut self.mask else { return self.frame.extend_from_slice(bytes) };
        for block in bytes.chunks(MASK_BLOCK) {
            let start = self.frame.len();
            self.frame.extend_from_slice(block);
            mask.apply(&mut self.frame[start..]);
        }
    }

    /// Makes room for this many bytes at once.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.frame.reserve(HEADER_MAX + bytes);
    }

    /// Queues the answer to a ping, in place of one that was not sent yet.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if !self.is_closed {
            self.control = self.control_frame(Control::Pong, payload);
        }
    }

    /// Queues the goodbye. What is written before it still goes first.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            // Normal closure (RFC 6455 §7.4.1).
            self.control = self.control_frame(Control::Close, &1000_u16.to_be_bytes());
        }
    }

    /// Sends all that was written, then what waits of control frames.
    pub(super) fn poll_send<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        if self.state == State::Filling && self.payload_len() > 0 {
            self.seal();
        }
        while let State::Sending(sent) = self.state {
            if sent < self.frame.len() {
                self.state = State::Sending(sent + ready!(poll_some(io, cx, &self.frame[sent..]))?);
                continue;
            }
            self.state = State::Filling;
            self.recycle();
        }
        while !self.control.is_empty() {
            let sent = ready!(poll_some(io, cx, &self.control))?;
            self.control.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.frame.capacity() + self.control.capacity()
    }

    fn payload_len(&self) -> usize {
        self.frame.len().saturating_sub(HEADER_MAX)
    }

    /// Puts the header right before the payload.
    fn seal(&mut self) {
        let mask = self.mask.take().map(|(_, key)| key);
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), mask, ..FrameHeader::default() };
        let length = self.payload_len();
        let start = HEADER_MAX - header.len(length as u64);
        format(&header, length, &mut self.frame[start..]);
        self.state = State::Sending(start);
    }

    /// Keeps the memory of a message for the next one of its size.
    fn recycle(&mut self) {
        if self.frame.len() < SMALL {
            self.frame = Vec::new();
        }
        self.frame.clear();
    }

    fn control_frame(&self, control: Control, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { opcode: OpCode::Control(control), mask: self.new_key(), ..FrameHeader::default() };
        let mut frame = vec![0; header.len(payload.len() as u64)];
        format(&header, payload.len(), &mut frame);
        let start = frame.len();
        frame.extend_from_slice(payload);
        if let Some(key) = header.mask {
            Mask::new(key).apply(&mut frame[start..]);
        }
        frame
    }

    /// Only a client masks, and never twice with the same key (RFC 6455 §5.3).
    fn new_key(&self) -> Option<[u8; 4]> {
        (self.role == Role::Client).then(rand::random)
    }
}

fn format(header: &FrameHeader, length: usize, mut place: &mut [u8]) {
    header.format(length as u64, &mut place).expect("the place is as long as the header");
}

/// Writes at least one byte.
fn poll_some<S: AsyncWrite + Unpin>(io: &mut S, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(io).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        sent => Poll::Ready(Ok(sent)),
    }
}
