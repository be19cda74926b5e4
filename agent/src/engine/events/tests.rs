//! What a hub hears on the events stream of an engine that is simulated.

use std::sync::Mutex as StdMutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::message::events::EventsRequest;
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::transport::Stream;

use super::*;
use crate::engine::Engine;
use crate::testing::{FakeEngine, Hub};

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(10);

/// An engine with a memory of what happened.
struct Site {
    engine: FakeEngine,
    shared: Arc<Shared>,
}

struct Shared {
    past: StdMutex<Vec<String>>,
    now: broadcast::Sender<Option<String>>,
}

impl Site {
    fn new() -> Self {
        let shared = Arc::new(Shared { past: StdMutex::default(), now: broadcast::Sender::new(64) });
        let own = Arc::clone(&shared);
        Self { engine: FakeEngine::new(move |stream| serve(stream, Arc::clone(&own))), shared }
    }

    fn happens(&self, second: i64, action: &str) {
        let event = line(second, action);
        self.shared.past.lock().unwrap().push(event.clone());
        self.shared.now.send(Some(event)).ok();
    }

    fn forgets(&self) {
        self.shared.past.lock().unwrap().clear();
    }

    /// Ends what it tells.
    fn hangs_up(&self) {
        self.shared.now.send(None).ok();
    }

    async fn hub(&self) -> (Hub, tokio_util::task::TaskTracker) {
        let hub = Hub::welcome(self.engine.engine()).await;
        let tasks = tokio_util::task::TaskTracker::new();
        let watched: Arc<Engine> = Arc::clone(&hub.engine);
        tasks.spawn(async move { watched.watch(CancellationToken::new()).await });
        (hub, tasks)
    }
}

fn line(second: i64, action: &str) -> String {
    let nanos = second * SECOND;
    format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"a"}},"timeNano":{nanos}}}"#) + "\n"
}

async fn serve(mut stream: UnixStream, shared: Arc<Shared>) {
    let mut request = [0; 4096];
    while let Some(read) = stream.read(&mut request).await.ok().filter(|read| *read > 0) {
        let asked = String::from_utf8_lossy(&request[..read]).into_owned();
        let mut now = shared.now.subscribe();
        let past = shared.past.lock().unwrap().concat();
        let is_followed = asked.starts_with("GET /events") && !asked.contains("until=");
        if is_followed {
            let first = chunk(&past);
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{first}");
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Ok(Some(event)) = now.recv().await {
                stream.write_all(chunk(&event).as_bytes()).await.unwrap();
            }
            return;
        }
        let body = if asked.starts_with("GET /events") { past } else { r#"{"Version":"1","ApiVersion":"1"}"#.into() };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:10:00 GMT\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn chunk(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) }
}

async fn open(hub: &Hub, after: Option<EventMark>) -> Stream {
    let mut stream = hub.open(StreamKind::Events).await;
    write_message(&mut stream, &EventsRequest { after }).await.unwrap();
    stream
}

fn mark(second: i64, action: &str) -> Option<EventMark> {
    let (kind, action, id) = ("container".to_owned(), action.to_owned(), "a".to_owned());
    Some(EventMark { time: second * SECOND, kind, action, id })
}

/// The next that is told, in seconds.
async fn told(stream: &mut Stream) -> String {
    match tokio::time::timeout(SOON, read_message(stream)).await.expect("in time").unwrap() {
        EventsMessage::Event(event) => format!("{} {}", event.time / SECOND, event.action),
        EventsMessage::Gap(gap) => format!("{} to {}", gap.from / SECOND, gap.until / SECOND),
    }
}

#[tokio::test]
async fn what_happened_before_is_told_and_then_what_happens() {
    let site = Site::new();
    site.happens(1, "create");
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, None).await;
    assert_eq!(told(&mut stream).await, "1 create");
    site.happens(2, "start");
    assert_eq!(told(&mut stream).await, "2 start");
}

#[tokio::test]
async fn a_hub_that_comes_back_hears_what_happened_meanwhile_and_nothing_twice() {
    let site = Site::new();
    site.happens(1, "create");
    let (hub, _tasks) = site.hub().await;
    let mut first = open(&hub, None).await;
    assert_eq!(told(&mut first).await, "1 create");
    drop(first);
    site.happens(2, "start");
    site.happens(3, "die");
    let mut second = open(&hub, mark(1, "create")).await;
    assert_eq!([told(&mut second).await, told(&mut second).await], ["2 start", "3 die"]);
}

#[tokio::test]
async fn a_new_agent_asks_the_engine_for_what_happened_meanwhile() {
    let site = Site::new();
    for (second, action) in [(1, "create"), (2, "start"), (3, "die")] {
        site.happens(second, action);
    }
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, mark(2, "start")).await;
    assert_eq!(told(&mut stream).await, "3 die");
}

#[tokio::test]
async fn what_the_engine_no_longer_knows_is_a_gap() {
    let site = Site::new();
    site.happens(5, "start");
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, mark(1, "create")).await;
    assert_eq!([told(&mut stream).await, told(&mut stream).await], ["1 to 5", "5 start"]);

    let other = Site::new();
    let (hub, _tasks) = other.hub().await;
    let mut stream = open(&hub, mark(1, "create")).await;
    assert_eq!(told(&mut stream).await, "1 to 600", "until it was listened to");
}

#[tokio::test]
async fn an_engine_that_hung_up_is_asked_for_what_happened_meanwhile() {
    let site = Site::new();
    site.happens(1, "create");
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, None).await;
    assert_eq!(told(&mut stream).await, "1 create");
    site.hangs_up();
    site.happens(2, "start");
    assert_eq!(told(&mut stream).await, "2 start");
    site.hangs_up();
    site.forgets();
    site.happens(3, "die");
    assert!(told(&mut stream).await.contains(" to "), "nobody knows what it forgot");
    assert_eq!(told(&mut stream).await, "3 die");
}
