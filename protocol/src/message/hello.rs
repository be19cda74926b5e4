//! How a session begins, on the control stream that the hub opens first:
//! [`Hello`] from the agent, [`HelloReply`] from the hub, [`Ack`] from the
//! agent.

use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::codec::{Message, Tail};
use crate::ids::SessionId;
use crate::limits::HELLO_MAX;
use crate::message::control::EngineStatus;
use crate::text::sanitize;
use crate::version::ProtocolVersion;

/// A one-time value that the hub hands out with each session and wants back
/// with the next. A copied state directory shows itself by an old one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub [u8; 32]);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket([redacted])")
    }
}

/// What an agent says first. Decodable by every version for ever: fields are
/// only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest protocol version the agent speaks.
    pub newest: ProtocolVersion,
    /// The oldest protocol version the agent speaks.
    pub oldest: ProtocolVersion,
    /// What the agent can do beyond the version.
    pub capabilities: Capabilities,
    /// How often the agent's identity has been replaced, as the agent knows it.
    pub generation: u64,
    /// The ticket of the last session; `None` before the first.
    pub ticket: Option<Ticket>,
    /// Random per run of the agent: tells a reconnect from a second agent.
    pub instance: [u8; 16],
    /// The agent's own version, for people.
    pub agent_version: String,
    /// Where the agent runs.
    pub host: HostFacts,
    /// How the host's engine is.
    pub engine: EngineStatus,
}

impl Message for Hello {
    const NAME: &'static str = "hello";
    const LIMIT: usize = HELLO_MAX;
    const TAIL: Tail = Tail::Ignored;
}

/// What an agent says of its host. Hints for people: nothing is decided by
/// them, since a copied disk copies them too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host name.
    pub hostname: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor architecture, such as `x86_64`.
    pub arch: String,
    /// SHA-256 of the machine id; zero where the host has none.
    pub machine: [u8; 32],
    /// The kernel's boot id; zero where the host has none.
    pub boot: [u8; 16],
    /// The host's clock, in microseconds since 1970.
    pub clock_micros: i64,
}

impl HostFacts {
    /// The same facts with every text cut to [`FACT_TEXT_MAX`](crate::limits::FACT_TEXT_MAX) bytes and freed
    /// of control characters, so that they can be stored and shown.
    pub fn sanitized(mut self) -> Self {
        for text in [&mut self.hostname, &mut self.os, &mut self.arch] {
            *text = sanitize(text);
        }
        self
    }
}

/// The hub's answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HelloReply {
    /// The session stands.
    Welcome(Welcome),
    /// There is no session; the hub closes.
    Rejected(Rejected),
}

impl Message for HelloReply {
    const NAME: &'static str = "hello reply";
    const LIMIT: usize = HELLO_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(2);
}

/// The terms of a new session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version both ends speak from here on.
    pub version: ProtocolVersion,
    /// What both ends can do.
    pub capabilities: Capabilities,
    /// The session's id.
    pub session: SessionId,
    /// The identity's generation, as the hub knows it.
    pub generation: u64,
    /// To be stored, acknowledged, and shown in the next hello.
    pub ticket: Ticket,
    /// What the session may do.
    pub standing: Standing,
    /// The hub's clock, in microseconds since 1970. It alone judges
    /// certificates.
    pub hub_clock_micros: i64,
    /// The hub's own version, for people.
    pub hub_version: String,
}

/// How far the hub trusts a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Everything.
    Active,
    /// Heartbeat only, until an administrator approves the agent.
    PendingApproval,
    /// Heartbeat only: the identity may have been copied.
    Quarantined,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The reason, for programs.
    pub reason: RejectReason,
    /// What to do about it, for people.
    pub message: String,
    /// When to try again, in seconds; zero leaves it to the agent's back-off.
    pub retry_after_secs: u32,
}

/// Why a hub turns an authenticated peer away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectReason {
    /// The two ends have no protocol version in common.
    Version,
    /// The hub does not know this identity, or its key was replaced.
    UnknownIdentity,
    /// The identity was revoked.
    Revoked,
    /// The certificate has expired: renew it on its own protocol name.
    CertificateExpired,
    /// The certificate expired so long ago that a new token is needed.
    ReenrollmentRequired,
    /// Another live agent has this identity.
    DuplicateIdentity,
    /// The hub is at its limit; come back later.
    Busy,
    /// The hello could not be read.
    Malformed,
    /// The hub is shutting down or failed on its own side; come back later.
    Unavailable,
}

/// The agent has stored the ticket; the hub may forget the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The ticket of the welcome.
    pub ticket: Ticket,
}

impl Message for Ack {
    const NAME: &'static str = "hello acknowledgement";
    const LIMIT: usize = 64;
}
