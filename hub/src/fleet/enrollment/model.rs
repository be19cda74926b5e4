//! What an enrollment token allows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use ring::hmac;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::token::{TokenId, TokenSecret};

use crate::clock::Timestamp;
use crate::fleet::environments::Labels;

/// How long a token lasts unless the operator says otherwise.
pub const LIFE_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// How long a token may last at most.
pub const LIFE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How many hosts one token may admit at most.
pub const USES_MAX: i64 = 10_000;
/// The same token with the same key within this time is the same enrollment:
/// the answer was lost on its way.
pub const RETRY_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Longest name of a token, in bytes.
const NAME_MAX: usize = 100;
/// Most networks a token may be limited to.
const NETWORKS_MAX: usize = 32;

/// Whether an administrator looks at each host before it may do anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// A host is online at once.
    #[default]
    Auto,
    /// A host waits until it is approved.
    Manual,
}

/// A token to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnrollmentToken {
    /// What it is for, for people.
    pub name: String,
    /// How long it lasts, in seconds: one hour unless said, 90 days at most.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
    /// How many hosts it admits: one unless said, 10,000 at most.
    #[serde(default)]
    pub uses: Option<i64>,
    /// Labels that its hosts get.
    #[serde(default)]
    pub labels: Labels,
    /// What a host's name must look like, `*` and `?` standing for anything.
    #[serde(default)]
    pub name_pattern: Option<String>,
    /// Where a host must come from, such as `10.0.0.0/8`; anywhere if empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub cidrs: Vec<IpNet>,
    /// Whether each host waits for approval.
    #[serde(default)]
    pub approval: Approval,
}

/// What is wrong with a token to be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidToken {
    /// Its name is empty or too long.
    #[error("name a token with 1 to {NAME_MAX} characters")]
    Name,
    /// It would last too long, or no time at all.
    #[error("a token lasts between 1 second and 90 days")]
    Life,
    /// It would admit too many hosts, or none.
    #[error("a token admits between 1 and {USES_MAX} hosts")]
    Uses,
    /// It is limited to too many networks.
    #[error("a token is limited to at most {NETWORKS_MAX} networks")]
    Networks,
}

impl NewEnrollmentToken {
    /// The token with which the host of the agent `name` gets a new key.
    pub fn replacement(name: &str) -> Self {
        Self {
            name: format!("new key for {name}"),
            ttl_seconds: None,
            uses: None,
            labels: Labels::default(),
            name_pattern: None,
            cidrs: Vec::new(),
            approval: Approval::Auto,
        }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn check(&self) -> Result<(), InvalidToken> {
        let name_ok = (1..=NAME_MAX).contains(&self.name.len()) && !self.name.chars().any(char::is_control);
        let life_ok = (Duration::from_secs(1)..=LIFE_MAX).contains(&self.life());
        if !name_ok {
            return Err(InvalidToken::Name);
        }
        if !life_ok {
            return Err(InvalidToken::Life);
        }
        if !(1..=USES_MAX).contains(&self.max_uses()) {
            return Err(InvalidToken::Uses);
        }
        if self.cidrs.len() > NETWORKS_MAX {
            return Err(InvalidToken::Networks);
        }
        Ok(())
    }

    /// How long it lasts.
    pub fn life(&self) -> Duration {
        self.ttl_seconds.map_or(LIFE_DEFAULT, Duration::from_secs)
    }

    /// How many hosts it admits.
    pub fn max_uses(&self) -> i64 {
        self.uses.unwrap_or(1)
    }
}

/// A token as it is shown, once.
#[derive(Debug, Serialize, ToSchema)]
pub struct MintedToken {
    /// Its public id.
    pub id: String,
    /// The whole token. It is stored nowhere and cannot be shown again.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How many hosts it admits.
    pub uses: i64,
    /// The digest of the fleet's key that agents will trust.
    pub hub_pin: String,
}

/// A token as it is listed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EnrollmentTokenView {
    /// Its public id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// `usable`, `used`, `expired` or `revoked`.
    pub status: &'static str,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How many hosts it admits.
    pub max_uses: i64,
    /// How many it has admitted.
    pub uses: i64,
    /// Labels that its hosts get.
    pub labels: Labels,
    /// What a host's name must look like.
    pub name_pattern: Option<String>,
    /// Where a host must come from.
    #[schema(value_type = Vec<String>)]
    pub cidrs: Vec<IpNet>,
    /// Whether each host waits for approval.
    pub approval: Approval,
    /// The agent whose identity it replaces.
    pub replaces_agent: Option<Uuid>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// From where it was last used.
    pub last_used_from: Option<String>,
    /// Why it was revoked.
    pub revoke_reason: Option<String>,
}

/// A row of the tokens table.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TokenRow {
    pub id: String,
    pub name: String,
    pub secret_mac: Vec<u8>,
    pub replaces_agent: Option<Uuid>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub max_uses: i64,
    pub uses: i64,
    pub labels: Json<BTreeMap<String, String>>,
    pub name_pattern: Option<String>,
    pub networks: Json<Vec<IpNet>>,
    pub needs_approval: bool,
    pub revoked_at: Option<Timestamp>,
    pub revoke_reason: Option<String>,
    pub last_used_at: Option<Timestamp>,
    pub last_used_from: Option<String>,
}

impl TokenRow {
    /// Whether a host of this name may come from this address.
    pub fn admits(&self, hostname: &str, from: IpAddr) -> bool {
        let from = from.to_canonical();
        let network_ok = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&from));
        let name_ok = self
            .name_pattern
            .as_deref()
            .is_none_or(|pattern| wildmatch::WildMatch::new(&pattern.to_lowercase()).matches(&hostname.to_lowercase()));
        network_ok && name_ok
    }

    pub fn into_view(self, now: Timestamp) -> EnrollmentTokenView {
        EnrollmentTokenView {
            status: self.status(now),
            id: self.id,
            name: self.name,
            created_by: self.created_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            max_uses: self.max_uses,
            uses: self.uses,
            labels: Labels::stored(self.labels.0),
            name_pattern: self.name_pattern,
            cidrs: self.networks.0,
            approval: if self.needs_approval { Approval::Manual } else { Approval::Auto },
            replaces_agent: self.replaces_agent,
            last_used_at: self.last_used_at,
            last_used_from: self.last_used_from,
            revoke_reason: self.revoke_reason,
        }
    }

    fn status(&self, now: Timestamp) -> &'static str {
        match () {
            () if self.revoked_at.is_some() => "revoked",
            () if self.uses >= self.max_uses => "used",
            () if self.expires_at <= now => "expired",
            () => "usable",
        }
    }
}

/// The key under which token secrets are stored as MACs, so that a stolen
/// table is of no use.
#[derive(Clone, Debug)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// The pepper from 32 secret bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// What the table keeps of a secret.
    pub fn mac(&self, id: &TokenId, secret: &TokenSecret) -> Vec<u8> {
        let message = [b"enroll.v1".as_slice(), id.as_str().as_bytes(), secret.expose()].concat();
        let message = zeroize::Zeroizing::new(message);
        hmac::sign(&self.0, &message).as_ref().to_vec()
    }

    /// Whether the secret is the row's. An unknown token takes the same work.
    pub fn verify(&self, row: Option<&TokenRow>, id: &TokenId, secret: &TokenSecret) -> bool {
        let dummy = vec![0; 32];
        let stored = row.map_or(&dummy, |row| &row.secret_mac);
        let matches: bool = self.mac(id, secret).ct_eq(stored).into();
        matches && row.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> TokenRow {
        let at = Timestamp::from_micros(0).unwrap();
        TokenRow {
            id: "0123456789".to_owned(),
            name: "a".to_owned(),
            secret_mac: vec![0; 32],
            replaces_agent: None,
            created_by: "root".to_owned(),
            created_at: at,
            expires_at: at + Duration::from_secs(60),
            max_uses: 1,
            uses: 0,
            labels: Json(BTreeMap::new()),
            name_pattern: None,
            networks: Json(vec![]),
            needs_approval: false,
            revoked_at: None,
            revoke_reason: None,
            last_used_at: None,
            last_used_from: None,
        }
    }

    #[test]
    fn a_token_is_limited_to_its_networks_also_when_they_come_as_ipv6() {
        let row = TokenRow { networks: Json(vec!["10.0.0.0/8".parse().unwrap()]), ..row() };
        assert!(row.admits("a", "10.1.2.3".parse().unwrap()));
        assert!(row.admits("a", "::ffff:10.1.2.3".parse().unwrap()));
        assert!(!row.admits("a", "192.168.0.1".parse().unwrap()));
    }

    #[test]
    fn a_token_is_limited_to_its_names() {
        let row = TokenRow { name_pattern: Some("edge-*".to_owned()), ..row() };
        assert!(row.admits("Edge-7", "10.1.2.3".parse().unwrap()));
        assert!(!row.admits("core-7", "10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn a_secret_counts_for_its_own_token_only() {
        let pepper = Pepper::new(&[3; 32]);
        let id = TokenId::from_random(5);
        let secret = TokenSecret::from_random([4; 20]);
        let row = TokenRow { secret_mac: pepper.mac(&id, &secret), ..row() };
        assert!(pepper.verify(Some(&row), &id, &secret));
        assert!(!pepper.verify(Some(&row), &TokenId::from_random(6), &secret));
        assert!(!pepper.verify(Some(&row), &id, &TokenSecret::from_random([5; 20])));
        assert!(!pepper.verify(None, &id, &secret));
    }

    #[test]
    fn no_token_is_immortal() {
        let new = |ttl_seconds, uses| NewEnrollmentToken {
            name: "a".to_owned(),
            ttl_seconds,
            uses,
            labels: Labels::default(),
            name_pattern: None,
            cidrs: vec![],
            approval: Approval::Auto,
        };
        assert_eq!(new(None, None).check(), Ok(()));
        assert_eq!(new(Some(u64::MAX), None).check(), Err(InvalidToken::Life));
        assert_eq!(new(Some(0), None).check(), Err(InvalidToken::Life));
        assert_eq!(new(None, Some(0)).check(), Err(InvalidToken::Uses));
        assert_eq!(new(None, Some(USES_MAX + 1)).check(), Err(InvalidToken::Uses));
    }
}
