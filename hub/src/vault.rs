//! Secrets at rest: what is sealed here can be opened only by this hub, and
//! only in the place it was sealed for.
//!
//! ```text
//! version (1 byte, 1) · nonce (12) · AES-256-GCM ciphertext · tag (16)
//! ```
//! The additional data is the version and the place (table, row, column), each
//! with its length before it, so that a value moved to another row does not
//! open. The key comes from the master key by scrypt, once at start.

mod master_key;
mod sealed;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

pub use self::master_key::{MasterKey, MasterKeyError, Origin as MasterKeyOrigin};
pub use self::sealed::{SealedSettingError, get_or_seal};
use crate::clock::{Random, Timestamp};
use crate::db::{Db, DbError, Tx};
use crate::settings;

const VERSION: u8 = 1;
const TAG_LEN: usize = 16;
const SALT_KEY: &str = "vault.salt";
const CANARY_KEY: &str = "vault.canary";
const CANARY: &[u8] = b"this vault was opened with the right key";
const CANARY_PLACE: Place<'_> = Place { table: "settings", row: CANARY_KEY, column: "value" };

/// Where a secret is stored. It cannot be opened from anywhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's primary key as text.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
}

/// Why a secret or the whole vault does not open.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The value is too short or of a version this hub does not know.
    #[error("the sealed value has an unknown format")]
    Format,
    /// The value was sealed with another key or for another place, or changed.
    #[error("the sealed value does not open here: another key, another place, or damage")]
    Sealed,
    /// The database belongs to another master key.
    #[error(
        "the master key does not match this database: start with the --master-key-file that was used before, \
         or put back the master.key from the backup"
    )]
    WrongMasterKey,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What deriving the key costs.
#[derive(Clone, Copy, Debug)]
pub enum KeyCost {
    /// 128 MiB and a good part of a second.
    Production,
    /// Next to nothing, for tests.
    Cheap,
}

/// The open vault.
#[derive(Debug)]
pub struct Vault {
    key: LessSafeKey,
    random: Random,
}

impl Vault {
    /// Derives the key and checks it against the database; the first time, it
    /// leaves there what it will check against.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] when another key was used before.
    pub async fn unlock(db: &Db, master: MasterKey, cost: KeyCost, now: Timestamp) -> Result<Self, VaultError> {
        let random = Random::default();
        let mut tx = db.write_vital().await?;
        let salt = settings::get_or_insert(&mut tx, SALT_KEY, &random.bytes::<16>(), now).await?;
        tx.commit().await?;

        let vault = Self::derived(master, salt, cost).await;
        let mut tx = db.write_vital().await?;
        let canary = settings::get_or_insert(&mut tx, CANARY_KEY, &vault.seal(&CANARY_PLACE, CANARY), now).await?;
        tx.commit().await?;
        vault.recognise(&canary)
    }

    /// Whether the database was used with a master key before. Writes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_sealed(db: &Db) -> Result<bool, DbError> {
        Ok(settings::find(&mut db.read().await?, CANARY_KEY).await?.is_some())
    }

    /// Whether this is the database's master key. Writes nothing.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] when it is not.
    pub async fn check(db: &Db, master: MasterKey, cost: KeyCost) -> Result<(), VaultError> {
        let mut tx = db.read().await?;
        Self::unlock_within(&mut tx, master, cost).await.map(drop)
    }

    /// The vault of a database that was used before, in a transaction that is
    /// not committed yet. Writes nothing.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn unlock_within(tx: &mut Tx, master: MasterKey, cost: KeyCost) -> Result<Self, VaultError> {
        let salt = settings::find(tx, SALT_KEY).await?.ok_or(VaultError::WrongMasterKey)?;
        let canary = settings::find(tx, CANARY_KEY).await?.ok_or(VaultError::WrongMasterKey)?;
        Self::derived(master, salt, cost).await.recognise(&canary)
    }

    async fn derived(master: MasterKey, salt: Vec<u8>, cost: KeyCost) -> Self {
        let key = tokio::task::spawn_blocking(move || derive(&master, &salt, cost))
            .await
            .expect("deriving a key neither panics nor is cancelled");
        Self::with_key(&key)
    }

    /// This vault, if it is the one that sealed the canary.
    fn recognise(self, canary: &[u8]) -> Result<Self, VaultError> {
        match self.open(&CANARY_PLACE, canary) {
            Ok(opened) if *opened == CANARY => Ok(self),
            Ok(_) | Err(_) => Err(VaultError::WrongMasterKey),
        }
    }

    /// A vault with a fixed key.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self::with_key(&[7; 32])
    }

    fn with_key(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        Self { key: LessSafeKey::new(key), random: Random::default() }
    }

    /// Seals `plaintext` for `place`.
    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = self.random.bytes();
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plaintext.len() + TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        let mut body = plaintext.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context(place)), &mut body)
            .expect("a secret is far below the limit of AES-GCM");
        sealed.append(&mut body);
        sealed
    }

    /// Opens what [`seal`](Self::seal) made for the same place.
    ///
    /// # Errors
    /// When the value is of another place, key or format. The sealed bytes are
    /// never given back in place of the secret.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        if sealed.len() < 1 + NONCE_LEN + TAG_LEN || sealed[0] != VERSION {
            return Err(VaultError::Format);
        }
        let (nonce, body) = sealed[1..].split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Format)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(context(place)), &mut body);
        let length = opened.map_err(|_| VaultError::Sealed)?.len();
        body.truncate(length);
        Ok(body)
    }
}

impl KeyCost {
    /// The cost as scrypt counts it: memory is 1 KiB times two to this power.
    pub const fn log_n(self) -> u8 {
        match self {
            Self::Production => 17,
            Self::Cheap => 4,
        }
    }
}

fn derive(master: &MasterKey, salt: &[u8], cost: KeyCost) -> Zeroizing<[u8; 32]> {
    let params = scrypt::Params::new(cost.log_n(), 8, 1).expect("the parameters are valid");
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(master.expose(), salt, &params, key.as_mut_slice()).expect("32 bytes are a valid length");
    key
}

fn context(place: &Place<'_>) -> Vec<u8> {
    let mut context = vec![VERSION];
    for part in [place.table, place.row, place.column] {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;

    const PLACE: Place<'_> = Place { table: "environments", row: "1", column: "key" };

    #[test]
    fn a_secret_opens_where_it_was_sealed_and_nowhere_else() {
        let vault = Vault::for_tests();
        let sealed = vault.seal(&PLACE, b"secret");
        assert_eq!(*vault.open(&PLACE, &sealed).unwrap(), b"secret");
        for place in [
            Place { table: "agents", ..PLACE },
            Place { row: "2", ..PLACE },
            Place { column: "certificate", ..PLACE },
            Place { table: "environments1", row: "", ..PLACE },
        ] {
            assert!(matches!(vault.open(&place, &sealed), Err(VaultError::Sealed)), "{place:?}");
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_an_error() {
        let vault = Vault::for_tests();
        let sealed = vault.seal(&PLACE, b"secret");
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(vault.open(&PLACE, &changed).is_err(), "byte {i}");
            assert!(vault.open(&PLACE, &sealed[..i]).is_err(), "length {i}");
        }
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let vault = Vault::for_tests();
        assert_ne!(vault.seal(&PLACE, b"secret"), vault.seal(&PLACE, b"secret"));
    }

    on_both_engines! {
        async fn another_master_key_is_refused(db) {
            let now = Timestamp::from_micros(0).unwrap();
            let key = |byte| MasterKey::from_bytes(vec![byte; 32]);
            let vault = Vault::unlock(&db, key(1), KeyCost::Cheap, now).await.unwrap();
            let sealed = vault.seal(&PLACE, b"secret");

            let wrong = Vault::unlock(&db, key(2), KeyCost::Cheap, now).await;
            assert!(matches!(wrong, Err(VaultError::WrongMasterKey)));
            let again = Vault::unlock(&db, key(1), KeyCost::Cheap, now).await.unwrap();
            assert_eq!(*again.open(&PLACE, &sealed).unwrap(), b"secret");
        }
    }
}
