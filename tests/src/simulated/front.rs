//! The way of a simulated fleet to its hub: every agent dials a loopback
//! address of its own, so that it is seen who dials when, and the hub sees as
//! many sources as there are agents.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::network::Background;

/// Agents that one fleet may have.
const AGENTS_MAX: usize = 250 * 250;

/// One dial of an agent.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    /// Which agent.
    pub agent: usize,
    /// When.
    pub at: Instant,
}

/// The way in. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Front {
    port: u16,
    shared: Arc<Shared>,
    _tasks: Background,
}

#[derive(Debug)]
struct Shared {
    hub: SocketAddr,
    dials: Mutex<Vec<Dial>>,
    cuts: watch::Sender<u64>,
}

impl Front {
    /// A way to the hub at `hub`, a loopback address.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(hub: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        listener.set_nonblocking(true).expect("a socket can be told not to block");
        let shared = Arc::new(Shared { hub, dials: Mutex::default(), cuts: watch::Sender::new(0) });
        let tasks_share = Arc::clone(&shared);
        let tasks = Background::start("front", move || accept(listener, tasks_share));
        Self { port, shared, _tasks: tasks }
    }

    /// The hub's URL for this agent. The tunnel's own TLS is in it, and no
    /// other.
    ///
    /// # Panics
    /// When there are fewer addresses.
    pub fn url(&self, agent: usize) -> String {
        format!("http://{}:{}", address_of(agent), self.port)
    }

    /// Every dial so far.
    pub fn dials(&self) -> Vec<Dial> {
        self.shared.dials.lock().expect("no task panics").clone()
    }

    /// How often each of `agents` agents has dialled since `since`.
    pub fn dials_since(&self, since: Instant, agents: usize) -> Vec<usize> {
        let mut counts = vec![0; agents];
        for dial in self.dials().iter().filter(|dial| dial.at >= since) {
            if let Some(count) = counts.get_mut(dial.agent) {
                *count += 1;
            }
        }
        counts
    }

    /// Cuts every connection at once.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// 127.1.0.1 and so on: never the loopback address that everybody uses.
fn address_of(agent: usize) -> Ipv4Addr {
    assert!(agent < AGENTS_MAX, "there is no address for agent {agent}");
    let part = |number: usize| u8::try_from(number).expect("it is below 251");
    Ipv4Addr::new(127, 1, part(agent / 250), part(agent % 250 + 1))
}

fn agent_at(address: IpAddr) -> Option<usize> {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [127, 1, high, low @ 1..=250] => Some(usize::from(high) * 250 + usize::from(low) - 1),
            _ => None,
        },
        IpAddr::V6(_) => None,
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block");
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let Some(local) = client.local_addr().ok().map(|address| address.ip()) else { continue };
        let Some(agent) = agent_at(local) else { continue };
        // Before the dial is known: whoever has seen it may cut it.
        let cuts = shared.cuts.subscribe();
        shared.dials.lock().expect("no task panics").push(Dial { agent, at: Instant::now() });
        connections.spawn(pass(client, local, shared.hub, cuts));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection to its end, or to the next of the `cuts`; a hub that
/// does not take it resets it.
async fn pass(mut client: TcpStream, from: IpAddr, hub: SocketAddr, mut cuts: watch::Receiver<u64>) {
    let Ok(mut hub) = dial(from, hub).await else {
        return reset_when_dropped(&client);
    };
    tokio::select! {
        ended = copy_bidirectional(&mut client, &mut hub) => {
            if ended.is_err() {
                reset_when_dropped(&client);
            }
        }
        _ = cuts.changed() => {
            reset_when_dropped(&client);
            reset_when_dropped(&hub);
        }
    }
}

async fn dial(from: IpAddr, hub: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(hub).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has the kernel send a reset instead of an orderly end.
fn reset_when_dropped(stream: &TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(stream, at_once).expect("a TCP socket has this option");
}
