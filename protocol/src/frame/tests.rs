//! Frames byte for byte, in any pieces, and against garbage.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out.to_vec()
}

fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame<'static>>, FrameError> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut space = decoder.space();
        let length = piece.min(rest.len()).min(space.remaining_mut());
        assert!(length > 0, "there is always space for more");
        space.put_slice(&rest[..length]);
        rest = &rest[length..];
        while let Some(frame) = decoder.next_frame()? {
            frames.push(owned(frame));
        }
        decoder.release();
    }
    Ok(frames)
}

/// The frame without the read buffer behind it.
pub fn owned(frame: Frame<'_>) -> Frame<'static> {
    match frame {
        Frame::Data { stream, fin, payload } => {
            let payload = match payload {
                Payload::Borrowed(bytes) => BytesMut::from(bytes),
                Payload::Owned(bytes) => bytes,
            };
            Frame::Data { stream, fin, payload: Payload::Owned(payload) }
        }
        Frame::Settings(settings) => Frame::Settings(settings),
        Frame::Open { stream, priority } => Frame::Open { stream, priority },
        Frame::Window { stream, credit } => Frame::Window { stream, credit },
        Frame::Fin { stream } => Frame::Fin { stream },
        Frame::Reset { stream, code } => Frame::Reset { stream, code },
        Frame::Ping(number) => Frame::Ping(number),
        Frame::Pong(number) => Frame::Pong(number),
        Frame::GoAway(reason) => Frame::GoAway(reason),
    }
}

fn data(stream: u32, fin: bool, bytes: &[u8]) -> Frame<'static> {
    Frame::Data { stream: StreamId(stream), fin, payload: Payload::Owned(BytesMut::from(bytes)) }
}

#[test]
fn every_frame_has_the_bytes_it_always_had() {
    let stream = StreamId(0x0102_0304);
    let settings = Settings { version: 1, window: 0x4_0000, payload_max: 0x4000, streams_max: 128 };
    let golden: [(Frame<'_>, &[u8]); 11] = [
        (Frame::Settings(settings), &[0, 0, 0, 0, 0, 0, 14, 0, 1, 0, 0, 0, 4, 0, 0, 0x40, 0, 0, 0x80, 0, 0, 0]),
        (Frame::Open { stream, priority: Priority::Normal }, &[1, 0, 4, 3, 2, 1, 0, 0]),
        (Frame::Open { stream, priority: Priority::Interactive }, &[1, 1, 4, 3, 2, 1, 0, 0]),
        (data(7, false, b"hi"), &[2, 0, 7, 0, 0, 0, 2, 0, b'h', b'i']),
        (data(7, true, b"!"), &[2, 1, 7, 0, 0, 0, 1, 0, b'!']),
        (Frame::Window { stream, credit: 0x0001_0000 }, &[3, 0, 4, 3, 2, 1, 4, 0, 0, 0, 1, 0]),
        (Frame::Fin { stream }, &[4, 0, 4, 3, 2, 1, 0, 0]),
        (Frame::Reset { stream, code: ResetCode::Refused }, &[5, 0, 4, 3, 2, 1, 2, 0, 4, 0]),
        (Frame::Ping(9), &[6, 0, 0, 0, 0, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
        (Frame::Pong(9), &[7, 0, 0, 0, 0, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
        (Frame::GoAway("bye".to_owned()), &[8, 0, 0, 0, 0, 0, 3, 0, b'b', b'y', b'e']),
    ];
    for (frame, bytes) in golden {
        assert_eq!(encoded(&frame), bytes, "{frame:?}");
        assert_eq!(decode(bytes, usize::MAX).unwrap(), [frame]);
    }
}

#[test]
fn settings_may_carry_fields_of_a_newer_version() {
    let bytes = [&[0, 0, 0, 0, 0, 0, 16, 0][..], &[1, 0, 0, 0, 4, 0, 0, 64, 0, 0, 128, 0, 0, 0], &[9, 9]].concat();
    let settings = Settings { version: 1, window: 0x4_0000, payload_max: 0x4000, streams_max: 128 };
    assert_eq!(decode(&bytes, usize::MAX).unwrap(), [Frame::Settings(settings)]);
}

#[test]
fn a_length_beyond_its_type_is_refused_before_its_bytes_come() {
    let cases: [([u8; HEADER_LEN], FrameError); 8] = [
        ([9, 0, 0, 0, 0, 0, 0, 0], FrameError::UnknownKind(9)),
        ([2, 2, 1, 0, 0, 0, 1, 0], FrameError::UnknownFlags(Kind::Data, 2)),
        ([2, 0, 1, 0, 0, 0, 1, 0x40], FrameError::Length(Kind::Data, 0x4001)),
        ([2, 0, 1, 0, 0, 0, 0, 0], FrameError::Length(Kind::Data, 0)),
        ([8, 0, 0, 0, 0, 0, 0xff, 0xff], FrameError::Length(Kind::GoAway, 0xffff)),
        ([3, 0, 1, 0, 0, 0, 3, 0], FrameError::Length(Kind::Window, 3)),
        ([2, 0, 0, 0, 0, 0, 1, 0], FrameError::Stream(Kind::Data, 0)),
        ([6, 0, 1, 0, 0, 0, 8, 0], FrameError::Stream(Kind::Ping, 1)),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(&bytes, usize::MAX), Err(error));
    }
}

#[test]
fn a_large_payload_holds_no_more_than_its_own_bytes() {
    let bytes = encoded(&data(1, false, &vec![7; FRAME_PAYLOAD_MAX]));
    for piece in [100, 4_096, usize::MAX] {
        let frames = decode(&[bytes.clone(), bytes.clone()].concat(), piece).unwrap();
        for frame in frames {
            let Frame::Data { payload: Payload::Owned(payload), .. } = frame else { panic!("a data frame") };
            assert_eq!(payload.capacity(), FRAME_PAYLOAD_MAX + HEADER_LEN);
        }
    }
}

#[test]
fn an_idle_decoder_holds_nothing() {
    let mut decoder = Decoder::default();
    decoder.space().put_slice(&encoded(&Frame::Ping(1)));
    assert_eq!(decoder.next_frame(), Ok(Some(Frame::Ping(1))));
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.release();
    assert_eq!(decoder.held(), 0);
}

fn any_frame() -> impl Strategy<Value = Frame<'static>> {
    let stream = (1..=u32::MAX).prop_map(StreamId);
    let priority = prop_oneof![Just(Priority::Normal), Just(Priority::Interactive)];
    let length = prop_oneof![1..200_usize, 8_000..8_400_usize, 16_000..=FRAME_PAYLOAD_MAX];
    prop_oneof![
        (any::<u16>(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
            |(version, window, payload_max, streams_max)| {
                Frame::Settings(Settings { version, window, payload_max, streams_max })
            }
        ),
        (stream.clone(), priority).prop_map(|(stream, priority)| Frame::Open { stream, priority }),
        (1..=u32::MAX, any::<bool>(), length, any::<u8>()).prop_map(|(stream, fin, length, byte)| data(
            stream,
            fin,
            &vec![byte; length]
        )),
        (stream.clone(), any::<u32>()).prop_map(|(stream, credit)| Frame::Window { stream, credit }),
        stream.clone().prop_map(|stream| Frame::Fin { stream }),
        (stream, 0..8_u16).prop_map(|(stream, code)| Frame::Reset { stream, code: ResetCode::from_number(code) }),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        "[a-z é]{0,100}".prop_map(Frame::GoAway),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_survive_any_pieces(
        frames in prop::collection::vec(any_frame(), 0..8),
        piece in prop_oneof![Just(1), 2..50_usize, Just(8_192), Just(usize::MAX)],
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(encoded).collect();
        prop_assert_eq!(decode(&bytes, piece).unwrap(), frames);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2_000), piece in 1..3_000_usize) {
        // What it makes of garbage does not matter, only that it lives.
        decode(&bytes, piece).ok();
    }

    #[test]
    fn garbage_behind_a_good_header_never_panics(kind in 0..9_u8, length in 0..600_u16, byte in any::<u8>()) {
        let stream = u8::from((1..=5).contains(&kind));
        let mut bytes = vec![kind, 0, stream, 0, 0, 0];
        bytes.extend(length.to_le_bytes());
        bytes.extend(vec![byte; length.into()]);
        decode(&bytes, usize::MAX).ok();
    }
}
