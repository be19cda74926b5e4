//! A simulated engine for the tests of the API: it listens on a socket and
//! answers what an engine would, as far as the tests look.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use time::macros::datetime;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::clock::{Clock, SystemClock, Timestamp};

/// Events that a test may send before they are read.
const EVENTS_MAX: usize = 256;

/// Something that happened, as it is told.
struct Remembered {
    /// When a test said so: what happened after somebody asked is told to it
    /// also where it listens a moment later.
    said_at: Timestamp,
    line: String,
}

/// A simulated engine. Dropping it ends it.
pub struct SimulatedEngine {
    folder: tempfile::TempDir,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

struct State {
    calls: Mutex<Vec<String>>,
    queries: Mutex<HashMap<String, String>>,
    bodies: Mutex<HashMap<String, Value>>,
    answers: Mutex<HashMap<String, (StatusCode, Value)>>,
    says: Mutex<HashMap<String, Vec<u8>>>,
    repeats: Mutex<HashMap<String, Bytes>>,
    events: broadcast::Sender<String>,
    /// What it tells of what happened before.
    past: Mutex<Vec<Remembered>>,
    /// Each repeats what is typed.
    terminals: Mutex<JoinSet<()>>,
}

impl SimulatedEngine {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let state = Arc::new(State {
            calls: Mutex::default(),
            queries: Mutex::default(),
            bodies: Mutex::default(),
            answers: Mutex::default(),
            says: Mutex::default(),
            repeats: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            past: Mutex::default(),
            terminals: Mutex::default(),
        });
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&state);
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                serving.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
                });
            }
        });
        Self { folder, state, _accepting: accepting }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// What is answered to `METHOD /path` from now on.
    pub fn answers(&self, call: &str, status: StatusCode, body: Value) {
        self.state.answers.lock().unwrap().insert(call.to_owned(), (status, body));
    }

    /// These bytes are answered to `METHOD /path` from now on.
    pub fn says(&self, call: &str, bytes: Vec<u8>) {
        self.state.says.lock().unwrap().insert(call.to_owned(), bytes);
    }

    /// These bytes are answered to `METHOD /path` again and again, for as long
    /// as anybody reads.
    pub fn repeats(&self, call: &str, bytes: &'static [u8]) {
        self.state.repeats.lock().unwrap().insert(call.to_owned(), Bytes::from_static(bytes));
    }

    /// The calls that change something, as they came.
    pub fn changes(&self) -> Vec<String> {
        let is_change = |call: &&String| call.starts_with("POST") || call.starts_with("DELETE");
        self.state.calls.lock().unwrap().iter().filter(is_change).cloned().collect()
    }

    /// The query of the last such call.
    pub fn query_of(&self, call: &str) -> String {
        self.state.queries.lock().unwrap().get(call).cloned().unwrap_or_default()
    }

    /// What was posted with the last such call.
    pub fn body_of(&self, call: &str) -> Value {
        self.state.bodies.lock().unwrap().get(call).cloned().unwrap_or_default()
    }

    /// Ends whatever is upgraded.
    pub fn end_terminals(&self) {
        self.state.terminals.lock().unwrap().abort_all();
    }

    /// How often this was asked so far.
    pub fn asked(&self, call: &str) -> usize {
        self.state.calls.lock().unwrap().iter().filter(|asked| *asked == call).count()
    }

    /// What it has from now on; nobody is told.
    pub fn has(&self, containers: &[Listed]) {
        self.answers("GET /containers/json", StatusCode::OK, containers.iter().map(Listed::json).collect());
    }

    /// Something happened to a container, told to those who follow and to those
    /// who ask later.
    pub fn remembers(&self, second: i64, action: &str, container: &str) {
        let actor = json!({ "ID": container, "Attributes": { "name": "web", "image": "nginx", "exitCode": "3" } });
        let event = json!({ "Type": "container", "Action": action, "Actor": actor, "time": second });
        let line = format!("{event}\n");
        let mut past = self.state.past.lock().unwrap();
        past.push(Remembered { said_at: SystemClock.now(), line: line.clone() });
        self.state.events.send(line).ok();
    }

    /// Sends an event to those who follow.
    pub fn tell(&self, action: &str, container: &str) {
        self.tell_of("container", action, container);
    }

    /// The same of something else.
    pub fn tell_of(&self, kind: &str, action: &str, id: &str) {
        let event = json!({ "Type": kind, "Action": action, "Actor": { "ID": id, "Attributes": {} } });
        self.state.events.send(format!("{event}\n")).ok();
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, std::convert::Infallible> {
    let call = format!("{} {}", request.method(), request.uri().path());
    let call = call.replace("/v1.41/", "/");
    state.calls.lock().unwrap().push(call.clone());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (is_past, since) = (query.contains("until="), since(&query));
    state.queries.lock().unwrap().insert(call.clone(), query);
    if let Some(bytes) = state.says.lock().unwrap().get(&call) {
        return Ok(Response::new(Body::from(bytes.clone())));
    }
    if let Some(bytes) = state.repeats.lock().unwrap().get(&call).cloned() {
        return Ok(Response::new(Body::from_stream(stream::repeat(bytes).map(Ok::<_, std::io::Error>))));
    }
    let known = state.answers.lock().unwrap().get(&call).cloned();
    if known.is_none() && request.headers().contains_key(header::UPGRADE) {
        return Ok(repeat(&state, request));
    }
    if let Ok(body) = request.into_body().collect().await {
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        state.bodies.lock().unwrap().insert(call.clone(), body);
    }
    let (status, body) = match (known, call.as_str()) {
        (Some(known), _) => known,
        (None, "GET /version") => (StatusCode::OK, json!({ "Version": "26.1.5", "ApiVersion": "1.45", "Os": "linux" })),
        (None, "GET /info") => (StatusCode::OK, json!({ "ID": "one", "Containers": 3, "ContainersRunning": 2 })),
        (None, "GET /events") if is_past => return Ok(Response::new(past(&state))),
        (None, "GET /events") => return Ok(Response::new(follow(&state, since))),
        (None, "GET /containers/json" | "GET /images/json" | "GET /networks") => (StatusCode::OK, json!([])),
        (None, "GET /volumes") => (StatusCode::OK, json!({ "Volumes": [] })),
        (None, call) if call.starts_with("GET /containers/") && call.ends_with("/json") => (StatusCode::OK, json!({})),
        (None, call) if call.starts_with("POST /exec/") => (StatusCode::OK, Value::Null),
        (None, _) => (StatusCode::NOT_FOUND, json!({ "message": format!("No such thing: {call}") })),
    };
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    Ok(Response::builder().status(status).body(body).unwrap())
}

/// Goes on as a program that prints what it reads.
fn repeat(state: &State, request: Request<Incoming>) -> Response<Body> {
    state.terminals.lock().unwrap().spawn(async move {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(hyper::upgrade::on(request).await.unwrap()));
        tokio::io::copy(&mut from, &mut to).await.ok();
    });
    let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    answer.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "tcp").body(Body::empty()).unwrap()
}

/// The second that a query names; one that nobody lives to see where it names
/// none.
fn since(query: &str) -> Timestamp {
    let second = query.split('&').find_map(|pair| pair.strip_prefix("since=")?.parse().ok());
    second.and_then(Timestamp::from_seconds).unwrap_or(datetime!(9999-12-31 0:00 UTC).into())
}

fn past(state: &State) -> Body {
    let past = state.past.lock().unwrap();
    Body::from(past.iter().map(|event| event.line.as_str()).collect::<String>())
}

/// An endless answer, which begins with what was said since.
fn follow(state: &State, since: Timestamp) -> Body {
    let past = state.past.lock().unwrap();
    let receiver = state.events.subscribe();
    let said: Vec<String> =
        past.iter().filter(|event| event.said_at >= since).map(|event| event.line.clone()).collect();
    drop(past);
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.recv().await.ok()?;
        Some((Ok::<_, std::io::Error>(event), receiver))
    });
    Body::from_stream(stream::iter(said.into_iter().map(Ok)).chain(events))
}

/// A container as it lists it.
pub struct Listed {
    pub id: String,
    name: &'static str,
    state: &'static str,
}

/// A container whose id follows from its name.
pub fn listed(name: &'static str, state: &'static str) -> Listed {
    let id: String = name.bytes().cycle().take(32).map(|byte| format!("{byte:02x}")).collect();
    Listed { id, name, state }
}

impl Listed {
    fn json(&self) -> Value {
        json!({ "Id": self.id, "Names": [format!("/{}", self.name)], "Image": "nginx", "State": self.state,
                "Created": 1 })
    }
}
