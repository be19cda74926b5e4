//! Both ends of one connection in this process, made of the product's own
//! transports and TLS, over loopback or over a packet link.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use http::HeaderMap;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use windflow_protocol::tls;
use windflow_protocol::transport::{Connection, Side, TransportKind, memory, quic, websocket};
use windflow_tests::network::Netns;

use super::Road;
use super::fleet::Fleet;

/// Unsent bytes the kernel takes, as the product sets it.
const NOT_SENT_LOW: u32 = 128 * 1024;

/// What is between the two ends.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    /// Nothing.
    Loopback,
    /// The link of a namespace in which the agent's end is. Its TCP is
    /// controlled like this.
    Link(&'a Netns, Congestion),
}

/// How TCP finds out how much a path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// What the product asks for.
    Bbr,
    /// What it gets from a kernel without `bbr`.
    Cubic,
}

/// The two ends, and what keeps them alive.
pub struct Pair {
    pub hub: Connection,
    pub agent: Connection,
    pub tasks: JoinSet<()>,
    pub endpoints: Vec<quinn::Endpoint>,
}

impl Pair {
    /// Connects both ends.
    ///
    /// # Panics
    /// Where the road has no tunnel.
    pub async fn connect(road: Road, path: Path<'_>) -> Self {
        match road {
            Road::Tls => panic!("a TLS connection for each stream is no tunnel"),
            Road::Memory => {
                let (hub, agent) = memory::pair();
                Self { hub, agent, tasks: JoinSet::new(), endpoints: Vec::new() }
            }
            Road::WebSocket => over_websocket(&Fleet::new(), path).await,
            Road::Quic => over_quic(&Fleet::new(), path).await,
        }
    }
}

impl Path<'_> {
    /// A listener at the hub's end, and where the agent reaches it.
    async fn listen_at_hub(self) -> (TcpListener, SocketAddr) {
        with_address(TcpListener::bind((self.hub(), 0)).await.expect("the address has a free port"))
    }

    /// A listener at the agent's end, and where the hub reaches it.
    pub(super) fn listen_at_agent(self) -> (TcpListener, SocketAddr) {
        let listen = || std::net::TcpListener::bind((self.agent(), 0)).expect("the address has a free port");
        let listener = self.at_agent(listen);
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        with_address(TcpListener::from_std(listener).expect("the listener is non-blocking"))
    }

    /// Connects from the agent's end.
    async fn dial_from_agent(self, address: SocketAddr) -> TcpStream {
        let socket = self.at_agent(TcpSocket::new_v4).expect("the system has room for sockets");
        let tcp = socket.connect(address).await.expect("the hub's end listens");
        self.tuning().apply(&tcp);
        tcp
    }

    /// What its TCP sockets are to be.
    pub(super) const fn tuning(self) -> Tune {
        Tune(match self {
            Self::Loopback => None,
            Self::Link(_, congestion) => Some(congestion),
        })
    }

    fn at_agent<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Loopback => work(),
            Self::Link(namespace, _) => namespace.within(work),
        }
    }

    fn hub(self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Link(namespace, _) => namespace.outside().into(),
        }
    }

    fn agent(self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Link(namespace, _) => namespace.inside().into(),
        }
    }
}

/// As the product tunes its sockets; but the congestion control of loopback,
/// where nothing is congested, is left alone.
#[derive(Clone, Copy)]
pub(super) struct Tune(Option<Congestion>);

impl Tune {
    pub(super) fn apply(self, tcp: &TcpStream) {
        tcp.set_nodelay(true).expect("a TCP socket has this option");
        let socket = SockRef::from(tcp);
        socket.set_tcp_notsent_lowat(NOT_SENT_LOW).expect("a TCP socket has this option");
        let control: &[u8] = match self.0 {
            None => return,
            Some(Congestion::Bbr) => b"bbr",
            Some(Congestion::Cubic) => b"cubic",
        };
        socket.set_tcp_congestion(control).expect("this kernel has it");
    }
}

fn with_address(listener: TcpListener) -> (TcpListener, SocketAddr) {
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

async fn over_websocket(fleet: &Fleet, path: Path<'_>) -> Pair {
    let (listener, address) = path.listen_at_hub().await;
    let hub_end = async {
        let (tcp, _) = listener.accept().await.expect("the listener stands");
        path.tuning().apply(&tcp);
        let accepted = tls::hub::accept(upgrade(tcp).await, Arc::clone(&fleet.hub)).await;
        Connection::multiplexed(accepted.expect("both ends are of one fleet").0, Side::Hub, TransportKind::WebSocket)
    };
    let agent_end = async {
        let uri = format!("ws://{address}{}", websocket::PATH).parse().expect("an address makes a URL");
        let tcp = path.dial_from_agent(address).await;
        let outer = websocket::connect(tcp, &uri, HeaderMap::new()).await.expect("the hub upgrades");
        let stream = fleet.agent.handshake(outer).await.expect("both ends are of one fleet");
        Connection::multiplexed(Box::new(stream), Side::Agent, TransportKind::WebSocket)
    };
    let ((hub, hub_driver), (agent, agent_driver)) = tokio::join!(hub_end, agent_end);
    let mut tasks = JoinSet::new();
    for driver in [hub_driver, agent_driver] {
        tasks.spawn(async move { drop(driver.await) });
    }
    Pair { hub, agent, tasks, endpoints: Vec::new() }
}

async fn over_quic(fleet: &Fleet, path: Path<'_>) -> Pair {
    let config = quic::server_config(Arc::clone(&fleet.hub));
    let hub_endpoint = quinn::Endpoint::server(config, (path.hub(), 0).into()).expect("the address has a free port");
    let socket = path.at_agent(|| UdpSocket::bind((path.agent(), 0)).expect("the address has a free port"));
    let runtime = Arc::new(quinn::TokioRuntime);
    let agent_endpoint = quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime);
    let agent_endpoint = agent_endpoint.expect("a UDP socket makes an endpoint");
    let address = hub_endpoint.local_addr().expect("a bound socket has an address");
    let hub_end = async { hub_endpoint.accept().await.expect("the endpoint stands").await };
    let agent_end = quic::connect(&agent_endpoint, address, &fleet.agent);
    let (hub, agent) = tokio::join!(hub_end, agent_end);
    Pair {
        hub: Connection::quic(hub.expect("both ends are of one fleet")),
        agent: Connection::quic(agent.expect("both ends are of one fleet")),
        tasks: JoinSet::new(),
        endpoints: vec![hub_endpoint, agent_endpoint],
    }
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
