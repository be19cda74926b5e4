//! Frames on their way in: headers are taken off, masks are lifted, and the
//! payload of binary messages is handed on from the buffer it was read into.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_util::io::poll_read_buf;

use super::mask::Mask;
use super::{invalid, unexpected};
use crate::limits::WEBSOCKET_MESSAGE_MAX;

/// Bytes read at once from a network on which little happens.
const READ_QUIET: usize = 4 * 1024;
/// Bytes read at once from a busy one.
const READ_BUSY: usize = 64 * 1024;
/// Longest payload of a control frame (RFC 6455 §5.5), in bytes.
pub(super) const CONTROL_MAX: usize = 125;

/// What a reader meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Bytes of a message, which are in the reader's buffer now.
    Bytes,
    /// A ping, to be answered with the same bytes.
    Ping(Vec<u8>),
    /// The end: the other end said goodbye, or hung up.
    End,
}

/// The reading half. It holds no buffer while nothing arrives, but for the time
/// from the end of a bulk transfer to the next heartbeat.
#[derive(Debug)]
pub(super) struct Incoming {
    role: Role,
    /// Read and not yet handed on.
    buffer: BytesMut,
    is_busy: bool,
    /// Payload bytes of the present frame that are still to come.
    rest: usize,
    mask: Option<Mask>,
    /// Payload bytes of the present message, and whether more frames follow.
    message: Option<usize>,
    /// What came behind bytes that were handed on with the last read.
    met: Option<Met>,
}

impl Incoming {
    /// Frames for this role, behind the bytes in `buffer`.
    pub(super) const fn new(role: Role, buffer: BytesMut) -> Self {
        Self { role, buffer, is_busy: false, rest: 0, mask: None, message: None, met: None }
    }

    pub(super) fn poll<S>(&mut self, io: &mut S, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Met>>
    where
        S: AsyncRead + Unpin,
    {
        if let Some(met) = self.met.take() {
            return Poll::Ready(Ok(met));
        }
        let before = buf.filled().len();
        loop {
            if self.rest > 0 && !self.buffer.is_empty() {
                self.hand_on(buf);
            }
            let has_bytes = buf.filled().len() > before;
            if self.rest == 0
                && buf.remaining() > 0
                && let Some(met) = self.next_frame()?
            {
                if !has_bytes {
                    return Poll::Ready(Ok(met));
                }
                self.met = Some(met);
            }
            let can_hand_on = self.rest > 0 && !self.buffer.is_empty() && buf.remaining() > 0;
            if has_bytes && (!can_hand_on || self.met.is_some()) {
                return Poll::Ready(Ok(Met::Bytes));
            }
            if !can_hand_on && !ready!(self.poll_more(io, cx))? {
                return Poll::Ready(Ok(Met::End));
            }
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let taken = self.rest.min(self.buffer.len()).min(buf.remaining());
        let start = buf.filled().len();
        buf.put_slice(&self.buffer[..taken]);
        if let Some(mask) = &mut self.mask {
            mask.apply(&mut buf.filled_mut()[start..]);
        }
        self.buffer.advance(taken);
        self.rest -= taken;
        self.release();
    }

    /// Reads on; `false` once the network has ended.
    fn poll_more<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let wanted = if self.is_busy { READ_BUSY } else { READ_QUIET };
        self.buffer.reserve(wanted);
        let Poll::Ready(read) = poll_read_buf(Pin::new(io), cx, &mut self.buffer) else {
            self.release();
            return Poll::Pending;
        };
        let read = read?;
        self.is_busy = read >= READ_QUIET;
        Poll::Ready(Ok(read > 0))
    }

    fn release(&mut self) {
        if self.buffer.is_empty() && !self.is_busy {
            self.buffer = BytesMut::new();
        }
    }

    /// Takes off the next header, and whole control frames. `None` when more
    /// bytes are needed, or payload comes next.
    fn next_frame(&mut self) -> io::Result<Option<Met>> {
        loop {
            let mut cursor = Cursor::new(&self.buffer[..]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(invalid)?;
            let header_len = usize::try_from(cursor.position()).expect("a header is short");
            let Some((header, length)) = parsed else { return Ok(None) };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            self.check(&header)?;
            match header.opcode {
                OpCode::Data(data) => {
                    self.begin(data, header.is_final, length)?;
                    self.buffer.advance(header_len);
                    (self.rest, self.mask) = (length, header.mask.map(Mask::new));
                    if length > 0 {
                        return Ok(None);
                    }
                }
                OpCode::Control(control) => {
                    if length > CONTROL_MAX || !header.is_final {
                        return Err(unexpected("a control frame that is split or too long"));
                    }
                    if self.buffer.len() < header_len + length {
                        return Ok(None);
                    }
                    self.buffer.advance(header_len);
                    let mut payload = self.buffer.split_to(length).to_vec();
                    if let Some(mask) = header.mask {
                        Mask::new(mask).apply(&mut payload);
                    }
                    match control {
                        Control::Ping => return Ok(Some(Met::Ping(payload))),
                        Control::Pong => {}
                        Control::Close => return Ok(Some(Met::End)),
                        Control::Reserved(_) => return Err(unexpected("an unknown control frame")),
                    }
                }
            }
        }
    }

    fn check(&self, header: &FrameHeader) -> io::Result<()> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(unexpected("a reserved bit"));
        }
        if header.mask.is_some() != (self.role == Role::Server) {
            return Err(unexpected("a frame with the wrong masking"));
        }
        Ok(())
    }

    fn begin(&mut self, data: Data, is_final: bool, length: usize) -> io::Result<()> {
        let before = match (data, self.message) {
            (Data::Binary, None) => 0,
            (Data::Continue, Some(before)) => before,
            (Data::Text, _) => return Err(unexpected("a text message")),
            (Data::Binary | Data::Continue, _) => return Err(unexpected("a frame out of order")),
            (Data::Reserved(_), _) => return Err(unexpected("an unknown frame")),
        };
        if length > WEBSOCKET_MESSAGE_MAX - before {
            return Err(unexpected("a message above the limit"));
        }
        self.message = (!is_final).then_some(before + length);
        Ok(())
    }
}
