//! One live session: what is known of it, and the streams opened on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::ids::{AgentId, EnvironmentId, SessionId};
use windflow_protocol::limits::EXPOSED_MAX;
use windflow_protocol::message::control::{ContainerCounts, EngineFacts, EngineStatus, ToAgent};
use windflow_protocol::message::hello::{HostFacts, Standing};
use windflow_protocol::message::policy::PolicyFacts;
use windflow_protocol::message::preamble::{StreamKind, write_preamble};
use windflow_protocol::message::report::ObjectId;
use windflow_protocol::text::sanitize;
use windflow_protocol::transport::{Connection, OpenError, Priority, Stream, TransportKind};

use crate::clock::Timestamp;

/// Messages that may wait to be sent to one agent.
pub const OUTBOX_MAX: usize = 16;

/// How long a stream may wait for others to end.
const ROOM_DEADLINE: Duration = Duration::from_secs(1);
/// How often it looks whether one has.
const ROOM_AGAIN: Duration = Duration::from_millis(5);

/// How long an agent that is told to leave may take.
const FAREWELL_DEADLINE: Duration = Duration::from_millis(500);

/// What an agent said of itself when the session began.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The agent's version.
    pub agent_version: String,
    /// Where it runs.
    pub host: HostFacts,
    /// Random per run of the agent.
    pub instance: [u8; 16],
    /// When the session began, by the hub's clock.
    pub since: Timestamp,
}

/// What a host uses at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostUse {
    /// Of all its processors, in percent.
    pub cpu_percent: Option<f64>,
    /// Memory that cannot be had back at once.
    pub memory_bytes: Option<u64>,
    /// All its memory.
    pub memory_total_bytes: Option<u64>,
    /// What is taken on its fullest file system.
    pub disk_bytes: Option<u64>,
    /// What there is on that.
    pub disk_total_bytes: Option<u64>,
}

/// One live session. It has its place in the registry from welcome to close.
/// Whoever wants a stream finds it there once the agent has acknowledged the
/// welcome and that is on record; whoever decides over it, from the welcome on.
#[derive(Debug)]
pub struct Session {
    /// The session's own id.
    pub id: SessionId,
    /// The environment it carries.
    pub environment: EnvironmentId,
    /// The enrolled agent, where there is one.
    pub agent: Option<AgentId>,
    /// The generation of the identity it was admitted with.
    pub generation: u64,
    /// What the agent said of itself.
    pub facts: SessionFacts,
    /// What both ends can do.
    pub capabilities: Capabilities,
    /// Whether the agent has acknowledged its welcome, and nobody withdrew it.
    pub(super) stands: AtomicBool,
    pub(super) connection: Connection,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) engine: watch::Sender<EngineStatus>,
    pub(super) containers: watch::Sender<Option<ContainerCounts>>,
    pub(super) host: watch::Sender<Option<HostUse>>,
    pub(super) within: OnceLock<ObjectId>,
    pub(super) policy: OnceLock<PolicyFacts>,
    pub(super) exposed: watch::Sender<Vec<String>>,
    pub(super) outbox: mpsc::Sender<ToAgent>,
}

/// Why a stream could not be opened on an environment.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// There is no session.
    #[error("the environment is offline")]
    Offline,
    /// The session is limited to its heartbeat.
    #[error("the agent waits for approval or is quarantined")]
    NotActive,
    /// The agent lacks what the stream needs.
    #[error("the agent is too old for this: update it")]
    NotCapable,
    /// As many streams are open as the session may have.
    #[error("too many streams are open on the environment: try again")]
    Busy,
    /// The session ended while the stream was being opened.
    #[error("the session ended: {0}")]
    Ended(String),
}

impl Session {
    /// A session that no registry holds.
    #[cfg(test)]
    pub fn for_tests(connection: Connection, admitted: &super::Admitted) -> Self {
        Self {
            id: SessionId::generate(),
            environment: admitted.environment,
            agent: admitted.agent,
            generation: admitted.generation,
            facts: SessionFacts {
                agent_version: "0".to_owned(),
                host: HostFacts::default(),
                instance: [1; 16],
                since: Timestamp::from_micros(0).expect("the epoch is a time"),
            },
            capabilities: Capabilities::ALL,
            stands: AtomicBool::new(true),
            connection,
            standing: watch::Sender::new(admitted.standing),
            engine: watch::Sender::new(EngineStatus::Unknown),
            containers: watch::Sender::new(None),
            host: watch::Sender::new(None),
            within: OnceLock::new(),
            policy: OnceLock::new(),
            exposed: watch::Sender::default(),
            outbox: mpsc::channel(OUTBOX_MAX).0,
        }
    }

    /// Opens a stream of `kind`. It costs no round trip: the first bytes may be
    /// written at once. Where as many are open as may be, one that is about to
    /// end is waited for.
    ///
    /// # Errors
    /// [`StreamError`], at once; [`StreamError::Busy`] after a second.
    pub async fn open(&self, kind: StreamKind, priority: Priority) -> Result<Stream, StreamError> {
        if *self.standing.borrow() != Standing::Active {
            return Err(StreamError::NotActive);
        }
        if !self.capabilities.contains(kind.requires()) {
            return Err(StreamError::NotCapable);
        }
        let mut stream = self.open_when_there_is_room(priority).await?;
        write_preamble(&mut stream, kind).await.map_err(|ended| StreamError::Ended(ended.to_string()))?;
        Ok(stream)
    }

    /// A stream that has ended counts until the other end has heard of it too.
    async fn open_when_there_is_room(&self, priority: Priority) -> Result<Stream, OpenError> {
        let give_up = tokio::time::Instant::now() + ROOM_DEADLINE;
        loop {
            match self.connection.open(priority) {
                Err(OpenError::TooManyStreams) if tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(ROOM_AGAIN).await;
                }
                opened => return opened,
            }
        }
    }

    /// How it travels.
    pub fn transport(&self) -> TransportKind {
        self.connection.kind()
    }

    /// The last measured round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.connection.rtt()
    }

    /// How far the session may go.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// The state of the engine behind it, now and when it changes.
    pub fn engine(&self) -> watch::Receiver<EngineStatus> {
        self.engine.subscribe()
    }

    /// What the engine says of itself, while it runs.
    pub fn engine_facts(&self) -> Option<EngineFacts> {
        match &*self.engine.borrow() {
            EngineStatus::Running(facts) => Some(facts.clone()),
            EngineStatus::Unknown | EngineStatus::Absent | EngineStatus::Unresponsive => None,
        }
    }

    /// How many containers the engine has; `None` while that is not known.
    pub fn containers(&self) -> Option<ContainerCounts> {
        *self.containers.borrow()
    }

    /// Notes how many containers the engine has. Whether that was not known.
    pub fn note_containers(&self, counts: Option<ContainerCounts>) -> bool {
        let before = self.containers.send_replace(counts);
        before != counts
    }

    /// What the host uses; `None` while that is not known.
    pub fn host(&self) -> Option<HostUse> {
        *self.host.borrow()
    }

    /// Notes what the host uses.
    pub fn note_host(&self, host: Option<HostUse>) {
        self.host.send_replace(host);
    }

    /// The container that the agent itself runs in, where it said so.
    pub fn within(&self) -> Option<ObjectId> {
        self.within.get().copied()
    }

    /// Notes the container that the agent itself runs in; the first counts.
    pub fn note_within(&self, container: ObjectId) {
        self.within.get_or_init(|| container);
    }

    /// The host's own policy, where its agent told it.
    pub fn policy(&self) -> Option<&PolicyFacts> {
        self.policy.get()
    }

    /// Notes the host's own policy; the first counts. Whether it is the first.
    pub(super) fn note_policy(&self, policy: PolicyFacts) -> bool {
        self.policy.set(policy.sanitized()).is_ok()
    }

    /// Where the engine takes orders over the network from whoever comes, as it
    /// said when it was asked last.
    pub fn exposed(&self) -> Vec<String> {
        self.exposed.borrow().clone()
    }

    /// Whether there is such an address.
    pub fn is_exposed(&self) -> bool {
        !self.exposed.borrow().is_empty()
    }

    /// Notes where the engine takes orders from whoever comes.
    pub(super) fn note_exposed(&self, addresses: Vec<String>) {
        self.exposed.send_replace(addresses.iter().take(EXPOSED_MAX).map(|address| sanitize(address)).collect());
    }

    /// Notes how the engine is. What is known of its containers is true only
    /// while it runs.
    pub(super) fn note_engine(&self, status: EngineStatus) {
        if !matches!(status, EngineStatus::Running(_)) {
            self.containers.send_replace(None);
        }
        self.engine.send_replace(status);
    }

    /// Whether the agent has acknowledged its welcome, and nobody withdrew it.
    pub(super) fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }

    /// Lifts the limit to heartbeat only.
    pub fn approve(&self) {
        self.standing.send_replace(Standing::Active);
        self.tell(ToAgent::Approved);
    }

    /// Queues a message; an agent that takes none loses it, and the session
    /// ends by its silence.
    pub fn tell(&self, message: ToAgent) {
        if self.outbox.try_send(message).is_err() {
            tracing::debug!(session.id = %self.id, "control message dropped: the agent takes none");
        }
    }

    /// Says why the session ends, and ends it within half a second,
    /// whether the agent listens or not.
    pub async fn dismiss(&self, farewell: ToAgent) {
        self.tell(farewell);
        if tokio::time::timeout(FAREWELL_DEADLINE, self.ended()).await.is_err() {
            self.close("dismissed");
        }
    }

    /// Ends the session and every stream on it.
    pub fn close(&self, reason: &str) {
        self.connection.close(reason);
    }

    /// Waits until the session has ended.
    pub async fn ended(&self) -> String {
        self.connection.closed().await.to_string()
    }

    /// Whether this session takes an older one's place without asking: it is
    /// the same run of the same agent, or the older one is quarantined and this
    /// one is not.
    pub(super) fn outranks(&self, older: &Self) -> bool {
        let same_run = older.facts.instance == self.facts.instance;
        same_run || older.standing() == Standing::Quarantined && self.standing() != Standing::Quarantined
    }

    /// Whether the other end still answers, asked for at most `deadline`.
    pub async fn answers_within(&self, deadline: Duration) -> bool {
        let asked = Instant::now();
        let answered = matches!(tokio::time::timeout(deadline, self.connection.ping()).await, Ok(Ok(_)));
        tracing::debug!(session.id = %self.id, answered, after = ?asked.elapsed(), "probed an older session");
        answered
    }
}

impl From<OpenError> for StreamError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooManyStreams => Self::Busy,
            OpenError::Closed(reason) => Self::Ended(reason.to_string()),
        }
    }
}
