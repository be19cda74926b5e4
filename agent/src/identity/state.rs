//! What an agent writes down about itself and its hub.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::ids::{AgentId, EnvironmentId, HubId};
use windflow_protocol::message::hello::Ticket;

use crate::link::{HubUrl, Proxy, TransportChoice};

/// The version of the file that this build writes.
const VERSION: u32 = 1;

/// The contents of `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The agent's id.
    pub agent: AgentId,
    /// The environment that its engine is at the hub.
    pub environment: EnvironmentId,
    /// The hub it belongs to.
    pub hub: HubId,
    /// The name the hub knows it by.
    pub name: String,
    /// Where the hub may be, in the order to try.
    pub hub_urls: Vec<HubUrl>,
    /// Keys of the fleet's certificate authority.
    #[serde(with = "text::pins")]
    pub pins: Vec<KeyDigest>,
    /// How often the identity has been replaced.
    pub generation: u64,
    /// To be shown in the next hello.
    #[serde(with = "text::bytes")]
    pub ticket: [u8; 32],
    /// When the certificate is to be replaced.
    pub renewal: Renewal,
    /// When the certificate ends by the hub's clock, in microseconds since
    /// 1970; for people.
    pub not_after_micros: i64,
    /// The machine the folder was made on; zero where that is not known.
    #[serde(with = "text::bytes")]
    pub machine: [u8; 32],
    /// How to travel where the command line does not say.
    pub transport: TransportChoice,
    /// Through what to travel, where the operator said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
}

/// When a certificate is to be replaced. The host's wall clock has no part in
/// it: it may be years off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// So long after the next welcome; known until the hub's clock is.
    Within {
        /// In seconds.
        secs: u32,
    },
    /// When the hub's clock shows this.
    At {
        /// In microseconds since 1970.
        hub_micros: i64,
    },
}

impl State {
    /// A state for a new identity.
    pub fn new(granted: &windflow_protocol::message::enroll::Enrolled, hub_urls: Vec<HubUrl>, pin: KeyDigest) -> Self {
        Self {
            version: VERSION,
            agent: granted.agent,
            environment: granted.environment,
            hub: granted.hub,
            name: granted.name.clone(),
            hub_urls,
            pins: vec![pin],
            generation: granted.generation,
            ticket: granted.ticket.0,
            renewal: Renewal::Within { secs: granted.certificate.renew_in_secs },
            not_after_micros: granted.certificate.not_after_micros,
            machine: crate::host::machine(),
            transport: TransportChoice::default(),
            proxy: None,
        }
    }

    /// The ticket as the hello carries it.
    pub const fn ticket(&self) -> Ticket {
        Ticket(self.ticket)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("every field has a JSON form")
    }

    pub(super) fn from_json(bytes: &[u8]) -> anyhow::Result<Self> {
        let state: Self = serde_json::from_slice(bytes).context("Failed to understand state.json")?;
        anyhow::ensure!(state.version <= VERSION, "state.json was written by a newer windflow-agent; install that one");
        Ok(state)
    }
}

/// Bytes as the base32 text that every Windflow credential uses.
mod text {
    pub(super) mod bytes {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};
        use windflow_protocol::text::base32;

        pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(&base32().encode(bytes))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
            let text = String::deserialize(from)?;
            let bytes = base32().decode(text.as_bytes()).map_err(D::Error::custom)?;
            bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
        }
    }

    pub(super) mod pins {
        use serde::{Deserialize, Deserializer, Serializer, de::Error};
        use windflow_protocol::identity::KeyDigest;

        pub(crate) fn serialize<S: Serializer>(pins: &[KeyDigest], to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq(pins.iter().map(KeyDigest::to_string))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<KeyDigest>, D::Error> {
            let texts = Vec::<String>::deserialize(from)?;
            let pin = |text: &String| KeyDigest::parse(text).ok_or_else(|| D::Error::custom("not a pin"));
            texts.iter().map(pin).collect()
        }
    }
}
