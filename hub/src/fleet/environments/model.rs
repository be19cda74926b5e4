//! What an environment is.

mod alert;
mod flaws;
mod glance;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::control::ContainerCounts;
use windflow_protocol::message::policy::PolicyFacts;

pub use self::alert::Alert;
pub use self::glance::Glance;
use super::labels::Labels;
use super::told::{ContainerStates, LastEvent};
use crate::clock::Timestamp;
use crate::fleet::groups::GroupId;
use crate::http::Permission;
use crate::tunnel::{HostUse, Session};

/// Longest name of an environment, in characters.
const NAME_MAX: usize = 63;

/// A name for people: 1 to 63 of `a-z A-Z 0-9 . _ -`, starting with a letter
/// or digit, unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct EnvironmentName(String);

/// The text cannot be a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a name has 1 to 63 letters, digits, dots, dashes or underscores and starts with a letter or digit")]
pub struct InvalidName;

impl EnvironmentName {
    /// Takes a valid name as it is.
    ///
    /// # Errors
    /// [`InvalidName`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let valid = starts && text.len() <= NAME_MAX && text.chars().all(allowed);
        valid.then(|| Self(text.to_owned())).ok_or(InvalidName)
    }

    /// Makes a name of whatever a host calls itself.
    pub fn from_hostname(hostname: &str) -> Self {
        let kept: String = hostname.chars().filter(|&c| allowed(c)).take(NAME_MAX).collect();
        let name = kept.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        Self(if name.is_empty() { "host".to_owned() } else { name.to_owned() })
    }

    /// The same name with a number behind it, for when it is taken.
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!("-{number}");
        let kept: String = self.0.chars().take(NAME_MAX - suffix.len()).collect();
        Self(kept + &suffix)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EnvironmentName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// How an environment is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentKind {
    /// The engine of the hub's own host.
    Local,
    /// An engine that listens on TCP.
    Tcp,
    /// An engine behind an agent that dials out.
    Edge,
}

impl EnvironmentKind {
    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Tcp => "tcp",
            Self::Edge => "edge",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Local, Self::Tcp, Self::Edge].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Whether an environment can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentState {
    /// A session stands.
    Online,
    /// There is no session.
    Offline,
    /// Its agent waits for an administrator's approval.
    Pending,
    /// Its agent's identity may have been copied; it is limited to a heartbeat.
    Quarantined,
    /// Its agent was revoked.
    Revoked,
}

/// An environment as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Environment {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// How it is reached.
    pub kind: EnvironmentKind,
    /// Whether it can be used now.
    pub state: EnvironmentState,
    /// The group it is in.
    pub group: Option<EnvironmentGroup>,
    /// What carries its session: `memory`, `websocket` or `quic`.
    pub transport: Option<&'static str>,
    /// Last measured round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// How its engine is: `running`, `unresponsive`, `absent` or `unknown`.
    pub engine: Option<&'static str>,
    /// Its engine's version, as last seen.
    pub engine_version: Option<String>,
    /// Published flaws of that version that matter to whoever looks into
    /// containers or copies files with them, such as `CVE-2026-41567`. What a
    /// distribution mended in an older version is not known.
    pub engine_flaws: &'static [&'static str],
    /// Where its engine takes orders over the network from whoever comes, such as
    /// `http://0.0.0.0:2375`: the addresses that it names itself.
    pub exposed: Vec<String>,
    /// The operating system its engine runs containers for, while it runs.
    pub os: Option<String>,
    /// Its engine's architecture, while it runs.
    pub arch: Option<String>,
    /// How many containers it has, while its agent can tell.
    pub containers: Option<EnvironmentContainers>,
    /// What its host uses now, while its agent can tell.
    pub host: Option<EnvironmentHost>,
    /// The states of its containers as its agent told them last, also from
    /// before it went away.
    pub container_states: Option<ContainerStates>,
    /// What its engine told of last, while that is on record.
    pub last_event: Option<LastEvent>,
    /// What somebody should look at now, the worst first.
    pub alerts: Vec<Alert>,
    /// Its agent's version, as last seen.
    pub agent_version: Option<String>,
    /// When it was last online.
    pub last_seen: Option<Timestamp>,
    /// What its host says that no hub may do there; null while it is not known, as
    /// of an older agent, which does everything.
    pub policy: Option<EnvironmentPolicy>,
    /// The engine's address, where the hub dials it.
    pub address: Option<String>,
    /// Whether the hub reaches it without TLS over a network.
    pub insecure: bool,
    /// Whether terminals in its containers are recorded.
    pub record_terminals: bool,
    /// Labels.
    pub labels: Labels,
}

/// An environment, and what the caller may do in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EnvironmentDetails {
    /// The environment.
    #[serde(flatten)]
    pub environment: Environment,
    /// What the caller may do in it.
    pub permissions: Vec<Permission>,
}

/// How many containers an environment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnvironmentContainers {
    /// Those that run.
    pub running: u32,
    /// All of them.
    pub total: u32,
}

/// What the host of an environment uses now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct EnvironmentHost {
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

impl From<HostUse> for EnvironmentHost {
    fn from(host: HostUse) -> Self {
        let HostUse { cpu_percent, memory_bytes, memory_total_bytes, disk_bytes, disk_total_bytes } = host;
        Self { cpu_percent, memory_bytes, memory_total_bytes, disk_bytes, disk_total_bytes }
    }
}

impl From<ContainerCounts> for EnvironmentContainers {
    fn from(counts: ContainerCounts) -> Self {
        Self { running: counts.running, total: counts.total }
    }
}

/// The policy of an environment's host, which only that host can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnvironmentPolicy {
    /// `monitor`, `operate`, `deploy-safe` or `full`.
    pub profile: String,
    /// SHA-256 of its file; null where there is no file.
    pub digest: Option<String>,
    /// Whether there is a file that cannot be used, so that only looking on is
    /// allowed.
    pub invalid: bool,
    /// Why it cannot be used.
    pub reason: Option<String>,
    /// The rules by which whole kinds of requests are refused, such as `exec`.
    pub refuses: Vec<String>,
}

impl From<&PolicyFacts> for EnvironmentPolicy {
    fn from(facts: &PolicyFacts) -> Self {
        Self {
            profile: facts.profile.clone(),
            digest: facts.digest.map(|digest| HEXLOWER.encode(&digest)),
            invalid: facts.invalid.is_some(),
            reason: facts.invalid.clone(),
            refuses: facts.refuses.clone(),
        }
    }
}

impl Environment {
    /// All that is known of an environment, where a glance at it was taken.
    pub fn of(glance: &Glance<'_>, last_event: Option<LastEvent>, now: Timestamp) -> Self {
        let (row, session) = (glance.row, glance.session.as_deref());
        let engine = session.and_then(Session::engine_facts);
        let live_version = engine.as_ref().map(|facts| facts.version.clone());
        let engine_version = live_version.or_else(|| row.engine_version.clone());
        let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            id: row.id(),
            name: EnvironmentName::from_hostname(&row.name),
            kind: row.kind(),
            state: glance.state,
            group: row.group_id.zip(row.group_name.clone()).map(|(id, name)| EnvironmentGroup { id, name }),
            transport: session.map(|session| session.transport().as_str()),
            rtt_ms: session.and_then(Session::rtt).map(|rtt| rtt.as_secs_f64() * 1_000.0),
            engine: glance.engine,
            engine_flaws: engine_version.as_deref().map_or(&[], flaws::of_version),
            engine_version,
            exposed: session.map(Session::exposed).unwrap_or_default(),
            os: engine.as_ref().and_then(|facts| filled(&facts.os)),
            arch: engine.as_ref().and_then(|facts| filled(&facts.arch)),
            containers: session.and_then(Session::containers).map(EnvironmentContainers::from),
            host: session.and_then(Session::host).map(EnvironmentHost::from),
            container_states: glance.containers,
            last_event,
            alerts: glance.alerts.clone(),
            agent_version: session
                .map_or_else(|| row.agent_version.clone(), |session| Some(session.facts.agent_version.clone())),
            last_seen: if session.is_some() { Some(now) } else { row.last_seen_at },
            policy: session.and_then(Session::policy).map(EnvironmentPolicy::from),
            address: row.address.clone(),
            insecure: row.insecure,
            record_terminals: row.record_terminals,
            labels: Labels::stored(row.labels.0.clone()),
        }
    }
}

/// The group of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnvironmentGroup {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// What is to be changed of an environment; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPatch {
    /// All its labels from now on.
    #[serde(default)]
    pub labels: Option<Labels>,
    /// The group it is in from now on; null takes it out of its group.
    #[serde(default, rename = "group_id")]
    #[schema(value_type = Option<Uuid>)]
    pub group: GroupChange,
    /// Whether terminals that are opened from now on are recorded.
    #[serde(default)]
    pub record_terminals: Option<bool>,
}

impl EnvironmentPatch {
    /// Whether it changes by what somebody may be granted the environment.
    pub fn moves(&self) -> bool {
        self.labels.is_some() || self.group != GroupChange::Keep
    }
}

/// What is done with the group of an environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupChange {
    /// It stays where it is.
    #[default]
    Keep,
    /// It is in none from now on.
    Leave,
    /// It is in this one from now on.
    Join(GroupId),
}

impl<'de> Deserialize<'de> for GroupChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Leave, Self::Join))
    }
}

/// An engine the hub is asked to dial.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTcpEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// `tcp://host:port`.
    pub address: String,
    /// The certificate authority that signed the engine's certificate, PEM.
    pub ca: Option<String>,
    /// The client certificate the engine accepts, PEM.
    pub certificate: Option<String>,
    /// Its private key, PEM. Stored sealed, never shown again.
    #[schema(value_type = Option<String>, write_only)]
    pub key: Option<secrecy::SecretString>,
    /// Whether to go without TLS beyond this host. Whoever sees the network
    /// then owns the engine.
    #[serde(default)]
    pub insecure: bool,
}

/// Where an attached agent finds its engine.
#[derive(Clone, Debug)]
pub enum EngineTarget {
    /// The socket of the hub's own host.
    Local,
    /// TCP, with or without TLS.
    Tcp {
        /// `tcp://host:port`.
        address: String,
        /// The TLS material; `None` where there is no TLS.
        tls: Option<TcpTls>,
    },
}

/// TLS material for an engine on TCP.
#[derive(Clone, Debug)]
pub struct TcpTls {
    /// The authority that signed the engine's certificate, PEM.
    pub authority: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: secrecy::SecretString,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_gets_a_valid_name() {
        for (hostname, name) in [("web-1", "web-1"), ("_x", "x"), ("", "host"), ("ä/é", "host"), ("a b", "ab")] {
            assert_eq!(EnvironmentName::from_hostname(hostname).as_str(), name);
        }
        let long = EnvironmentName::from_hostname(&"a".repeat(100)).numbered(2);
        assert_eq!(EnvironmentName::parse(long.as_str()), Ok(long));
    }

    #[test]
    fn names_that_are_paths_or_options_are_refused() {
        for wrong in ["", "-x", ".x", "a/b", "a b", "é", &"a".repeat(64)] {
            assert_eq!(EnvironmentName::parse(wrong), Err(InvalidName), "{wrong:?}");
        }
    }
}
