//! Settings that only this hub can read: its keys.

use zeroize::Zeroizing;

use super::{Place, Vault, VaultError, settings};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};

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

/// The secret sealed under `key`, which is `fresh` if there was none.
///
/// # Errors
/// When the database fails, or the stored value was not sealed by this hub for
/// this place.
pub async fn get_or_seal(
    tx: &mut Tx,
    vault: &Vault,
    key: &'static str,
    fresh: &[u8],
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, SealedSettingError> {
    let place = Place { table: "settings", row: key, column: "value" };
    let sealed = settings::get_or_insert(tx, key, &vault.seal(&place, fresh), now).await?;
    vault.open(&place, &sealed).map_err(|source| SealedSettingError::Sealed { key, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000).unwrap()
    }

    on_both_engines! {
        async fn a_sealed_setting_is_unreadable_in_the_table_and_stays_the_first(db) {
            let vault = Vault::for_tests();
            let mut tx = db.write().await.unwrap();
            for fresh in [b"first secret", b"other secret"] {
                let opened = get_or_seal(&mut tx, &vault, "k", fresh, now()).await.unwrap();
                assert_eq!(*opened, b"first secret");
            }
            let stored = settings::find(&mut tx, "k").await.unwrap().unwrap();
            assert!(!stored.windows(5).any(|window| window == b"first"));
        }
    }
}
