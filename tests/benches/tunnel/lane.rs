//! Lanes: every way from this process to a far end that serves
//! [`peer`](super::peer), made of the product's own parts. The far end is in
//! this process, or a Unix socket behind the agent's dispatcher.

mod fleet;
mod pair;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windflow_agent::dispatch::{Services, dispatch};
use windflow_agent::engine::{Engine, EngineAddress};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::message::preamble::{StreamKind, read_preamble, write_preamble};
use windflow_protocol::tls::{self, ClientTls};
use windflow_protocol::transport::{Connection, OpenError, Priority, Stream};

use self::fleet::Fleet;
use self::pair::Tune;
pub use self::pair::{Congestion, Pair, Path};
use super::peer::{Io, serve};

/// Buffer of a pipe without a tunnel, as the product's own pipes have it.
const PIPE_BUFFER: usize = 64 * 1024;

/// Who answers at the far end.
#[derive(Clone, Debug)]
pub enum Far {
    /// This process.
    Here,
    /// Whoever listens at this socket.
    Unix(PathBuf),
}

/// How a lane travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// A TLS connection of its own for each stream, without a tunnel.
    Tls,
    /// Within the process.
    Memory,
    /// The multiplexer inside TLS inside a WebSocket.
    WebSocket,
    /// QUIC.
    Quic,
}

/// A way to a far end.
pub struct Lane {
    near: Near,
    _tasks: JoinSet<()>,
    _endpoints: Vec<quinn::Endpoint>,
}

enum Near {
    Unix(PathBuf),
    Tls(SocketAddr, ClientTls, Tune),
    Tunnel(Connection),
}

impl Lane {
    /// The far end's own socket.
    pub fn direct(path: PathBuf) -> Self {
        Self { near: Near::Unix(path), _tasks: JoinSet::new(), _endpoints: Vec::new() }
    }

    /// A lane over loopback.
    pub async fn open(road: Road, far: Far) -> Self {
        Self::open_over(road, far, Path::Loopback).await
    }

    /// A lane over this path, which memory has none of.
    pub async fn open_over(road: Road, far: Far, path: Path<'_>) -> Self {
        if road == Road::Tls {
            return tls_lane(far, path);
        }
        let Pair { hub, agent, mut tasks, endpoints } = Pair::connect(road, path).await;
        tasks.spawn(serve_session(agent, far));
        Self { near: Near::Tunnel(hub), _tasks: tasks, _endpoints: endpoints }
    }

    /// Opens a stream, or what stands for one.
    pub async fn stream(&self) -> Box<dyn Io> {
        match &self.near {
            Near::Unix(path) => Box::new(UnixStream::connect(path).await.expect("the far end listens")),
            Near::Tls(address, tls, tune) => {
                let tcp = TcpStream::connect(address).await.expect("the far end listens");
                tune.apply(&tcp);
                Box::new(tls.handshake(tcp).await.expect("both ends are of one fleet"))
            }
            Near::Tunnel(hub) => {
                let mut stream = open_when_there_is_room(hub).await;
                write_preamble(&mut stream, StreamKind::Docker).await.expect("the session stands");
                Box::new(stream)
            }
        }
    }
}

/// A stream that has just ended may still count for the time of a round trip.
async fn open_when_there_is_room(hub: &Connection) -> Stream {
    loop {
        match hub.open(Priority::Normal) {
            Ok(stream) => return stream,
            Err(OpenError::TooManyStreams) => tokio::task::yield_now().await,
            Err(OpenError::Closed(reason)) => panic!("the session ended: {reason}"),
        }
    }
}

fn tls_lane(far: Far, path: Path<'_>) -> Lane {
    let fleet = Fleet::new();
    let (listener, address) = path.listen_at_agent();
    let (config, tune) = (Arc::clone(&fleet.hub), path.tuning());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut streams = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            tune.apply(&tcp);
            let (config, far) = (Arc::clone(&config), far.clone());
            streams.spawn(async move {
                let Ok((stream, _)) = tls::hub::accept(tcp, config).await else { return };
                serve_stream(stream, &far).await;
            });
            while streams.try_join_next().is_some() {}
        }
    });
    Lane { near: Near::Tls(address, fleet.agent, tune), _tasks: tasks, _endpoints: Vec::new() }
}

/// The agent's end of a session.
async fn serve_session(agent: Connection, far: Far) {
    match far {
        Far::Here => serve_here(&agent).await,
        Far::Unix(path) => {
            let agreed = watch::Sender::new(Capabilities::ALL);
            let engine = Arc::new(Engine::new(EngineAddress::Unix(path)));
            dispatch(&agent, &Services { engine, agreed: agreed.subscribe(), gate: None }, &CancellationToken::new())
                .await;
        }
    }
}

async fn serve_here(agent: &Connection) {
    let mut streams = JoinSet::new();
    while let Ok(mut stream) = agent.accept().await {
        streams.spawn(async move {
            if read_preamble(&mut stream).await.is_ok() {
                serve_stream(stream, &Far::Here).await;
            }
        });
        while streams.try_join_next().is_some() {}
    }
}

/// A stream that breaks has ended: the near end notices by itself.
async fn serve_stream(mut stream: impl Io, far: &Far) {
    match far {
        Far::Here => drop(serve(stream).await),
        Far::Unix(path) => {
            let mut backend = UnixStream::connect(path).await.expect("the far end listens");
            let piped = tokio::io::copy_bidirectional_with_sizes(&mut stream, &mut backend, PIPE_BUFFER, PIPE_BUFFER);
            drop(piped.await);
        }
    }
}
