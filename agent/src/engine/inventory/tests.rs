//! What is told of an engine that changes, hangs up, or forgets to tell.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::message::report::ReportRequest;
use windflow_protocol::transport::Stream;

use super::*;
use crate::engine::Engine;
use crate::testing::{FakeEngine, Hub};

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(10);

/// An engine with containers that the test gives it.
struct Site {
    engine: FakeEngine,
    shared: Arc<Shared>,
}

struct Shared {
    containers: Mutex<Vec<Value>>,
    asked: Mutex<HashMap<String, usize>>,
    events: broadcast::Sender<String>,
}

impl Site {
    fn new() -> Self {
        let shared = Arc::new(Shared {
            containers: Mutex::default(),
            asked: Mutex::default(),
            events: broadcast::Sender::new(16),
        });
        let own = Arc::clone(&shared);
        let engine = FakeEngine::new(move |stream| serve(stream, Arc::clone(&own)));
        Self { engine, shared }
    }

    fn has(&self, containers: &[(&str, &str)]) {
        let listed =
            |(name, state): &(&str, &str)| json!({ "Id": id(name), "Names": [format!("/{name}")], "State": state });
        *self.shared.containers.lock().unwrap() = containers.iter().map(listed).collect();
    }

    fn tell(&self, name: &str) {
        let event = json!({ "Type": "container", "Action": "start", "Actor": { "ID": id(name) } });
        self.shared.events.send(format!("{event}\n")).unwrap();
    }

    fn asked(&self, path: &str) -> usize {
        self.shared.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// A hub whose agent keeps looking at it.
    async fn hub(&self) -> (Hub, tokio_util::task::TaskTracker) {
        let hub = Hub::welcome(self.engine.engine()).await;
        let tasks = tokio_util::task::TaskTracker::new();
        let watched: Arc<Engine> = Arc::clone(&hub.engine);
        tasks.spawn(async move { watched.watch(CancellationToken::new()).await });
        (hub, tasks)
    }
}

fn id(name: &str) -> String {
    name.bytes().cycle().take(32).map(|byte| format!("{byte:02x}")).collect()
}

async fn serve(mut stream: UnixStream, shared: Arc<Shared>) {
    let mut request = [0; 4096];
    while let Some(read) = stream.read(&mut request).await.ok().filter(|read| *read > 0) {
        let text = String::from_utf8_lossy(&request[..read]).into_owned();
        let path = text.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        *shared.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
        let body = match path.as_str() {
            "/events" if text.contains("until=") => Value::Null,
            "/events" => return follow(stream, shared.events.subscribe()).await,
            "/containers/json" => Value::from(shared.containers.lock().unwrap().clone()),
            "/images/json" | "/networks" => json!([]),
            "/volumes" => json!({ "Volumes": null }),
            _ => {
                json!({ "Version": "26.1.5", "ApiVersion": "1.45", "RestartCount": shared.asked.lock().unwrap()[&path] })
            }
        };
        let body = body.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn follow(mut stream: UnixStream, mut events: broadcast::Receiver<String>) {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    while let Ok(event) = events.recv().await {
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn open(hub: &Hub, after: Option<Position>) -> Stream {
    let mut stream = hub.open(StreamKind::Report).await;
    write_message(&mut stream, &ReportRequest { after }).await.unwrap();
    stream
}

/// What is told until the next position, by name.
async fn told(stream: &mut Stream) -> (Vec<String>, Position) {
    let mut names = Vec::new();
    loop {
        let report = tokio::time::timeout(SOON, read_message(stream)).await.expect("in time").unwrap();
        match report {
            Report::Everything => names.push("all".to_owned()),
            Report::Container(container) => names.push(format!("{} {}", container.name, container.state)),
            Report::ContainerGone(_) => names.push("gone".to_owned()),
            Report::Position(position) => return (names, position),
            Report::Stale => names.push("stale".to_owned()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn everything_is_told_at_first_and_then_what_changes() {
    let site = Site::new();
    site.has(&[("db", "exited"), ("web", "running")]);
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, None).await;
    assert_eq!(told(&mut stream).await.0, ["all", "db exited", "web running"]);
    site.has(&[("web", "paused")]);
    site.tell("web");
    assert_eq!(told(&mut stream).await.0, ["gone", "web paused"]);
    let looked = site.asked(&format!("/containers/{}/json", id("db")));
    assert_eq!(looked, 1, "who did not change is looked at once");
}

#[tokio::test]
async fn a_restart_between_two_looks_is_seen() {
    let site = Site::new();
    site.has(&[("web", "running")]);
    let (hub, _tasks) = site.hub().await;
    let mut stream = open(&hub, None).await;
    told(&mut stream).await;
    // Its state is as before; only a closer look shows another count of restarts.
    site.tell("web");
    assert_eq!(told(&mut stream).await.0, ["web running"]);
}

#[tokio::test]
async fn a_hub_that_comes_back_goes_on_where_it_was() {
    let site = Site::new();
    site.has(&[("db", "exited"), ("web", "running")]);
    let (hub, _tasks) = site.hub().await;
    let mut first = open(&hub, None).await;
    let (_, heard) = told(&mut first).await;
    drop(first);
    let mut follower = hub.engine.inventory().follow();
    site.has(&[("db", "running"), ("web", "running")]);
    site.tell("db");
    let newer = follower.wait_for(|told| told.number > heard.sequence);
    tokio::time::timeout(SOON, newer).await.expect("in time").unwrap();
    let mut second = open(&hub, Some(heard)).await;
    assert_eq!(told(&mut second).await.0, ["db running"]);
    let mut stranger = open(&hub, Some(Position { epoch: [0; 8], ..heard })).await;
    assert_eq!(told(&mut stranger).await.0, ["all", "db running", "web running"]);
}

#[tokio::test]
async fn an_engine_is_left_alone_while_nobody_follows() {
    let site = Site::new();
    let engine = site.engine.engine();
    engine.ask().await;
    let watching = engine.watch(CancellationToken::new());
    tokio::time::timeout(Duration::from_millis(300), watching).await.unwrap_err();
    assert_eq!(site.asked("/containers/json"), 0);
}
