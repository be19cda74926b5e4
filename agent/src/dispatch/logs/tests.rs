//! Logs, seen from the hub's end, on an engine that says what a test wants.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use windflow_protocol::codec::write_message;
use windflow_protocol::message::logs::{LogFilter, LogsEvent};
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::transport::StreamReset;

use super::*;
use crate::testing::{FakeEngine, Hub, absent_engine};

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(20);

fn request(pace: LogPace) -> LogsRequest {
    LogsRequest {
        container: "web".to_owned(),
        stdout: true,
        stderr: true,
        since: None,
        until: None,
        tail: None,
        pace,
        filter: LogFilter::All,
    }
}

fn frame(text: &str) -> Vec<u8> {
    let text = format!("2025-06-15T15:06:40.000000000Z {text}\n");
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[1, 0, 0, 0], length.as_slice(), text.as_bytes()].concat()
}

/// What is asked on a connection: the path with its query.
async fn asked(stream: &mut UnixStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap().split(' ').nth(1).unwrap().to_owned()
}

async fn answer(stream: &mut UnixStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The agent may have read enough.
    stream.write_all(body).await.ok();
}

/// An engine that gives this log, and this answer to what became of its container.
fn engine(log: Vec<u8>, inspected: (&'static str, &'static str)) -> FakeEngine {
    FakeEngine::new(move |mut stream| {
        let log = log.clone();
        async move {
            if asked(&mut stream).await.contains("/logs?") {
                answer(&mut stream, "200 OK", &log).await;
            } else {
                answer(&mut stream, inspected.0, inspected.1.as_bytes()).await;
            }
        }
    })
}

const RUNS: (&str, &str) = ("200 OK", r#"{"State":{"Status":"exited"},"HostConfig":{"AutoRemove":false}}"#);

async fn ask(hub: &Hub, request: &LogsRequest) -> Stream {
    let mut stream = hub.open(StreamKind::Logs).await;
    write_message(&mut stream, request).await.unwrap();
    stream
}

/// Everything that comes: lines, how many were skipped, and the end.
async fn whole(stream: &mut Stream) -> (Vec<String>, u64, LogsEnd) {
    let (mut lines, mut skipped) = (Vec::new(), 0);
    loop {
        match timeout(SOON, read_message(stream)).await.unwrap().unwrap() {
            LogsEvent::Lines(batch) => {
                skipped += batch.skipped;
                let texts = batch.lines().unwrap().map(|(_, text)| String::from_utf8_lossy(text).into_owned());
                lines.extend(texts);
            }
            LogsEvent::CaughtUp => {}
            LogsEvent::Ended(end) => return (lines, skipped, end),
        }
    }
}

#[tokio::test]
async fn a_log_is_read_to_its_end() {
    let fake = engine([frame("one"), frame("two")].concat(), RUNS);
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = ask(&hub, &request(LogPace::Whole)).await;
    assert_eq!(whole(&mut stream).await, (vec!["one".into(), "two".into()], 0, LogsEnd::Complete));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the stream ends behind it");
}

#[tokio::test]
async fn only_what_is_wanted_crosses_the_link() {
    let fake = engine([frame("info: a"), frame("WARN: b"), frame("info: c")].concat(), RUNS);
    let hub = Hub::welcome(fake.engine()).await;
    let filter = LogFilter::Text { text: "warn".to_owned(), ignore_case: true };
    let mut stream = ask(&hub, &LogsRequest { filter, ..request(LogPace::Shown) }).await;
    assert_eq!(whole(&mut stream).await, (vec!["WARN: b".into()], 0, LogsEnd::Complete));
}

#[tokio::test]
async fn what_became_of_a_followed_container_is_told() {
    let removing = r#"{"State":{"Status":"removing"},"HostConfig":{"AutoRemove":false}}"#;
    let passing = r#"{"State":{"Status":"exited"},"HostConfig":{"AutoRemove":true}}"#;
    for (inspected, expected) in [
        (RUNS, LogsEnd::Stopped),
        (("404 Not Found", ""), LogsEnd::Removed),
        (("200 OK", removing), LogsEnd::Removed),
        (("200 OK", passing), LogsEnd::Removed),
        (("200 OK", "something else"), LogsEnd::Stopped),
        (("500 Internal Server Error", ""), LogsEnd::EngineGone),
    ] {
        let fake = engine(frame("one"), inspected);
        let hub = Hub::welcome(fake.engine()).await;
        let mut stream = ask(&hub, &request(LogPace::Followed)).await;
        assert_eq!(whole(&mut stream).await, (vec!["one".into()], 0, expected));
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_engines_own_words() {
    for (status, body, expected) in [
        ("404 Not Found", "{}", LogsEnd::NotFound),
        (
            "501 Not Implemented",
            r#"{"message":"configured logging driver does not support reading"}"#,
            LogsEnd::Unreadable { message: "configured logging driver does not support reading".to_owned() },
        ),
    ] {
        let fake = FakeEngine::new(move |mut stream| async move {
            asked(&mut stream).await;
            answer(&mut stream, status, body.as_bytes()).await;
        });
        let hub = Hub::welcome(fake.engine()).await;
        let mut stream = ask(&hub, &request(LogPace::Followed)).await;
        assert_eq!(whole(&mut stream).await.2, expected);
    }
}

#[tokio::test]
async fn a_bad_expression_is_refused_and_the_engine_is_not_asked() {
    let hub = Hub::welcome(absent_engine()).await;
    let filter = LogFilter::Pattern { pattern: "(".to_owned(), ignore_case: false };
    let mut stream = ask(&hub, &LogsRequest { filter, ..request(LogPace::Shown) }).await;
    let (_, _, end) = whole(&mut stream).await;
    assert!(matches!(end, LogsEnd::BadFilter { message } if message.contains("at character 1")));
}

#[tokio::test]
async fn an_absent_engine_is_named_in_the_reset() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = ask(&hub, &request(LogPace::Whole)).await;
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::EngineUnavailable));
}

#[tokio::test]
async fn a_quiet_log_has_caught_up() {
    let fake = FakeEngine::new(|mut stream| async move {
        asked(&mut stream).await;
        answer(&mut stream, "200 OK", &frame("old")).await;
        std::future::pending::<()>().await;
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = ask(&hub, &request(LogPace::Followed)).await;
    assert!(matches!(read_message(&mut stream).await.unwrap(), LogsEvent::Lines(batch) if batch.text == b"old"));
    assert_eq!(read_message::<LogsEvent, _>(&mut stream).await.unwrap(), LogsEvent::CaughtUp);
}

#[tokio::test]
async fn a_log_that_nobody_follows_any_more_lets_its_engine_connection_go() {
    let (closed, mut closing) = tokio::sync::mpsc::channel(1);
    let fake = FakeEngine::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            asked(&mut stream).await;
            answer(&mut stream, "200 OK", &frame("x")).await;
            stream.read_to_end(&mut Vec::new()).await.ok();
            closed.send(()).await.unwrap();
        }
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = ask(&hub, &request(LogPace::Followed)).await;
    read_message::<LogsEvent, _>(&mut stream).await.unwrap();
    drop(stream);
    timeout(SOON, closing.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flood_that_nobody_reads_is_counted() {
    const LINES: u64 = 60_000;
    let (said, mut hearing) = tokio::sync::mpsc::channel(2);
    let flood: Vec<u8> = (0..LINES).flat_map(|number| frame(&format!("{number:0100}"))).collect();
    let fake = FakeEngine::new(move |mut stream| {
        let (flood, said) = (flood.clone(), said.clone());
        async move {
            if asked(&mut stream).await.contains("/logs?") {
                answer(&mut stream, "200 OK", &flood).await;
                said.send(()).await.unwrap();
            } else {
                answer(&mut stream, RUNS.0, RUNS.1.as_bytes()).await;
            }
        }
    });
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = ask(&hub, &LogsRequest { tail: Some(0), ..request(LogPace::Followed) }).await;
    // The engine gets rid of all of it, although nobody reads.
    timeout(SOON, hearing.recv()).await.unwrap().unwrap();
    let (lines, skipped, end) = whole(&mut stream).await;
    assert!(skipped > LINES / 2, "{skipped} lines were skipped");
    assert_eq!(lines.len() as u64 + skipped, LINES);
    assert_eq!(lines.last().unwrap(), &format!("{:0100}", LINES - 1));
    assert_eq!(end, LogsEnd::Stopped);
}

#[tokio::test]
async fn what_is_downloaded_is_whole_however_late_it_is_read() {
    const LINES: usize = 30_000;
    let flood: Vec<u8> = (0..LINES).flat_map(|number| frame(&format!("{number:0100}"))).collect();
    let fake = engine(flood, RUNS);
    let hub = Hub::welcome(fake.engine()).await;
    let mut stream = ask(&hub, &request(LogPace::Whole)).await;
    let (lines, skipped, end) = whole(&mut stream).await;
    assert_eq!((lines.len(), skipped, end), (LINES, 0, LogsEnd::Complete));
    assert!(lines.is_sorted());
}

#[tokio::test]
async fn a_request_that_is_none_is_refused() {
    let hub = Hub::welcome(absent_engine()).await;
    let mut stream = hub.open(StreamKind::Logs).await;
    stream.write_all(&[0xff; 16]).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::Malformed));
}
