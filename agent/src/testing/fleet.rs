//! A throw-away fleet: an authority, and a hub that listens on loopback over
//! TCP and QUIC and does with each connection what a test says.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::identity::{FleetName, KeyDigest, Purpose};
use windflow_protocol::ids::{AgentId, EnvironmentId, HubId};
use windflow_protocol::message::enroll::{Certificate, EnrollReply, EnrollRequest, Enrolled, RenewRequest};
use windflow_protocol::message::hello::{Hello, HelloReply, Ticket};
use windflow_protocol::message::preamble::{StreamKind, write_preamble};
use windflow_protocol::tls::{HubIdentity, HubLeaf, Peer, authority_key, hub, server_config};
use windflow_protocol::token::{EnrollmentToken, TokenId, TokenSecret};
use windflow_protocol::transport::{Connection, Priority, Side, Stream, TransportKind, quic, websocket};

use crate::link::{HubUrl, Io};

/// The first byte of every TLS connection (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// An authority and everything it signs.
pub struct Fleet {
    pub hub: HubId,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Fleet {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { hub: HubId::generate(), issuer }
    }

    pub fn pin(&self) -> KeyDigest {
        authority_key(&self.authority()).unwrap()
    }

    pub fn token(&self) -> EnrollmentToken {
        EnrollmentToken { id: TokenId::from_random(7), secret: TokenSecret::from_random([9; 20]), pin: self.pin() }
    }

    /// A first certificate for the key of a request.
    pub fn grant(&self, csr: &[u8]) -> Enrolled {
        let agent = AgentId::generate();
        Enrolled {
            agent,
            environment: EnvironmentId::generate(),
            hub: self.hub,
            name: "host".to_owned(),
            generation: 1,
            ticket: Ticket([1; 32]),
            pending_approval: false,
            certificate: self.sign(csr, agent),
            hub_clock_micros: 0,
        }
    }

    pub fn sign(&self, csr: &[u8], agent: AgentId) -> Certificate {
        let mut request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        request.params = leaf(FleetName::Agent(self.hub, agent), ExtendedKeyUsagePurpose::ClientAuth);
        let leaf = request.signed_by(&self.issuer).unwrap();
        Certificate {
            leaf: leaf.der().to_vec(),
            authority: self.authority().to_vec(),
            renew_in_secs: 400_000,
            not_after_micros: 600_000_000_000,
        }
    }

    fn authority(&self) -> CertificateDer<'static> {
        self.issuer.as_ref().der().clone()
    }

    fn tls(&self) -> Arc<rustls::ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = leaf(FleetName::Hub(self.hub), ExtendedKeyUsagePurpose::ServerAuth);
        let shown = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![shown.der().clone(), self.authority()];
        let leaf = Arc::new(HubLeaf::new(chain, key.into()).unwrap());
        server_config(&HubIdentity { hub: self.hub, authority: self.authority(), leaf }).unwrap()
    }
}

fn leaf(name: FleetName, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.to_string().try_into().unwrap())];
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// What came to the hub.
pub enum Visit {
    Enroll(Box<EnrollRequest>, Box<dyn Io>),
    Session(Box<Visitor>),
    Renew(RenewRequest, Box<dyn Io>),
}

/// An agent that has said hello.
pub struct Visitor {
    pub connection: Connection,
    pub control: Stream,
    pub hello: Hello,
}

impl Visitor {
    pub async fn reply(&mut self, reply: &HelloReply) {
        write_message(&mut self.control, reply).await.unwrap();
    }
}

/// A hub on loopback.
pub struct ToyHub {
    pub address: SocketAddr,
    visits: mpsc::Receiver<Visit>,
    _tasks: JoinSet<()>,
}

impl ToyHub {
    /// Listens on TCP, for WebSockets and for the tunnel's own TLS.
    pub async fn websocket(fleet: &Fleet) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (visited, visits) = mpsc::channel(16);
        let tls = fleet.tls();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                serving.spawn(serve_tcp(tcp, Arc::clone(&tls), visited.clone()));
            }
        });
        Self { address, visits, _tasks: tasks }
    }

    /// Listens for QUIC.
    pub fn quic(fleet: &Fleet) -> Self {
        let config = quic::server_config(fleet.tls());
        let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();
        let (visited, visits) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Some(incoming) = endpoint.accept().await {
                serving.spawn(serve_quic(incoming, visited.clone()));
            }
        });
        Self { address, visits, _tasks: tasks }
    }

    pub fn url(&self) -> HubUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub async fn visit(&mut self) -> Visit {
        self.visits.recv().await.unwrap()
    }

    pub async fn session(&mut self) -> Visitor {
        let Visit::Session(visitor) = self.visit().await else { panic!("no session") };
        *visitor
    }

    /// Grants the next enrollment.
    pub async fn enroll(&mut self, fleet: &Fleet) -> EnrollRequest {
        let Visit::Enroll(request, mut io) = self.visit().await else { panic!("no enrollment") };
        let granted = EnrollReply::Enrolled(fleet.grant(&request.csr));
        write_message(&mut io, &granted).await.unwrap();
        // The agent hangs up once it has read the reply.
        io.read_u8().await.unwrap_err();
        *request
    }
}

async fn serve_tcp(tcp: TcpStream, tls: Arc<rustls::ServerConfig>, visited: mpsc::Sender<Visit>) {
    let mut first = [0];
    // An agent that does not trust this hub cuts the handshake.
    match tcp.peek(&mut first).await {
        Ok(1..) if first[0] == TLS_HANDSHAKE => {
            let Ok((stream, peer)) = hub::accept(tcp, tls).await else { return };
            serve_tunnel(stream, peer, visited).await;
        }
        Ok(_) => serve_websocket(tcp, tls, visited).await,
        Err(_) => {}
    }
}

async fn serve_websocket(mut tcp: TcpStream, tls: Arc<rustls::ServerConfig>, visited: mpsc::Sender<Visit>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = tcp.read_u8().await else { return };
        head.push(byte);
    }
    let response = websocket::accept_headers(&headers(&head)).unwrap();
    let mut text = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
    for (name, value) in &response {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    tcp.write_all((text + "\r\n").as_bytes()).await.unwrap();
    let Ok((stream, peer)) = hub::accept(websocket::accept(tcp), tls).await else { return };
    serve_tunnel(stream, peer, visited).await;
}

async fn serve_tunnel(stream: impl Io, peer: Peer, visited: mpsc::Sender<Visit>) {
    match peer.purpose {
        Purpose::Session => {
            let (connection, driver) = Connection::multiplexed(stream, Side::Hub, TransportKind::WebSocket);
            tokio::join!(driver, greet(connection, visited));
        }
        Purpose::Enroll | Purpose::Renew => exchange(&peer, Box::new(stream), visited).await,
    }
}

async fn serve_quic(incoming: quinn::Incoming, visited: mpsc::Sender<Visit>) {
    let Ok(connection) = incoming.await else { return };
    let peer = quic::peer(&connection).unwrap();
    match peer.purpose {
        Purpose::Session => greet(Connection::quic(connection), visited).await,
        Purpose::Enroll | Purpose::Renew => {
            let Ok(stream) = quic::accept_exchange(&connection).await else { return };
            exchange(&peer, Box::new(stream), visited).await;
        }
    }
}

async fn greet(connection: Connection, visited: mpsc::Sender<Visit>) {
    let mut control = connection.open(Priority::Interactive).unwrap();
    write_preamble(&mut control, StreamKind::Control).await.unwrap();
    let Ok(hello) = read_message(&mut control).await else { return };
    let visitor = Visitor { connection, control, hello };
    visited.send(Visit::Session(Box::new(visitor))).await.ok();
}

async fn exchange(peer: &Peer, mut io: Box<dyn Io>, visited: mpsc::Sender<Visit>) {
    let visit = if peer.purpose == Purpose::Enroll {
        Visit::Enroll(Box::new(read_message(&mut io).await.unwrap()), io)
    } else {
        Visit::Renew(read_message(&mut io).await.unwrap(), io)
    };
    visited.send(visit).await.ok();
}

fn headers(head: &[u8]) -> http::HeaderMap {
    let lines = std::str::from_utf8(head).unwrap().lines().skip(1);
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs
        .map(|(name, value)| {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, http::HeaderValue::from_str(value).unwrap())
        })
        .collect()
}
