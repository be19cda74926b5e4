//! Where edge agents come in: TLS, then what the connection is for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windflow_protocol::codec::{CodecError, read_message, write_message};
use windflow_protocol::identity::Purpose;
use windflow_protocol::limits::{CONNECT_DEADLINE, EXCHANGE_DEADLINE};
use windflow_protocol::message::enroll::{EnrollRequest, RenewRequest};
use windflow_protocol::tls::{self, Peer, PeerCertificate, TlsError};
use windflow_protocol::transport::{Connection, Side, TransportKind, quic};

use super::admission::{Arrival, admit};
use super::gatekeeper::{Gatekeeper, Identity};
use super::registry::Registry;
use crate::clock::Clock;
use crate::server::{AgentDoor, Turns};

/// Handshakes under way at once, and of one source; the next ones wait within
/// their deadline.
const HANDSHAKES_MAX: (usize, usize) = (1024, 64);

/// How long QUIC sessions may take to end when the hub stops.
const FAREWELLS_DEADLINE: Duration = Duration::from_secs(3);

/// Takes connections of edge agents, however they travel. Clones share it.
#[derive(Debug)]
pub struct Listener<G> {
    inner: Arc<Inner<G>>,
}

#[derive(Debug)]
struct Inner<G> {
    tls: Arc<ServerConfig>,
    registry: Registry,
    gatekeeper: Arc<G>,
    clock: Arc<dyn Clock>,
    tracker: TaskTracker,
    handshakes: Turns,
}

impl<G> Clone for Listener<G> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// What a listener needs of the rest of the hub.
#[derive(Debug)]
pub struct Parts<G> {
    /// The tunnel's own TLS, for both transports.
    pub tls: Arc<ServerConfig>,
    /// Where sessions are held.
    pub registry: Registry,
    /// Who decides.
    pub gatekeeper: Arc<G>,
    /// The hub's clock.
    pub clock: Arc<dyn Clock>,
    /// Where the connections' tasks run.
    pub tracker: TaskTracker,
}

/// Why a connection did not get as far as being admitted.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Exchange(#[from] CodecError),
    #[error("took longer than its deadline")]
    Deadline(#[from] tokio::time::error::Elapsed),
    #[error("no certificate was shown")]
    NoCertificate,
    #[error("QUIC: {0}")]
    Quic(String),
}

impl<G: Gatekeeper> Listener<G> {
    /// A listener with no connection yet.
    pub fn new(parts: Parts<G>) -> Self {
        let Parts { tls, registry, gatekeeper, clock, tracker } = parts;
        let handshakes = Turns::new(HANDSHAKES_MAX.0, HANDSHAKES_MAX.1);
        Self { inner: Arc::new(Inner { tls, registry, gatekeeper, clock, tracker, handshakes }) }
    }

    /// Takes a connection whose outer layers, a WebSocket's messages, are
    /// already a byte stream.
    pub fn take_stream<S>(&self, io: S, from: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let accepting = tls::hub::accept(io, Arc::clone(&self.inner.tls));
        let listener = self.clone();
        self.inner.tracker.spawn(async move { listener.serve_and_log(accepting, from).await });
    }

    /// Takes QUIC connections until `stop`, then closes the endpoint once its
    /// sessions have said their farewells.
    pub async fn take_quic(&self, endpoint: quinn::Endpoint, stop: CancellationToken) {
        while let Some(Some(incoming)) = stop.run_until_cancelled(endpoint.accept()).await {
            let from = incoming.remote_address();
            if self.inner.handshakes.is_busy() && incoming.may_retry() {
                // Under load a source must first show that it is where it says.
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%from, %error, "no retry could be asked for");
                }
                continue;
            }
            let listener = self.clone();
            self.inner.tracker.spawn(async move {
                if let Err(failure) = listener.serve_quic(incoming, from).await {
                    tracing::info!(%from, reason = %failure, "agent connection failed");
                }
            });
        }
        endpoint.set_server_config(None);
        if tokio::time::timeout(FAREWELLS_DEADLINE, endpoint.wait_idle()).await.is_err() {
            tracing::debug!("closing QUIC connections that did not end by themselves");
        }
        endpoint.close(0u32.into(), b"the hub is shutting down");
    }

    async fn serve_and_log<S, F>(&self, accepting: F, from: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = Result<(TlsStream<S>, Peer), TlsError>>,
    {
        if let Err(failure) = self.serve_stream(accepting, from).await {
            tracing::info!(%from, reason = %failure, "agent connection failed");
        }
    }

    async fn serve_stream<S, F>(&self, accepting: F, from: IpAddr) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = Result<(TlsStream<S>, Peer), TlsError>>,
    {
        let hello_by = Instant::now() + CONNECT_DEADLINE;
        let (mut stream, peer) = tokio::time::timeout_at(hello_by, async {
            let _turn = self.inner.handshakes.take(from).await;
            accepting.await
        })
        .await??;
        match peer.purpose {
            Purpose::Session => {
                let (connection, driver) = Connection::multiplexed(stream, Side::Hub, TransportKind::WebSocket);
                self.inner.tracker.spawn(driver);
                self.begin(connection, peer, hello_by)
            }
            Purpose::Enroll | Purpose::Renew => self.exchange(&mut stream, peer, from).await,
        }
    }

    async fn serve_quic(&self, incoming: quinn::Incoming, from: SocketAddr) -> Result<(), Failure> {
        let hello_by = Instant::now() + CONNECT_DEADLINE;
        let connection = tokio::time::timeout_at(hello_by, async {
            let _turn = self.inner.handshakes.take(from.ip()).await;
            incoming.await.map_err(|error| Failure::Quic(error.to_string()))
        })
        .await??;
        let peer = quic::peer(&connection)?;
        match peer.purpose {
            Purpose::Session => self.begin(Connection::quic(connection), peer, hello_by),
            Purpose::Enroll | Purpose::Renew => {
                let accepted = tokio::time::timeout(EXCHANGE_DEADLINE, quic::accept_exchange(&connection)).await?;
                let mut stream = accepted.map_err(|error| Failure::Quic(error.to_string()))?;
                self.exchange(&mut stream, peer, from.ip()).await
            }
        }
    }

    /// The session lives in a task of its own, which does not carry the
    /// handshake's size for life.
    fn begin(&self, connection: Connection, peer: Peer, hello_by: Instant) -> Result<(), Failure> {
        let certificate = peer.certificate.ok_or(Failure::NoCertificate)?;
        let identity = Identity::Edge(certificate);
        let arrival = Arrival { connection, identity, at: self.inner.clock.now(), hello_by };
        let inner = Arc::clone(&self.inner);
        self.inner.tracker.spawn(async move { admit(arrival, &inner.registry, inner.gatekeeper.as_ref()).await });
        Ok(())
    }

    /// One request, one reply, and the agent closes.
    async fn exchange<S>(&self, stream: &mut S, peer: Peer, from: IpAddr) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::time::timeout(EXCHANGE_DEADLINE, async {
            match (peer.purpose, peer.certificate) {
                (Purpose::Renew, certificate) => self.renew(stream, certificate.ok_or(Failure::NoCertificate)?).await,
                (Purpose::Enroll | Purpose::Session, _) => self.enroll(stream, from).await,
            }?;
            finish(stream).await
        })
        .await?
    }

    async fn enroll<S>(&self, stream: &mut S, from: IpAddr) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request: EnrollRequest = read_message(stream).await?;
        let reply = self.inner.gatekeeper.enroll(request, from).await;
        Ok(write_message(stream, &reply).await?)
    }

    async fn renew<S>(&self, stream: &mut S, certificate: PeerCertificate) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request: RenewRequest = read_message(stream).await?;
        let reply = self.inner.gatekeeper.renew(certificate, request).await;
        Ok(write_message(stream, &reply).await?)
    }
}

impl<G: Gatekeeper> AgentDoor for Listener<G> {
    fn take(&self, begun: StartHandshake<TcpStream>, from: IpAddr) -> BoxFuture<'static, ()> {
        let listener = self.clone();
        Box::pin(async move {
            let accepting = tls::hub::accept_begun(begun, Arc::clone(&listener.inner.tls));
            listener.serve_and_log(accepting, from).await;
        })
    }
}

/// Ends our direction and waits for the agent to end its own, so that the
/// reply is not lost with the connection.
async fn finish<S>(stream: &mut S) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.shutdown().await.map_err(CodecError::from)?;
    match stream.read_u8().await {
        Ok(_) | Err(_) => Ok(()),
    }
}
