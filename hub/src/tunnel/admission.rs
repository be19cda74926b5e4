//! How a connection becomes a session, and the control stream it lives by.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{CodecError, read_message, write_message};
use windflow_protocol::ids::SessionId;
use windflow_protocol::limits::{CONNECT_DEADLINE, WRITE_DEADLINE};
use windflow_protocol::message::control::{EngineStatus, ToAgent, ToHub};
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, RejectReason, Rejected, Welcome};
use windflow_protocol::message::preamble::{StreamKind, write_preamble};
use windflow_protocol::text::sanitize;
use windflow_protocol::transport::{Connection, Priority, Stream};
use windflow_protocol::version::ProtocolVersion;

use super::feed::News;
use super::gatekeeper::{Admitted, Gatekeeper, Identity, Withdrawn};
use super::registry::{Registry, Taken};
use super::session::{OUTBOX_MAX, Session, SessionFacts};
use crate::clock::Timestamp;

/// When a second agent with the identity of a live one may try again, in
/// seconds.
const DUPLICATE_RETRY_SECS: u32 = 60;

/// A session that asks for another certificate sooner than this gets none.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);

/// How long after one report of an agent the next is read: no agent keeps those
/// busy who look on.
const NEWS_PAUSE: Duration = Duration::from_millis(100);

/// How long a rejected agent may take to read why and close.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(1);

/// A connection that has proved its identity and wants to be a session.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub connection: Connection,
    /// Whose it is.
    pub identity: Identity,
    /// When it arrived, by the hub's clock.
    pub at: Timestamp,
    /// When the hello must be done.
    pub hello_by: Instant,
}

impl Arrival {
    /// A connection that took no time to make.
    pub fn fresh(connection: Connection, identity: Identity, at: Timestamp) -> Self {
        Self { connection, identity, at, hello_by: Instant::now() + CONNECT_DEADLINE }
    }
}

/// Admits a connection and stays with it until its session ends. Whatever goes
/// wrong ends this one connection, with a reason that the agent can show. (What
/// asks the database is boxed here and below, so that a standing session does
/// not carry its size for life.)
pub async fn admit<G: Gatekeeper>(arrival: Arrival, registry: &Registry, gatekeeper: &G) {
    let (connection, hello_by) = (arrival.connection.clone(), arrival.hello_by);
    match tokio::time::timeout_at(hello_by, Box::pin(begin(arrival, registry, gatekeeper))).await {
        Ok(Ok(begun)) => live(begun, gatekeeper).await,
        Ok(Err(refusal)) => {
            tracing::info!(reason = %refusal, "connection refused");
            connection.close(&refusal.to_string());
        }
        Err(_) => connection.close("the hello took too long"),
    }
}

/// A session in the registry, and the control stream it lives by.
struct Begun {
    seat: Seat,
    control: Stream,
    outbox: mpsc::Receiver<ToAgent>,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the control stream failed: {0}")]
    Control(#[from] CodecError),
    #[error("{}", .0.message)]
    Rejected(Rejected),
    #[error("the connection cannot carry a stream: {0}")]
    Open(#[from] windflow_protocol::transport::OpenError),
    #[error(transparent)]
    Withdrawn(#[from] Withdrawn),
}

async fn begin<G: Gatekeeper>(arrival: Arrival, registry: &Registry, gatekeeper: &G) -> Result<Begun, Refusal> {
    let mut control = arrival.connection.open(Priority::Interactive)?;
    write_preamble(&mut control, StreamKind::Control).await?;
    let hello = read_hello(&mut control).await?;
    let Some(version) = ProtocolVersion::settle(hello.newest, hello.oldest) else {
        return reject(control, version_mismatch(&hello)).await;
    };
    let admitted = match gatekeeper.admit(&arrival.identity, &hello).await {
        Ok(admitted) => admitted,
        Err(rejected) => return reject(control, rejected).await,
    };
    let (session, outbox) = new_session(&arrival, &hello, &admitted);
    let seat = Seat { registry: registry.clone(), session };
    if let Err(Taken(older)) = registry.enter(&seat.session).await {
        gatekeeper.duplicate(&older, &seat.session.facts).await;
        return reject(control, duplicate()).await;
    }
    welcome(&mut control, gatekeeper, &seat.session, &admitted, version).await?;
    seat.tell();
    Ok(Begun { seat, control, outbox })
}

/// A session's place in the registry, given back however the session ends: also
/// when an agent says hello and never acknowledges the welcome.
struct Seat {
    registry: Registry,
    session: Arc<Session>,
}

impl Seat {
    /// Tells those who look on that the environment is not as it was.
    fn tell(&self) {
        self.registry.feed().post(News::Environment(self.session.environment));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.leave(&self.session);
    }
}

async fn read_hello(control: &mut Stream) -> Result<Hello, CodecError> {
    let mut hello: Hello = read_message(control).await?;
    hello.host = hello.host.sanitized();
    hello.agent_version = sanitize(&hello.agent_version);
    Ok(hello)
}

fn new_session(arrival: &Arrival, hello: &Hello, admitted: &Admitted) -> (Arc<Session>, mpsc::Receiver<ToAgent>) {
    let (outbox, queued) = mpsc::channel(OUTBOX_MAX);
    let session = Session {
        id: SessionId::generate(),
        environment: admitted.environment,
        agent: admitted.agent,
        generation: admitted.generation,
        facts: SessionFacts {
            agent_version: hello.agent_version.clone(),
            host: hello.host.clone(),
            instance: hello.instance,
            since: arrival.at,
        },
        capabilities: hello.capabilities.intersection(Capabilities::ALL),
        stands: AtomicBool::new(false),
        connection: arrival.connection.clone(),
        standing: watch::Sender::new(admitted.standing),
        engine: watch::Sender::new(hello.engine.clone().sanitized()),
        containers: watch::Sender::new(None),
        host: watch::Sender::new(None),
        within: OnceLock::new(),
        policy: OnceLock::new(),
        exposed: watch::Sender::default(),
        outbox,
    };
    (Arc::new(session), queued)
}

async fn welcome<G: Gatekeeper>(
    control: &mut Stream,
    gatekeeper: &G,
    session: &Session,
    admitted: &Admitted,
    version: ProtocolVersion,
) -> Result<(), Refusal> {
    let welcome = Welcome {
        version,
        capabilities: session.capabilities,
        session: session.id,
        generation: admitted.generation,
        ticket: admitted.ticket,
        standing: admitted.standing,
        hub_clock_micros: session.facts.since.as_micros(),
        hub_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    write_message(control, &HelloReply::Welcome(welcome)).await?;
    let ack: Ack = read_message(control).await?;
    if let Some(agent) = session.agent {
        gatekeeper.acknowledged(agent, ack.ticket).await;
    }
    gatekeeper.connected(session).await?;
    session.stands.store(true, Ordering::Release);
    Ok(())
}

async fn reject<T>(mut control: Stream, rejected: Rejected) -> Result<T, Refusal> {
    write_message(&mut control, &HelloReply::Rejected(rejected.clone())).await?;
    // The agent closes once it has read the reason; one that does not is not waited for.
    let farewell = read_message::<Ack, _>(&mut control);
    match tokio::time::timeout(FAREWELL_DEADLINE, farewell).await {
        Ok(_) | Err(_) => {}
    }
    Err(Refusal::Rejected(rejected))
}

fn version_mismatch(hello: &Hello) -> Rejected {
    let (ours, theirs) = (ProtocolVersion::CURRENT, hello.newest);
    let older = if theirs < ours { "agent" } else { "hub" };
    Rejected {
        reason: RejectReason::Version,
        message: format!("the hub speaks protocol {ours} and the agent {theirs}: update the {older}"),
        retry_after_secs: 0,
    }
}

fn duplicate() -> Rejected {
    Rejected {
        reason: RejectReason::DuplicateIdentity,
        message: "another running agent has this identity: stop it, or enroll this host with a token of its own"
            .to_owned(),
        retry_after_secs: DUPLICATE_RETRY_SECS,
    }
}

async fn live<G: Gatekeeper>(begun: Begun, gatekeeper: &G) {
    let Begun { seat, control, outbox } = begun;
    let session = Arc::clone(&seat.session);
    let (reader, writer) = tokio::io::split(control);
    tracing::info!(session.id = %session.id, environment.id = %session.environment, transport = %session.transport(), "session began");
    let reason = tokio::select! {
        reason = session.ended() => reason,
        reason = hear(reader, &seat, gatekeeper) => reason,
        reason = speak(writer, outbox) => reason,
    };
    session.close(&reason);
    let feed = seat.registry.feed().clone();
    drop(seat);
    tracing::info!(session.id = %session.id, environment.id = %session.environment, reason, "session ended");
    Box::pin(gatekeeper.disconnected(&session)).await;
    feed.post(News::Environment(session.environment));
}

async fn hear<G: Gatekeeper, R: AsyncRead + Unpin>(mut from: R, seat: &Seat, gatekeeper: &G) -> String {
    let session = &seat.session;
    let mut renewals = Renewals::default();
    loop {
        match read_message(&mut from).await {
            Ok(ToHub::Engine(status)) => {
                session.note_engine(status.sanitized());
                seat.tell();
                tokio::time::sleep(NEWS_PAUSE).await;
            }
            Ok(ToHub::Containers(counts)) => {
                session.containers.send_replace(Some(counts));
                seat.tell();
                tokio::time::sleep(NEWS_PAUSE).await;
            }
            Ok(ToHub::Within(container)) => session.note_within(container),
            Ok(ToHub::Policy(policy)) => {
                if session.note_policy(policy) {
                    Box::pin(gatekeeper.policy_told(session)).await;
                    seat.tell();
                }
            }
            Ok(ToHub::Exposed(addresses)) => {
                session.note_exposed(addresses);
                seat.tell();
                tokio::time::sleep(NEWS_PAUSE).await;
            }
            Ok(ToHub::Renew { csr }) if renewals.may_have_another() => {
                Box::pin(renew(session, gatekeeper, csr)).await;
            }
            Ok(ToHub::Renew { .. }) => tracing::debug!(session.id = %session.id, "passed over a hasty renewal"),
            Ok(ToHub::Leaving { reason }) => return format!("the agent leaves: {}", sanitize(&reason)),
            Err(CodecError::UnknownVariant { variant, .. }) => {
                tracing::debug!(session.id = %session.id, variant, "passed over a control message of a newer agent");
            }
            Err(error) => return error.to_string(),
        }
    }
}

/// How often a session has its certificate renewed: each time costs a signature
/// and a row.
#[derive(Default)]
struct Renewals(Option<Instant>);

impl Renewals {
    fn may_have_another(&mut self) -> bool {
        let now = Instant::now();
        let rested = self.0.is_none_or(|last| now.duration_since(last) >= RENEWAL_PAUSE);
        if rested {
            self.0 = Some(now);
        }
        rested
    }
}

async fn renew<G: Gatekeeper>(session: &Session, gatekeeper: &G, csr: Vec<u8>) {
    let Some(agent) = session.agent else {
        return;
    };
    if let Some(certificate) = gatekeeper.renew_live(agent, csr).await {
        session.tell(ToAgent::Renewed(certificate));
    }
}

async fn speak<W: AsyncWrite + Unpin>(mut to: W, mut outbox: mpsc::Receiver<ToAgent>) -> String {
    while let Some(message) = outbox.recv().await {
        match tokio::time::timeout(WRITE_DEADLINE, write_message(&mut to, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "the agent takes no control message".to_owned(),
        }
    }
    "the session was dropped".to_owned()
}

/// Which engine states an agent may claim, with texts fit to be shown.
trait Sanitized {
    fn sanitized(self) -> Self;
}

impl Sanitized for EngineStatus {
    fn sanitized(self) -> Self {
        let Self::Running(mut facts) = self else {
            return self;
        };
        for text in [
            &mut facts.version,
            &mut facts.api_version,
            &mut facts.min_api_version,
            &mut facts.id,
            &mut facts.os,
            &mut facts.arch,
        ] {
            *text = sanitize(text);
        }
        Self::Running(facts)
    }
}

#[cfg(test)]
mod tests;
