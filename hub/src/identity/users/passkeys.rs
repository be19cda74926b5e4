//! Passkeys: key pairs whose private half stays with a phone, a computer or a
//! security key. One signs in alone, since whoever uses it is verified by it,
//! or stands in for the code beside a password.
//!
//! The hub keeps public keys and lets a browser sign a challenge with the
//! private one: one use, one browser, five minutes. A passkey belongs to the
//! name of the hub that it was made for.

mod ceremony;
mod model;
mod pending;
mod routes;
mod sign_in;
mod site;
mod store;
#[cfg(test)]
mod tests;

use axum::http::HeaderMap;
use data_encoding::BASE64URL_NOPAD;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use self::ceremony::Handle;
use self::model::NewCredential;
pub use self::model::{Passkey, Presented, PresentedPasskey};
pub(in crate::identity) use self::pending::Pending;
use self::pending::Registration;
pub(in crate::identity) use self::routes::routes;
pub(in crate::identity) use self::sign_in::Refusal;
pub use self::sign_in::UsedPasskey;
use self::site::{NoSite, Site};
pub(super) use self::store::delete_all_of;
pub(in crate::identity) use self::store::has_any;
use super::{found, second_factor};
use crate::db::dialect::{Exclusive, lock_exclusive};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, CredentialUsed, Principal, Scheme, SignedInUser, Title, UserId};
use crate::identity::Identity;
use crate::identity::audit::{self, Action, Entry, Outcome};

/// Passkeys of one user at most.
const PASSKEYS_MAX: usize = 20;

/// What proves that it is really they who add or remove a passkey.
#[derive(Debug)]
struct Proofs {
    /// Their password.
    password: SecretString,
    /// A code, where they have an app.
    code: Option<SecretString>,
}

/// What a browser makes a passkey of.
#[derive(Debug)]
struct Begun {
    challenge: String,
    rp_id: String,
    user_handle: String,
    user_name: String,
    /// Those that the user has, none of which is to be made twice.
    known: Vec<store::PasskeyRow>,
}

/// One's own passkeys, and whether there can be more.
#[derive(Debug)]
struct Standing {
    passkeys: Vec<Passkey>,
    site: Result<Site, NoSite>,
    has_password: bool,
    needs_code: bool,
}

impl Identity {
    /// Under which name a browser that called the hub like this knows it.
    ///
    /// # Errors
    /// When the database fails.
    async fn passkey_site(&self, headers: &HeaderMap, scheme: Scheme) -> ApiResult<Result<Site, NoSite>> {
        let public_url = self.mail.public_url(&mut self.db.read().await?).await?;
        Ok(Site::of(headers, scheme, public_url.as_ref()))
    }

    /// Whether passkeys work at the address of this request.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn takes_passkeys(&self, headers: &HeaderMap, scheme: Scheme) -> ApiResult<bool> {
        Ok(self.passkey_site(headers, scheme).await?.is_ok())
    }

    async fn passkeys_of(&self, own: &SignedInUser, headers: &HeaderMap, scheme: Scheme) -> ApiResult<Standing> {
        let site = self.passkey_site(headers, scheme).await?;
        let mut tx = self.db.read().await?;
        let rp_id = site.as_ref().ok().map(|site| site.rp_id.as_str());
        let passkeys = store::list_of(&mut tx, own.id).await?.into_iter().map(|row| row.seen_from(rp_id)).collect();
        let has_password = super::find_password_hash(&mut tx, own.id).await?.is_some();
        let needs_code = second_factor::has_app(&mut tx, own.id).await?;
        Ok(Standing { passkeys, site, has_password, needs_code })
    }

    /// Begins to make a passkey.
    ///
    /// # Errors
    /// 403 when password or code are wrong, 409 where there can be none, or no
    /// more, 429 after too many attempts.
    async fn begin_passkey(
        &self,
        own: &SignedInUser,
        given: Proofs,
        headers: &HeaderMap,
        caller: &Caller,
    ) -> ApiResult<Begun> {
        let site = self.passkey_site(headers, caller.scheme).await?.map_err(ApiError::from)?;
        let session = session_of(own)?;
        let mut tx = self.db.read().await?;
        if super::find_password_hash(&mut tx, own.id).await?.is_none() {
            let message = "Passkeys are for those who have a password here. You sign in with an identity provider.";
            return Err(ApiError::conflict("no_password", message));
        }
        let known = store::list_of(&mut tx, own.id).await?;
        drop(tx);
        if known.len() >= PASSKEYS_MAX {
            return Err(too_many());
        }
        self.prove_fully(own, Some(given.password), given.code.as_ref(), caller).await?;
        let handle = known.first().and_then(|row| row.handle()).unwrap_or_else(|| Handle::from(self.random.bytes()));
        let (state, challenge) = ceremony::begin_registration(&site, &handle).map_err(ApiError::internal)?;
        let registration = Registration { state, site: site.clone(), session, begun_at: self.now() };
        self.pending.begin_registration(own.id, registration);
        let user_handle = BASE64URL_NOPAD.encode(handle.as_ref());
        Ok(Begun { challenge, rp_id: site.rp_id, user_handle, user_name: own.name.clone(), known })
    }

    /// Keeps the passkey that the browser made.
    ///
    /// # Errors
    /// 400 when it is not what was asked for, 409 where none was begun, it is
    /// known, or there are too many.
    async fn finish_passkey(
        &self,
        own: &SignedInUser,
        name: &Title,
        made: NewCredential,
        caller: &Caller,
    ) -> ApiResult<Passkey> {
        let (now, session) = (self.now(), session_of(own)?);
        let Some(begun) = self.pending.take_registration(own.id, session, now) else {
            let message = "No passkey waits to be added, or it waited for too long. Begin again.";
            return Err(ApiError::conflict("passkey_not_begun", message));
        };
        let (site, transports) = (begun.site, made.transports.to_string());
        let registered = match ceremony::finish_registration(begun.state, &site, made) {
            Ok(registered) => registered,
            Err(why) => return Err(self.refuse_new_passkey(own, &why, caller).await?),
        };
        let row = store::PasskeyRow {
            id: Uuid::now_v7(),
            user_id: own.id,
            credential_id: registered.credential_id,
            public_key: registered.public_key,
            sign_count: registered.sign_count.into(),
            transports,
            user_handle: registered.user_handle,
            rp_id: site.rp_id.clone(),
            name: name.as_str().to_owned(),
            backup_eligible: registered.backup_eligible,
            backed_up: registered.backed_up,
            created_at: now,
            last_used_at: None,
        };
        let mut tx = self.db.write().await?;
        lock_exclusive(&mut tx, Exclusive::Passkeys).await?;
        if store::list_of(&mut tx, own.id).await?.len() >= PASSKEYS_MAX {
            return Err(too_many());
        }
        if store::find_by_credential(&mut tx, &row.credential_id).await?.is_some() {
            return Err(ApiError::conflict("passkey_known", "This passkey was added before."));
        }
        store::insert(&mut tx, &row).await?;
        let entry = Entry::new(&caller.into(), Action::PasskeyAdd, &own.id.to_string()).called(Some(&own.name));
        let entry = entry.fact("passkey", json!(row.name)).fact("rp_id", json!(row.rp_id));
        audit::record(&mut tx, entry.fact("passkey_id", json!(row.id)), now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(row.seen_from(Some(&site.rp_id)))
    }

    async fn refuse_new_passkey(&self, own: &SignedInUser, why: &str, caller: &Caller) -> ApiResult<ApiError> {
        let entry = Entry::new(&caller.into(), Action::PasskeyAdd, &own.id.to_string()).called(Some(&own.name));
        let mut tx = self.db.write_vital().await?;
        audit::record(&mut tx, entry.outcome(Outcome::Denied).detail(why), self.now()).await?;
        tx.commit().await?;
        let message = "What the browser made is not the passkey that was asked for. Begin again.";
        Ok(ApiError::bad_request("passkey_refused", message))
    }

    /// Gives one's own passkey another name.
    ///
    /// # Errors
    /// 404 when there is no such passkey.
    async fn rename_passkey(&self, own: &SignedInUser, id: Uuid, name: &Title, caller: &Caller) -> ApiResult<()> {
        let mut tx = self.db.write().await?;
        let row = store::find(&mut tx, own.id, id).await?.ok_or_else(unknown)?;
        store::rename(&mut tx, id, name.as_str()).await?;
        let entry = Entry::new(&caller.into(), Action::PasskeyRename, &own.id.to_string()).called(Some(&own.name));
        let entry = entry.fact("before", json!(row.name)).fact("passkey", json!(name.as_str()));
        audit::record(&mut tx, entry.fact("passkey_id", json!(id)), self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Removes one's own passkey.
    ///
    /// # Errors
    /// 403 when password or code are wrong, 404 when there is no such passkey,
    /// 429 after too many attempts.
    async fn remove_passkey(&self, own: &SignedInUser, id: Uuid, given: Proofs, caller: &Caller) -> ApiResult<()> {
        self.prove_fully(own, Some(given.password), given.code.as_ref(), caller).await?;
        let mut tx = self.db.write_vital().await?;
        let row = store::find(&mut tx, own.id, id).await?.ok_or_else(unknown)?;
        store::delete(&mut tx, id).await?;
        let entry = Entry::new(&caller.into(), Action::PasskeyRemove, &own.id.to_string()).called(Some(&own.name));
        let entry = entry.fact("passkey", json!(row.name)).fact("passkey_id", json!(id));
        audit::record(&mut tx, entry, self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// Takes all passkeys of a user away, such as after a computer was lost.
    ///
    /// # Errors
    /// 403 for one's own, 404 when there is no such user.
    async fn reset_passkeys(&self, id: UserId, caller: &Caller) -> ApiResult<super::User> {
        let own = caller.principal.as_ref().and_then(Principal::user);
        if own.is_some_and(|own| own.id == id) {
            let message = "Remove your own passkeys under your account, with your password.";
            return Err(ApiError::forbidden("own_passkeys", message));
        }
        let mut tx = self.db.write_vital().await?;
        let user = found(super::find(&mut tx, id).await?)?;
        let removed = store::delete_all_of(&mut tx, id).await?;
        if removed > 0 {
            let entry = Entry::new(&caller.into(), Action::PasskeysReset, &id.to_string()).called(Some(&user.name));
            audit::record(&mut tx, entry.fact("passkeys", removed.into()), self.now()).await?;
            tx.commit().await?;
            self.credentials_ended();
        }
        Ok(super::User { passkeys: 0, ..user })
    }
}

fn session_of(own: &SignedInUser) -> ApiResult<Uuid> {
    match own.credential {
        CredentialUsed::Session(session) => Ok(session),
        CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => {
            Err(ApiError::forbidden("session_required", "Sign in with a browser to look after your passkeys."))
        }
    }
}

fn too_many() -> ApiError {
    let message = format!("You have {PASSKEYS_MAX} passkeys, which is the most. Remove one first.");
    ApiError::conflict("too_many_passkeys", message)
}

fn unknown() -> ApiError {
    ApiError::not_found("passkey")
}
