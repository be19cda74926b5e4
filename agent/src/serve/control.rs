//! The control stream once the hello is done: what the hub says is listened
//! to, what the agent has to say is written, side by side.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{CodecError, read_message, write_message};
use windflow_protocol::limits::WRITE_DEADLINE;
use windflow_protocol::message::control::{ContainerCounts, EngineStatus, ToAgent, ToHub};
use windflow_protocol::transport::{CloseReason, Connection, Stream};

use super::{CLOSE_GRACE, Credentials, Greeted, ServeOptions, SessionEnd};
use crate::engine::{Inventory, Told};

/// A planned departure waits this long for the hub to hear of it.
const LEAVE_DEADLINE: Duration = Duration::from_secs(1);

/// What the control stream works on.
pub(super) struct Session<'a, C> {
    pub(super) connection: &'a Connection,
    pub(super) options: &'a ServeOptions,
    pub(super) agreed: &'a watch::Sender<Capabilities>,
    pub(super) credentials: &'a C,
}

/// Runs until the session is to end.
pub(super) async fn run<C: Credentials>(
    session: Session<'_, C>,
    greeted: Greeted,
    leave: CancellationToken,
) -> SessionEnd {
    let full = greeted.welcome.capabilities.intersection(session.options.capabilities);
    let (reader, writer) = tokio::io::split(greeted.control);
    let draining = OnceLock::new();
    let end = tokio::select! {
        biased;
        end = report(writer, &session, greeted.told, &leave) => end,
        end = listen(reader, &session, full, &draining) => end,
        reason = session.connection.closed() => SessionEnd::Closed(reason),
    };
    match (end, draining.get()) {
        (SessionEnd::Closed(_), Some(spread)) => SessionEnd::Draining { spread: *spread },
        (end, _) => end,
    }
}

async fn listen<C: Credentials>(
    mut reader: ReadHalf<Stream>,
    session: &Session<'_, C>,
    full: Capabilities,
    draining: &OnceLock<Duration>,
) -> SessionEnd {
    loop {
        match read_message(&mut reader).await {
            Ok(ToAgent::Renewed(certificate)) => {
                if let Err(error) = session.credentials.renewed(certificate).await {
                    return SessionEnd::Failed(error);
                }
            }
            Ok(ToAgent::Draining { spread_millis }) => {
                // Streams still run; only how the session ends is known now.
                draining.get_or_init(|| Duration::from_millis(spread_millis.into()));
            }
            Ok(ToAgent::Revoked { reason }) => return SessionEnd::Revoked { reason },
            Ok(ToAgent::Approved) => {
                session.agreed.send_replace(full);
                session.credentials.approved();
            }
            Err(CodecError::UnknownVariant { variant, .. }) => {
                tracing::debug!(message.variant = variant, "passed over a control message of a newer hub");
            }
            Err(error) => return broken(session.connection, &error).await,
        }
    }
}

async fn report<C: Credentials>(
    mut writer: WriteHalf<Stream>,
    session: &Session<'_, C>,
    mut told: EngineStatus,
    leave: &CancellationToken,
) -> SessionEnd {
    let mut engine = session.options.engine.subscribe();
    let mut within = session.options.container;
    let mut policy = session.options.policy.facts();
    let (mut exposed, mut confessed) = (session.options.engine.exposed(), Vec::new());
    let mut census = Census { agreed: session.agreed.subscribe(), inventory: None, told: None };
    loop {
        let found = engine.borrow_and_update().clone();
        let message = if let Some(container) = within.take() {
            ToHub::Within(container)
        } else if let Some(policy) = policy.take() {
            ToHub::Policy(policy)
        } else if found != told {
            told = found.clone();
            ToHub::Engine(found)
        } else if *exposed.borrow_and_update() != confessed {
            confessed.clone_from(&exposed.borrow());
            ToHub::Exposed(confessed.clone())
        } else {
            tokio::select! {
                () = leave.cancelled() => return say_goodbye(&mut writer, session.connection).await,
                _ = engine.changed() => continue,
                _ = exposed.changed() => continue,
                csr = session.credentials.renewal_due() => ToHub::Renew { csr },
                counts = census.news(session.options.engine.inventory()) => ToHub::Containers(counts),
            }
        };
        match timeout(WRITE_DEADLINE, write_message(&mut writer, &message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return broken(session.connection, &error).await,
            Err(_) => return SessionEnd::Closed(CloseReason::Lost("the hub takes no control messages".to_owned())),
        }
    }
}

/// What the hub knows of how many containers the engine has, where it does not
/// count them by itself: one that follows the reports does.
struct Census {
    agreed: watch::Receiver<Capabilities>,
    /// Followed once the session may carry it, and not before: looking costs
    /// the engine something.
    inventory: Option<watch::Receiver<Told>>,
    told: Option<ContainerCounts>,
}

impl Census {
    /// Waits for numbers that the hub does not know yet. Cancel safe.
    async fn news(&mut self, inventory: &Inventory) -> ContainerCounts {
        loop {
            let Some(changes) = &mut self.inventory else {
                self.may_count().await;
                self.inventory = Some(inventory.follow());
                continue;
            };
            changes.borrow_and_update();
            let found = inventory.counts();
            if found != self.told {
                self.told = found;
                if let Some(found) = found {
                    return found;
                }
            } else if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn may_count(&mut self) {
        let counts = |agreed: &Capabilities| agreed.contains(Capabilities::COUNTS);
        let is_told = match self.agreed.wait_for(counts).await {
            Ok(agreed) => agreed.contains(Capabilities::REPORT),
            Err(_) => true,
        };
        if is_told {
            std::future::pending().await
        }
    }
}

/// The hub closes once it has read this. What is unread when a connection is
/// closed may be lost, so the agent does not close first.
async fn say_goodbye(writer: &mut WriteHalf<Stream>, connection: &Connection) -> SessionEnd {
    let message = ToHub::Leaving { reason: "the agent was told to stop".to_owned() };
    let goodbye = async {
        if write_message(writer, &message).await.is_ok() {
            connection.closed().await;
        }
    };
    // The agent leaves whether or not the hub can still be told.
    timeout(LEAVE_DEADLINE, goodbye).await.ok();
    SessionEnd::Left
}

async fn broken(connection: &Connection, error: &CodecError) -> SessionEnd {
    let reason = timeout(CLOSE_GRACE, connection.closed()).await;
    SessionEnd::Closed(reason.unwrap_or_else(|_| CloseReason::Violation(format!("control stream: {error}"))))
}
