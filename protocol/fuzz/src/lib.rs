//! What the fuzz targets do with their bytes. A test of the protocol crate
//! replays the committed corpus through the same functions.

use bytes::{BufMut, BytesMut};
use futures_util::FutureExt;
use tokio::time::Instant;
use windflow_protocol::codec::{Message, decode, encode};
use windflow_protocol::frame::{Decoder, Frame, FrameError};
use windflow_protocol::message::control::{ToAgent, ToHub};
use windflow_protocol::message::enroll::{EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use windflow_protocol::message::events::{EventsMessage, EventsRequest};
use windflow_protocol::message::hello::{Ack, Hello, HelloReply};
use windflow_protocol::message::logs::{LogsEvent, LogsRequest};
use windflow_protocol::message::preamble::{StreamKind, read_preamble};
use windflow_protocol::mux::Mux;
use windflow_protocol::token::EnrollmentToken;
use windflow_protocol::transport::Side;

/// Frames are the same however the bytes are split, and neither end of a
/// session panics on them.
///
/// # Panics
/// Where that does not hold; so do all functions here.
pub fn frame(bytes: &[u8]) {
    let whole = frames(bytes, usize::MAX);
    for piece in [1, 7, 4096] {
        assert_eq!(frames(bytes, piece), whole);
    }
    for side in [Side::Hub, Side::Agent] {
        session(bytes, side);
    }
}

/// A preamble is read from its own bytes only, and is a known kind or an error.
pub fn preamble(bytes: &[u8]) {
    let mut rest = bytes;
    let read = read_preamble(&mut rest).now_or_never().expect("bytes at hand are not waited for");
    match read {
        Ok(kind) => assert!(StreamKind::ALL.contains(&kind)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(bytes.ends_with(rest));
}

/// Whatever decodes has one encoding, which decodes to the same.
pub fn hello(bytes: &[u8]) {
    stable::<Hello>(bytes);
    stable::<HelloReply>(bytes);
    stable::<Ack>(bytes);
    stable::<ToHub>(bytes);
    stable::<ToAgent>(bytes);
    stable::<EnrollRequest>(bytes);
    stable::<EnrollReply>(bytes);
    stable::<RenewRequest>(bytes);
    stable::<RenewReply>(bytes);
    stable::<LogsRequest>(bytes);
    stable::<LogsEvent>(bytes);
    stable::<EventsRequest>(bytes);
    stable::<EventsMessage>(bytes);
}

/// A text that is taken for a token is that token's text.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(token) = EnrollmentToken::parse(text) {
        assert!(token.expose().eq_ignore_ascii_case(text.trim()));
    }
}

fn stable<M: Message>(bytes: &[u8]) {
    let Ok(message) = decode::<M>(bytes) else {
        return;
    };
    let once = encode(&message).expect("a decoded message is within its limit");
    let again = encode(&decode::<M>(&once).expect("an encoding decodes")).expect("it is no longer than before");
    assert_eq!(once, again);
}

/// Every frame in `bytes` as bytes again, and the error that ended them.
fn frames(bytes: &[u8], piece: usize) -> (Vec<BytesMut>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    let mut error = None;
    feed(&mut decoder, bytes, piece, |decoder| {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    frames.push(recoded(&frame));
                }
                Ok(None) => return true,
                Err(refused) => {
                    error = Some(refused);
                    return false;
                }
            }
        }
    });
    (frames, error)
}

fn recoded(frame: &Frame<'_>) -> BytesMut {
    let mut encoded = BytesMut::new();
    match frame {
        // What was not UTF-8 is longer as a text, and is not sent again.
        Frame::GoAway(text) => encoded.put_slice(text.as_bytes()),
        other => other.encode(&mut encoded),
    }
    encoded
}

fn session(bytes: &[u8], side: Side) {
    let now = Instant::now();
    let mut mux = Mux::new(side, now);
    let mut decoder = Decoder::default();
    feed(&mut decoder, bytes, usize::MAX, |decoder| {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => mux.receive(frame, now),
                Ok(None) => return true,
                Err(refused) => {
                    mux.receive_garbage(refused);
                    return false;
                }
            }
        }
    });
    mux.on_timer(now);
    assert!(mux.deadline() >= now || mux.ended().is_some());
}

/// Gives the decoder at most `piece` bytes at a time, until `step` says stop.
fn feed(decoder: &mut Decoder, mut bytes: &[u8], piece: usize, mut step: impl FnMut(&mut Decoder) -> bool) {
    while !bytes.is_empty() {
        let mut space = decoder.space();
        let taken = bytes.len().min(piece).min(space.remaining_mut());
        space.put_slice(&bytes[..taken]);
        bytes = &bytes[taken..];
        if !step(decoder) {
            return;
        }
    }
}
