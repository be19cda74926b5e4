//! What a running agent says of itself, in `status.json` of its state
//! directory, and how another process reads it.

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use windflow_protocol::message::hello::Standing;
use windflow_protocol::text::sanitize;
use windflow_protocol::transport::Connection;

use crate::engine::{self, Engine};
use crate::host;
use crate::identity::EdgeCredentials;
use crate::policy::{Keeper, Policy, facts_without_a_file};

const FILE: &str = "status.json";
/// The file is written this often at least.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A file older than this says nothing about now.
const STALE: Duration = Duration::from_secs(30);

/// What the agent is doing.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Dialling, or waiting to.
    Connecting,
    /// A connection stands.
    InSession {
        /// To which address.
        hub: String,
        /// The connection, for its round trip.
        connection: Connection,
    },
    /// The hub does not want this agent; it asks again from time to time.
    Refused,
    /// Ended as planned.
    Stopped,
}

/// The last thing that went wrong.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// For programs.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub advice: &'static str,
    at_micros: i64,
}

impl Trouble {
    /// Something that went wrong now. The message may hold words of a peer; it
    /// is made fit for a terminal.
    pub fn new(code: &'static str, message: impl Display, advice: &'static str) -> Self {
        Self { code, message: sanitize(&message.to_string()), advice, at_micros: host::clock_micros() }
    }
}

/// Where the parts of an agent note what they are doing. Clones share it.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    credentials: EdgeCredentials,
    engine: Arc<Engine>,
    policy: Arc<Keeper>,
    noted: watch::Sender<Noted>,
}

#[derive(Clone, Debug)]
struct Noted {
    phase: Phase,
    trouble: Option<Trouble>,
}

impl Board {
    /// A board that is written to the state directory.
    pub fn new(state_dir: &Path, credentials: EdgeCredentials, engine: Arc<Engine>, policy: Arc<Keeper>) -> Self {
        let noted = watch::Sender::new(Noted { phase: Phase::Connecting, trouble: None });
        Self(Arc::new(Inner { file: state_dir.join(FILE), credentials, engine, policy, noted }))
    }

    /// The agent does something else from now on.
    pub fn enter(&self, phase: Phase) {
        self.0.noted.send_modify(|noted| {
            // A refusal stays in sight while the agent asks again.
            if !matches!((&noted.phase, &phase), (Phase::Refused, Phase::Connecting)) {
                noted.phase = phase;
            }
        });
    }

    /// Something went wrong.
    pub fn note(&self, trouble: Trouble) {
        self.0.noted.send_modify(|noted| noted.trouble = Some(trouble));
    }

    /// Writes the file on each change and each heartbeat until `stop`, and
    /// once more then.
    pub async fn keep_written(self, stop: CancellationToken) {
        let mut noted = self.0.noted.subscribe();
        let mut session = self.0.credentials.session();
        let mut engine = self.0.engine.subscribe();
        let mut policy = self.0.policy.follow();
        loop {
            let last = stop.is_cancelled();
            self.write().await;
            if last {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
                _ = noted.changed() => {}
                _ = session.changed() => {}
                _ = engine.changed() => {}
                _ = policy.changed() => {}
            }
        }
    }

    async fn write(&self) {
        let report = self.report();
        let file = self.0.file.clone();
        let written = tokio::task::spawn_blocking(move || report.write(&file)).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, "the status file could not be written");
        }
    }

    fn report(&self) -> Report {
        let noted = self.0.noted.borrow().clone();
        let session = self.0.credentials.session().borrow().clone();
        let state = self.0.credentials.state();
        let standing = session.as_ref().map(|session| session.standing);
        let (hub, connection) = match noted.phase.clone() {
            Phase::InSession { hub, connection } => (Some(hub), Some(connection)),
            Phase::Connecting | Phase::Refused | Phase::Stopped => (None, None),
        };
        Report {
            state: state_of(&noted.phase, standing),
            was: None,
            hub,
            transport: connection.as_ref().map(|connection| connection.kind().to_string()),
            rtt_ms: connection.and_then(|connection| connection.rtt()).map(|rtt| rtt.as_secs_f64() * 1000.0),
            session: session.map(|session| session.session.to_string()),
            agent_id: state.agent.to_string(),
            environment_id: state.environment.to_string(),
            name: state.name,
            generation: state.generation,
            fingerprint: self.0.credentials.fingerprint().to_string(),
            fingerprint_words: self.0.credentials.fingerprint().words(),
            hub_pin: state.pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            certificate_expires_at: rfc3339(state.not_after_micros),
            engine: engine::describe(&self.0.engine.status()),
            policy: Some(PolicyReport::of(self.0.policy.current().as_deref())),
            last_error: noted.trouble.map(LastError::from),
            updated_at: rfc3339(host::clock_micros()),
            pid: std::process::id(),
            uptime_secs: host::uptime_secs(),
        }
    }
}

fn state_of(phase: &Phase, standing: Option<Standing>) -> State {
    match (phase, standing) {
        (Phase::InSession { .. }, Some(Standing::Active)) => State::Connected,
        (Phase::InSession { .. }, Some(Standing::PendingApproval)) => State::Pending,
        (Phase::InSession { .. }, Some(Standing::Quarantined)) => State::Quarantined,
        (Phase::InSession { .. }, None) | (Phase::Connecting, _) => State::Connecting,
        (Phase::Refused, _) => State::Refused,
        (Phase::Stopped, _) => State::Stopped,
    }
}

/// What the agent is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A session stands and may do everything.
    Connected,
    /// No session stands; the agent is working on it.
    Connecting,
    /// The hub does not want this agent.
    Refused,
    /// The agent has ended as planned.
    Stopped,
    /// A session stands, and an administrator has yet to approve the agent.
    Pending,
    /// A session stands, and the identity may have been copied.
    Quarantined,
    /// What is known is of the past: the agent ended without saying so.
    Stale,
}

/// The contents of `status.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// In one word.
    pub state: State,
    /// The last known state of an agent that is [`State::Stale`] now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<State>,
    /// The hub address in use.
    pub hub: Option<String>,
    /// How the session travels.
    pub transport: Option<String>,
    /// The last measured round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The session's id.
    pub session: Option<String>,
    /// The agent's id.
    pub agent_id: String,
    /// The environment's id.
    pub environment_id: String,
    /// The agent's name.
    pub name: String,
    /// The identity's generation.
    pub generation: u64,
    /// SHA-256 of this agent's public key, as the hub lists it.
    pub fingerprint: String,
    /// The same in eight words, for people to compare.
    #[serde(default)]
    pub fingerprint_words: String,
    /// SHA-256 of the fleet's key, as the hub shows it with each token.
    pub hub_pin: String,
    /// When the certificate ends by the hub's clock.
    pub certificate_expires_at: Option<String>,
    /// How the engine is.
    pub engine: String,
    /// What the host says that no hub may do.
    #[serde(default)]
    pub policy: Option<PolicyReport>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// When this was written, by this host's clock.
    pub updated_at: Option<String>,
    /// The agent's process.
    pub pid: u32,
    /// Seconds since the host started when this was written: tells its age
    /// whatever the clock does.
    pub uptime_secs: u64,
}

/// The host's own policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// `monitor`, `operate`, `deploy-safe` or `full`.
    pub profile: String,
    /// SHA-256 of its file; none where there is no file.
    pub digest: Option<String>,
    /// Why the file does not count, where it does not.
    pub invalid: Option<String>,
}

impl PolicyReport {
    fn of(policy: Option<&Policy>) -> Self {
        let facts = policy.map_or_else(facts_without_a_file, Policy::facts);
        let digest = facts.digest.map(|digest| data_encoding::HEXLOWER.encode(&digest));
        Self { profile: facts.profile, digest, invalid: facts.invalid }
    }
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// For programs.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// When, by this host's clock.
    pub at: Option<String>,
}

impl From<Trouble> for LastError {
    fn from(trouble: Trouble) -> Self {
        let Trouble { code, message, advice, at_micros } = trouble;
        Self { code: code.to_owned(), message, advice: advice.to_owned(), at: rfc3339(at_micros) }
    }
}

impl Report {
    /// What the agent of this state directory last said, and whether that
    /// still holds.
    ///
    /// # Errors
    /// When no agent has run here yet, or its words make no sense.
    pub fn read(state_dir: &Path) -> anyhow::Result<Self> {
        let path = state_dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => anyhow!("{} is for root: run this with sudo", path.display()),
            _ => anyhow!("No agent has run with this state directory: {} cannot be read: {error}", path.display()),
        })?;
        let report: Self = serde_json::from_slice(&bytes).context("Failed to understand status.json")?;
        Ok(report.judged(host::uptime_secs()))
    }

    fn judged(self, uptime_now: u64) -> Self {
        let gone = !Path::new("/proc").join(self.pid.to_string()).exists();
        // A host that restarted has a smaller uptime than what was written.
        let old = uptime_now.checked_sub(self.uptime_secs).is_none_or(|age| age > STALE.as_secs());
        if self.state == State::Stopped || !(gone || old) {
            return self;
        }
        Self { was: Some(self.state), state: State::Stale, ..self }
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let beside = file.with_extension("tmp");
        std::fs::write(&beside, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(&beside, file)?)
    }
}

fn rfc3339(micros: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?;
    at.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: State, pid: u32, uptime_secs: u64) -> Report {
        Report {
            state,
            was: None,
            hub: None,
            transport: None,
            rtt_ms: None,
            session: None,
            agent_id: String::new(),
            environment_id: String::new(),
            name: "n".to_owned(),
            generation: 1,
            fingerprint: "f".to_owned(),
            fingerprint_words: "w".to_owned(),
            hub_pin: "p".to_owned(),
            certificate_expires_at: None,
            engine: "unknown".to_owned(),
            policy: Some(PolicyReport::of(None)),
            last_error: None,
            updated_at: rfc3339(0),
            pid,
            uptime_secs,
        }
    }

    /// No process has this number: the kernel's highest is four million.
    const NOBODY: u32 = 2_000_000_000;

    #[test]
    fn a_fresh_word_of_a_living_agent_holds() {
        let judged = report(State::Connected, std::process::id(), 1000).judged(1030);
        assert_eq!((judged.state, judged.was), (State::Connected, None));
    }

    #[test]
    fn the_word_of_a_dead_a_silent_or_an_earlier_agent_is_stale() {
        for (pid, now) in [(NOBODY, 1000), (std::process::id(), 1031), (std::process::id(), 5)] {
            let judged = report(State::Connected, pid, 1000).judged(now);
            assert_eq!((judged.state, judged.was), (State::Stale, Some(State::Connected)));
        }
    }

    #[test]
    fn an_agent_that_stopped_as_planned_is_not_stale() {
        assert_eq!(report(State::Stopped, NOBODY, 1000).judged(9000).state, State::Stopped);
    }

    #[test]
    fn a_report_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let written = report(State::Connecting, std::process::id(), host::uptime_secs());
        written.write(&folder.path().join(FILE)).unwrap();
        assert_eq!(Report::read(folder.path()).unwrap(), written);
    }
}
