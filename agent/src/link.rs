//! The way to a hub: addresses, proxies, transports, and the TLS session at
//! the end of it. Everything here is given up after
//! [`CONNECT_DEADLINE`].

mod choice;
mod dial;
mod direct;
mod error;
mod names;
mod outer;
mod proxy;
mod tcp;
mod url;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use windflow_protocol::limits::CONNECT_DEADLINE;
use windflow_protocol::tls::{ClientTls, TlsError};
use windflow_protocol::transport::{Connection, Side, TransportKind, quic};

pub use choice::TransportChoice;
pub use error::LinkError;
pub use proxy::{Proxy, ProxyAddressError, ProxyError, ProxyRules};
pub use url::{HubUrl, HubUrlError, Outer};

use choice::{Choice, Plan};
use dial::{Dialed, Dialer};

/// How long a closed session may take to tell the hub so.
const GOODBYE: Duration = Duration::from_secs(2);

/// Any byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Makes the TLS side of one dial; asked anew for each.
pub trait TlsSource: Fn() -> Result<ClientTls, TlsError> + Send + Sync {}
impl<F: Fn() -> Result<ClientTls, TlsError> + Send + Sync> TlsSource for F {}

/// The ways to one agent's hub, and what is known of them.
#[derive(Debug)]
pub struct Link {
    hubs: Vec<HubUrl>,
    /// The hub address to begin with: the last one that worked.
    first: usize,
    dialer: Dialer,
    choice: Choice,
}

impl Link {
    /// Ways to the hubs at these addresses; at least one.
    pub fn new(hubs: Vec<HubUrl>, proxies: ProxyRules, transport: TransportChoice) -> Self {
        Self { hubs, first: 0, dialer: Dialer::new(proxies), choice: Choice::new(transport) }
    }

    /// Connects for a session, trying every address once.
    ///
    /// # Errors
    /// What stood in the way at the first address.
    pub async fn session(&mut self, tls: &impl TlsSource) -> Result<Established, LinkError> {
        let (hub, dialed, hello_by) = self.connect(tls).await?;
        Ok(Established::new(hub, dialed, hello_by))
    }

    /// Connects for one request and its reply, trying every address once.
    ///
    /// # Errors
    /// What stood in the way at the first address.
    pub async fn exchange(&mut self, tls: &impl TlsSource) -> Result<Box<dyn Io>, LinkError> {
        match self.connect(tls).await?.1 {
            Dialed::Tcp(stream) => Ok(stream),
            Dialed::Quic(_, connection) => {
                let opened = timeout(CONNECT_DEADLINE, quic::open_exchange(&connection)).await;
                let opened = opened.map_err(|_| LinkError::Deadline)?;
                Ok(Box::new(opened.map_err(LinkError::Closed)?))
            }
        }
    }

    async fn connect(&mut self, tls: &impl TlsSource) -> Result<(HubUrl, Dialed, Instant), LinkError> {
        let mut first_error = None;
        for turn in 0..self.hubs.len() {
            let index = (self.first + turn) % self.hubs.len();
            let hub = self.hubs[index].clone();
            let plan = self.choice.plan(Instant::now());
            let hello_by = Instant::now() + CONNECT_DEADLINE;
            match timeout_at(hello_by, race(&self.dialer, &hub, tls, plan)).await {
                Ok(Ok(dialed)) => {
                    self.first = index;
                    self.choice.worked(dialed.kind(), Instant::now());
                    return Ok((hub, dialed, hello_by));
                }
                Ok(Err(error)) => {
                    tracing::debug!(hub.url = %hub, %error, "hub cannot be reached");
                    first_error.get_or_insert(error);
                }
                Err(_) => {
                    first_error.get_or_insert(LinkError::Deadline);
                }
            }
        }
        self.choice.failed();
        Err(first_error.unwrap_or(LinkError::NoAddress))
    }
}

/// Dials as planned; the first authenticated connection wins.
async fn race(dialer: &Dialer, hub: &HubUrl, tls: &impl TlsSource, plan: Plan) -> Result<Dialed, LinkError> {
    let first = dialer.dial(hub, plan.first, tls);
    let Some(fallback) = plan.fallback else {
        return first.await;
    };
    tokio::pin!(first);
    let second = dialer.dial(hub, fallback.kind, tls);
    match timeout(fallback.after, &mut first).await {
        Ok(Ok(dialed)) => return Ok(dialed),
        Ok(Err(error)) if !fallback.at_once_on_failure => return Err(error),
        Ok(Err(error)) => return second.await.map_err(|other| error.or(other)),
        Err(_) => {}
    }
    tokio::pin!(second);
    tokio::select! {
        won = &mut first => match won {
            Ok(dialed) => Ok(dialed),
            Err(error) => second.await.map_err(|other| error.or(other)),
        },
        won = &mut second => match won {
            Ok(dialed) => Ok(dialed),
            Err(other) => first.await.map_err(|error| error.or(other)),
        },
    }
}

/// A connection to a hub that a session can run on.
#[derive(Debug)]
pub struct Established {
    /// Which address it goes to.
    pub hub: HubUrl,
    /// The connection.
    pub connection: Connection,
    /// When the hello must be done: it shares one deadline with the dial.
    pub hello_by: Instant,
    tasks: TaskTracker,
    endpoint: Option<quinn::Endpoint>,
}

impl Established {
    fn new(hub: HubUrl, dialed: Dialed, hello_by: Instant) -> Self {
        let tasks = TaskTracker::new();
        let (connection, endpoint) = match dialed {
            Dialed::Quic(endpoint, connection) => (Connection::quic(connection), Some(endpoint)),
            Dialed::Tcp(stream) => {
                let (connection, driver) = Connection::multiplexed(stream, Side::Agent, TransportKind::WebSocket);
                tasks.spawn(driver);
                (connection, None)
            }
        };
        tasks.close();
        Self { hub, connection, hello_by, tasks, endpoint }
    }

    /// Waits until a closed connection has said so to the hub, or has had its
    /// time to.
    pub async fn finish(self) {
        let done = async {
            self.tasks.wait().await;
            if let Some(endpoint) = &self.endpoint {
                endpoint.wait_idle().await;
            }
        };
        // A hub that does not listen any more will notice by itself.
        timeout(GOODBYE, done).await.ok();
    }
}

#[cfg(test)]
mod tests;
