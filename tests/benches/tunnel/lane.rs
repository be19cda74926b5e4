//! Lanes: every way from this process to a far end that serves
//! [`peer`](super::peer), made of the product's own parts. The far end is in
//! this process, or a Unix socket behind the agent's dispatcher.

mod fleet;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderMap;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use windflow_agent::dispatch::{Services, dispatch};
use windflow_agent::engine::{Engine, EngineAddress};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::message::preamble::{StreamKind, read_preamble, write_preamble};
use windflow_protocol::tls::{self, ClientTls};
use windflow_protocol::transport::{
    Connection, OpenError, Priority, Side, Stream, TransportKind, memory, quic, websocket,
};
use windflow_tests::network::{LinkOptions, Relay};

use self::fleet::Fleet;
use super::peer::{Io, serve};

/// Buffer of a pipe without a tunnel, as the product's own pipes have it.
const PIPE_BUFFER: usize = 64 * 1024;
/// Unsent bytes the kernel takes, as the product sets it.
const NOT_SENT_LOW: u32 = 128 * 1024;

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
    _relay: Option<Relay>,
}

enum Near {
    Unix(PathBuf),
    Tls(SocketAddr, ClientTls),
    Tunnel(Connection),
}

impl Lane {
    /// The far end's own socket.
    pub fn direct(path: PathBuf) -> Self {
        Self::new(Near::Unix(path), JoinSet::new())
    }

    /// A lane over loopback.
    pub async fn open(road: Road, far: Far) -> Self {
        Self::open_through(road, far, None).await
    }

    /// A lane over a link with these properties, which memory has none of.
    pub async fn open_through(road: Road, far: Far, link: Option<LinkOptions>) -> Self {
        let fleet = Fleet::new();
        match road {
            Road::Tls => tls_lane(&fleet, far, link).await,
            Road::Memory => {
                let (hub, agent) = memory::pair();
                let mut tasks = JoinSet::new();
                tasks.spawn(serve_session(agent, far));
                Self::new(Near::Tunnel(hub), tasks)
            }
            Road::WebSocket => websocket_lane(&fleet, far, link).await,
            Road::Quic => quic_lane(&fleet, far, link).await,
        }
    }

    fn new(near: Near, tasks: JoinSet<()>) -> Self {
        Self { near, _tasks: tasks, _endpoints: Vec::new(), _relay: None }
    }

    /// Opens a stream, or what stands for one.
    pub async fn stream(&self) -> Box<dyn Io> {
        match &self.near {
            Near::Unix(path) => Box::new(UnixStream::connect(path).await.expect("the far end listens")),
            Near::Tls(address, tls) => {
                let tcp = dial(*address).await;
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

async fn tls_lane(fleet: &Fleet, far: Far, link: Option<LinkOptions>) -> Lane {
    let (listener, address, relay) = listen(link).await;
    let config = Arc::clone(&fleet.hub);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut streams = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            tune(&tcp);
            let (config, far) = (Arc::clone(&config), far.clone());
            streams.spawn(async move {
                let Ok((stream, _)) = tls::hub::accept(tcp, config).await else { return };
                serve_stream(stream, &far).await;
            });
            while streams.try_join_next().is_some() {}
        }
    });
    Lane { _relay: relay, ..Lane::new(Near::Tls(address, fleet.agent.clone()), tasks) }
}

async fn websocket_lane(fleet: &Fleet, far: Far, link: Option<LinkOptions>) -> Lane {
    let (listener, address, relay) = listen(link).await;
    let hub_end = async {
        let (tcp, _) = listener.accept().await.expect("the listener stands");
        tune(&tcp);
        let accepted = tls::hub::accept(upgrade(tcp).await, Arc::clone(&fleet.hub)).await;
        Connection::multiplexed(accepted.expect("both ends are of one fleet").0, Side::Hub, TransportKind::WebSocket)
    };
    let agent_end = async {
        let uri = format!("ws://{address}{}", websocket::PATH).parse().expect("an address makes a URL");
        let outer = websocket::connect(dial(address).await, &uri, HeaderMap::new()).await.expect("the hub upgrades");
        let stream = fleet.agent.handshake(outer).await.expect("both ends are of one fleet");
        Connection::multiplexed(Box::new(stream), Side::Agent, TransportKind::WebSocket)
    };
    let ((hub, hub_driver), (agent, agent_driver)) = tokio::join!(hub_end, agent_end);
    let mut tasks = JoinSet::new();
    for driver in [hub_driver, agent_driver] {
        tasks.spawn(async move { drop(driver.await) });
    }
    tasks.spawn(serve_session(agent, far));
    Lane { _relay: relay, ..Lane::new(Near::Tunnel(hub), tasks) }
}

async fn quic_lane(fleet: &Fleet, far: Far, link: Option<LinkOptions>) -> Lane {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = quic::server_config(Arc::clone(&fleet.hub));
    let hub_endpoint = quinn::Endpoint::server(config, here).expect("loopback has a free port");
    let agent_endpoint = quinn::Endpoint::client(here).expect("loopback has a free port");
    let listening = hub_endpoint.local_addr().expect("a bound socket has an address");
    let (address, relay) = through(listening, link);
    let hub_end = async { hub_endpoint.accept().await.expect("the endpoint stands").await };
    let agent_end = quic::connect(&agent_endpoint, address, &fleet.agent);
    let (hub, agent) = tokio::join!(hub_end, agent_end);
    let agent = Connection::quic(agent.expect("both ends are of one fleet"));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_session(agent, far));
    let hub = Connection::quic(hub.expect("both ends are of one fleet"));
    Lane { _endpoints: vec![hub_endpoint, agent_endpoint], _relay: relay, ..Lane::new(Near::Tunnel(hub), tasks) }
}

async fn listen(link: Option<LinkOptions>) -> (TcpListener, SocketAddr, Option<Relay>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
    let listening = listener.local_addr().expect("a bound socket has an address");
    let (address, relay) = through(listening, link);
    (listener, address, relay)
}

fn through(address: SocketAddr, link: Option<LinkOptions>) -> (SocketAddr, Option<Relay>) {
    let relay = link.map(|link| Relay::start(address, link));
    (relay.as_ref().map_or(address, Relay::address), relay)
}

async fn dial(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).await.expect("the other end listens");
    tune(&tcp);
    tcp
}

fn tune(tcp: &TcpStream) {
    tcp.set_nodelay(true).expect("a TCP socket has this option");
    SockRef::from(tcp).set_tcp_notsent_lowat(NOT_SENT_LOW).expect("a TCP socket has this option");
}

/// The hub's half of the WebSocket's opening, which its HTTP server does.
async fn upgrade(mut tcp: TcpStream) -> websocket::WebSocketIo<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.expect("the agent asks for a WebSocket"));
    }
    let head = String::from_utf8(head).expect("a request's head is ASCII");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let headers: HeaderMap = lines
        .map(|(name, value)| (name.parse().expect("a header's name"), value.parse().expect("a header's value")))
        .collect();
    let mut answer = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
    for (name, value) in &websocket::accept_headers(&headers).expect("the agent asks for the tunnel") {
        answer += &format!("{name}: {}\r\n", value.to_str().expect("the answer is ASCII"));
    }
    tcp.write_all((answer + "\r\n").as_bytes()).await.expect("the agent reads");
    websocket::accept(tcp)
}

/// The agent's end of a session.
async fn serve_session(agent: Connection, far: Far) {
    match far {
        Far::Here => serve_here(&agent).await,
        Far::Unix(path) => {
            let agreed = watch::Sender::new(Capabilities::ALL);
            let engine = Arc::new(Engine::new(EngineAddress::Unix(path)));
            dispatch(&agent, &Services { engine, agreed: agreed.subscribe() }).await;
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
