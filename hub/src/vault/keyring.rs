//! The keys in memory: the one that comes from the master key, and the data keys
//! that it unwraps, one for each generation.
//!
//! ```text
//! master key ─scrypt─► root ─HKDF─► wrapping key ─opens─► data keys ─open─► secrets
//! ```
//! Generation 0 is the root itself: before there were data keys, secrets were
//! sealed with it. Once there is a data key, nothing is sealed with it anew.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::store::{self, KeyRow};
use super::{CANARY, CANARY_PLACE, KeyCost, MasterKey, Place, VaultError, open_with, seal_with};
use crate::clock::Random;
use crate::db::Tx;

/// The bytes of a key.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// Bytes of a master key's id, before they are text.
const ID_LEN: usize = 8;

/// Which data key. Each rotation makes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The root itself, from before there were data keys.
    pub const ROOT: Self = Self(0);

    /// The generation after this one.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a master key is called: a digest of what is derived from it, which
/// tells nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct MasterKeyId(pub String);

impl std::fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is derived from a master key for one database. Does not print.
#[derive(Clone)]
pub struct Root {
    bytes: KeyBytes,
    id: MasterKeyId,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Root {
    /// Slow by intent.
    pub(super) async fn derive(master: MasterKey, salt: Vec<u8>, cost: KeyCost) -> Self {
        let derive = move || {
            let params = scrypt::Params::new(cost.log_n(), 8, 1).expect("the parameters are valid");
            let mut bytes = KeyBytes::default();
            let derived = scrypt::scrypt(master.expose(), &salt, &params, bytes.as_mut_slice());
            derived.expect("32 bytes are a valid length");
            bytes
        };
        let bytes = tokio::task::spawn_blocking(derive).await;
        Self::new(bytes.expect("deriving a key neither panics nor is cancelled"))
    }

    pub(super) fn new(bytes: KeyBytes) -> Self {
        let mut id = [0; 32];
        let expanded = [&b"id of the master key"[..]];
        let (salt, algorithm) = (hkdf::Salt::new(hkdf::HKDF_SHA256, b"windflow vault"), hkdf::HKDF_SHA256);
        let secret = salt.extract(bytes.as_slice());
        let filled = secret.expand(&expanded, algorithm).and_then(|okm| okm.fill(&mut id));
        filled.expect("32 bytes are a valid length");
        Self { bytes, id: MasterKeyId(HEXLOWER.encode(&id[..ID_LEN])) }
    }

    /// What the master key is called.
    pub const fn id(&self) -> &MasterKeyId {
        &self.id
    }

    /// What only this root opens.
    pub(super) fn seal_canary(&self, random: &Random) -> Vec<u8> {
        seal_with(&self.key(), Generation::ROOT, random, &CANARY_PLACE, CANARY)
    }

    /// Whether this root sealed the canary.
    pub(super) fn recognises(&self, canary: &[u8]) -> bool {
        open_with(&self.key(), &CANARY_PLACE, canary).is_ok_and(|opened| *opened == CANARY)
    }

    /// A data key as it is stored.
    pub(super) fn wrap(&self, generation: Generation, key: &[u8; 32], random: &Random) -> Vec<u8> {
        let row = generation.to_string();
        seal_with(&self.wrapping_key(), Generation::ROOT, random, &wrapped_place(&row), key)
    }

    /// The data key that was stored.
    pub(super) fn unwrap(&self, row: &KeyRow) -> Result<KeyBytes, VaultError> {
        let generation = row.generation()?;
        let name = generation.to_string();
        let opened = open_with(&self.wrapping_key(), &wrapped_place(&name), &row.wrapped);
        let opened = opened.map_err(|_| VaultError::DataKey(generation))?;
        let mut key = KeyBytes::default();
        if opened.len() != key.len() {
            return Err(VaultError::DataKey(generation));
        }
        key.copy_from_slice(&opened);
        Ok(key)
    }

    /// The bytes, which are the data key of generation 0.
    pub(super) const fn bytes(&self) -> &KeyBytes {
        &self.bytes
    }

    fn key(&self) -> LessSafeKey {
        data_key(&self.bytes)
    }

    /// Another key than the root, so that the root can be wrapped itself.
    fn wrapping_key(&self) -> LessSafeKey {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"windflow vault").extract(self.bytes.as_slice());
        let expanded = [&b"wraps data keys"[..]];
        let okm = secret.expand(&expanded, &AES_256_GCM).expect("32 bytes are a valid length");
        LessSafeKey::new(UnboundKey::from(okm))
    }
}

/// Every key that opens something, at one moment.
#[derive(Debug)]
pub(super) struct Ring {
    pub root: Root,
    /// What is sealed from now on is sealed with this one.
    pub current: Generation,
    keys: BTreeMap<Generation, LessSafeKey>,
}

impl Ring {
    /// Unwraps what the database has.
    pub async fn load(tx: &mut Tx, root: Root) -> Result<Self, VaultError> {
        let mut keys = BTreeMap::new();
        for row in store::list(tx).await? {
            keys.insert(row.generation()?, data_key(&root.unwrap(&row)?));
        }
        if keys.is_empty() {
            keys.insert(Generation::ROOT, root.key());
        }
        let current = keys.keys().next_back().copied().unwrap_or(Generation::ROOT);
        Ok(Self { root, current, keys })
    }

    /// As it was before there were data keys.
    #[cfg(test)]
    pub fn before_data_keys(root: Root) -> Self {
        let keys = BTreeMap::from([(Generation::ROOT, root.key())]);
        Self { root, current: Generation::ROOT, keys }
    }

    /// One data key of generation 1.
    #[cfg(test)]
    pub fn of(key: [u8; 32]) -> Self {
        let root = Root::new(Zeroizing::new([9; 32]));
        let current = Generation::ROOT.next();
        Self { root, current, keys: BTreeMap::from([(current, data_key(&Zeroizing::new(key)))]) }
    }

    /// The same with another data key, which is the current one if it is the newest.
    pub fn with(&self, generation: Generation, key: &KeyBytes) -> Self {
        let mut keys = self.keys.clone();
        keys.insert(generation, data_key(key));
        Self { root: self.root.clone(), current: self.current.max(generation), keys }
    }

    /// The same without a data key that is not the current one.
    pub fn without(&self, generation: Generation) -> Self {
        let mut keys = self.keys.clone();
        keys.retain(|known, _| *known != generation || *known == self.current);
        Self { root: self.root.clone(), current: self.current, keys }
    }

    /// The same data keys under another master key.
    pub fn under(&self, root: Root) -> Self {
        Self { root, current: self.current, keys: self.keys.clone() }
    }

    pub fn seal(&self, random: &Random, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        let key = self.keys.get(&self.current).expect("the current key is in the ring");
        seal_with(key, self.current, random, place, plaintext)
    }

    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let generation = super::generation_of(sealed)?;
        let key = self.keys.get(&generation).ok_or(VaultError::UnknownKey(generation))?;
        open_with(key, place, sealed)
    }
}

fn data_key(bytes: &KeyBytes) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_slice()).expect("32 bytes are an AES-256 key"))
}

fn wrapped_place(row: &str) -> Place<'_> {
    Place { table: "vault_keys", row, column: "wrapped" }
}
