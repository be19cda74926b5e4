//! Two endpoints on loopback.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ids::AgentId;
use crate::tls::tests::fleet::Fleet;
use crate::tls::{self, HubRefused};

struct Link {
    fleet: Fleet,
    listener: Endpoint,
    dialer: Endpoint,
}

impl Link {
    fn new() -> Self {
        let fleet = Fleet::new();
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let config = server_config(tls::server_config(&fleet.hub_identity()).unwrap());
        let listener = Endpoint::server(config, any).unwrap();
        Self { fleet, listener, dialer: Endpoint::client(any).unwrap() }
    }

    fn tls(&self, purpose: Purpose) -> ClientTls {
        let identity = self.fleet.agent(AgentId::generate());
        tls::client_config(purpose, self.fleet.trust(), Some(identity)).unwrap()
    }

    /// Both ends of one connection, hub first.
    async fn meet(&self, purpose: Purpose) -> (quinn::Connection, quinn::Connection) {
        let address = self.listener.local_addr().unwrap();
        let tls = self.tls(purpose);
        let (agent, hub) = tokio::join!(connect(&self.dialer, address, &tls), async {
            self.listener.accept().await.unwrap().await.unwrap()
        });
        (hub, agent.unwrap())
    }

    async fn session(&self) -> (Connection, Connection) {
        let (hub, agent) = self.meet(Purpose::Session).await;
        (Connection::quic(hub), Connection::quic(agent))
    }
}

#[tokio::test]
async fn the_hub_learns_who_dialled_and_what_for() {
    let link = Link::new();
    for purpose in Purpose::ALL {
        let (hub, _agent) = link.meet(purpose).await;
        let peer = peer(&hub).unwrap();
        assert_eq!(peer.purpose, purpose);
        assert_eq!(peer.certificate.unwrap().hub, link.fleet.hub);
    }
}

#[tokio::test]
async fn a_wrong_pin_is_told_with_both_keys() {
    let link = Link::new();
    let other = Fleet::new();
    let tls = tls::client_config(Purpose::Enroll, other.trust(), None).unwrap();
    let address = link.listener.local_addr().unwrap();
    let (refused, _) = tokio::join!(connect(&link.dialer, address, &tls), async {
        link.listener.accept().await.unwrap().await.map(drop)
    });
    let expected = HubRefused::PinMismatch { expected: vec![other.pin()], actual: link.fleet.pin() };
    assert!(matches!(refused, Err(TlsError::Refused(refused)) if refused == expected));
}

#[tokio::test]
async fn an_exchange_is_one_request_and_one_reply() {
    let link = Link::new();
    let (hub, agent) = link.meet(Purpose::Enroll).await;
    let ask = async {
        let mut stream = open_exchange(&agent).await.unwrap();
        stream.write_all(b"request").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        agent.close(CLOSED, b"done");
        reply
    };
    let answer = async {
        let mut stream = accept_exchange(&hub).await.unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await.unwrap();
        stream.write_all(&[&request[..], b" granted"].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        hub.closed().await;
    };
    assert_eq!(tokio::join!(ask, answer).0, b"request granted");
}

#[tokio::test]
async fn a_session_refuses_streams_from_the_agent() {
    let link = Link::new();
    let (_hub, agent) = link.session().await;
    assert_eq!(agent.open(Priority::Normal).unwrap_err(), OpenError::TooManyStreams);
}

#[tokio::test]
async fn a_ping_measures_the_path_and_fails_on_a_closed_one() {
    let link = Link::new();
    let (hub, agent) = link.session().await;
    assert!(hub.ping().await.unwrap() > Duration::ZERO);
    assert!(agent.ping().await.unwrap() > Duration::ZERO);
    agent.close("leaving");
    hub.closed().await;
    assert_eq!(hub.ping().await.unwrap_err(), CloseReason::Remote("leaving".to_owned()));
}

#[tokio::test]
async fn a_ping_on_a_dead_path_is_not_answered() {
    let link = Link::new();
    let relay = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (relayed, hub) = (relay.local_addr().unwrap(), link.listener.local_addr().unwrap());
    let mut path = tokio::task::JoinSet::new();
    path.spawn(forward(relay, hub));
    let tls = link.tls(Purpose::Session);
    let (_agent, hub) = tokio::join!(connect(&link.dialer, relayed, &tls), async {
        Connection::quic(link.listener.accept().await.unwrap().await.unwrap())
    });
    hub.ping().await.unwrap();
    path.shutdown().await;
    assert!(tokio::time::timeout(Duration::from_millis(500), hub.ping()).await.is_err());
}

/// Passes packets between a hub and whoever wrote last.
async fn forward(relay: tokio::net::UdpSocket, hub: SocketAddr) {
    let mut agent = None;
    let mut packet = vec![0; 65_536];
    loop {
        // A packet that cannot be passed on is a lost one.
        let Ok((length, from)) = relay.recv_from(&mut packet).await else { continue };
        if from != hub {
            agent = Some(from);
        }
        let to = if from == hub { agent } else { Some(hub) };
        if let Some(to) = to {
            relay.send_to(&packet[..length], to).await.ok();
        }
    }
}
