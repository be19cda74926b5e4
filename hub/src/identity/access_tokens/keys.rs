//! The keys with which access tokens are signed. Each is sealed for its row;
//! the newest signs, and those before it stay for as long as a token of theirs
//! may live.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Serialize;
use windflow_protocol::text::base32;
use zeroize::Zeroizing;

use super::ACCESS_LIFE;
use super::store::{self, KeyRow};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::identity::Identity;
use crate::vault::Place;

/// A key signs for this long.
const KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A key is published for this long after the next one took its place.
const KEPT_FOR: Duration = Duration::from_secs(2 * ACCESS_LIFE.as_secs());
/// Random bytes in a key's name.
const ID_BYTES: usize = 10;

/// A key as it is published (RFC 8037).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    /// Its name.
    kid: String,
    /// The key.
    x: String,
}

/// How old a key is that signs access tokens, or signed them.
#[derive(Debug)]
pub struct SigningKeyAge {
    /// Its name.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When another takes its place, or took it.
    pub replaced_at: Timestamp,
}

impl From<KeyRow> for PublicKey {
    fn from(key: KeyRow) -> Self {
        let x = BASE64URL_NOPAD.encode(&key.public_key);
        Self { kty: "OKP", crv: "Ed25519", alg: "EdDSA", purpose: "sig", kid: key.id, x }
    }
}

impl Identity {
    /// The keys that may have signed a token that is good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_signing_keys(&self) -> ApiResult<Vec<PublicKey>> {
        let keys = store::list_keys(&mut self.db.read().await?).await?;
        Ok(keys.into_iter().map(PublicKey::from).collect())
    }

    /// How old those keys are, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ages_of_signing_keys(&self) -> ApiResult<Vec<SigningKeyAge>> {
        let keys = store::list_keys(&mut self.db.read().await?).await?;
        let mut next = None;
        let ages = keys.into_iter().map(|key| {
            let replaced_at = next.replace(key.created_at).unwrap_or(key.created_at + KEY_LIFE);
            SigningKeyAge { id: key.id, created_at: key.created_at, replaced_at }
        });
        Ok(ages.collect())
    }

    /// Has a fresh key sign from now on where the newest is old, and deletes
    /// those of which no token can be good any more. How many were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate_signing_keys(&self) -> Result<u64, DbError> {
        let now = self.now();
        let keys = store::list_keys(&mut self.db.read().await?).await?;
        let newest = keys.first().map(|key| key.created_at);
        let is_due = newest.is_none_or(|made| now.since(made) >= KEY_LIFE);
        let has_old = keys.len() > 1 && newest.is_some_and(|made| now.since(made) > KEPT_FOR);
        if !is_due && !has_old {
            return Ok(0);
        }
        let mut tx = self.db.write_vital().await?;
        let deleted = match newest {
            Some(made) if has_old => store::delete_keys_before(&mut tx, made).await?,
            Some(_) | None => 0,
        };
        if is_due {
            self.make_key(&mut tx, now).await?;
        }
        tx.commit().await?;
        Ok(deleted)
    }

    /// The key that signs, and its name. A hub that has none makes one.
    pub(super) async fn signing_key(&self, tx: &mut Tx, now: Timestamp) -> ApiResult<(String, Ed25519KeyPair)> {
        let row = match store::list_keys(tx).await?.into_iter().next() {
            Some(newest) => newest,
            None => self.make_key(tx, now).await?,
        };
        let seed = self.vault.open(&place(&row.id), &row.secret_sealed).map_err(ApiError::internal)?;
        let key = Ed25519KeyPair::from_seed_and_public_key(&seed, &row.public_key);
        let key = key.map_err(|_| ApiError::internal(anyhow::anyhow!("a signing key does not fit its public key")))?;
        Ok((row.id, key))
    }

    async fn make_key(&self, tx: &mut Tx, now: Timestamp) -> Result<KeyRow, DbError> {
        let seed = Zeroizing::new(self.random.bytes::<32>());
        let key = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("32 bytes are a seed");
        let id = base32().encode(&self.random.bytes::<ID_BYTES>());
        let secret_sealed = self.vault.seal(&place(&id), seed.as_slice());
        let row = KeyRow { public_key: key.public_key().as_ref().to_vec(), secret_sealed, created_at: now, id };
        store::insert_key(tx, &row).await?;
        Ok(row)
    }
}

/// Where a key is sealed.
fn place(id: &str) -> Place<'_> {
    Place { table: "signing_keys", row: id, column: "secret_sealed" }
}
