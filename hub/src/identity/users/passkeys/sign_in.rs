//! Signing in with a passkey, alone or in the place of a code.

use std::fmt;

use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ceremony::{Assertion, Failure};
use super::model::Presented;
use super::pending::{CHALLENGE_LIFE, SignIn};
use super::{ceremony, store};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, Scheme, UserId, cookie};
use crate::identity::audit::{self, Action, Entry, Outcome};
use crate::identity::sessions::{Browser, Credentials, SessionCookie};
use crate::identity::users::second_factor::Proof;
use crate::identity::users::{self, User};
use crate::identity::{Identity, hash_secret};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use data_encoding::BASE64URL_NOPAD;

/// Random bytes in what binds a challenge to its browser.
const SECRET_BYTES: usize = 32;
/// What those are counted as who try passkeys, whoever they are.
const ACCOUNT: &str = "passkey";

/// A passkey that was used to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedPasskey {
    /// The passkey.
    id: Uuid,
    /// Whether it was all that was given.
    alone: bool,
}

impl UsedPasskey {
    /// The record of a session that began with it.
    pub(in crate::identity) fn told(self, entry: Entry) -> Entry {
        let by = if self.alone { "passkey" } else { "password and passkey" };
        entry.fact("by", json!(by)).fact("passkey_id", json!(self.id))
    }
}

/// Why a passkey was not accepted. Whoever tried learns nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Refusal {
    /// There is no such challenge for this browser any more.
    Expired,
    /// It cannot be a passkey at all, or nobody has it.
    Unknown,
    /// It is another's.
    Foreign,
    /// It was made for another name of the hub.
    OtherName,
    /// Its user may not sign in.
    Disabled,
    /// Its user signs in elsewhere.
    Elsewhere,
    /// The signature or what it is about is wrong.
    Wrong,
    /// It said a number of uses that was over.
    Cloned(Uuid),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "passkey: no such challenge",
            Self::Unknown => "passkey: unknown",
            Self::Foreign => "passkey: of another user",
            Self::OtherName => "passkey: made for another name of the hub",
            Self::Disabled => "passkey: the user is disabled",
            Self::Elsewhere => "passkey: the user has no password here",
            Self::Wrong => "passkey: not valid",
            Self::Cloned(_) => "passkey: its counter went back, there may be two of it",
        })
    }
}

/// A challenge on its way to a browser.
#[derive(Debug)]
pub(super) struct Challenged {
    pub challenge: String,
    pub rp_id: String,
    secret: Zeroizing<String>,
}

impl Challenged {
    /// What binds it to the browser.
    pub fn cookie(&self, scheme: Scheme) -> HeaderValue {
        cookie::set_passkey(scheme, &self.secret, CHALLENGE_LIFE)
    }
}

impl Identity {
    /// Gives a challenge to whoever wants to sign in with a passkey. It says
    /// nothing of who has any.
    ///
    /// # Errors
    /// 403 where it is no browser, 409 where there are no passkeys.
    pub(super) async fn begin_passkey_sign_in(&self, headers: &HeaderMap, caller: &Caller) -> ApiResult<Challenged> {
        let site = self.passkey_site(headers, caller.scheme).await??;
        if !headers.contains_key(header::ORIGIN) {
            let message = "Passkeys are used by browsers: there is no `Origin`.";
            return Err(ApiError::forbidden("foreign_origin", message));
        }
        let (state, number, challenge) = ceremony::begin_sign_in(&site).map_err(ApiError::internal)?;
        let secret = Zeroizing::new(BASE64URL_NOPAD.encode(&self.random.bytes::<SECRET_BYTES>()));
        let browser = hash_secret(secret.as_bytes());
        let (rp_id, begun_at) = (site.rp_id.clone(), self.now());
        self.pending.begin_sign_in(number, SignIn { state, site, browser, address: caller.address, begun_at });
        Ok(Challenged { challenge, rp_id, secret })
    }

    /// Starts a session for whoever has a passkey, which verified them.
    ///
    /// # Errors
    /// 401 when it is not accepted, whyever; 429 after too many attempts.
    pub(super) async fn sign_in_with_passkey(
        &self,
        presented: &Presented,
        browser: Browser,
        caller: &Caller,
    ) -> ApiResult<(User, SessionCookie)> {
        let now = self.now();
        let account = caller.address.map_or(ACCOUNT.to_owned(), |address| format!("{ACCOUNT}/{address}"));
        self.throttle.begin(&account, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let mut tx = self.db.write_vital().await?;
        let (user, id) = match self.use_passkey(&mut tx, presented, None).await? {
            Ok(used) => used,
            Err((refusal, user)) => {
                drop(tx);
                return Err(self.refuse_passkey(refusal, user.as_ref(), (caller, Action::SignIn), now).await?);
            }
        };
        let browser = Browser { passkey: Some(UsedPasskey { id, alone: true }), ..browser };
        let started = self.start_session_within(&mut tx, &user, caller, browser).await?;
        tx.commit().await?;
        if started.has_replaced {
            self.credentials_ended();
        }
        self.throttle.forgive(&account, caller.address, now).await;
        Ok((user, started.cookie))
    }

    /// Looks at what somebody gave beside a password that was right: a passkey
    /// of theirs, or else a code.
    pub(in crate::identity) async fn prove_beside_password(
        &self,
        tx: &mut Tx,
        user: UserId,
        given: &Credentials,
    ) -> ApiResult<Proof> {
        let Some(presented) = &given.passkey else {
            return self.prove_second_factor(tx, user, given.code.as_ref()).await;
        };
        Ok(match self.use_passkey(tx, presented, Some(user)).await? {
            Ok((_, id)) => Proof::Passkey(UsedPasskey { id, alone: false }),
            Err((refusal, _)) => Proof::Refused(refusal),
        })
    }

    /// Records that a passkey was not accepted; what is said of it.
    pub(in crate::identity) async fn refuse_passkey(
        &self,
        refusal: Refusal,
        user: Option<&User>,
        (caller, action): (&Caller, Action),
        now: Timestamp,
    ) -> ApiResult<ApiError> {
        let name = user.map_or(ACCOUNT, |user| &user.name);
        self.record_refusal_of(action, name, Some(&refusal.to_string()), caller, now).await?;
        if let (Refusal::Cloned(id), Some(user)) = (refusal, user) {
            let target = user.id.to_string();
            let entry = Entry::new(&caller.into(), Action::PasskeyCloned, &target).called(Some(&user.name));
            let entry = entry.outcome(Outcome::Denied).fact("passkey_id", json!(id));
            let mut tx = self.db.write_vital().await?;
            audit::record(&mut tx, entry, now).await?;
            tx.commit().await?;
        }
        let message = "The passkey was not accepted. Try again, or sign in with your password.";
        Ok(ApiError::new(StatusCode::UNAUTHORIZED, "passkey_refused", message))
    }

    /// Uses a passkey of one's own, and its challenge up.
    pub(in crate::identity) async fn use_own_passkey(
        &self,
        tx: &mut Tx,
        own: UserId,
        presented: &Presented,
    ) -> ApiResult<Result<(), Refusal>> {
        Ok(self.use_passkey(tx, presented, Some(own)).await?.map(drop).map_err(|(refusal, _)| refusal))
    }

    /// Uses a passkey, and its challenge up. Whose it is where it was refused,
    /// as far as the signature proved it or a password did.
    async fn use_passkey(
        &self,
        tx: &mut Tx,
        presented: &Presented,
        of: Option<UserId>,
    ) -> ApiResult<Result<(User, Uuid), (Refusal, Option<User>)>> {
        let now = self.now();
        let browser = presented.browser.as_ref().map(|secret| hash_secret(secret.as_bytes()));
        let Some(assertion) = Assertion::read(&presented.passkey) else { return Ok(Err((Refusal::Unknown, None))) };
        let begun = assertion.challenge().zip(browser);
        let begun = begun.and_then(|(challenge, browser)| self.pending.take_sign_in(challenge, &browser, now));
        let Some(SignIn { state, site, .. }) = begun else { return Ok(Err((Refusal::Expired, None))) };
        let Some(known) = store::find_by_credential(tx, &assertion.credential_id()).await? else {
            return Ok(Err((Refusal::Unknown, None)));
        };
        let Some(user) = users::find(tx, known.user_id).await? else { return Ok(Err((Refusal::Unknown, None))) };
        if of.is_some_and(|of| of != user.id) {
            return Ok(Err((Refusal::Foreign, None)));
        }
        if known.rp_id != site.rp_id {
            return Ok(Err((Refusal::OtherName, Some(user))));
        }
        let used = match assertion.verify(state, &site, &known) {
            Ok(used) => used,
            Err(Failure::Counter) => return Ok(Err((Refusal::Cloned(known.id), Some(user)))),
            Err(Failure::Other(why)) => {
                tracing::debug!(user.id = %user.id, %why, "a passkey was not accepted");
                return Ok(Err((Refusal::Wrong, Some(user))));
            }
        };
        if user.disabled_at.is_some() {
            return Ok(Err((Refusal::Disabled, Some(user))));
        }
        if users::find_password_hash(tx, user.id).await?.is_none() {
            return Ok(Err((Refusal::Elsewhere, Some(user))));
        }
        if !store::note_use(tx, known.id, used.sign_count, used.backed_up, now).await? {
            return Ok(Err((Refusal::Cloned(known.id), Some(user))));
        }
        Ok(Ok((user, known.id)))
    }
}
