//! One frame of the multiplexer: eight bytes of header, then its payload.
//!
//! ```text
//! type u8 | flags u8 | stream u32 | length u16      (little-endian)
//! ```
//!
//! A frame's length is checked against its type before anything is allocated
//! for it. Numbers are on the wire and are never reused.

mod decoder;

use bytes::{BufMut, BytesMut};

pub use self::decoder::Decoder;
use crate::limits::{FRAME_PAYLOAD_MAX, GOAWAY_TEXT_MAX, SETTINGS_MAX};
use crate::session::{Priority, ResetCode};

/// Bytes in front of every payload.
pub const HEADER_LEN: usize = 8;
/// The multiplexer version that this build speaks.
pub const MUX_VERSION: u16 = 1;

const FLAG_INTERACTIVE: u8 = 1;
const FLAG_FIN: u8 = 1;

/// A stream's number on the wire. Numbers rise within a session and are never
/// reused; zero stands for the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The session itself.
    pub const SESSION: Self = Self(0);
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Each end's first frame.
    Settings = 0,
    /// A new stream.
    Open = 1,
    /// A stream's bytes.
    Data = 2,
    /// More bytes may be sent on a stream.
    Window = 3,
    /// No more bytes will come on a stream.
    Fin = 4,
    /// A stream is cut in both directions.
    Reset = 5,
    /// A question whose answer measures the round trip.
    Ping = 6,
    /// The answer to a ping.
    Pong = 7,
    /// The session ends.
    GoAway = 8,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Settings,
        Self::Open,
        Self::Data,
        Self::Window,
        Self::Fin,
        Self::Reset,
        Self::Ping,
        Self::Pong,
        Self::GoAway,
    ];

    /// The payload lengths that are possible.
    const fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Settings => Settings::LEN..=SETTINGS_MAX,
            Self::Open | Self::Fin => 0..=0,
            Self::Data => 1..=FRAME_PAYLOAD_MAX,
            Self::Window => 4..=4,
            Self::Reset => 2..=2,
            Self::Ping | Self::Pong => 8..=8,
            Self::GoAway => 0..=GOAWAY_TEXT_MAX,
        }
    }

    const fn flags(self) -> u8 {
        match self {
            Self::Open => FLAG_INTERACTIVE,
            Self::Data => FLAG_FIN,
            Self::Settings | Self::Window | Self::Fin | Self::Reset | Self::Ping | Self::Pong | Self::GoAway => 0,
        }
    }

    const fn is_of_session(self) -> bool {
        match self {
            Self::Settings | Self::Ping | Self::Pong | Self::GoAway => true,
            Self::Open | Self::Data | Self::Window | Self::Fin | Self::Reset => false,
        }
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The type is not one of this version.
    #[error("unknown frame type {0}")]
    UnknownKind(u8),
    /// A flag is set that the type does not have.
    #[error("{0:?} frame with unknown flags {1:#04x}")]
    UnknownFlags(Kind, u8),
    /// The payload cannot have this length.
    #[error("{0:?} frame of {1} bytes")]
    Length(Kind, usize),
    /// A stream's frame without a stream, or the reverse.
    #[error("{0:?} frame on stream {1}")]
    Stream(Kind, u32),
}

/// The eight bytes in front of a payload, checked against their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    kind: Kind,
    flags: u8,
    stream: StreamId,
    length: u16,
}

impl Header {
    /// The header of a data frame with `length` bytes, at most
    /// [`FRAME_PAYLOAD_MAX`].
    pub fn data(stream: StreamId, length: usize) -> Self {
        Self::new(Kind::Data, stream, length, 0)
    }

    /// The same for a stream's last bytes.
    pub fn last_data(stream: StreamId, length: usize) -> Self {
        Self::new(Kind::Data, stream, length, FLAG_FIN)
    }

    fn new(kind: Kind, stream: StreamId, length: usize, flags: u8) -> Self {
        debug_assert!(kind.lengths().contains(&length));
        Self { kind, flags, stream, length: u16::try_from(length).expect("every payload limit fits sixteen bits") }
    }

    /// The header on the wire.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [s0, s1, s2, s3] = self.stream.0.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [self.kind as u8, self.flags, s0, s1, s2, s3, l0, l1]
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError`] for what no peer of this version sends.
    pub fn from_bytes(bytes: [u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [kind, flags, s0, s1, s2, s3, l0, l1] = bytes;
        let known = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
        let kind = known.ok_or(FrameError::UnknownKind(kind))?;
        let stream = StreamId(u32::from_le_bytes([s0, s1, s2, s3]));
        let length = u16::from_le_bytes([l0, l1]);
        if flags & !kind.flags() != 0 {
            return Err(FrameError::UnknownFlags(kind, flags));
        }
        if !kind.lengths().contains(&usize::from(length)) {
            return Err(FrameError::Length(kind, length.into()));
        }
        if kind.is_of_session() != (stream == StreamId::SESSION) {
            return Err(FrameError::Stream(kind, stream.0));
        }
        Ok(Self { kind, flags, stream, length })
    }

    fn payload_len(self) -> usize {
        self.length.into()
    }
}

/// What each end tells the other before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The multiplexer version it speaks.
    pub version: u16,
    /// Receive window of a new stream, in bytes.
    pub window: u32,
    /// Largest payload it accepts in one frame, in bytes.
    pub payload_max: u32,
    /// Most streams it accepts at once.
    pub streams_max: u32,
}

impl Settings {
    const LEN: usize = 14;

    fn put(self, out: &mut BytesMut) {
        out.put_u16_le(self.version);
        out.put_u32_le(self.window);
        out.put_u32_le(self.payload_max);
        out.put_u32_le(self.streams_max);
    }

    fn from_prefix(bytes: [u8; Self::LEN]) -> Self {
        let [v0, v1, w0, w1, w2, w3, p0, p1, p2, p3, s0, s1, s2, s3] = bytes;
        Self {
            version: u16::from_le_bytes([v0, v1]),
            window: u32::from_le_bytes([w0, w1, w2, w3]),
            payload_max: u32::from_le_bytes([p0, p1, p2, p3]),
            streams_max: u32::from_le_bytes([s0, s1, s2, s3]),
        }
    }
}

/// The bytes of a received data frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A few, still in the read buffer.
    Borrowed(&'a [u8]),
    /// Many, in a buffer of their own.
    Owned(BytesMut),
}

impl Payload<'_> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }

    /// Whether there are none, which no decoded frame has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One decoded frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Each end's first frame.
    Settings(Settings),
    /// A new stream, numbered above every one before.
    Open {
        /// Its number.
        stream: StreamId,
        /// How soon its bytes go out.
        priority: Priority,
    },
    /// A stream's bytes.
    Data {
        /// Its number.
        stream: StreamId,
        /// Whether these are the last.
        fin: bool,
        /// The bytes, at least one.
        payload: Payload<'a>,
    },
    /// More bytes may be sent on a stream.
    Window {
        /// Its number.
        stream: StreamId,
        /// How many more, on top of all before.
        credit: u32,
    },
    /// No more bytes will come on a stream.
    Fin {
        /// Its number.
        stream: StreamId,
    },
    /// A stream is cut in both directions.
    Reset {
        /// Its number.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
    /// A question whose answer measures the round trip.
    Ping(u64),
    /// The answer to the ping with this number and to all before it.
    Pong(u64),
    /// The session ends, for the reason given.
    GoAway(String),
}

impl Frame<'_> {
    /// Appends the frame as it is on the wire. A goodbye's reason must be
    /// within [`GOAWAY_TEXT_MAX`], a payload within [`FRAME_PAYLOAD_MAX`].
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_slice(&self.header().to_bytes());
        match self {
            Self::Settings(settings) => settings.put(out),
            Self::Open { .. } | Self::Fin { .. } => {}
            Self::Data { payload: Payload::Borrowed(bytes), .. } => out.put_slice(bytes),
            Self::Data { payload: Payload::Owned(bytes), .. } => out.put_slice(bytes),
            Self::Window { credit, .. } => out.put_u32_le(*credit),
            Self::Reset { code, .. } => out.put_u16_le(code.number()),
            Self::Ping(number) | Self::Pong(number) => out.put_u64_le(*number),
            Self::GoAway(reason) => out.put_slice(reason.as_bytes()),
        }
    }

    fn header(&self) -> Header {
        match self {
            Self::Settings(_) => Header::new(Kind::Settings, StreamId::SESSION, Settings::LEN, 0),
            Self::Open { stream, priority: Priority::Interactive } => {
                Header::new(Kind::Open, *stream, 0, FLAG_INTERACTIVE)
            }
            Self::Open { stream, priority: Priority::Normal } => Header::new(Kind::Open, *stream, 0, 0),
            Self::Data { stream, fin: false, payload } => Header::data(*stream, payload.len()),
            Self::Data { stream, fin: true, payload } => Header::last_data(*stream, payload.len()),
            Self::Window { stream, .. } => Header::new(Kind::Window, *stream, 4, 0),
            Self::Fin { stream } => Header::new(Kind::Fin, *stream, 0, 0),
            Self::Reset { stream, .. } => Header::new(Kind::Reset, *stream, 2, 0),
            Self::Ping(_) => Header::new(Kind::Ping, StreamId::SESSION, 8, 0),
            Self::Pong(_) => Header::new(Kind::Pong, StreamId::SESSION, 8, 0),
            Self::GoAway(reason) => Header::new(Kind::GoAway, StreamId::SESSION, reason.len(), 0),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
