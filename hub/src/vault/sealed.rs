//! The hub's own keys: settings that only it can read. None is ever shown.

use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{Place, Vault, VaultError, settings};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};

/// A key that the hub makes once and keeps in its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnKey {
    /// Signs the certificates of the hub's tunnel and of all agents.
    FleetAuthority,
    /// What is kept of enrollment tokens is a MAC with it.
    Enrollment,
    /// Agents' tickets are MACs with it.
    Tickets,
    /// Tells agents on QUIC that the hub was started anew.
    QuicRestart,
    /// Chains the records of the audit log.
    AuditChain,
    /// Names what hubs on one database share in Redis.
    Peers,
}

impl OwnKey {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::FleetAuthority, Self::Enrollment, Self::Tickets, Self::QuicRestart, Self::AuditChain, Self::Peers];

    /// The setting that holds it.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::FleetAuthority => "fleet.authority.key",
            Self::Enrollment => "fleet.enrollment.pepper",
            Self::Tickets => "fleet.ticket.key",
            Self::QuicRestart => "fleet.quic.restart_secret",
            Self::AuditChain => "audit.chain_key",
            Self::Peers => "peers.secret",
        }
    }

    /// What it is used with.
    pub const fn algorithm(self) -> &'static str {
        match self {
            Self::FleetAuthority => "ECDSA P-256",
            Self::Enrollment | Self::Tickets | Self::QuicRestart | Self::AuditChain | Self::Peers => "HMAC-SHA256",
        }
    }
}

/// Why a sealed setting could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SealedSettingError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The stored value is not what this hub sealed there.
    #[error("the sealed setting {key} cannot be opened")]
    Sealed {
        /// Which setting.
        key: &'static str,
        /// Why.
        source: VaultError,
    },
}

/// The hub's own key, which is `fresh` if there was none.
///
/// # Errors
/// When the database fails, or the stored value was not sealed by this hub for
/// this place.
pub async fn get_or_seal(
    tx: &mut Tx,
    vault: &Vault,
    key: OwnKey,
    fresh: &[u8],
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, SealedSettingError> {
    let key = key.setting();
    let place = Place { table: "settings", row: key, column: "value" };
    let sealed = settings::get_or_insert(tx, key, &vault.seal(&place, fresh), now).await?;
    vault.open(&place, &sealed).map_err(|source| SealedSettingError::Sealed { key, source })
}

/// The keys that were made, and when. To seal one anew makes no other of it.
///
/// # Errors
/// When the database fails.
pub async fn list_own_keys(tx: &mut Tx) -> Result<Vec<(OwnKey, Timestamp)>, DbError> {
    let mut made = Vec::new();
    for key in OwnKey::ALL {
        made.extend(settings::changed_at(tx, key.setting()).await?.map(|at| (key, at)));
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    on_both_engines! {
        async fn a_key_of_the_hub_is_unreadable_in_the_table_and_stays_the_first(db) {
            let vault = Vault::for_tests();
            let mut tx = db.write().await.unwrap();
            for (seconds, fresh) in [(1, b"first secret"), (2, b"other secret")] {
                let opened = get_or_seal(&mut tx, &vault, OwnKey::Tickets, fresh, at(seconds)).await.unwrap();
                assert_eq!(*opened, b"first secret");
            }
            let stored = settings::find(&mut tx, OwnKey::Tickets.setting()).await.unwrap().unwrap();
            assert!(!stored.windows(5).any(|window| window == b"first"));
            assert_eq!(list_own_keys(&mut tx).await.unwrap(), [(OwnKey::Tickets, at(1))]);
        }
    }
}
