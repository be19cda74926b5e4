//! The hub's doors: one TCP port, on which the first byte tells TLS from plain
//! HTTP, and one Unix socket in the data directory.

mod certificate;
mod connection;
mod forwarded;
mod local;
mod proxy_protocol;
pub mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod tuning;
mod turns;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::StartHandshake;

use crate::lifecycle::Lifecycle;

pub use self::certificate::{LOOK_EVERY, PortCertificate};
pub use self::forwarded::TrustedProxies;
pub use self::tls::CertificateSource;
use self::turns::Turn;
pub use self::turns::Turns;

/// Most HTTP connections at once. A connection that became a tunnel or a
/// terminal counts no longer.
const CONNECTIONS_MAX: usize = 4096;
/// Most of them from one source; the next ones are closed at once.
const CONNECTIONS_OF_SOURCE_MAX: usize = 1024;
/// Most connections at once on the Unix socket, which the network cannot use up.
const LOCAL_CONNECTIONS_MAX: usize = 64;
/// Most TLS handshakes at once, and most of one source.
const HANDSHAKES_MAX: (usize, usize) = (512, 32);
/// The first byte and the TLS handshake must be done within this.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which usually means that the process has no
/// file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A source has all the connections it may have.
struct TooMany;

/// Where agents go on that speak the tunnel's own TLS to the TCP door.
pub trait AgentDoor: Send + Sync + 'static {
    /// Takes a connection of which the first message was read, and comes back
    /// once it is a session or none: until then it counts as a stranger's.
    fn take(&self, begun: StartHandshake<TcpStream>, from: IpAddr) -> BoxFuture<'static, ()>;
}

/// The bound doors, not open yet.
#[derive(Debug)]
pub struct Server {
    tcp: TcpListener,
    local: UnixListener,
    doors: Doors,
}

/// Where the doors are.
pub struct DoorPlan {
    /// Address and port of the TCP door.
    pub address: SocketAddr,
    /// What it shows to those who speak TLS.
    pub certificate: Arc<PortCertificate>,
    /// Whose word counts on who is behind them.
    pub proxies: TrustedProxies,
    /// Who takes in agents.
    pub agents: Arc<dyn AgentDoor>,
    /// Path of the Unix socket.
    pub socket: PathBuf,
}

impl std::fmt::Debug for DoorPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorPlan").field("address", &self.address).field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// What every connection shares.
#[derive(Clone)]
struct Doors {
    router: Router,
    tls: Arc<ServerConfig>,
    agents: Arc<dyn AgentDoor>,
    certificate: Arc<PortCertificate>,
    proxies: TrustedProxies,
    connections: Arc<Semaphore>,
    sources: Arc<Turns>,
    local_connections: Arc<Semaphore>,
    handshakes: Arc<Turns>,
    lifecycle: Lifecycle,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds both doors. Requests wait until [`serve`](Self::serve).
    ///
    /// # Errors
    /// When the port or the socket is taken, or the certificate cannot be used.
    pub fn bind(plan: DoorPlan, router: Router, lifecycle: Lifecycle) -> anyhow::Result<Self> {
        let tls = tls::config(plan.certificate.clone())?;
        let tcp =
            tuning::listen(plan.address, BACKLOG).with_context(|| format!("Failed to listen on {}", plan.address))?;
        let local = socket::listen(&plan.socket)?;
        let doors = Doors {
            router,
            tls,
            agents: plan.agents,
            certificate: plan.certificate,
            proxies: plan.proxies,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            sources: Arc::new(Turns::new(CONNECTIONS_MAX, CONNECTIONS_OF_SOURCE_MAX)),
            local_connections: Arc::new(Semaphore::new(LOCAL_CONNECTIONS_MAX)),
            handshakes: Arc::new(Turns::new(HANDSHAKES_MAX.0, HANDSHAKES_MAX.1)),
            lifecycle,
        };
        Ok(Self { tcp, local, doors })
    }

    /// The address of the TCP port, with the real number where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Opens both doors until the hub is asked to finish. Returns at once; the
    /// work is in the lifecycle's tasks.
    pub fn serve(self) {
        let Self { tcp, local, doors } = self;
        let tasks = doors.lifecycle.tasks.clone();
        tasks.spawn(accept_tcp(tcp, doors.clone()));
        tasks.spawn(accept_local(local, doors));
    }
}

async fn accept_tcp(listener: TcpListener, doors: Doors) {
    while let Some(permit) = doors.room(&doors.connections).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = doors.lifecycle.soft.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let Ok(turn) = doors.turn_of(address.ip()) else {
                    tracing::debug!(%address, "closed a connection: its source has too many");
                    continue;
                };
                let connection = connection::serve_tcp(stream, address, doors.clone());
                doors.lifecycle.tasks.spawn(async move {
                    connection.await;
                    drop((permit, turn));
                });
            }
            Err(error) => doors.pause_after(&error).await,
        }
    }
}

async fn accept_local(listener: UnixListener, doors: Doors) {
    while let Some(permit) = doors.room(&doors.local_connections).await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = doors.lifecycle.soft.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = local::serve(stream, doors.clone());
                doors.lifecycle.tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => doors.pause_after(&error).await,
        }
    }
}

impl Doors {
    /// Waits until another connection may come in; `None` when the hub closes.
    async fn room(&self, of: &Arc<Semaphore>) -> Option<tokio::sync::OwnedSemaphorePermit> {
        tokio::select! {
            permit = of.clone().acquire_owned() => permit.ok(),
            () = self.lifecycle.soft.cancelled() => None,
        }
    }

    /// The source's turn. A trusted proxy needs none: it is not the source of
    /// what it passes on.
    fn turn_of(&self, source: IpAddr) -> Result<Option<Turn>, TooMany> {
        if self.proxies.trust(source) {
            return Ok(None);
        }
        self.sources.try_take(source).map(Some).ok_or(TooMany)
    }

    async fn pause_after(&self, error: &std::io::Error) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
