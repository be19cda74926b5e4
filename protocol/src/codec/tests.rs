//! Messages on a stream: lengths, limits and cuts.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::message::control::ToHub;
use crate::message::preamble::{PreambleError, StreamKind, read_preamble, write_preamble};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
struct Note {
    text: String,
}

impl Message for Note {
    const NAME: &'static str = "note";
    const LIMIT: usize = 100;
}

async fn read(bytes: &[u8]) -> Result<Note, CodecError> {
    read_message(&mut &bytes[..]).await
}

#[tokio::test]
async fn messages_follow_each_other_on_a_stream() {
    let (mut near, mut far) = tokio::io::duplex(16);
    let notes = ["one", "", "three"].map(|text| Note { text: text.to_owned() });
    let write = async {
        for note in &notes {
            write_message(&mut near, note).await.unwrap();
        }
    };
    let read = async {
        for note in &notes {
            assert_eq!(read_message::<Note, _>(&mut far).await.unwrap(), *note);
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn the_length_stands_first_in_four_little_endian_bytes() {
    let note = Note { text: "hi".to_owned() };
    assert_eq!(frame(&note).unwrap(), b"\x03\0\0\0\x02hi");
    assert_eq!(read(b"\x03\0\0\0\x02hi").await.unwrap(), note);
}

#[tokio::test]
async fn a_claimed_length_above_the_limit_is_refused_before_its_bytes_come() {
    for length in [Note::LIMIT as u32 + 1, 1 << 20, u32::MAX] {
        let (mut near, mut far) = tokio::io::duplex(16);
        near.write_all(&length.to_le_bytes()).await.unwrap();
        // Nothing follows and the stream stays open: waiting would be for ever.
        let error = read_message::<Note, _>(&mut far).await.unwrap_err();
        assert!(
            matches!(error, CodecError::TooLarge { length: claimed, limit: 100, .. } if claimed == length as usize)
        );
    }
}

#[test]
fn a_message_above_its_limit_is_not_sent() {
    let note = |length| Note { text: "x".repeat(length) };
    assert!(encode(&note(99)).is_ok());
    assert!(matches!(encode(&note(100)), Err(CodecError::TooLarge { length: 101, .. })));
}

#[tokio::test]
async fn a_stream_that_ends_within_a_message_is_an_error() {
    let whole = frame(&Note { text: "hi".to_owned() }).unwrap();
    for end in 0..whole.len() {
        assert!(matches!(read(&whole[..end]).await, Err(CodecError::Io(_))), "cut at {end}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_malformed() {
    assert!(matches!(read(b"\x03\0\0\0\x02\xff\xfe").await, Err(CodecError::Malformed { name: "note" })));
}

#[test]
fn a_length_inside_a_message_is_not_believed() {
    // 253 stands before a number of eight bytes: a text longer than any memory.
    let claim = [&[253][..], &u64::MAX.to_le_bytes()].concat();
    assert!(matches!(decode::<Note>(&claim), Err(CodecError::Malformed { .. })));
    let renew = [&[1, 253][..], &u64::MAX.to_le_bytes()].concat();
    assert!(matches!(decode::<ToHub>(&renew), Err(CodecError::Malformed { .. })));
}

#[tokio::test]
async fn a_preamble_names_every_known_kind() {
    for kind in StreamKind::ALL {
        let mut bytes = Vec::new();
        write_preamble(&mut bytes, kind).await.unwrap();
        assert_eq!(read_preamble(&mut &bytes[..]).await.unwrap(), kind);
    }
}

#[tokio::test]
async fn an_unknown_stream_kind_is_named() {
    let from_the_future = b"\x0a\0\0\0\xfb\xe7\x03 and more";
    let error = read_preamble(&mut &from_the_future[..]).await.unwrap_err();
    assert!(matches!(error, PreambleError::UnknownKind(999)), "{error}");
}

#[tokio::test]
async fn a_preamble_leaves_the_bytes_behind_it_alone() {
    let mut bytes = Vec::new();
    write_preamble(&mut bytes, StreamKind::Docker).await.unwrap();
    bytes.extend_from_slice(b"GET /_ping HTTP/1.1\r\n");
    let mut rest = &bytes[..];
    read_preamble(&mut rest).await.unwrap();
    assert_eq!(rest, b"GET /_ping HTTP/1.1\r\n");
}

proptest! {
    #[test]
    fn any_note_survives(text in "\\PC{0,24}") {
        let note = Note { text };
        prop_assert_eq!(decode::<Note>(&encode(&note).unwrap()).unwrap(), note);
    }

    #[test]
    fn any_preamble_bytes_end_in_a_kind_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(read_preamble(&mut &bytes[..])) {
            Ok(kind) => prop_assert!(StreamKind::ALL.contains(&kind)),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
