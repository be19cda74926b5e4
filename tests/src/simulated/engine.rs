//! A simulated engine: it answers on a Unix socket as Docker would, as far as
//! the product asks, counts what it is asked, and can be told to answer what no
//! engine should.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::network::Background;

/// Events that may wait to be read; a follower that is slower misses some.
const EVENTS_MAX: usize = 16 * 1024;
/// Bytes of one piece of an answer without an end.
const PIECE: usize = 64 * 1024;
/// How far apart the bytes of an answer are that drips.
const DRIP_EVERY: Duration = Duration::from_millis(100);

/// How a request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// As an engine does.
    #[default]
    Good,
    /// With bytes that are no HTTP.
    Garbage,
    /// With HTTP that promises JSON and is none.
    NoJson,
    /// With a list that has no end.
    Endless,
    /// With a head that comes byte by byte and does not end.
    DrippingHead,
    /// With a body that comes byte by byte and does not end.
    DrippingBody,
    /// With the start of an answer, and the end of the connection.
    CutOff,
}

/// A simulated engine. Dropping it ends it.
#[derive(Debug)]
pub struct SimulatedEngine {
    folder: TempDir,
    shared: Arc<Shared>,
    _tasks: Background,
}

#[derive(Debug)]
struct Shared {
    conducts: Mutex<HashMap<String, Conduct>>,
    asked: Mutex<HashMap<String, usize>>,
    containers: AtomicUsize,
    poured: AtomicU64,
    events: broadcast::Sender<String>,
    terminals: watch::Sender<usize>,
    waiting: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

/// The head of a request.
struct Request {
    method: String,
    /// Without the API version and the query.
    path: String,
    length: u64,
    /// Whether it asks for a time that ends.
    is_past: bool,
}

impl SimulatedEngine {
    /// An engine without containers.
    ///
    /// # Panics
    /// When there is no room for a socket.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-simulated-").tempdir().expect("a temporary folder");
        let shared = Arc::new(Shared {
            conducts: Mutex::default(),
            asked: Mutex::default(),
            containers: AtomicUsize::new(0),
            poured: AtomicU64::new(0),
            events: broadcast::Sender::new(EVENTS_MAX),
            terminals: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let listener = std::os::unix::net::UnixListener::bind(socket_in(&folder)).expect("the folder is ours");
        listener.set_nonblocking(true).expect("a socket can be told not to block");
        let listened = Arc::clone(&shared);
        let tasks = Background::start("simulated-engine", move || listen(listener, listened));
        Self { folder, shared, _tasks: tasks }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    /// Its address as `--engine` takes it.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Has this many containers from now on, half of them running.
    pub fn set_containers(&self, count: usize) {
        self.shared.containers.store(count, Ordering::Relaxed);
    }

    /// Answers requests to `path` like this from now on; to every path that is
    /// not named otherwise where it is `*`.
    pub fn set_conduct(&self, path: &str, conduct: Conduct) {
        self.shared.conducts.lock().expect("no task panics").insert(path.to_owned(), conduct);
    }

    /// How often `path` was asked for so far.
    pub fn asked_for(&self, path: &str) -> usize {
        self.shared.asked.lock().expect("no task panics").get(path).copied().unwrap_or_default()
    }

    /// How often anything was asked for so far.
    pub fn asked(&self) -> usize {
        self.shared.asked.lock().expect("no task panics").values().sum()
    }

    /// How many bytes it got rid of in answers without an end.
    pub fn poured(&self) -> u64 {
        self.shared.poured.load(Ordering::Relaxed)
    }

    /// How many terminals are open.
    pub fn terminals(&self) -> usize {
        *self.shared.terminals.borrow()
    }

    /// How many requests to `/slow` wait for their answer.
    pub fn waiting(&self) -> usize {
        *self.shared.waiting.borrow()
    }

    /// Answers what waits, and does not let anything wait any more.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Tells those who follow the events of one.
    pub fn tell(&self, action: &str, container: &str) {
        let event = json!({ "Type": "container", "Action": action, "Actor": { "ID": container, "Attributes": {} } });
        // Nobody may be following.
        self.shared.events.send(format!("{event}\n")).unwrap_or_default();
    }

    /// How many follow the events.
    pub fn followers(&self) -> usize {
        self.shared.events.receiver_count()
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("docker.sock")
}

async fn listen(listener: std::os::unix::net::UnixListener, shared: Arc<Shared>) {
    let listener = UnixListener::from_std(listener).expect("the listener does not block");
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Whoever hangs up in the middle does so on purpose.
        connections.spawn(async move { serve(stream, &shared).await.unwrap_or_default() });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request after the other until either end closes.
async fn serve(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let mut stream = BufStream::new(stream);
    while let Some(mut request) = read_head(&mut stream).await? {
        let mut body = (&mut stream).take(std::mem::take(&mut request.length));
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
        *shared.asked.lock().expect("no task panics").entry(request.path.clone()).or_default() += 1;
        match shared.conduct(&request.path) {
            Conduct::Good => answer(&mut stream, &request, shared).await?,
            bad => return misbehave(&mut stream, bad, shared).await,
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn read_head(stream: &mut BufStream<UnixStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_past = target.contains("until=");
    let mut request = Request { method: method.to_owned(), path: bare_path(target).to_owned(), length: 0, is_past };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(request));
        };
        if name.eq_ignore_ascii_case("content-length") {
            request.length = value.trim().parse().unwrap_or_default();
        }
    }
}

/// `/v1.41/info?all=1` is `/info`.
fn bare_path(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    match path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..])) {
        Some(rest) => rest,
        None => path,
    }
}

async fn answer(stream: &mut BufStream<UnixStream>, request: &Request, shared: &Shared) -> io::Result<()> {
    let containers = shared.containers.load(Ordering::Relaxed);
    let body = match (request.method.as_str(), request.path.as_str()) {
        (_, "/_ping") => return text(stream, "200 OK", "OK").await,
        (_, "/version") => json!({ "Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux" }),
        (_, "/info") => json!({ "ID": "simulated", "Containers": containers, "ContainersRunning": containers / 2 }),
        (_, "/containers/json") => Value::from_iter((0..containers).map(listed)),
        (_, "/images/json" | "/networks") => json!([]),
        (_, "/volumes") => json!({ "Volumes": [] }),
        (_, path) if path.starts_with("/containers/") && path.ends_with("/json") => json!({ "State": {} }),
        (_, "/events") if request.is_past => return text(stream, "200 OK", "").await,
        (_, "/events") => return follow(stream, shared).await,
        (_, "/slow") => {
            shared.until_released().await;
            json!({ "done": true })
        }
        ("POST", path) if path.starts_with("/exec/") && path.ends_with("/start") => {
            return terminal(stream, shared).await;
        }
        (_, path) => {
            let body = json!({ "message": format!("no such thing: {path}") });
            return text(stream, "404 Not Found", &body.to_string()).await;
        }
    };
    text(stream, "200 OK", &body.to_string()).await
}

/// One container as an engine lists it.
fn listed(number: usize) -> Value {
    let state = if number.is_multiple_of(2) { "running" } else { "exited" };
    json!({
        "Id": format!("{number:064x}"), "Names": [format!("/simulated-{number:05}")], "Image": "nothing:1",
        "ImageID": "sha256:0", "Command": "sleep", "Created": 1_750_000_000, "State": state, "Status": state,
        "Ports": [{ "PrivatePort": 80, "Type": "tcp" }], "Labels": { "number": number.to_string() },
    })
}

async fn text(stream: &mut BufStream<UnixStream>, status: &str, body: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

async fn begin_chunks(stream: &mut BufStream<UnixStream>) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

async fn chunk(stream: &mut BufStream<UnixStream>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
    stream.write_all(bytes).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}

/// Passes events on until whoever follows hangs up.
async fn follow(stream: &mut BufStream<UnixStream>, shared: &Shared) -> io::Result<()> {
    let mut events = shared.events.subscribe();
    begin_chunks(stream).await?;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = stream.get_ref().readable() => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        match event {
            Ok(event) => chunk(stream, event.as_bytes()).await?,
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

/// Says back whatever is typed.
async fn terminal(stream: &mut BufStream<UnixStream>, shared: &Shared) -> io::Result<()> {
    let _open = Counted::begin(&shared.terminals);
    stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").await?;
    stream.flush().await?;
    let mut typed = [0; 1024];
    loop {
        let read = stream.read(&mut typed).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&typed[..read]).await?;
        stream.flush().await?;
    }
}

async fn misbehave(stream: &mut BufStream<UnixStream>, conduct: Conduct, shared: &Shared) -> io::Result<()> {
    match conduct {
        Conduct::Good => Ok(()),
        Conduct::Garbage => {
            stream.write_all(&[0xff_u8, 0x00, 0x16, 0x03].repeat(1024)).await?;
            stream.flush().await
        }
        Conduct::NoJson => {
            text(stream, "200 OK", "<html>[{\"Id\":").await?;
            stream.flush().await
        }
        Conduct::Endless => pour(stream, shared).await,
        Conduct::DrippingHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await?;
            drip(stream, b"a").await
        }
        Conduct::DrippingBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await?;
            drip(stream, b" ").await
        }
        Conduct::CutOff => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[{\"Id\":").await?;
            stream.flush().await
        }
    }
}

async fn pour(stream: &mut BufStream<UnixStream>, shared: &Shared) -> io::Result<()> {
    begin_chunks(stream).await?;
    let entry = format!("{},", listed(0));
    let piece = entry.repeat(PIECE / entry.len());
    chunk(stream, b"[").await?;
    loop {
        chunk(stream, piece.as_bytes()).await?;
        shared.poured.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
}

async fn drip(stream: &mut BufStream<UnixStream>, byte: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(byte).await?;
        stream.flush().await?;
        tokio::time::sleep(DRIP_EVERY).await;
    }
}

impl Shared {
    fn conduct(&self, path: &str) -> Conduct {
        let conducts = self.conducts.lock().expect("no task panics");
        conducts.get(path).or_else(|| conducts.get("*")).copied().unwrap_or_default()
    }

    async fn until_released(&self) {
        let _waits = Counted::begin(&self.waiting);
        let mut released = self.released.subscribe();
        // The sender lives as long as the engine.
        released.wait_for(|released| *released).await.expect("the engine outlives its connections");
    }
}

/// One more for as long as it lives.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn begin(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
