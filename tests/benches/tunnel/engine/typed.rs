//! The hub's typed client, bollard, on a real engine (T5): the hub's library
//! in this process, its local engine, and real agents.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{BollardRequest, ClientVersion, Docker};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use windflow_hub::docker::Engines;
use windflow_hub::tunnel::Session;
use windflow_protocol::transport::TransportKind;

use super::Bed;
use crate::tunnel::hub_here::HubHere;
use crate::tunnel::meter::{WORKERS, block_on, median, micros};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Calls that are not counted, then those that are, for each client.
const WARM_UP: usize = 50;
const COUNTED: usize = 500;
/// As the hub's own client.
const API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
const LIST: &str = "/v1.41/containers/json?all=true";
/// Longest a call may take.
const CALL: Duration = Duration::from_secs(60);
/// Idle connections of a client that keeps them, as of the hub's.
const KEPT: usize = 8;

/// Lists containers with each client in turn.
pub fn measure(bed: &Bed) {
    let (socket, address) = (bed.engine.socket(), bed.engine.address());
    let times = block_on(WORKERS, async move { measure_all(socket, &address).await });
    let [direct, direct_kept, memory, websocket, quic, memory_new, websocket_new, quic_new] =
        times.each_ref().map(|times| median(times));
    Row::new("T5 bollard in the hub lists containers, pool, p50", Unit::Micros)
        .against(direct)
        .judged(Way::Memory, memory, Limit::TimesAtMost(1.5))
        .judged(Way::WebSocket, websocket, Limit::TimesAtMost(1.5))
        .judged(Way::Quic, quic, Limit::TimesAtMost(1.5))
        .print();
    Row::new("T5 the same, a new stream for each, p50", Unit::Micros)
        .against(direct)
        .judged(Way::Memory, memory_new, Limit::TimesAtMost(2.5))
        .judged(Way::WebSocket, websocket_new, Limit::TimesAtMost(2.5))
        .judged(Way::Quic, quic_new, Limit::TimesAtMost(2.5))
        .print();
    Row::new("T5 the pool against a pool on the socket, p50", Unit::Micros)
        .against(direct_kept)
        .reached(Way::Memory, memory)
        .reached(Way::WebSocket, websocket)
        .reached(Way::Quic, quic)
        .print();
}

/// Microseconds of each call. First bollard on the socket as it comes, which
/// connects for each call, and with a pool; then the hub's pool by way; then a
/// new stream for each call by way.
async fn measure_all(socket: PathBuf, address: &str) -> [Vec<f64>; 8] {
    let hub = HubHere::start(Some(socket.clone())).await;
    let memory = hub.local().await;
    let (_websocket_agent, websocket) = hub.agent(address, TransportKind::WebSocket).await;
    let (_quic_agent, quic) = hub.agent(address, TransportKind::Quic).await;
    let engines = &hub.app.engines;
    let callers = [
        Caller::Direct(client(&socket, 0)),
        Caller::Direct(client(&socket, KEPT)),
        Caller::Pooled(engines, &memory),
        Caller::Pooled(engines, &websocket),
        Caller::Pooled(engines, &quic),
        Caller::Typed(engines, &memory),
        Caller::Typed(engines, &websocket),
        Caller::Typed(engines, &quic),
    ];
    let mut times: [Vec<f64>; 8] = Default::default();
    for round in 0..WARM_UP + COUNTED {
        for (caller, times) in callers.iter().zip(&mut times) {
            let started = Instant::now();
            let listed = caller.list().await;
            let time = micros(started.elapsed());
            assert!(!listed.is_empty(), "there are containers to list");
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    times
}

/// Who lists the containers.
enum Caller<'a> {
    /// bollard, on the engine's socket.
    Direct(Docker),
    /// The hub's pooled client, into bollard's types.
    Pooled(&'a Engines, &'a Session),
    /// The hub's bollard client, which opens a stream for each call.
    Typed(&'a Engines, &'a Arc<Session>),
}

impl Caller<'_> {
    async fn list(&self) -> Vec<ContainerSummary> {
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let listed = match self {
            Self::Direct(docker) => docker.list_containers(Some(all)).await.map_err(|error| error.to_string()),
            Self::Pooled(engines, session) => {
                engines.read(session, LIST, CALL).await.map_err(|error| error.to_string())
            }
            Self::Typed(engines, session) => {
                let call = engines.call(session, CALL, |docker| async move { docker.list_containers(Some(all)).await });
                call.await.map_err(|error| error.to_string())
            }
        };
        listed.expect("the engine lists its containers")
    }
}

/// bollard on a socket, which keeps this many idle connections.
fn client(socket: &Path, kept: usize) -> Docker {
    let pool = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(kept).build(Connector(socket.to_owned()));
    let transport = move |request: BollardRequest| {
        let pool = pool.clone();
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        parts.uri = format!("http://engine{target}").parse().expect("bollard's paths are good");
        let request = http::Request::from_parts(parts, body);
        async move { pool.request(request).await.map_err(bollard::errors::Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some("http://engine"), CALL.as_secs(), &API)
        .expect("nothing is connected yet")
}

#[derive(Clone)]
struct Connector(PathBuf);

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { Ok(Wire(TokioIo::new(UnixStream::connect(path).await?))) })
    }
}

/// A connection in hyper's terms.
struct Wire(TokioIo<UnixStream>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
