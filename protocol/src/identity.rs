//! The words by which hub and agent name each other in TLS: protocol names,
//! certificate names and the pin of the fleet's certificate authority.

mod words;

use data_encoding::Encoding;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, HubId};
use crate::text::base32;

/// TLS application protocol (RFC 7301) of a first contact with a token.
pub const ALPN_ENROLL: &[u8] = b"windflow-enroll/1";
/// TLS application protocol of a session.
pub const ALPN_SESSION: &[u8] = b"windflow/1";
/// TLS application protocol on which an expired certificate may be renewed, and
/// nothing else done.
pub const ALPN_RENEW: &[u8] = b"windflow-renew/1";

/// What a TLS connection from an agent is for, as its ALPN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Exchange a token for a certificate.
    Enroll,
    /// Carry streams.
    Session,
    /// Exchange a certificate, expired or not, for a fresh one.
    Renew,
}

impl Purpose {
    /// Every purpose, in the order a hub offers them.
    pub const ALL: [Self; 3] = [Self::Session, Self::Enroll, Self::Renew];

    /// The purpose as it stands in the TLS handshake.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Enroll => ALPN_ENROLL,
            Self::Session => ALPN_SESSION,
            Self::Renew => ALPN_RENEW,
        }
    }

    /// The purpose that `alpn` names, if it is one of ours.
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.alpn() == alpn)
    }
}

/// The URI in a certificate's subject alternative name that says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetName {
    /// The hub's own end of the tunnel: `fleet://<hub>/hub`.
    Hub(HubId),
    /// One agent of a hub: `fleet://<hub>/agent/<agent>`.
    Agent(HubId, AgentId),
}

impl FleetName {
    /// Reads the one form each name has; anything else is `None`.
    pub fn parse(uri: &str) -> Option<Self> {
        let (hub, role) = uri.strip_prefix("fleet://")?.split_once('/')?;
        let hub: HubId = hub.parse().ok()?;
        let name = match role.split_once('/') {
            None if role == "hub" => Self::Hub(hub),
            Some(("agent", agent)) => Self::Agent(hub, agent.parse().ok()?),
            None | Some(_) => return None,
        };
        (name.to_string() == uri).then_some(name)
    }
}

impl std::fmt::Display for FleetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hub(hub) => write!(f, "fleet://{hub}/hub"),
            Self::Agent(hub, agent) => write!(f, "fleet://{hub}/agent/{agent}"),
        }
    }
}

/// SHA-256 of the DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of a key: of the
/// fleet's certificate authority where it is a pin, of an agent's key where it
/// is an identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Characters of the text form.
    pub const TEXT_LEN: usize = 52;
    /// How many of its bytes the words stand for.
    const SPOKEN: usize = 8;

    /// Reads the base32 form; `None` where it is not 52 valid characters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = encoding().decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The first 64 bits in eight words, for people to compare: enough that
    /// nobody finds a second key with the same words by trying.
    pub fn words(&self) -> String {
        words::words(&self.0[..Self::SPOKEN])
    }
}

impl std::fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encoding().encode(&self.0))
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}

fn encoding() -> &'static Encoding {
    base32()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleet_names_have_one_form_each() {
        let hub = HubId::generate();
        let agent = AgentId::generate();
        for name in [FleetName::Hub(hub), FleetName::Agent(hub, agent)] {
            assert_eq!(FleetName::parse(&name.to_string()), Some(name));
        }
        for wrong in [
            format!("fleet://{hub}/agent"),
            format!("fleet://{hub}/agent/{agent}/more"),
            format!("FLEET://{hub}/hub"),
            format!("fleet://{}/hub", hub.to_string().to_uppercase()),
            "fleet:///hub".to_owned(),
            String::new(),
        ] {
            assert_eq!(FleetName::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = KeyDigest(std::array::from_fn(|i| i as u8));
        let text = digest.to_string();
        assert_eq!(text.len(), KeyDigest::TEXT_LEN);
        assert_eq!(KeyDigest::parse(&text), Some(digest));
        assert_eq!(KeyDigest::parse(&text[1..]), None);
        assert_eq!(digest.words().split(' ').count(), 8);
    }
}
