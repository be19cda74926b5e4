//! Which versions of TLS the hub speaks, at each of its doors on TCP. QUIC has
//! no version of TLS but 1.3 (RFC 9001 §4.2).
//!
//! No library offers what is older than TLS 1.2 any more: those first messages
//! are written here by hand.

use std::sync::Arc;

use http::HeaderMap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use windflow_agent::identity::StateDir;
use windflow_protocol::identity::Purpose;
use windflow_protocol::tls::{ClientTls, SERVER_NAME, client_config};
use windflow_protocol::transport::websocket;
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

const SSL_3_0: u16 = 0x0300;
const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;
/// Extensions of a client's first message (RFC 8446 §4.2).
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
/// One cipher suite of TLS 1.2 and some that are as old as TLS 1.0, all of them
/// fit for the hub's certificate: none is what a refusal could be about.
const CIPHER_SUITES: [u16; 4] = [0xc02b, 0xc009, 0xc00a, 0xc008];

/// Bytes with how many there are before them, in this many bytes.
fn counted(count_bytes: usize, content: &[u8]) -> Vec<u8> {
    let count = (content.len() as u64).to_be_bytes();
    [&count[count.len() - count_bytes..], content].concat()
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), counted(2, content)].concat()
}

/// A client's first message of this version, with these extensions beside those
/// that every version knows.
fn hello(version: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
    // x25519 and secp256r1; uncompressed; ECDSA of secp256r1 with SHA-256 and with SHA-1.
    let known = [
        extension(SUPPORTED_GROUPS, &counted(2, &numbers(&[0x001d, 0x0017]))),
        extension(POINT_FORMATS, &counted(1, &[0])),
        extension(SIGNATURE_ALGORITHMS, &counted(2, &numbers(&[0x0403, 0x0203]))),
    ];
    let extensions = [known.concat(), extensions.concat()].concat();
    let body = [
        version.to_be_bytes().to_vec(),
        vec![7; 32],
        counted(1, &[]),
        counted(2, &numbers(&CIPHER_SUITES)),
        counted(1, &[0]),
        counted(2, &extensions),
    ];
    let message = [vec![1], counted(3, &body.concat())].concat();
    [vec![0x16, 0x03, 0x01], counted(2, &message)].concat()
}

/// The extension by which an agent says what it comes for.
fn as_an_agent() -> Vec<u8> {
    extension(ALPN, &counted(2, &counted(1, Purpose::Session.alpn())))
}

/// What the hub's log calls whoever offers less to the tunnel than TLS 1.3: by
/// an older version, by the newest there was before there were extensions for
/// it, and by no other beside it.
const TOO_OLD: [&str; 3] = ["Tls12NotOffered", "SupportedVersionsExtensionRequired", "Tls12NotOfferedOrEnabled"];

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It goes on, in this version.
    Hello(u16),
    /// It ends the connection, for this reason.
    Alert(u8),
    /// It ends the connection.
    End,
}

/// `protocol_version`: the other end's version is known and not spoken.
const NOT_SPOKEN: Answer = Answer::Alert(70);

/// Sends a client's first message and reads what comes back.
async fn answer_to<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, hello: &[u8]) -> Answer {
    let exchange = async {
        stream.write_all(hello).await.unwrap();
        stream.flush().await.unwrap();
        let mut head = [0; 5];
        if stream.read_exact(&mut head).await.is_err() {
            return Answer::End;
        }
        let mut record = vec![0; u16::from_be_bytes([head[3], head[4]]).into()];
        stream.read_exact(&mut record).await.expect("the hub says all of it");
        match (head[0], record.as_slice()) {
            (0x15, [_, reason]) => Answer::Alert(*reason),
            (0x16, [2, _, _, _, major, minor, ..]) => Answer::Hello(u16::from_be_bytes([*major, *minor])),
            (kind, _) => panic!("the hub answers with {kind} and {record:?}"),
        }
    };
    timeout(SOON, exchange).await.expect("the hub answers")
}

/// The hub, and an agent whose certificate it takes. What depends on something
/// else stands before it.
struct Site {
    agent: Agent,
    hub: Hub,
}

impl Site {
    fn new() -> Self {
        let hub = Hub::start();
        Self { agent: Agent::enrolled(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE)), hub }
    }

    async fn port(&self) -> TcpStream {
        TcpStream::connect(self.hub.address()).await.unwrap()
    }

    /// The inside of a WebSocket on which the tunnel's own TLS is expected.
    async fn tunnel(&self) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let uri = format!("ws://{}{}", self.hub.address(), websocket::PATH).parse().unwrap();
        websocket::connect(self.port().await, &uri, HeaderMap::new()).await.expect("the hub upgrades")
    }

    /// What the agent speaks.
    fn of_agent(&self) -> ClientTls {
        let state = StateDir::open(&self.agent.state_folder()).unwrap();
        let identity = state.load().unwrap().expect("the agent was enrolled");
        client_config(Purpose::Session, identity.trust(), Some(identity.client_identity())).unwrap()
    }

    /// What somebody speaks who trusts the certificate of the hub's port.
    fn of_browser(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let shown = CertificateDer::from_pem_file(self.hub.data_folder().join("tls/cert.pem")).unwrap();
        client_of(version, Some(shown))
    }
}

fn client_of(version: &'static SupportedProtocolVersion, trusted: Option<CertificateDer<'static>>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    config.with_root_certificates(roots).with_no_client_auth()
}

/// The version that both ends agree on, or why they do not.
async fn agreed(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    config: impl Into<Arc<ClientConfig>>,
    name: ServerName<'static>,
) -> Result<ProtocolVersion, String> {
    let dial = TlsConnector::from(config.into()).connect(name, stream);
    let session = timeout(SOON, dial).await.expect("the hub answers").map_err(|error| error.to_string())?;
    Ok(session.get_ref().1.protocol_version().expect("the handshake is over"))
}

#[tokio::test(flavor = "multi_thread")]
async fn asvs_12_1_1_the_tunnel_speaks_tls_1_3_alone_and_the_port_nothing_below_1_2() {
    let site = Site::new();
    // An old client says its version in one place, one that is told to be old in another.
    let told_to_be_old = hello(TLS_1_2, &[extension(SUPPORTED_VERSIONS, &counted(1, &numbers(&[TLS_1_1, TLS_1_0])))]);
    for refused in [hello(SSL_3_0, &[]), hello(TLS_1_0, &[]), hello(TLS_1_1, &[]), told_to_be_old] {
        assert_eq!(answer_to(site.port().await, &refused).await, NOT_SPOKEN, "{refused:02x?}");
    }
    assert_eq!(answer_to(site.port().await, &hello(TLS_1_2, &[])).await, Answer::Hello(TLS_1_2));
    let host = ServerName::from(site.hub.address().ip());
    for version in [&TLS12, &TLS13] {
        let met = agreed(site.port().await, site.of_browser(version), host.clone()).await;
        assert_eq!(met, Ok(version.version));
    }

    // The tunnel's own TLS stands in a WebSocket, or on the port for who says that
    // it is an agent.
    for version in [TLS_1_0, TLS_1_1, TLS_1_2] {
        let old = hello(version, &[as_an_agent()]);
        assert_eq!(answer_to(site.port().await, &old).await, NOT_SPOKEN);
        assert_eq!(answer_to(site.tunnel().await, &old).await, NOT_SPOKEN);
    }
    let nobody = ServerName::try_from(SERVER_NAME).unwrap();
    let mut old = client_of(&TLS12, None);
    old.alpn_protocols = vec![Purpose::Session.alpn().to_vec()];
    let refused = [
        agreed(site.port().await, old.clone(), nobody.clone()).await.unwrap_err(),
        agreed(site.tunnel().await, old, nobody.clone()).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|reason| reason.contains("ProtocolVersion")), "{refused:?}");
    // That was the version, not something else that the hub did not like.
    wait::until_true("the hub to say why", SOON, || {
        let log = site.hub.log();
        let refusals = log.lines().filter_map(|line| line.rsplit_once("peer is incompatible: "));
        refusals.filter(|(_, reason)| TOO_OLD.contains(&reason.trim())).count() == 8
    });

    let current = site.of_agent().config();
    assert_eq!(agreed(site.tunnel().await, current.clone(), nobody.clone()).await, Ok(ProtocolVersion::TLSv1_3));
    assert_eq!(agreed(site.port().await, current, nobody).await, Ok(ProtocolVersion::TLSv1_3));
}
