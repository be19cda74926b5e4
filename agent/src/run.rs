//! The agent as a daemon: dials, serves, waits, and dials again, until it is
//! told to stop. One loop owns all of it.

pub mod notify;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::identity::Purpose;
use windflow_protocol::message::hello::{RejectReason, Rejected};
use windflow_protocol::tls::client_config;
use windflow_protocol::transport::CloseReason;

use crate::backoff::Backoff;
use crate::engine::{Engine, EngineAddress};
use crate::enroll::renew::{RenewError, renew};
use crate::host;
use crate::identity::{EdgeCredentials, Identity, StateDir};
use crate::link::{Link, LinkError, ProxyRules, TransportChoice};
use crate::policy::Keeper;
use crate::serve::{Contact, HostPolicy, ServeOptions, SessionEnd, serve};
use status::{Board, Phase, Trouble};

/// Where in the state directory measurements wait for the hub.
const METRICS: &str = "metrics";

/// What the operator decided.
#[derive(Debug)]
pub struct RunOptions {
    /// Where the agent keeps everything.
    pub state_dir: StateDir,
    /// Who it is.
    pub identity: Identity,
    /// Its engine.
    pub engine: EngineAddress,
    /// How to travel, where it differs from what was said when enrolling.
    pub transport: Option<TransportChoice>,
    /// What the environment says of proxies.
    pub proxies: ProxyRules,
    /// What the host says that no hub may do.
    pub policy: Arc<Keeper>,
}

/// Runs until `stop` is cancelled, then leaves the hub properly. What happens
/// meanwhile is in the log and in `status.json`.
pub async fn run(options: RunOptions, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let engine = Arc::new(Engine::keeping_measurements(options.engine, options.state_dir.path().join(METRICS)));
    let state = options.identity.state.clone();
    let credentials = EdgeCredentials::new(options.identity);
    let policy = Arc::clone(&options.policy);
    let board = Board::new(options.state_dir.path(), credentials.clone(), Arc::clone(&engine), policy);
    // Ends after the loop, so that the last words are written too.
    let stop_helpers = CancellationToken::new();
    tasks.spawn(watch(Arc::clone(&engine), stop_helpers.clone()));
    tasks.spawn(board.clone().keep_written(stop_helpers.clone()));
    let proxies = state.proxy.map_or(options.proxies, ProxyRules::always);
    let agent = Agent {
        link: Link::new(state.hub_urls, proxies, options.transport.unwrap_or(state.transport)),
        backoff: Backoff::default(),
        serving: ServeOptions {
            engine,
            capabilities: Capabilities::ALL,
            host: host::facts(),
            container: host::container(),
            instance: host::new_instance(),
            policy: HostPolicy::default(),
        },
        policy: options.policy,
        credentials,
        board: board.clone(),
        stop,
    };
    tracing::info!(agent.id = %state.agent, agent.name = %state.name, "agent started");
    agent.run().await;
    board.enter(Phase::Stopped);
    stop_helpers.cancel();
    tasks.close();
    tasks.wait().await;
    tracing::info!("agent stopped");
}

async fn watch(engine: Arc<Engine>, stop: CancellationToken) {
    engine.watch(stop).await;
}

struct Agent {
    link: Link,
    backoff: Backoff,
    serving: ServeOptions,
    policy: Arc<Keeper>,
    credentials: EdgeCredentials,
    board: Board,
    stop: CancellationToken,
}

impl Agent {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            self.board.enter(Phase::Connecting);
            let wait = match self.connect_and_serve().await {
                Ok(end) => self.judge(end).await,
                Err(error) => Some(self.unreachable(&error)),
            };
            let Some(wait) = wait else {
                continue;
            };
            tracing::debug!(wait.seconds = wait.as_secs_f64(), "waiting before the next dial");
            // Either the wait is over or the loop's condition is.
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    async fn connect_and_serve(&mut self) -> Result<SessionEnd, LinkError> {
        let credentials = self.credentials.clone();
        let tls = move || {
            let (identity, trust) = credentials.for_handshake();
            client_config(Purpose::Session, trust, Some(identity))
        };
        let Some(dialed) = self.stop.run_until_cancelled(self.link.session(&tls)).await else {
            return Ok(SessionEnd::Left);
        };
        let established = dialed?;
        let begun = Instant::now();
        self.board
            .enter(Phase::InSession { hub: established.hub.to_string(), connection: established.connection.clone() });
        let mut serving = self.serving.clone();
        serving.host.clock_micros = host::clock_micros();
        let contact = Contact { connection: established.connection.clone(), hello_by: established.hello_by };
        // A session has one policy from its begin to its end; another one begins
        // with a session of its own, and cuts all that runs on this one.
        let mut policy = self.policy.follow();
        serving.policy = policy.borrow_and_update().clone().into();
        let leave = self.stop.child_token();
        let serving = serve(contact, serving, &self.credentials, leave.clone());
        let mut serving = std::pin::pin!(serving);
        let end = tokio::select! {
            end = &mut serving => end,
            Ok(()) = policy.changed() => {
                tracing::info!("the host's policy changed: the session begins anew");
                leave.cancel();
                serving.await
            }
        };
        // The board lets go of the connection.
        self.board.enter(Phase::Connecting);
        established.finish().await;
        if self.credentials.session().borrow().is_some() {
            self.backoff.session_lasted(begun.elapsed());
        }
        self.credentials.session_ended();
        Ok(end)
    }

    /// How long to wait after a session; `None` means not at all.
    async fn judge(&mut self, end: SessionEnd) -> Option<Duration> {
        match end {
            SessionEnd::Left => None,
            SessionEnd::Rejected(rejected) if rejected.reason == RejectReason::CertificateExpired => {
                self.renew_expired().await
            }
            SessionEnd::Rejected(rejected) => Some(self.rejected(&rejected)),
            SessionEnd::Revoked { reason } => {
                self.board.enter(Phase::Refused);
                self.trouble(Trouble::new("REVOKED", format!("the hub revoked this agent: {reason}"), ENROLL_AGAIN));
                Some(self.backoff.after_revocation())
            }
            SessionEnd::Draining { spread } => {
                tracing::info!("the hub is shutting down as planned");
                Some(self.backoff.after_draining(spread))
            }
            SessionEnd::Closed(reason) => {
                self.trouble(Trouble::new(close_code(&reason), reason, "nothing: the agent connects again by itself"));
                Some(self.backoff.next_wait())
            }
            SessionEnd::NoHello(error) => {
                let advice = "look into the hub's log, and compare the versions of hub and agent";
                self.trouble(Trouble::new("NO_HELLO", error, advice));
                Some(self.backoff.next_wait())
            }
            SessionEnd::Failed(error) => {
                let advice = "make room on the disk and check who may write to the state directory";
                self.trouble(Trouble::new("STATE_DIR", format!("{error:#}"), advice));
                Some(self.backoff.next_wait())
            }
        }
    }

    async fn renew_expired(&mut self) -> Option<Duration> {
        tracing::info!("the certificate has expired and is being renewed");
        let renewing = renew(&mut self.link, &self.credentials);
        match self.stop.run_until_cancelled(renewing).await? {
            Ok(()) => {
                tracing::info!("the certificate was renewed");
                // A hub that still says expired must not be asked in a loop.
                Some(self.backoff.next_wait())
            }
            Err(RenewError::Refused(rejected)) => Some(self.rejected(&rejected)),
            Err(RenewError::Link(error)) => Some(self.unreachable(&error)),
            Err(RenewError::Other(error)) => {
                self.trouble(Trouble::new("RENEWAL_FAILED", format!("{error:#}"), "look into the hub's log"));
                Some(self.backoff.next_wait())
            }
        }
    }

    fn rejected(&mut self, rejected: &Rejected) -> Duration {
        let (code, advice) = explain(rejected.reason);
        if needs_people(rejected.reason) {
            self.board.enter(Phase::Refused);
        }
        self.trouble(Trouble::new(code, &rejected.message, advice));
        self.backoff.after_rejection(rejected)
    }

    fn unreachable(&mut self, error: &LinkError) -> Duration {
        self.trouble(Trouble::new(error.code(), error, error.advice()));
        self.backoff.next_wait()
    }

    fn trouble(&self, trouble: Trouble) {
        tracing::warn!(error.code = trouble.code, advice = trouble.advice, "{}", trouble.message);
        self.board.note(trouble);
    }
}

const ENROLL_AGAIN: &str = "ask the hub's administrator, or enroll again with a new token and --reenroll";

fn close_code(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Local(_) | CloseReason::Remote(_) => "CLOSED_BY_HUB",
        CloseReason::Lost(_) | CloseReason::Silent => "CONNECTION_LOST",
        CloseReason::Violation(_) => "PROTOCOL_VIOLATION",
    }
}

/// Whether nothing changes until somebody does something.
fn needs_people(reason: RejectReason) -> bool {
    match reason {
        RejectReason::Version
        | RejectReason::UnknownIdentity
        | RejectReason::Revoked
        | RejectReason::ReenrollmentRequired
        | RejectReason::DuplicateIdentity => true,
        RejectReason::CertificateExpired | RejectReason::Busy | RejectReason::Malformed | RejectReason::Unavailable => {
            false
        }
    }
}

fn explain(reason: RejectReason) -> (&'static str, &'static str) {
    match reason {
        RejectReason::Version => ("VERSION", "upgrade the older of hub and agent"),
        RejectReason::UnknownIdentity => ("UNKNOWN_IDENTITY", ENROLL_AGAIN),
        RejectReason::Revoked => ("REVOKED", ENROLL_AGAIN),
        RejectReason::CertificateExpired => ("CERTIFICATE_EXPIRED", "nothing: the agent renews it by itself"),
        RejectReason::ReenrollmentRequired => ("REENROLL_REQUIRED", ENROLL_AGAIN),
        RejectReason::DuplicateIdentity => {
            ("DUPLICATE_IDENTITY", "another machine has a copy of this state directory: stop one, and enroll it anew")
        }
        RejectReason::Busy => ("HUB_BUSY", "nothing: the agent comes back by itself"),
        RejectReason::Malformed => ("MALFORMED", "compare the versions of hub and agent"),
        RejectReason::Unavailable => ("HUB_UNAVAILABLE", "nothing: the agent comes back by itself"),
    }
}

#[cfg(test)]
mod tests;
