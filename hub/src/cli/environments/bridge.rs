//! A Docker engine's socket on this machine whose engine is elsewhere: every
//! HTTP request that comes in, its body, its trailers and its upgrade are
//! carried to the hub's gateway of one environment and back. Nothing is
//! buffered, so a slow end slows the other.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::client::{Dialer, HubWay};
use crate::http::hop::Hop;
use crate::server::socket;

/// Most connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Pause after a failed accept, which usually means that the process has no
/// file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long cut connections may take to go.
const CUT_DEADLINE: Duration = Duration::from_secs(1);

/// What the hub answered, or what is said in its place.
type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Carries requests to one environment's gateway.
#[derive(Debug)]
pub struct Bridge {
    way: HubWay,
    gateway: String,
    client: Client<Dialer, Incoming>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a request was not carried.
#[derive(Debug)]
enum Refusal {
    /// It asks for no path on an engine.
    NoEnginePath(String),
    /// The hub did not answer.
    Unreachable(anyhow::Error),
}

impl Bridge {
    /// A bridge to the gateway at the path `gateway` of the hub.
    pub fn new(way: &HubWay, gateway: String) -> Self {
        let client = way.client();
        Self { way: way.clone(), gateway, client, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Serves this user's programs on `listener` until `end` is ready. What
    /// still runs then is cut.
    pub async fn serve(self, listener: UnixListener, end: impl Future<Output = ()>) {
        let bridge = Arc::new(self);
        tokio::select! {
            never = bridge.clone().accept(listener) => match never {},
            () = end => {}
        }
        bridge.stop.cancel();
        bridge.tasks.close();
        if tokio::time::timeout(CUT_DEADLINE, bridge.tasks.wait()).await.is_err() {
            tracing::debug!(tasks = bridge.tasks.len(), "connections were left behind");
        }
    }

    async fn accept(self: Arc<Self>, listener: UnixListener) -> Infallible {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = room.clone().acquire_owned().await.expect("nobody closes it");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let bridge = self.clone();
                    self.spawn(async move {
                        bridge.serve_one(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    eprintln!("windflow-hub: a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Without a deadline for the next request: programs keep connections to
    /// an engine's socket for as long as they live.
    async fn serve_one(self: Arc<Self>, stream: UnixStream) {
        if socket::trusted_peer(&stream).is_none() {
            return;
        }
        let service = service_fn(move |request| {
            let bridge = self.clone();
            async move { Ok::<_, Infallible>(bridge.answer(request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.pass(request).await {
            Ok(answer) => answer.map(Either::Left),
            Err(refusal) => refusal.into_answer(),
        }
    }

    /// Waits as long as the hub does: Docker answers some requests only when
    /// they are done, and the hub knows whether the engine still lives.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Refusal> {
        let address = self.address(request.uri())?;
        let hop = Hop::begin(&mut request);
        *request.uri_mut() = address;
        request.headers_mut().remove(header::HOST);
        self.way.authorize(request.headers_mut());
        let answer = self.client.request(request).await;
        let mut answer = answer.map_err(|error| Refusal::Unreachable(anyhow!(error)))?;
        if let Some(upgrades) = hop.finish(&mut answer) {
            self.spawn(upgrades.join());
        }
        Ok(answer)
    }

    fn address(&self, asked: &Uri) -> Result<Uri, Refusal> {
        let target = asked.path_and_query().map_or("", |target| target.as_str());
        if !target.starts_with('/') || climbs(asked.path()) {
            return Err(Refusal::NoEnginePath(asked.to_string()));
        }
        let address = self.way.address(&format!("{}{target}", self.gateway));
        address.map_err(|_| Refusal::NoEnginePath(asked.to_string()))
    }
}

/// Whether a proxy before the hub could read this path as one beside the
/// gateway, where the socket's user has no business.
fn climbs(path: &str) -> bool {
    let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}

impl Refusal {
    /// As an engine would say it.
    fn into_answer(self) -> Answer {
        let (status, message) = match self {
            Self::NoEnginePath(asked) => (StatusCode::BAD_REQUEST, format!("{asked} is no path on a Docker engine.")),
            Self::Unreachable(error) => (StatusCode::BAD_GATEWAY, format!("The hub cannot be reached: {error:#}.")),
        };
        let body = json!({ "message": message }).to_string();
        let mut answer = Response::new(Either::Right(Full::new(Bytes::from(body))));
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        answer
    }
}
