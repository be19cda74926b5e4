//! The UDP half of the relay: each client has a socket of its own towards the
//! target, so that the target sees as many clients as there are.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as BlockingSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Direction, Entrance, Flow, Shared};

/// Larger than any datagram.
const DATAGRAM_MAX: usize = 65_536;
/// Datagrams that travel at once, at most; more are lost.
const TRAVELLING_MAX: usize = 4096;

/// Relays datagrams until the relay is dropped.
pub(super) async fn relay(socket: BlockingSocket, shared: Arc<Shared>) {
    let entrance = Arc::new(UdpSocket::from_std(socket).expect("the socket is non-blocking"));
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut returning = JoinSet::new();
    let mut road = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, client)) = entrance.recv_from(&mut buffer).await else { continue };
        let exit = match clients.get(&client) {
            Some(exit) => Arc::clone(exit),
            None => {
                let exit = Arc::new(socket_towards(shared.target).await);
                clients.insert(client, Arc::clone(&exit));
                returning.spawn(relay_back(Arc::clone(&exit), Arc::clone(&entrance), client, Arc::clone(&shared)));
                exit
            }
        };
        let target = shared.target;
        travel(&mut road, &buffer[..length], Direction::ToHub, (exit, target), &shared);
    }
}

async fn relay_back(exit: Arc<UdpSocket>, entrance: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut road = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // A refusal that came back to the socket is one lost datagram.
        let Ok((length, _)) = exit.recv_from(&mut buffer).await else { continue };
        travel(&mut road, &buffer[..length], Direction::ToAgent, (Arc::clone(&entrance), client), &shared);
    }
}

/// Sends a datagram on its way, if it is not lost.
fn travel(
    road: &mut JoinSet<()>,
    datagram: &[u8],
    direction: Direction,
    (socket, to): (Arc<UdpSocket>, SocketAddr),
    shared: &Shared,
) {
    while road.try_join_next().is_some() {}
    let passes = {
        let controls = shared.controls.borrow();
        controls.udp == Entrance::Open && controls.flow(direction) == Flow::Pass
    };
    if !passes || road.len() >= TRAVELLING_MAX || shared.loses_this_datagram() {
        return;
    }
    shared.datagrams.fetch_add(1, Ordering::Relaxed);
    let (time, datagram) = (shared.travel_time(), datagram.to_vec());
    road.spawn(async move {
        sleep(time).await;
        let _lost_is_lost = socket.send_to(&datagram, to).await;
    });
}

async fn socket_towards(target: SocketAddr) -> UdpSocket {
    let local = if target.ip().is_loopback() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    UdpSocket::bind((local, 0)).await.expect("loopback has a free port")
}
