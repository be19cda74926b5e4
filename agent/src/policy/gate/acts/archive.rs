//! Archives on their way into a container, which are never packed: an engine may
//! unpack one with a program of the container's own, as root of the host.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::super::Failure;
use super::super::engine::ToEngine;
use super::super::refusal::Refusal;

/// How packed archives begin: bzip2, gzip, xz, zstd, lz4, lzma and compress.
const PACKED: [&[u8]; 7] = [
    b"BZh",
    &[0x1f, 0x8b],
    &[0xfd, b'7', b'z', b'X', b'Z', 0],
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0x04, 0x22, 0x4d, 0x18],
    &[0x5d, 0, 0],
    &[0x1f, 0x9d],
];
/// What follows the first byte where zstd begins with something to skip.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];
/// As many bytes as tell all of them.
const BEGIN: usize = 6;

/// An archive whose begin was looked at.
struct Begun {
    begin: Option<Bytes>,
    rest: Incoming,
}

/// The archive as it came, if it is not packed.
pub(super) async fn unpacked(mut body: Incoming) -> Result<ToEngine, Failure> {
    let mut begin = Vec::new();
    while begin.len() < BEGIN {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| anyhow::anyhow!("The request was cut off: {error}"))?;
        if let Ok(data) = frame.into_data() {
            begin.extend_from_slice(&data);
        }
    }
    if is_packed(&begin) {
        super::read_away(body).await;
        return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, rule: "body.type" }.into());
    }
    Ok(Begun { begin: Some(begin.into()).filter(|begin: &Bytes| !begin.is_empty()), rest: body }.boxed())
}

fn is_packed(begin: &[u8]) -> bool {
    PACKED.iter().any(|packed| begin.starts_with(packed))
        || begin.first().is_some_and(|first| first & 0xf0 == 0x50) && begin[1..].starts_with(&SKIPPED)
}

impl Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match this.begin.take() {
            Some(begin) => Poll::Ready(Some(Ok(Frame::data(begin)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begin.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begin = self.begin.as_ref().map_or(0, |begin| begin.len() as u64);
        self.rest.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c27_a_packed_archive_is_known_by_its_begin() {
        let packed: [&[u8]; 6] = [
            b"BZh91AY",
            &[0x1f, 0x8b, 0x08, 0, 0, 0],
            &[0xfd, b'7', b'z', b'X', b'Z', 0, 0],
            &[0x28, 0xb5, 0x2f, 0xfd, 0, 0],
            &[0x50, 0x2a, 0x4d, 0x18, 0, 0],
            &[0x5f, 0x2a, 0x4d, 0x18, 0, 0],
        ];
        for begin in packed {
            assert!(is_packed(begin), "{begin:?}");
        }
        let plain: [&[u8]; 5] = [b"", b"./", b"Panel.txt", b"etc/passwd", &[0; 512]];
        for begin in plain {
            assert!(!is_packed(begin), "{begin:?}");
        }
    }
}
