//! A relay that a test puts between an agent and the hub, TCP and UDP on one
//! port number: it delays, splits, limits, stalls, swallows, resets and
//! records. What it does by chance follows from a seed.

mod tcp;
mod udp;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::background::Background;
use super::chance::Chance;

/// How much the relay records in each direction, in bytes.
const RECORD_MAX: usize = 8 * 1024 * 1024;
/// How often a port is tried that is free for TCP and for UDP.
const PORT_ATTEMPTS: usize = 50;

/// The properties of the link that do not change.
#[derive(Clone, Debug, Default)]
pub struct LinkOptions {
    /// How long each byte or datagram travels, one way.
    pub delay: Duration,
    /// What is added to the delay by chance, at most.
    pub jitter: Duration,
    /// How many bytes per second pass each way, at most.
    pub bytes_per_second: Option<u64>,
    /// The largest piece in which TCP bytes are passed on.
    pub piece: Option<usize>,
    /// How old a TCP connection gets before it is reset.
    pub reset_after: Option<Duration>,
    /// How long a TCP connection may carry nothing before it is reset.
    pub idle_max: Option<Duration>,
    /// How many of 1,000 datagrams are lost.
    pub lost_datagrams_per_mille: u64,
    /// What chance follows from.
    pub seed: u64,
}

/// Which way bytes go. The agent is the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the agent to the hub.
    ToHub,
    /// From the hub to the agent.
    ToAgent,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They go on.
    #[default]
    Pass,
    /// They wait in the relay until the flow passes again; the sender feels
    /// it once every buffer is full.
    Stall,
    /// They are taken and thrown away, as a dead link does without saying so.
    Swallow,
}

/// What happens to new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entrance {
    /// They are let through.
    #[default]
    Open,
    /// TCP is accepted and never answered; datagrams vanish.
    Silent,
    /// TCP is reset at once; datagrams vanish.
    Refusing,
}

/// The relay. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: Background,
}

impl Relay {
    /// A relay on a loopback port of its own, in front of `target`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(target: SocketAddr, options: LinkOptions) -> Self {
        let (listener, datagrams) = bind_both();
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::new(target, options));
        let tasks_share = Arc::clone(&shared);
        let tasks = Background::start("relay", move || async move {
            tokio::join!(tcp::relay(listener, Arc::clone(&tasks_share)), udp::relay(datagrams, tasks_share));
        });
        Self { address, shared, _tasks: tasks }
    }

    /// Where agents connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hub's URL through this relay.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Sets what happens to bytes of one direction, TCP and UDP, from now on.
    pub fn set_flow(&self, direction: Direction, flow: Flow) {
        self.shared.controls.send_modify(|controls| match direction {
            Direction::ToHub => controls.to_hub = flow,
            Direction::ToAgent => controls.to_agent = flow,
        });
    }

    /// Sets what happens to bytes of both directions from now on.
    pub fn set_flows(&self, flow: Flow) {
        self.set_flow(Direction::ToHub, flow);
        self.set_flow(Direction::ToAgent, flow);
    }

    /// Sets what happens to TCP connections that come from now on.
    pub fn set_tcp_entrance(&self, entrance: Entrance) {
        self.shared.controls.send_modify(|controls| controls.tcp = entrance);
    }

    /// Sets what happens to datagrams from now on.
    pub fn set_udp_entrance(&self, entrance: Entrance) {
        self.shared.controls.send_modify(|controls| controls.udp = entrance);
    }

    /// Resets every TCP connection that is open now.
    pub fn cut(&self) {
        self.shared.controls.send_modify(|controls| controls.cuts += 1);
    }

    /// Resets the agent's end of every TCP connection that is open now and says
    /// nothing to the hub, whose end stays open and silent.
    pub fn forget(&self) {
        self.shared.controls.send_modify(|controls| controls.forgotten += 1);
    }

    /// How many TCP connections were let through so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many datagrams were passed on so far, both ways.
    pub fn datagrams(&self) -> u64 {
        self.shared.datagrams.load(Ordering::Relaxed)
    }

    /// The TCP bytes that went this way, up to 8 MiB, all connections
    /// together.
    pub fn recorded(&self, direction: Direction) -> Vec<u8> {
        self.shared.record(direction).lock().expect("no recorder panics").clone()
    }
}

#[derive(Clone, Debug, Default)]
struct Controls {
    to_hub: Flow,
    to_agent: Flow,
    tcp: Entrance,
    udp: Entrance,
    cuts: u64,
    forgotten: u64,
}

impl Controls {
    const fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToHub => self.to_hub,
            Direction::ToAgent => self.to_agent,
        }
    }
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    options: LinkOptions,
    controls: watch::Sender<Controls>,
    connections: AtomicUsize,
    datagrams: AtomicU64,
    chance: Chance,
    sent_to_hub: Mutex<Vec<u8>>,
    sent_to_agent: Mutex<Vec<u8>>,
}

impl Shared {
    fn new(target: SocketAddr, options: LinkOptions) -> Self {
        Self {
            target,
            chance: Chance::new(options.seed),
            options,
            controls: watch::Sender::default(),
            connections: AtomicUsize::new(0),
            datagrams: AtomicU64::new(0),
            sent_to_hub: Mutex::default(),
            sent_to_agent: Mutex::default(),
        }
    }

    const fn record(&self, direction: Direction) -> &Mutex<Vec<u8>> {
        match direction {
            Direction::ToHub => &self.sent_to_hub,
            Direction::ToAgent => &self.sent_to_agent,
        }
    }

    fn keep(&self, direction: Direction, bytes: &[u8]) {
        let mut record = self.record(direction).lock().expect("no recorder panics");
        let room = RECORD_MAX - record.len();
        record.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// How long the next piece travels.
    fn travel_time(&self) -> Duration {
        let jitter = self.options.jitter.as_micros().min(u128::from(u64::MAX)) as u64;
        self.options.delay + Duration::from_micros(self.chance.below(jitter))
    }

    fn loses_this_datagram(&self) -> bool {
        self.chance.meets(self.options.lost_datagrams_per_mille)
    }
}

fn bind_both() -> (std::net::TcpListener, UdpSocket) {
    let pairs = (0..PORT_ATTEMPTS).filter_map(|_| {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let datagrams = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
        Some((listener, datagrams))
    });
    let (listener, datagrams) = { pairs }.next().expect("loopback has a port that is free for TCP and UDP");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    datagrams.set_nonblocking(true).expect("a socket can be non-blocking");
    (listener, datagrams)
}
