//! An enrolled peer that says to the hub whatever a test wants: the worst a
//! stolen or broken agent can do.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use windflow_agent::identity::StateDir;
use windflow_protocol::identity::Purpose;
use windflow_protocol::message::preamble::{StreamKind, read_preamble};
use windflow_protocol::tls::client_config;
use windflow_protocol::transport::websocket::{self, WebSocketIo};
use windflow_protocol::transport::{Connection, Side, Stream, TransportKind};

/// How long a dial, or an answer, may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A session with the hub up to the point where the multiplexer begins. It
/// has shown a good certificate.
#[derive(Debug)]
pub struct Rogue {
    stream: TlsStream<WebSocketIo<TcpStream>>,
}

/// A session whose hello the hub waits for.
#[derive(Debug)]
pub struct RogueSession {
    /// The control stream, its preamble read.
    pub control: Stream,
    /// The connection under it.
    pub connection: Connection,
    _driver: tokio::task::JoinSet<()>,
}

impl Rogue {
    /// Connects to the hub at `address` with the identity of the agent in
    /// `state_folder`.
    ///
    /// # Panics
    /// When there is no such identity or the hub does not accept it.
    pub async fn connect(address: SocketAddr, state_folder: &Path) -> Self {
        let state = StateDir::open(state_folder).expect("the agent's state is ours");
        let identity = state.load().expect("the agent's state is whole").expect("the agent was enrolled");
        let tls = client_config(Purpose::Session, identity.trust(), Some(identity.client_identity()))
            .expect("the agent's certificate fits its key");
        let uri = format!("ws://{address}{}", websocket::PATH).parse().expect("an address makes a URL");
        let dial = async {
            let tcp = TcpStream::connect(address).await.expect("the hub listens");
            let outer = websocket::connect(tcp, &uri, HeaderMap::new()).await.expect("the hub upgrades");
            tls.handshake(outer).await.expect("the hub accepts the certificate")
        };
        Self { stream: timeout(DEADLINE, dial).await.expect("the hub answers in time") }
    }

    /// Sends these bytes where frames should be. Returns whether they went
    /// out: the hub may have hung up.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(DEADLINE, sent).await.is_ok_and(|sent| sent.is_ok())
    }

    /// Reads until the hub hangs up; returns what it said.
    ///
    /// # Panics
    /// When it does not hang up in 15 seconds.
    pub async fn until_ended(mut self) -> Vec<u8> {
        let mut said = Vec::new();
        // A reset is an end like any other.
        let ended = timeout(DEADLINE, self.stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "the hub still listens");
        said
    }

    /// Goes on as a good agent does until the hub waits for the hello.
    ///
    /// # Panics
    /// When the hub does not open the control stream.
    pub async fn into_session(self) -> RogueSession {
        let (connection, driver) = Connection::multiplexed(self.stream, Side::Agent, TransportKind::WebSocket);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            driver.await;
        });
        let opened = async {
            let mut control = connection.accept().await.expect("the hub opens the control stream");
            assert_eq!(read_preamble(&mut control).await.expect("the hub's preamble is good"), StreamKind::Control);
            control
        };
        let control = timeout(DEADLINE, opened).await.expect("the hub opens the control stream in time");
        RogueSession { control, connection, _driver: tasks }
    }
}
