//! Frames out of a byte stream, with as few copies and as little memory as the
//! bytes at hand need.
//!
//! Small frames are borrowed from a read buffer that exists only while bytes
//! arrive. A large payload is read straight into a buffer of its own size: a
//! slice of the read buffer would keep all of it alive for as long as the
//! stream's reader takes, many times what the window allows.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};

use super::{Frame, FrameError, HEADER_LEN, Header, Kind, Payload, Settings};
use crate::limits::{FRAME_COPY_BELOW, READ_BUFFER};
use crate::session::{Priority, ResetCode};

/// Turns bytes into frames. Holds no buffer between frames once
/// [`release`](Self::release) was called.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// How much of the buffer the last borrowed frame took.
    borrowed: usize,
    large: Option<Large>,
    expected: Expected,
}

/// A payload that is being read into its own buffer, with room for the header
/// behind it, so that bulk costs one read per frame.
#[derive(Debug)]
struct Large {
    header: Header,
    bytes: BytesMut,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Expected {
    /// Anything: read as much as there is.
    #[default]
    Mixed,
    /// The next header of a bulk transfer: what is read behind it would have
    /// to be copied.
    Bulk,
}

impl Decoder {
    /// Where the next bytes go. Never empty.
    pub fn space(&mut self) -> Limit<&mut BytesMut> {
        self.forget_borrowed();
        if let Some(Large { header, bytes }) = &mut self.large {
            let missing = header.payload_len() + HEADER_LEN - bytes.len();
            return bytes.limit(missing);
        }
        let wanted = match self.expected {
            Expected::Bulk if self.buffer.len() < HEADER_LEN => HEADER_LEN,
            Expected::Bulk | Expected::Mixed => READ_BUFFER,
        };
        let missing = wanted - self.buffer.len();
        self.buffer.reserve(missing);
        (&mut self.buffer).limit(missing)
    }

    /// Gives the read buffer back when nothing is left in it. To be called when
    /// no more bytes are at hand.
    pub fn release(&mut self) {
        self.forget_borrowed();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next whole frame, or `None` until more bytes are there.
    ///
    /// # Errors
    /// [`FrameError`] once the bytes are no frame; the session is then lost.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.forget_borrowed();
        if self.large.is_some() {
            return Ok(self.finish_large());
        }
        let Some(header) = self.buffer.first_chunk().map(|bytes| Header::from_bytes(*bytes)).transpose()? else {
            return Ok(None);
        };
        let length = header.payload_len();
        if length >= FRAME_COPY_BELOW {
            self.start_large(header);
            return Ok(self.finish_large());
        }
        self.expected = Expected::Mixed;
        if self.buffer.len() < HEADER_LEN + length {
            return Ok(None);
        }
        self.borrowed = HEADER_LEN + length;
        Ok(Some(parse(header, &self.buffer[HEADER_LEN..HEADER_LEN + length])))
    }

    /// Bytes of memory held now.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() + self.large.as_ref().map_or(0, |large| large.bytes.capacity())
    }

    fn forget_borrowed(&mut self) {
        self.buffer.advance(std::mem::take(&mut self.borrowed));
    }

    fn start_large(&mut self, header: Header) {
        self.buffer.advance(HEADER_LEN);
        let length = header.payload_len();
        let mut bytes = BytesMut::with_capacity(length + HEADER_LEN);
        let at_hand = length.min(self.buffer.len());
        bytes.put_slice(&self.buffer[..at_hand]);
        self.buffer.advance(at_hand);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        self.large = Some(Large { header, bytes });
    }

    fn finish_large(&mut self) -> Option<Frame<'static>> {
        let Large { header, mut bytes } =
            self.large.take_if(|large| large.bytes.len() >= large.header.payload_len())?;
        let length = header.payload_len();
        // While a large payload is read the buffer is empty, so what was read
        // behind the payload is what comes next.
        self.buffer.extend_from_slice(&bytes[length..]);
        bytes.truncate(length);
        self.expected = Expected::Bulk;
        Some(Frame::Data { stream: header.stream, fin: header.flags != 0, payload: Payload::Owned(bytes) })
    }
}

fn parse(header: Header, payload: &[u8]) -> Frame<'_> {
    const CHECKED: &str = "the header's length was checked against its type";
    let stream = header.stream;
    match header.kind {
        Kind::Settings => Frame::Settings(Settings::from_prefix(*payload.first_chunk().expect(CHECKED))),
        Kind::Open if header.flags == 0 => Frame::Open { stream, priority: Priority::Normal },
        Kind::Open => Frame::Open { stream, priority: Priority::Interactive },
        Kind::Data => Frame::Data { stream, fin: header.flags != 0, payload: Payload::Borrowed(payload) },
        Kind::Window => Frame::Window { stream, credit: u32::from_le_bytes(payload.try_into().expect(CHECKED)) },
        Kind::Fin => Frame::Fin { stream },
        Kind::Reset => {
            let number = u16::from_le_bytes(payload.try_into().expect(CHECKED));
            Frame::Reset { stream, code: ResetCode::from_number(number) }
        }
        Kind::Ping => Frame::Ping(u64::from_le_bytes(payload.try_into().expect(CHECKED))),
        Kind::Pong => Frame::Pong(u64::from_le_bytes(payload.try_into().expect(CHECKED))),
        Kind::GoAway => Frame::GoAway(String::from_utf8_lossy(payload).into_owned()),
    }
}
