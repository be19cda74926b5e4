//! The tunnel with a TCP port in front of it: the hub's library in a process of
//! its own, and real agents whose engine is any TCP server. For comparison
//! only: the product opens streams for requests, not for connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use windflow_hub::tunnel::{Session, StreamError};
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::transport::{Priority, Stream, TransportKind};
use windflow_tests::process::Running;

use super::Contender;
use crate::tunnel::hub_here::HubHere;

/// The part of this program that is the front: `front ADDRESS`.
pub const PART: &str = "front";

/// Buffer of a pipe, as the product's own pipes have it.
const PIPE_BUFFER: usize = 64 * 1024;

/// What [`PART`] does, until it is ended.
pub async fn run(behind: &str) {
    let hub = HubHere::start(None).await;
    let (mut fronts, mut agents) = (JoinSet::new(), Vec::new());
    for transport in [TransportKind::WebSocket, TransportKind::Quic] {
        let (agent, session) = hub.agent(&format!("tcp://{behind}"), transport).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let entrance = listener.local_addr().expect("a bound socket has an address");
        println!("{entrance} {} {}", std::process::id(), agent.process_id());
        fronts.spawn(take(listener, session));
        agents.push(agent);
    }
    fronts.join_all().await;
}

/// What a running front has printed: over WebSocket, and over QUIC.
pub fn said_by(front: &Running, within: Duration) -> [Contender; 2] {
    let two_lines = || (front.stdout().matches('\n').count() == 2).then(|| front.stdout());
    let said = windflow_tests::wait::until("both agents of the front", within, two_lines);
    let mut lines = said.lines().map(|line| {
        let mut words = line.split(' ');
        let entrance = words.next().and_then(|word| word.parse().ok()).expect("an address comes first");
        Contender { entrance, processes: words.map(ToOwned::to_owned).collect() }
    });
    [lines.next(), lines.next()].map(|contender| contender.expect("there are two lines"))
}

/// Opens a stream for each connection.
async fn take(listener: TcpListener, session: Arc<Session>) {
    let mut pipes = JoinSet::new();
    loop {
        let (client, _): (TcpStream, SocketAddr) = listener.accept().await.expect("the listener stands");
        client.set_nodelay(true).expect("a TCP socket has this option");
        pipes.spawn(pipe(client, Arc::clone(&session)));
        while pipes.try_join_next().is_some() {}
    }
}

/// A connection that breaks has ended: its client notices by itself.
async fn pipe(mut client: TcpStream, session: Arc<Session>) {
    let mut stream = open_when_there_is_room(&session).await;
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut stream, PIPE_BUFFER, PIPE_BUFFER).await.ok();
}

/// A stream that has just ended may still count for the time of a round trip.
async fn open_when_there_is_room(session: &Session) -> Stream {
    loop {
        match session.open(StreamKind::Docker, Priority::Normal).await {
            Ok(stream) => return stream,
            Err(StreamError::Busy) => tokio::task::yield_now().await,
            Err(error) => panic!("the session does not stand: {error}"),
        }
    }
}
