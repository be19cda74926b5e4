//! The ways to a hub that need something in between.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use windflow_protocol::identity::Purpose;
use windflow_protocol::tls::{FleetTrust, client_config};

use super::*;
use crate::testing::fleet::{Fleet, ToyHub, Visit};

/// Something on loopback that passes connections on.
struct Between {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Between {
    async fn new<F: Future<Output = ()> + Send + 'static>(pass: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                passing.spawn(pass(tcp));
            }
        });
        Self { port, _tasks: tasks }
    }

    /// A proxy that connects wherever it is asked to.
    async fn connect_proxy() -> Self {
        Self::new(|mut tcp| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            let target = std::str::from_utf8(&head).unwrap().split(' ').nth(1).unwrap().to_owned();
            let mut hub = TcpStream::connect(target).await.unwrap();
            tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            copy_bidirectional(&mut tcp, &mut hub).await.ok();
        })
        .await
    }

    /// A reverse proxy that ends TLS, with a certificate that nobody signed.
    async fn tls_front(hub: std::net::SocketAddr) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        Self::new(move |tcp| {
            let acceptor = acceptor.clone();
            async move {
                // The agent tries first whether this is the hub itself.
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut hub = TcpStream::connect(hub).await.unwrap();
                copy_bidirectional(&mut tls, &mut hub).await.ok();
            }
        })
        .await
    }
}

fn tls(fleet: &Fleet) -> impl TlsSource + use<> {
    let trust = FleetTrust { pins: vec![fleet.pin()], hub: None };
    move || client_config(Purpose::Enroll, trust.clone(), None)
}

fn link(url: &str, proxies: ProxyRules, transport: TransportChoice) -> Link {
    Link::new(vec![url.parse().unwrap()], proxies, transport)
}

async fn fails(url: &str, transport: TransportChoice) -> LinkError {
    let fleet = Fleet::new();
    match link(url, ProxyRules::default(), transport).exchange(&tls(&fleet)).await {
        Ok(_) => panic!("{url} was reached"),
        Err(error) => error,
    }
}

/// Says enough for the hub to see that it is an enrollment.
async fn arrives(mut link: Link, fleet: &Fleet, hub: &mut ToyHub) {
    let mut io = link.exchange(&tls(fleet)).await.unwrap();
    let token = fleet.token();
    let request = windflow_protocol::message::enroll::EnrollRequest {
        version: windflow_protocol::version::ProtocolVersion::CURRENT,
        token: token.id.clone(),
        secret: token.secret.clone(),
        csr: Vec::new(),
        name: String::new(),
        labels: Vec::new(),
        agent_version: String::new(),
        capabilities: windflow_protocol::capability::Capabilities::NONE,
        host: crate::host::facts(),
    };
    windflow_protocol::codec::write_message(&mut io, &request).await.unwrap();
    assert!(matches!(hub.visit().await, Visit::Enroll(..)));
}

#[tokio::test]
async fn a_hub_is_reached_through_an_http_proxy() {
    let fleet = Fleet::new();
    let mut hub = ToyHub::websocket(&fleet).await;
    let proxy = Between::connect_proxy().await;
    let proxies = ProxyRules::always(format!("http://127.0.0.1:{}", proxy.port).parse().unwrap());
    arrives(link(&hub.url().to_string(), proxies, TransportChoice::WebSocket), &fleet, &mut hub).await;
}

#[tokio::test]
async fn a_hub_is_reached_behind_tls_that_nobody_can_verify() {
    let fleet = Fleet::new();
    let mut hub = ToyHub::websocket(&fleet).await;
    let front = Between::tls_front(hub.address).await;
    let url = format!("https://localhost:{}", front.port);
    arrives(link(&url, ProxyRules::default(), TransportChoice::WebSocket), &fleet, &mut hub).await;
}

#[tokio::test]
async fn a_hub_that_answers_itself_is_spoken_to_without_other_layers() {
    let fleet = Fleet::new();
    let mut hub = ToyHub::websocket(&fleet).await;
    let (seen, mut first_bytes) = tokio::sync::mpsc::channel(8);
    let address = hub.address;
    let wire = Between::new(move |mut tcp| {
        let seen = seen.clone();
        async move {
            let mut hub = TcpStream::connect(address).await.unwrap();
            let first = tcp.read_u8().await.unwrap();
            seen.send(first).await.unwrap();
            hub.write_u8(first).await.unwrap();
            copy_bidirectional(&mut tcp, &mut hub).await.ok();
        }
    })
    .await;
    let url = format!("https://127.0.0.1:{}", wire.port);
    arrives(link(&url, ProxyRules::default(), TransportChoice::WebSocket), &fleet, &mut hub).await;
    assert_eq!(first_bytes.recv().await, Some(0x16), "a TLS handshake");
    assert!(first_bytes.try_recv().is_err(), "the first connection was the last");
}

#[tokio::test]
async fn what_stands_before_a_hub_is_remembered() {
    let fleet = Fleet::new();
    let hub = ToyHub::websocket(&fleet).await;
    let front = Between::tls_front(hub.address).await;
    let url: HubUrl = format!("https://localhost:{}", front.port).parse().unwrap();
    let mut link = Link::new(vec![url.clone()], ProxyRules::default(), TransportChoice::WebSocket);
    assert!(link.dialer.tries_directly(&url));
    drop(link.exchange(&tls(&fleet)).await.unwrap());
    assert!(!link.dialer.tries_directly(&url));
    drop(link.exchange(&tls(&fleet)).await.unwrap());
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = fails(&format!("http://127.0.0.1:{port}"), TransportChoice::WebSocket).await;
    assert_eq!(error.code(), "CONNECT_FAILED");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn another_web_server_is_not_taken_for_a_hub() {
    let other = Between::new(|mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        tcp.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let error = fails(&format!("http://127.0.0.1:{}", other.port), TransportChoice::WebSocket).await;
    assert_eq!(error.code(), "PROXY_BLOCKS_UPGRADE");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_swallows_udp_is_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = fails(&format!("https://127.0.0.1:{port}"), TransportChoice::Quic).await;
    assert_eq!(error.code(), "UDP_BLOCKED");
    assert!(error.advice().contains("--transport auto"), "{}", error.advice());
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_accepts_and_says_nothing_is_given_up() {
    let silent = Between::new(|mut tcp| async move {
        tcp.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let begun = Instant::now();
    let error = fails(&format!("http://127.0.0.1:{}", silent.port), TransportChoice::WebSocket).await;
    assert_eq!(error.code(), "TIMEOUT");
    assert_eq!(begun.elapsed().as_secs(), CONNECT_DEADLINE.as_secs());
}
