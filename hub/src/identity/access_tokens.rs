//! What programs get for a password: an access token, which lasts half an hour,
//! and a refresh token, with which they get the next pair. All that follows from
//! one sign-in is a family.
//!
//! ```text
//! access    a signed web token, see `jws`
//! refresh   wfr1_<id>_<secret>_<crc>      as API tokens are written
//! ```
//!
//! A refresh token is good once. One that comes a second time was copied, or its
//! answer was lost; nobody can tell which, so the family ends and its user signs
//! in again. There is no grace for a request that is sent twice.

mod jws;
mod keys;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use windflow_protocol::token::TokenId;
use zeroize::Zeroizing;

use self::jws::{Claims, Unverified};
pub use self::keys::SigningKeyAge;
pub(super) use self::routes::routes;
use self::store::RefreshRow;
pub use self::store::{TokenFamily, TokenFamilyFilter, delete_all};
pub(super) use self::store::{delete_expired, delete_of_user};
use super::audit::{self, Action, Actor, Entry, Outcome};
use super::sessions::{Credentials, as_user, may_see, signed_in};
use super::tokens::{self, SECRET_BYTES};
use super::users::User;
use super::users::second_factor;
use super::{Identity, grants, hash_secret};
use crate::clock::Timestamp;
use crate::db::{Tx, dialect};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, CredentialUsed, List, Page, SignedInUser};

/// What every refresh token starts with; secret scanners look for it.
const PREFIX: &str = "wfr1";
/// How long an access token is good.
pub const ACCESS_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long a refresh token is good.
pub const REFRESH_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A family ends then, however often it is refreshed.
pub const FAMILY_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// By how much the clock of another hub on the same database may be ahead.
const CLOCK_SKEW_SECONDS: i64 = 30;
/// For what access tokens are made.
const AUDIENCE: &str = "windflow-api";

/// An access token and what gets the next one.
#[derive(Debug)]
pub struct Pair {
    /// The family that both belong to.
    pub family: Uuid,
    /// What to send as `Authorization: Bearer`.
    pub access: Zeroizing<String>,
    /// When that ends.
    pub access_expires_at: Timestamp,
    /// What gets the next pair, once.
    pub refresh: Zeroizing<String>,
    /// When that ends.
    pub refresh_expires_at: Timestamp,
}

impl Identity {
    /// Begins a family for whoever knows the password, and has the second
    /// factor where there is one.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in); 403 for those of whom a second factor is
    /// asked that they do not have.
    pub async fn log_in(&self, given: Credentials, user_agent: String, caller: &Caller) -> ApiResult<Pair> {
        let mut proven = self.prove(given, caller).await?;
        let user = proven.user.clone();
        if self.is_factor_due(&mut proven.tx, &user).await? {
            self.set_aside(proven, caller).await;
            self.record_refusal(&user.name, Some("second factor due"), caller, self.now()).await?;
            return Err(factor_due());
        }
        let now = self.now();
        let family = TokenFamily {
            id: Uuid::now_v7(),
            user_id: user.id,
            user_name: user.name.clone(),
            address: caller.address.map(|address| address.to_string()),
            user_agent,
            created_at: now,
            expires_at: now + REFRESH_LIFE,
            last_used_at: now,
        };
        store::insert(&mut proven.tx, &family).await?;
        let pair = self.make_pair(&mut proven.tx, &user, family.id, family.expires_at).await?;
        let actor = as_user(caller, &user, CredentialUsed::AccessToken(family.id));
        let entry = Entry::new(&actor, Action::SignIn, &user.id.to_string()).called(Some(&user.name));
        let provider = proven.provider();
        let entry = provider.into_iter().fold(entry, |entry, by| entry.fact("provider", by.name.into()));
        audit::record(&mut proven.tx, entry, now).await?;
        self.settle(proven, &actor, caller, false).await?;
        Ok(pair)
    }

    /// Gives the next pair for a refresh token, which is used up. The family of
    /// one that was used before ends.
    ///
    /// # Errors
    /// 401 for a token that is not good, 403 for those of whom a second factor
    /// is asked by now.
    pub async fn refresh(&self, text: &SecretString, caller: &Caller) -> ApiResult<Pair> {
        let now = self.now();
        let (id, secret) = tokens::parse(PREFIX, text.expose_secret()).ok_or_else(not_good)?;
        // Whoever guesses does not get as far as a transaction that writes.
        let known = store::find_refresh(&mut self.db.read().await?, id.as_str()).await?.ok_or_else(not_good)?;
        let is_right = bool::from(hash_secret(&secret).as_slice().ct_eq(&known.secret_hash));
        if !is_right || known.expires_at <= now {
            return Err(not_good());
        }
        let mut tx = self.db.write_vital().await?;
        if !dialect::hold_row(&mut tx, "token_families", known.family_id).await? {
            return Err(not_good());
        }
        if !store::use_refresh(&mut tx, id.as_str(), now).await? {
            self.end_reused(tx, known.family_id, caller).await?;
            return Err(not_good());
        }
        let found = store::find_user(&mut tx, known.family_id, now).await?.ok_or_else(not_good)?;
        if self.is_factor_due(&mut tx, &found.user).await? {
            return Err(factor_due());
        }
        let until = (now + REFRESH_LIFE).min(found.family_created_at + FAMILY_LIFE);
        if !store::prolong(&mut tx, known.family_id, until, now).await? {
            return Err(not_good());
        }
        let pair = self.make_pair(&mut tx, &found.user, known.family_id, until).await?;
        tx.commit().await?;
        Ok(pair)
    }

    /// Ends a family, if it is one that `caller` may end: their own, or any for
    /// those who manage users.
    ///
    /// # Errors
    /// 404 when there is no such family for this caller.
    pub async fn revoke_token_family(&self, id: Uuid, caller: &Caller) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        let family = store::find(&mut tx, id).await?.filter(|family| may_see(caller, family.user_id));
        let family = family.ok_or_else(|| ApiError::not_found("token family"))?;
        store::delete(&mut tx, id).await?;
        let entry = Entry::new(&caller.into(), Action::TokenFamilyRevoke, &id.to_string()).detail(&family.user_name);
        audit::record(&mut tx, entry, self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// Ends the family that the caller's own access token belongs to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_out(&self, family: Uuid, own: &SignedInUser, by: &Actor) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        store::delete(&mut tx, family).await?;
        audit::record(&mut tx, Entry::new(by, Action::SignOut, &own.id.to_string()), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// One page of the families that are not over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_token_families(&self, filter: TokenFamilyFilter, page: Page) -> ApiResult<List<TokenFamily>> {
        let now = self.now();
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, filter, page, now).await?;
        let total = store::count(&mut tx, filter, now).await?;
        Ok(List { items, total })
    }

    /// Whose access token this is. Its signature tells what it says; whether its
    /// family and its user are still there is asked all the same.
    pub(super) async fn find_access_user(&self, text: &str) -> ApiResult<Option<SignedInUser>> {
        let Some(token) = Unverified::parse(text) else {
            return Ok(None);
        };
        let now = self.now();
        let asked = match self.recent_access.find(text, now).await {
            Ok(user) => return Ok(Some(user)),
            Err(asked) => asked,
        };
        let mut tx = self.db.read().await?;
        let key = store::find_public_key(&mut tx, token.key_id()).await?;
        let Some(claims) = key.and_then(|key| token.verify(&key)).filter(|claims| self.is_current(claims, now)) else {
            return Ok(None);
        };
        let found = store::find_user(&mut tx, claims.sid, now).await?;
        let Some(found) = found.filter(|found| found.user.id.0 == claims.sub) else {
            return Ok(None);
        };
        let powers = grants::powers_of(&mut tx, &found.user).await?;
        let second_factor_due = second_factor::is_due(&mut tx, found.user.id, &powers).await?;
        drop(tx);
        let user = signed_in(&found.user, powers, CredentialUsed::AccessToken(claims.sid));
        let user = SignedInUser { second_factor_due, ..user };
        self.recent_access.keep(text, &user, asked, now).await;
        Ok(Some(user))
    }

    fn is_current(&self, claims: &Claims, now: Timestamp) -> bool {
        let now = seconds(now);
        let lasts = i64::try_from(ACCESS_LIFE.as_secs()).unwrap_or_default();
        let is_ours = claims.iss == self.issuer && claims.aud == AUDIENCE;
        is_ours && claims.exp > now && claims.iat <= now + CLOCK_SKEW_SECONDS && claims.exp - claims.iat <= lasts
    }

    async fn is_factor_due(&self, tx: &mut Tx, user: &User) -> ApiResult<bool> {
        let powers = grants::powers_of(tx, user).await?;
        Ok(second_factor::is_due(tx, user.id, &powers).await?)
    }

    async fn make_pair(&self, tx: &mut Tx, user: &User, family: Uuid, until: Timestamp) -> ApiResult<Pair> {
        let now = self.now();
        let access_expires_at = (now + ACCESS_LIFE).min(until);
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: user.id.0,
            aud: AUDIENCE.to_owned(),
            exp: seconds(access_expires_at),
            iat: seconds(now),
            jti: Uuid::now_v7(),
            sid: family,
        };
        let (key_id, key) = self.signing_key(tx, now).await?;
        let id = TokenId::from_random(u64::from_le_bytes(self.random.bytes()));
        let secret = Zeroizing::new(self.random.bytes::<SECRET_BYTES>());
        let secret_hash = hash_secret(secret.as_slice()).to_vec();
        let row = RefreshRow { family_id: family, secret_hash, expires_at: until };
        store::insert_refresh(tx, id.as_str(), &row).await?;
        Ok(Pair {
            family,
            access: jws::sign(&key_id, &key, &claims),
            access_expires_at,
            refresh: tokens::render(PREFIX, &id, secret.as_slice()),
            refresh_expires_at: until,
        })
    }

    /// Somebody has a copy of a token: whoever it is, nothing of the family is
    /// good any more.
    async fn end_reused(&self, mut tx: Tx, family: Uuid, caller: &Caller) -> ApiResult<()> {
        let Some(known) = store::find(&mut tx, family).await? else {
            return Ok(());
        };
        if !store::delete(&mut tx, family).await? {
            return Ok(());
        }
        let entry = Entry::new(&caller.into(), Action::TokenFamilyReuse, &family.to_string());
        audit::record(&mut tx, entry.outcome(Outcome::Denied).detail(&known.user_name), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        tracing::warn!(family.id = %family, user = known.user_name, "a refresh token was used twice: its family ended");
        Ok(())
    }
}

/// A family of which an access token may still be good. What a program has open
/// lasts as long as it goes on refreshing.
pub(super) async fn find_standing(tx: &mut Tx, id: Uuid, now: Timestamp) -> ApiResult<Option<TokenFamily>> {
    let family = store::find(tx, id).await?;
    Ok(family.filter(|family| family.expires_at > now && family.last_used_at + ACCESS_LIFE > now))
}

fn seconds(moment: Timestamp) -> i64 {
    moment.as_micros().div_euclid(1_000_000)
}

fn not_good() -> ApiError {
    ApiError::unauthorized("The refresh token is not valid, has expired or was used before. Sign in again.")
}

fn factor_due() -> ApiError {
    let message = "This hub asks for a second factor. Sign in with a browser and set it up first.";
    ApiError::forbidden("second_factor_setup_required", message)
}
