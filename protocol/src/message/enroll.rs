//! How a host becomes an agent, and how an agent's certificate is renewed once
//! it has expired. Each is one request and one reply on a TLS connection of
//! its own; no streams are involved.

use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::codec::{Message, Tail};
use crate::ids::{AgentId, EnvironmentId, HubId};
use crate::limits::ENROLL_MAX;
use crate::message::hello::{HostFacts, RejectReason, Ticket};
use crate::token::{TokenId, TokenSecret};
use crate::version::ProtocolVersion;

/// A token and a key that asks to become an agent. Sent only after the hub's
/// certificate matched the token's pin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The newest protocol version the agent speaks.
    pub version: ProtocolVersion,
    /// Which token.
    pub token: TokenId,
    /// Its secret.
    pub secret: TokenSecret,
    /// A PKCS #10 certificate request (RFC 2986), DER. The hub takes the public
    /// key and nothing else from it.
    pub csr: Vec<u8>,
    /// The name the operator wants; the host name where it is empty.
    pub name: String,
    /// Labels the operator set on the host.
    pub labels: Vec<(String, String)>,
    /// The agent's own version, for people.
    pub agent_version: String,
    /// What the agent can do.
    pub capabilities: Capabilities,
    /// Where the agent runs.
    pub host: HostFacts,
}

impl Message for EnrollRequest {
    const NAME: &'static str = "enrollment request";
    const LIMIT: usize = ENROLL_MAX;
    const TAIL: Tail = Tail::Ignored;
}

/// The hub's answer to an enrollment request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollReply {
    /// The key is an agent now.
    Enrolled(Enrolled),
    /// It is not. One wire form for every cause that concerns the token, so
    /// that a guesser learns nothing; the hub's audit log has the cause.
    Denied {
        /// What to do about it, for people.
        message: String,
        /// The audit entry that has the cause.
        reference: String,
        /// When to try again, in seconds; zero where trying again is useless.
        retry_after_secs: u32,
    },
}

impl Message for EnrollReply {
    const NAME: &'static str = "enrollment reply";
    const LIMIT: usize = ENROLL_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(2);
}

/// A new identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent's id.
    pub agent: AgentId,
    /// The environment its engine became.
    pub environment: EnvironmentId,
    /// The hub.
    pub hub: HubId,
    /// The name the hub settled on.
    pub name: String,
    /// Always 1 for a new agent; higher where a token replaced its identity.
    pub generation: u64,
    /// To be shown in the first hello.
    pub ticket: Ticket,
    /// Whether an administrator still has to approve the agent.
    pub pending_approval: bool,
    /// The first certificate.
    pub certificate: Certificate,
    /// The hub's clock, in microseconds since 1970.
    pub hub_clock_micros: i64,
}

/// A client certificate and when to replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certificate, X.509 DER.
    pub leaf: Vec<u8>,
    /// The fleet's certificate authority, X.509 DER.
    pub authority: Vec<u8>,
    /// How many seconds from now to ask for the next one. Counted by the
    /// agent's monotonic clock, so that a wrong wall clock does no harm.
    pub renew_in_secs: u32,
    /// When it ends by the hub's clock, in microseconds since 1970; for people.
    pub not_after_micros: i64,
}

/// Asks for a fresh certificate on a connection that proved the old key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// The ticket of the last session.
    pub ticket: Option<Ticket>,
    /// A PKCS #10 certificate request (RFC 2986), DER, for the same key.
    pub csr: Vec<u8>,
}

impl Message for RenewRequest {
    const NAME: &'static str = "renewal request";
    const LIMIT: usize = ENROLL_MAX;
    const TAIL: Tail = Tail::Ignored;
}

/// The hub's answer to a renewal request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenewReply {
    /// The fresh certificate.
    Renewed(Certificate),
    /// There is none.
    Refused {
        /// The reason, for programs.
        reason: RejectReason,
        /// What to do about it, for people.
        message: String,
    },
}

impl Message for RenewReply {
    const NAME: &'static str = "renewal reply";
    const LIMIT: usize = ENROLL_MAX;
    const TAIL: Tail = Tail::Ignored;
    const VARIANTS: Option<u32> = Some(2);
}
