//! Secrets at rest: what is sealed here can be opened only by this hub, and
//! only in the place it was sealed for.
//!
//! ```text
//! 1 (1 byte) ·                  nonce (12) · AES-256-GCM ciphertext · tag (16)
//! 2 (1 byte) · generation (4) · nonce (12) · AES-256-GCM ciphertext · tag (16)
//! ```
//! The additional data is what stands before the nonce, and the place (table,
//! row, column), each with its length before it, so that a value moved to
//! another row does not open. The generation names the data key; the first form
//! is that of generation 0 (`keyring` has the keys). `rotation` makes new ones,
//! and `register` knows where everything is that must be sealed anew then.

mod keyring;
mod master_key;
mod register;
mod rotation;
mod sealed;
pub mod settings;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use self::keyring::Ring;
pub use self::keyring::{Generation, MasterKeyId, Root};
pub use self::master_key::{MasterKey, MasterKeyError, Origin as MasterKeyOrigin};
pub use self::register::SealedColumn;
#[cfg(test)]
pub use self::rotation::failpoint;
pub use self::rotation::{Fresh, KeyState, ListedKey, Resealed, Rewrapped};
pub use self::sealed::{OwnKey, SealedSettingError, get_or_seal, list_own_keys};
pub use self::source::{MasterKeySource, OpenError, Opened, Staged};
use crate::clock::{Random, Timestamp};
use crate::db::{Db, DbError, Tx, dialect};

const FORM_ROOT: u8 = 1;
const FORM_DATA_KEY: u8 = 2;
const TAG_LEN: usize = 16;
const SALT_KEY: &str = "vault.salt";
const CANARY_KEY: &str = "vault.canary";
const MASTER_KEY_ID: &str = "vault.master_key_id";
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
    /// The value is too short or of a form this hub does not know.
    #[error("the sealed value has an unknown format")]
    Format,
    /// The value was sealed with another key or for another place, or changed.
    #[error("the sealed value does not open here: another key, another place, or damage")]
    Sealed,
    /// The value was sealed with a data key that is not there.
    #[error("the sealed value needs the data key {0}, which this database does not have")]
    UnknownKey(Generation),
    /// A data key is damaged, or was wrapped by another master key.
    #[error("the data key {0} does not open with this master key: the database is damaged, restore a backup")]
    DataKey(Generation),
    /// The database belongs to another master key.
    #[error(
        "the master key does not match this database{}: start with the one that was used before, or put back the \
         master.key from the backup. Nothing was changed", Told(.needed.as_ref(), .given.as_ref())
    )]
    WrongMasterKey {
        /// What the right one is called, where that is known.
        needed: Option<MasterKeyId>,
        /// What this one is called, where it could be derived.
        given: Option<MasterKeyId>,
    },
    /// Somebody else changed the keys meanwhile.
    #[error("the keys in the database were changed by another program: start the hub again")]
    Changed,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Which key is needed and which was given.
struct Told<'a>(Option<&'a MasterKeyId>, Option<&'a MasterKeyId>);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0, self.1) {
            (Some(needed), Some(given)) => write!(f, ": it needs the key with the id {needed}, and was given {given}"),
            (Some(needed), None) => write!(f, ": it needs the key with the id {needed}"),
            (None, _) => Ok(()),
        }
    }
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
    ring: RwLock<Arc<Ring>>,
    random: Random,
}

impl Vault {
    /// Derives the key and checks it against the database; the first time, it
    /// leaves there what it will check against.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] when another key was used before.
    pub async fn unlock(db: &Db, master: MasterKey, cost: KeyCost, now: Timestamp) -> Result<Self, VaultError> {
        let mut tx = db.write_vital().await?;
        let salt = settings::get_or_insert(&mut tx, SALT_KEY, &Random::default().bytes::<16>(), now).await?;
        tx.commit().await?;
        let root = Root::derive(master, salt, cost).await;
        Self::unlock_with(db, root, now).await
    }

    /// The same with what was derived from the master key already.
    ///
    /// # Errors
    /// As [`unlock`](Self::unlock).
    pub async fn unlock_with(db: &Db, root: Root, now: Timestamp) -> Result<Self, VaultError> {
        let random = Random::default();
        let mut tx = db.write_vital().await?;
        let is_new = settings::find(&mut tx, CANARY_KEY).await?.is_none();
        let canary = settings::get_or_insert(&mut tx, CANARY_KEY, &root.seal_canary(&random), now).await?;
        if !root.recognises(&canary) {
            return Err(wrong(&mut tx, Some(&root)).await);
        }
        settings::get_or_insert(&mut tx, MASTER_KEY_ID, root.id().0.as_bytes(), now).await?;
        if is_new && store::exists(&mut tx).await? {
            let (first, key) = (Generation::ROOT.next(), Zeroizing::new(random.bytes::<32>()));
            store::insert(&mut tx, first, &root.wrap(first, &key, &random), now).await?;
        }
        let ring = Ring::load(&mut tx, root).await?;
        tx.commit().await?;
        Ok(Self::of(ring))
    }

    /// Whether the database was used with a master key before. Writes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_sealed(db: &Db) -> Result<bool, DbError> {
        let mut tx = db.read().await?;
        Ok(dialect::has_table(&mut tx, "settings").await? && settings::find(&mut tx, CANARY_KEY).await?.is_some())
    }

    /// What the database's master key is called, where that is known. Writes
    /// nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn needed_key(tx: &mut Tx) -> Result<Option<MasterKeyId>, DbError> {
        let id = settings::find(tx, MASTER_KEY_ID).await?;
        Ok(id.and_then(|id| String::from_utf8(id).ok()).map(MasterKeyId))
    }

    /// Whether this is the database's master key. Writes nothing.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] when it is not.
    pub async fn check(db: &Db, master: MasterKey, cost: KeyCost) -> Result<Root, VaultError> {
        let mut tx = db.read().await?;
        let vault = Self::unlock_within(&mut tx, master, cost).await?;
        Ok(vault.ring().root.clone())
    }

    /// The vault of a database that was used before, in a transaction that is
    /// not committed yet. Writes nothing.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn unlock_within(tx: &mut Tx, master: MasterKey, cost: KeyCost) -> Result<Self, VaultError> {
        let (salt, canary) = (settings::find(tx, SALT_KEY).await?, settings::find(tx, CANARY_KEY).await?);
        let (Some(salt), Some(canary)) = (salt, canary) else { return Err(wrong(tx, None).await) };
        let root = Root::derive(master, salt, cost).await;
        if !root.recognises(&canary) {
            return Err(wrong(tx, Some(&root)).await);
        }
        Ok(Self::of(Ring::load(tx, root).await?))
    }

    /// A vault with a fixed key.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self::of(Ring::of([7; 32]))
    }

    fn of(ring: Ring) -> Self {
        Self { ring: RwLock::new(Arc::new(ring)), random: Random::default() }
    }

    /// What the master key is called.
    pub fn master_key_id(&self) -> MasterKeyId {
        self.ring().root.id().clone()
    }

    /// The data key with which secrets are sealed now.
    pub fn generation(&self) -> Generation {
        self.ring().current
    }

    /// Seals `plaintext` for `place`, which is one of the columns that a
    /// rotation knows.
    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        debug_assert!(
            register::knows(place),
            "{}.{} is not in hub/src/vault/register.rs: a rotation would lose what is sealed there",
            place.table,
            place.column
        );
        self.ring().seal(&self.random, place, plaintext)
    }

    /// The same for what is kept for minutes and not in the database, such as
    /// in a browser's cookie: it opens until the data key is forgotten.
    pub fn seal_for_minutes(&self, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        self.ring().seal(&self.random, place, plaintext)
    }

    /// Opens what was sealed for the same place.
    ///
    /// # Errors
    /// When the value is of another place, key or format. The sealed bytes are
    /// never given back in place of the secret.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.ring().open(place, sealed)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_ring(&self, change: impl FnOnce(&Ring) -> Ring) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(change(&ring));
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

/// The failure that says which key is needed.
async fn wrong(tx: &mut Tx, given: Option<&Root>) -> VaultError {
    match Vault::needed_key(tx).await {
        Ok(needed) => VaultError::WrongMasterKey { needed, given: given.map(|root| root.id().clone()) },
        Err(error) => error.into(),
    }
}

/// What stands before the nonce of what is sealed with this data key.
fn head(generation: Generation) -> Vec<u8> {
    match generation {
        Generation::ROOT => vec![FORM_ROOT],
        Generation(number) => [&[FORM_DATA_KEY][..], &number.to_be_bytes()].concat(),
    }
}

/// With which data key this was sealed.
fn generation_of(sealed: &[u8]) -> Result<Generation, VaultError> {
    let generation = match sealed {
        [FORM_ROOT, ..] => Generation::ROOT,
        [FORM_DATA_KEY, a, b, c, d, ..] => Generation(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => return Err(VaultError::Format),
    };
    let is_whole = sealed.len() >= head(generation).len() + NONCE_LEN + TAG_LEN;
    if is_whole && sealed.starts_with(&head(generation)) { Ok(generation) } else { Err(VaultError::Format) }
}

fn seal_with(key: &LessSafeKey, generation: Generation, random: &Random, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
    let (mut sealed, nonce) = (head(generation), random.bytes::<NONCE_LEN>());
    let context = context(&sealed, place);
    sealed.extend_from_slice(&nonce);
    let mut body = Vec::with_capacity(plain.len() + TAG_LEN);
    body.extend_from_slice(plain);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
        .expect("a secret is far below the limit of AES-GCM");
    sealed.append(&mut body);
    sealed
}

fn open_with(key: &LessSafeKey, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (head, rest) = sealed.split_at(head(generation_of(sealed)?).len());
    let (nonce, body) = rest.split_at(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Format)?;
    let mut body = Zeroizing::new(body.to_vec());
    let opened = key.open_in_place(nonce, Aad::from(context(head, place)), &mut body);
    let length = opened.map_err(|_| VaultError::Sealed)?.len();
    body.truncate(length);
    Ok(body)
}

fn context(head: &[u8], place: &Place<'_>) -> Vec<u8> {
    let mut context = head.to_vec();
    for part in [place.table, place.row, place.column] {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}
