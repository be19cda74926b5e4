//! A kept HTTP connection to an engine, straight or through the hub.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::request::Builder;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use windflow_tests::engine::TestEngine;
use windflow_tests::product::Hub;

/// Where to connect and what to put before each path.
#[derive(Clone, Debug)]
pub enum Target {
    /// The engine's own socket.
    Direct(PathBuf),
    /// The hub, below a path of its own.
    Through { address: SocketAddr, prefix: String, token: Option<String> },
}

/// An open connection.
pub struct Client {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Target {
    /// The engine's own socket.
    pub fn direct(engine: &TestEngine) -> Self {
        Self::Direct(engine.socket())
    }

    /// The hub's gateway to this environment.
    pub fn through(hub: &Hub, environment_id: &str) -> Self {
        Self::routes(hub, &format!("/api/v1/environments/{environment_id}/engine"))
    }

    /// The hub's routes below this path.
    pub fn routes(hub: &Hub, prefix: &str) -> Self {
        Self::with_token(hub, prefix, hub.api_token())
    }

    /// The same with a token of somebody's.
    pub fn with_token(hub: &Hub, prefix: &str, token: &str) -> Self {
        Self::Through { address: hub.address(), prefix: prefix.to_owned(), token: Some(token.to_owned()) }
    }

    /// The same without any credential.
    pub fn nobody(hub: &Hub, prefix: &str) -> Self {
        Self::Through { address: hub.address(), prefix: prefix.to_owned(), token: None }
    }

    /// Connects.
    pub async fn connect(&self) -> Client {
        let mut tasks = JoinSet::new();
        let sender = match self {
            Self::Direct(path) => {
                let stream = UnixStream::connect(path).await.expect("the engine listens");
                let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a fresh connection");
                tasks.spawn(async move { connection.with_upgrades().await.unwrap_or_default() });
                sender
            }
            Self::Through { address, .. } => {
                let stream = TcpStream::connect(address).await.expect("the hub listens");
                stream.set_nodelay(true).expect("a TCP socket has this option");
                let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a fresh connection");
                tasks.spawn(async move { connection.with_upgrades().await.unwrap_or_default() });
                sender
            }
        };
        Client { target: self.clone(), sender, _connection: tasks }
    }
}

impl Client {
    /// Sends a request; the answer's body is still to be read.
    pub async fn send(&mut self, method: &str, path: &str, body: &str, upgrade: Upgrade) -> Response<Incoming> {
        let mut request = self.request(method, path, body);
        if matches!(upgrade, Upgrade::Tcp) {
            request = request.header("connection", "Upgrade").header("upgrade", "tcp");
        }
        self.exchange(request, body).await
    }

    /// Posts as a proxy does for a browser at this address.
    pub async fn post_from(&mut self, address: &str, path: &str, body: &str) -> Response<Incoming> {
        let request = self.request("POST", path, body).header("x-forwarded-for", address);
        let request = request.header("x-forwarded-proto", "https");
        self.exchange(request, body).await
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Builder {
        let (prefix, token) = match &self.target {
            Target::Direct(_) => ("", None),
            Target::Through { prefix, token, .. } => (prefix.as_str(), token.as_ref()),
        };
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}")).header("host", "docker");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request
    }

    async fn exchange(&mut self, request: Builder, body: &str) -> Response<Incoming> {
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a good request");
        self.sender.ready().await.expect("the connection is kept");
        self.sender.send_request(request).await.expect("the engine answers")
    }

    /// Whether a GET of `path` succeeds; an environment that is offline says no.
    pub async fn answers(&mut self, path: &str) -> bool {
        let answer = self.send("GET", path, "", Upgrade::None).await;
        answer.status().is_success() && answer.into_body().collect().await.is_ok()
    }

    /// Sends a request and reads the whole answer.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> Bytes {
        let answer = self.send(method, path, body, Upgrade::None).await;
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.into_body().collect().await.expect("a whole answer").to_bytes()
    }
}

/// Whether a request asks for the connection itself.
#[derive(Clone, Copy)]
pub enum Upgrade {
    None,
    Tcp,
}

/// A runtime for one measurement: its own thread, as a client has it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("room for a runtime")
}
