//! Streams, seen from the hub's end and from the engine's.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windflow_protocol::codec::write_message;
use windflow_protocol::message::hello::{HelloReply, Welcome};
use windflow_protocol::message::preamble::Preamble;
use windflow_protocol::transport::{Priority, StreamReset, memory};

use super::*;
use crate::serve::{InProcess, SessionEnd};
use crate::testing::{FakeEngine, Hub, absent_engine, welcome};

fn echo() -> FakeEngine {
    FakeEngine::new(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.ok();
    })
}

async fn reset_of(stream: &mut Stream) -> Option<ResetCode> {
    StreamReset::code_of(&stream.read_u8().await.unwrap_err())
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_both_directions() {
    let fake = echo();
    let hub = Hub::welcome(fake.engine()).await;
    let stream = hub.open(StreamKind::Docker).await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        writer.write_all(&body).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut echoed = Vec::new();
    let (_, received) = tokio::join!(sending, reader.read_to_end(&mut echoed));
    received.unwrap();
    assert!(echoed == body);
}

#[tokio::test]
async fn the_engine_hears_the_end_of_the_request_and_still_answers() {
    let fake = FakeEngine::new(|mut stream| async move {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await.unwrap();
        stream.write_all(format!("got {}", request.len()).as_bytes()).await.unwrap();
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    stream.write_all(b"stdin").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "got 5");
}

#[tokio::test]
async fn the_hub_hears_the_end_of_the_answer_and_may_go_on() {
    let (heard, mut hearing) = tokio::sync::mpsc::channel(1);
    let fake = FakeEngine::new(move |mut stream| {
        let heard = heard.clone();
        async move {
            stream.write_all(b"answer").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            heard.send(rest).await.unwrap();
        }
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    stream.write_all(b"more").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(hearing.recv().await.unwrap(), b"more");
}

#[tokio::test]
async fn an_early_answer_arrives_although_the_engine_takes_no_more() {
    let fake = FakeEngine::new(|mut stream| async move {
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let hub = Hub::welcome(fake.engine()).await;
    let stream = hub.open(StreamKind::Docker).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let uploading = async {
        let piece = [0; 16 * 1024];
        // Far more than every buffer on the way together.
        for _ in 0..256 {
            writer.write_all(&piece).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    };
    let mut answer = [0; 12];
    let (_, read) = tokio::join!(uploading, reader.read_exact(&mut answer));
    read.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn an_absent_engine_is_named_in_the_reset() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::EngineUnavailable));
}

#[tokio::test]
async fn an_unknown_kind_is_named_in_the_reset() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.connection.open(Priority::Normal).unwrap();
    write_message(&mut stream, &Preamble { kind: 999 }).await.unwrap();
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::UnknownKind));
}

#[tokio::test]
async fn a_second_control_stream_is_refused() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.open(StreamKind::Control).await;
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::Malformed));
}

#[tokio::test]
async fn a_kind_that_was_not_agreed_is_refused() {
    let mut hub = Hub::greeted(absent_engine(), InProcess).await;
    hub.reply(&HelloReply::Welcome(Welcome { capabilities: Capabilities::NONE, ..welcome() })).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::NotAgreed));
}

#[tokio::test]
async fn a_stream_that_starts_with_garbage_is_refused() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.connection.open(Priority::Normal).unwrap();
    stream.write_all(&[0xff; 32]).await.unwrap();
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::Malformed));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_starts_with_nothing_is_cut_in_time() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.connection.open(Priority::Normal).unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(reset_of(&mut stream).await, Some(ResetCode::Deadline));
    assert_eq!(begun.elapsed().as_secs(), PREAMBLE_DEADLINE.as_secs());
}

#[tokio::test]
async fn the_end_of_the_session_closes_every_engine_connection() {
    let (closed, mut closing) = tokio::sync::mpsc::channel(1);
    let fake = FakeEngine::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            stream.write_all(b"x").await.unwrap();
            stream.read_u8().await.unwrap_err();
            closed.send(()).await.unwrap();
        }
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    stream.read_u8().await.unwrap();
    hub.connection.close("revoked");
    closing.recv().await.unwrap();
    assert!(matches!(hub.end().await, SessionEnd::Closed(_)));
}

#[tokio::test]
async fn a_stream_the_hub_drops_closes_its_engine_connection() {
    let (closed, mut closing) = tokio::sync::mpsc::channel(1);
    let fake = FakeEngine::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            stream.write_all(b"x").await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
            closed.send(()).await.unwrap();
        }
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = hub.open(StreamKind::Docker).await;
    stream.read_u8().await.unwrap();
    drop(stream);
    closing.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_stream_the_hub_drops_is_let_go_although_the_engine_is_quiet() {
    let (hub, agent) = memory::pair();
    let mut stream = hub.open(Priority::Normal).unwrap();
    stream.shutdown().await.unwrap();
    let theirs = agent.accept().await.unwrap();
    let (engine, _quiet) = tokio::io::duplex(64);
    let buffers = pipe::Buffers::default();
    let piping = pipe::pipe(theirs, engine, &buffers);
    tokio::pin!(piping);
    assert!(timeout(Duration::from_secs(60), &mut piping).await.is_err(), "a quiet answer may take for ever");
    drop(stream);
    piping.await;
}
