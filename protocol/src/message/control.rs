//! What hub and agent tell each other on the control stream after the hello.

use serde::{Deserialize, Serialize};

use crate::codec::Message;
use crate::limits::CONTROL_MAX;
use crate::message::enroll::Certificate;
use crate::message::policy::PolicyFacts;
use crate::message::report::ObjectId;

/// A message from the agent. New variants are appended; a hub passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHub {
    /// The host's engine changed its state.
    Engine(EngineStatus),
    /// The agent asks for a fresh certificate for the key it already has.
    Renew {
        /// A PKCS #10 certificate request (RFC 2986), DER.
        csr: Vec<u8>,
    },
    /// The agent is about to close, for the reason given.
    Leaving {
        /// The reason, for people.
        reason: String,
    },
    /// The number of the engine's containers changed. Sent only where both
    /// ends have named [`Capabilities::COUNTS`](crate::capability::Capabilities::COUNTS).
    Containers(ContainerCounts),
    /// The agent itself runs in this container, maybe of this engine. Sent once,
    /// before all others; whoever stops it stops what was asked of the agent.
    Within(ObjectId),
    /// The host's own policy. Sent once, at the session's begin: an agent whose
    /// policy changed ends the session and comes back.
    Policy(PolicyFacts),
    /// Where the engine takes orders over the network from whoever comes: the
    /// addresses that it names itself. Sent when they change, first when there is one.
    Exposed(Vec<String>),
}

impl Message for ToHub {
    const NAME: &'static str = "control message to the hub";
    const LIMIT: usize = CONTROL_MAX;
    const VARIANTS: Option<u32> = Some(7);
}

/// A message from the hub. New variants are appended; an agent passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// The fresh certificate that was asked for.
    Renewed(Certificate),
    /// The hub is shutting down as planned. The agent comes back after a random
    /// part of `spread_millis`.
    Draining {
        /// Over how long the fleet's return is to be spread.
        spread_millis: u32,
    },
    /// The agent was revoked and must not come back by itself.
    Revoked {
        /// The reason an administrator gave.
        reason: String,
    },
    /// The agent's standing changed from heartbeat only to everything.
    Approved,
}

impl Message for ToAgent {
    const NAME: &'static str = "control message to the agent";
    const LIMIT: usize = CONTROL_MAX;
    const VARIANTS: Option<u32> = Some(4);
}

/// How a host's Docker engine is, as its agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineStatus {
    /// Not asked yet.
    Unknown,
    /// Nothing answers at the engine's address.
    Absent,
    /// Something accepts at the engine's address, and does not answer.
    Unresponsive,
    /// The engine answers.
    Running(EngineFacts),
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Its version, such as `26.1.5`.
    pub version: String,
    /// The newest API version it speaks, such as `1.45`.
    pub api_version: String,
    /// The oldest API version it speaks.
    pub min_api_version: String,
    /// Its own id, empty where it has none.
    pub id: String,
    /// The operating system it runs containers for, such as `linux`.
    pub os: String,
    /// Its architecture, such as `amd64`.
    pub arch: String,
}

/// How many containers an engine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerCounts {
    /// Those that run.
    pub running: u32,
    /// All of them.
    pub total: u32,
}
