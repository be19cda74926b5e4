//! One session on an established connection, from the hello to the end:
//! answers the hub's control stream, reports the engine, and serves every
//! other stream through [`dispatch`](crate::dispatch).

mod control;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::limits::CONNECT_DEADLINE;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::enroll::Certificate;
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, HostFacts, Rejected, Standing, Ticket, Welcome};
use windflow_protocol::message::policy::PolicyFacts;
use windflow_protocol::message::preamble::{StreamKind, read_preamble};
use windflow_protocol::message::report::ObjectId;
use windflow_protocol::transport::{CloseReason, Connection, Stream};
use windflow_protocol::version::ProtocolVersion;

use crate::dispatch::{Services, dispatch};
use crate::engine::Engine;
use crate::policy::gate::Gate;
use crate::policy::{Policy, facts_without_a_file};

/// The agent's version, as it stands in the hello.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a session offers.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The engine that the session stands for. Its status is reported for as
    /// long as the caller runs [`Engine::watch`].
    pub engine: Arc<Engine>,
    /// What this agent can do.
    pub capabilities: Capabilities,
    /// What the agent says of its host.
    pub host: HostFacts,
    /// The container that the agent itself runs in, see
    /// [`container`](crate::host::container); the hub is told.
    pub container: Option<ObjectId>,
    /// Random per run of the agent, see [`new_instance`](crate::host::new_instance).
    pub instance: [u8; 16],
    /// The host's own policy.
    pub policy: HostPolicy,
}

/// What the host says that no hub may do there.
#[derive(Clone, Debug, Default)]
pub enum HostPolicy {
    /// Nobody asks it: the engine is the hub's own to reach.
    #[default]
    NotAsked,
    /// It says nothing: there is no file.
    Silent,
    /// What its file says.
    Written(Arc<Policy>),
}

impl HostPolicy {
    fn gate(&self, engine: &Arc<Engine>) -> Option<Arc<Gate>> {
        match self {
            Self::NotAsked | Self::Silent => None,
            Self::Written(policy) => Some(Arc::new(Gate::new(Arc::clone(policy), Arc::clone(engine)))),
        }
    }

    /// What the hub is told of it.
    fn facts(&self) -> Option<PolicyFacts> {
        match self {
            Self::NotAsked => None,
            Self::Silent => Some(facts_without_a_file()),
            Self::Written(policy) => Some(policy.facts()),
        }
    }
}

impl From<Option<Arc<Policy>>> for HostPolicy {
    fn from(policy: Option<Arc<Policy>>) -> Self {
        policy.map_or(Self::Silent, Self::Written)
    }
}

/// A connection on which nothing has been said.
#[derive(Debug)]
pub struct Contact {
    /// The connection.
    pub connection: Connection,
    /// When the hello must be done.
    pub hello_by: Instant,
}

impl Contact {
    /// A connection that took no time to make.
    pub fn fresh(connection: Connection) -> Self {
        Self { connection, hello_by: Instant::now() + CONNECT_DEADLINE }
    }
}

/// What an agent remembers from one session to the next, and what it is told
/// meanwhile.
pub trait Credentials: Send + Sync {
    /// What to say in the hello.
    fn claim(&self) -> Claim;

    /// Keeps what the hub said. The ticket must be on disk when this returns:
    /// the hub is told so next.
    fn welcomed(&self, welcome: &Welcome) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Waits until a fresh certificate is due and gives the request for it
    /// (PKCS #10, DER). Asked again after each request; cancel safe.
    fn renewal_due(&self) -> impl Future<Output = Vec<u8>> + Send {
        std::future::pending()
    }

    /// Keeps a fresh certificate.
    fn renewed(&self, _certificate: Certificate) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { anyhow::bail!("The hub sent a certificate that nobody asked for") }
    }

    /// An administrator approved this agent, or cleared its quarantine.
    fn approved(&self) {}
}

/// What an agent says of itself in the hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// How often the identity has been replaced; zero without an identity.
    pub generation: u64,
    /// The ticket of the last session.
    pub ticket: Option<Ticket>,
}

/// An agent inside the hub's own process: the hub knows who it is, and nothing
/// has to be remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Credentials for InProcess {
    fn claim(&self) -> Claim {
        Claim::default()
    }

    async fn welcomed(&self, _welcome: &Welcome) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Why a session ended, or never began.
#[derive(Debug)]
pub enum SessionEnd {
    /// It was told to leave by the caller, and has.
    Left,
    /// The hub turned the agent away.
    Rejected(Rejected),
    /// The agent was revoked while connected.
    Revoked {
        /// The reason an administrator gave.
        reason: String,
    },
    /// The hub is shutting down as planned.
    Draining {
        /// The agent comes back after a random part of this.
        spread: Duration,
    },
    /// The connection ended.
    Closed(CloseReason),
    /// There was no hello within the deadline, or it made no sense.
    NoHello(anyhow::Error),
    /// The agent could not keep what it must keep.
    Failed(anyhow::Error),
}

/// Serves one session until it ends or `leave` is cancelled; the connection is
/// closed and every task of the session gone when this returns.
pub async fn serve<C: Credentials>(
    contact: Contact,
    options: ServeOptions,
    credentials: &C,
    leave: CancellationToken,
) -> SessionEnd {
    let Contact { connection, hello_by } = contact;
    let greeting = timeout_at(hello_by, greet(&connection, &options, credentials));
    let greeted = match leave.run_until_cancelled(greeting).await {
        None => Err(SessionEnd::Left),
        Some(Err(_)) => Err(SessionEnd::NoHello(anyhow::anyhow!("The hub did not finish the hello in time"))),
        Some(Ok(greeted)) => greeted,
    };
    let greeted = match greeted {
        Ok(greeted) => greeted,
        Err(end) => {
            connection.close(&closing_words(&end));
            return end;
        }
    };
    let agreed = watch::Sender::new(trusted(&greeted.welcome, options.capabilities));
    let gate = options.policy.gate(&options.engine);
    let services = Services { engine: Arc::clone(&options.engine), agreed: agreed.subscribe(), gate };
    let over = leave.clone();
    let control = async {
        let session = control::Session { connection: &connection, options: &options, agreed: &agreed, credentials };
        let end = control::run(session, greeted, leave).await;
        connection.close(&closing_words(&end));
        end
    };
    let (end, _) = tokio::join!(control, dispatch(&connection, &services, &over));
    end
}

/// A session whose hello is done.
struct Greeted {
    control: Stream,
    welcome: Welcome,
    /// The engine's status as the hello gave it.
    told: EngineStatus,
}

async fn greet<C: Credentials>(
    connection: &Connection,
    options: &ServeOptions,
    credentials: &C,
) -> Result<Greeted, SessionEnd> {
    let mut control = connection.accept().await.map_err(SessionEnd::Closed)?;
    match hello(&mut control, options, credentials).await {
        Ok((HelloReply::Welcome(welcome), told)) => Ok(Greeted { control, welcome, told }),
        Ok((HelloReply::Rejected(rejected), _)) => Err(SessionEnd::Rejected(rejected)),
        Err(HelloError::Keep(error)) => Err(SessionEnd::Failed(error)),
        Err(HelloError::Talk(error)) => match timeout(CLOSE_GRACE, connection.closed()).await {
            Ok(reason) => Err(SessionEnd::Closed(reason)),
            Err(_) => Err(SessionEnd::NoHello(error)),
        },
    }
}

/// How long after a failed read or write to wait for the reason why the whole
/// connection ended, which says more.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

enum HelloError {
    /// The hub did not say what it should.
    Talk(anyhow::Error),
    /// What the hub said could not be kept.
    Keep(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for HelloError {
    fn from(error: E) -> Self {
        Self::Talk(error.into())
    }
}

async fn hello<C: Credentials>(
    control: &mut Stream,
    options: &ServeOptions,
    credentials: &C,
) -> Result<(HelloReply, EngineStatus), HelloError> {
    let kind = read_preamble(control).await?;
    if kind != StreamKind::Control {
        return Err(anyhow::anyhow!("The hub's first stream is not the control stream").into());
    }
    let told = options.engine.status();
    write_message(control, &opening(options, credentials.claim(), told.clone())).await?;
    let reply: HelloReply = read_message(control).await?;
    if let HelloReply::Welcome(welcome) = &reply {
        if !(ProtocolVersion::OLDEST..=ProtocolVersion::CURRENT).contains(&welcome.version) {
            return Err(anyhow::anyhow!("The hub chose protocol version {}", welcome.version).into());
        }
        credentials.welcomed(welcome).await.map_err(HelloError::Keep)?;
        write_message(control, &Ack { ticket: welcome.ticket }).await?;
    }
    Ok((reply, told))
}

fn opening(options: &ServeOptions, claim: Claim, engine: EngineStatus) -> Hello {
    Hello {
        newest: ProtocolVersion::CURRENT,
        oldest: ProtocolVersion::OLDEST,
        capabilities: options.capabilities,
        generation: claim.generation,
        ticket: claim.ticket,
        instance: options.instance,
        agent_version: AGENT_VERSION.to_owned(),
        host: options.host.clone(),
        engine,
    }
}

/// What the session may use: what both ends named, once the hub trusts it.
fn trusted(welcome: &Welcome, offered: Capabilities) -> Capabilities {
    match welcome.standing {
        Standing::Active => welcome.capabilities.intersection(offered),
        Standing::PendingApproval | Standing::Quarantined => Capabilities::NONE,
    }
}

fn closing_words(end: &SessionEnd) -> String {
    match end {
        SessionEnd::Left => "the agent is leaving".to_owned(),
        SessionEnd::Rejected(_) | SessionEnd::Revoked { .. } => "the hub turned the agent away".to_owned(),
        SessionEnd::Draining { .. } | SessionEnd::Closed(_) => "the session is over".to_owned(),
        SessionEnd::NoHello(_) => "there was no hello".to_owned(),
        SessionEnd::Failed(_) => "the agent could not store its state".to_owned(),
    }
}

#[cfg(test)]
mod tests;
