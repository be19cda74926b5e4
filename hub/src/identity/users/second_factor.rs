//! A second factor: codes of an authenticator app, which sign in together with
//! the password, and recovery codes for when the app is lost.
//!
//! It is begun, which gives the app its secret, and counts once a first code
//! proved that the app has it. The secret is sealed for its row; of recovery
//! codes only digests are stored. No code is accepted twice.

mod codes;
mod policy;
mod routes;
mod store;
#[cfg(test)]
mod tests;
mod totp;

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use secrecy::SecretString;
use zeroize::Zeroizing;

use self::codes::{GivenCode, RECOVERY_CODES, RecoveryCode};
pub use self::policy::SecondFactorPolicy;
pub(in crate::identity) use self::policy::{is_asked, is_due};
pub(super) use self::routes::in_browser;
pub(in crate::identity) use self::routes::routes;
use self::store::FactorRow;
use self::totp::Secret;
#[cfg(test)]
pub(in crate::identity) use self::totp::code_at;
use super::passkeys::{self, Refusal, UsedPasskey};
use super::{User, found};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, Principal, SignedInUser, UserId, confirmation_required};
use crate::identity::Identity;
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::vault::Place;

/// A secret that was given to an app must be confirmed within this.
const CONFIRM_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What somebody proved beside their password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Proof {
    /// The user has no second factor.
    NotNeeded,
    /// A code of the app.
    Code,
    /// A recovery code, which is used up.
    RecoveryCode,
    /// A passkey of theirs.
    Passkey(UsedPasskey),
    /// The user has a second factor, and there was no code.
    Missing,
    /// The code is wrong, or was used.
    Wrong,
    /// The passkey was not accepted.
    Refused(Refusal),
}

/// What a new second factor is made of, on its way to an app.
pub struct Begun {
    /// For typing, in base32.
    pub secret: Zeroizing<String>,
    /// For a picture.
    pub uri: Zeroizing<String>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}

/// How a user's second factor stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Since when it is on.
    pub since: Option<Timestamp>,
    /// Recovery codes that are left.
    pub recovery_codes: i64,
    /// Whether the hub asks for it.
    pub is_asked_for: bool,
    /// Whether the user has a password here.
    pub has_password: bool,
}

/// Recovery codes, shown this once.
pub type RecoveryCodes = Vec<Zeroizing<String>>;

impl Identity {
    /// How one's own second factor stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn second_factor_of(&self, own: &SignedInUser) -> ApiResult<Standing> {
        let mut tx = self.db.read().await?;
        let user = found(super::find(&mut tx, own.id).await?)?;
        Ok(Standing {
            since: user.second_factor_since,
            recovery_codes: store::count_recovery_codes(&mut tx, own.id).await?,
            is_asked_for: policy::read(&mut tx).await?.asks(&own.powers),
            has_password: super::find_password_hash(&mut tx, own.id).await?.is_some(),
        })
    }

    /// Makes a secret for an app. It counts for nothing until it is confirmed,
    /// and is of no use after a quarter of an hour. Who has no password here is
    /// to have confirmed a moment ago that it is they.
    ///
    /// # Errors
    /// 403 when the password is wrong, 409 where there is a second factor, 429
    /// after too many attempts.
    pub async fn begin_second_factor(
        &self,
        own: &SignedInUser,
        password: Option<SecretString>,
        issuer: &str,
        caller: &Caller,
    ) -> ApiResult<Begun> {
        let now = self.begin_attempt(own, caller).await?;
        self.check_own_password(own, password).await?;
        let secret = Secret::generate(&self.random);
        let sealed = self.vault.seal(&place(&own.id.to_string()), secret.as_bytes());
        let mut tx = self.db.write().await?;
        if !store::begin(&mut tx, own.id, &sealed, now).await? {
            self.throttle.forgive(&own.name, caller.address, now).await;
            let message = "You have a second factor. Turn it off first to set up another one.";
            return Err(ApiError::conflict("second_factor_on", message));
        }
        tx.commit().await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        Ok(Begun { secret: secret.to_base32(), uri: secret.to_uri(issuer, &own.name) })
    }

    /// Turns the second factor on for whose app gives the right code.
    ///
    /// # Errors
    /// 403 when the code is wrong, 409 where none was begun, or too long ago,
    /// 429 after too many attempts.
    pub async fn confirm_second_factor(
        &self,
        own: &SignedInUser,
        code: &SecretString,
        caller: &Caller,
    ) -> ApiResult<RecoveryCodes> {
        let now = self.begin_attempt(own, caller).await?;
        let mut tx = self.db.write().await?;
        let begun = store::find(&mut tx, own.id).await?;
        let begun = begun.filter(|row| row.confirmed_at.is_none() && now.since(row.begun_at) < CONFIRM_WITHIN);
        let Some(row) = begun else {
            self.throttle.take_back(&own.name, caller.address, now).await;
            let message = "No second factor waits to be confirmed, or it waited for too long. Begin again.";
            return Err(ApiError::conflict("second_factor_not_begun", message));
        };
        let step = match GivenCode::parse(code) {
            Some(GivenCode::Digits(digits)) => self.open_secret(own.id, &row)?.find_step(&digits, now, row.last_step),
            Some(GivenCode::Recovery(_)) | None => None,
        };
        let Some(step) = step else {
            return Err(wrong(StatusCode::FORBIDDEN));
        };
        if !store::confirm(&mut tx, own.id, &row.secret_sealed, step, now).await? {
            return Err(wrong(StatusCode::FORBIDDEN));
        }
        let codes = self.renew_recovery_codes_within(&mut tx, own.id).await?;
        let entry = Entry::new(&caller.into(), Action::SecondFactorOn, &own.id.to_string()).called(Some(&own.name));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        self.credentials_ended();
        Ok(codes)
    }

    /// Turns one's own second factor off.
    ///
    /// # Errors
    /// 403 when password or code are wrong, 409 where there is none, 429 after
    /// too many attempts.
    pub async fn end_second_factor(
        &self,
        own: &SignedInUser,
        password: Option<SecretString>,
        code: &SecretString,
        caller: &Caller,
    ) -> ApiResult<()> {
        let now = self.begin_attempt(own, caller).await?;
        self.check_own_password(own, password).await?;
        let mut tx = self.db.write_vital().await?;
        self.prove_own(&mut tx, own, code, caller, now).await?;
        store::delete(&mut tx, own.id).await?;
        let entry = Entry::new(&caller.into(), Action::SecondFactorOff, &own.id.to_string()).called(Some(&own.name));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        self.credentials_ended();
        Ok(())
    }

    /// Makes new recovery codes; those from before end.
    ///
    /// # Errors
    /// 403 when the code is wrong, 409 where there is no second factor, 429
    /// after too many attempts.
    pub async fn renew_recovery_codes(
        &self,
        own: &SignedInUser,
        code: &SecretString,
        caller: &Caller,
    ) -> ApiResult<RecoveryCodes> {
        let now = self.begin_attempt(own, caller).await?;
        let mut tx = self.db.write().await?;
        self.prove_own(&mut tx, own, code, caller, now).await?;
        let codes = self.renew_recovery_codes_within(&mut tx, own.id).await?;
        let entry = Entry::new(&caller.into(), Action::RecoveryCodesRenew, &own.id.to_string()).called(Some(&own.name));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        Ok(codes)
    }

    /// Takes a user's second factor away, such as after their phone was lost:
    /// the codes of their app, and their passkeys.
    ///
    /// # Errors
    /// 403 for one's own, 404 when there is no such user.
    pub async fn reset_second_factor(&self, id: UserId, caller: &Caller) -> ApiResult<User> {
        let own = caller.principal.as_ref().and_then(Principal::user);
        if own.is_some_and(|own| own.id == id) {
            let message = "Turn your own second factor off under your account, with your password and a code.";
            return Err(ApiError::forbidden("own_second_factor", message));
        }
        let mut tx = self.db.write_vital().await?;
        let user = found(super::find(&mut tx, id).await?)?;
        let had_codes = store::delete(&mut tx, id).await?;
        let passkeys = passkeys::delete_all_of(&mut tx, id).await?;
        if had_codes || passkeys > 0 {
            let entry = Entry::new(&caller.into(), Action::SecondFactorReset, &id.to_string()).called(Some(&user.name));
            audit::record(&mut tx, entry.fact("passkeys", passkeys.into()), self.now()).await?;
            tx.commit().await?;
            self.credentials_ended();
        }
        Ok(User { second_factor_since: None, passkeys: 0, ..user })
    }

    /// Of whom a second factor is asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn second_factor_policy(&self) -> ApiResult<SecondFactorPolicy> {
        Ok(policy::read(&mut self.db.read().await?).await?)
    }

    /// Asks others for a second factor, from their next request on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_second_factor_policy(&self, asked: SecondFactorPolicy, by: &Actor) -> ApiResult<()> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        let before = policy::read(&mut tx).await?;
        if before == asked {
            return Ok(());
        }
        policy::write(&mut tx, asked, now).await?;
        let entry = Entry::new(by, Action::SignInSettings, "second_factor");
        let entry = entry.fact("before", before.as_str().into()).fact("second_factor", asked.as_str().into());
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// Looks at the code of somebody whose password was right, and uses it up:
    /// of many who come with one code, one is let in. Who has passkeys only has
    /// no code that is right.
    pub(in crate::identity) async fn prove_second_factor(
        &self,
        tx: &mut Tx,
        user: UserId,
        code: Option<&SecretString>,
    ) -> ApiResult<Proof> {
        let proof = self.prove_code(tx, user, code).await?;
        if proof != Proof::NotNeeded || !passkeys::has_any(tx, user).await? {
            return Ok(proof);
        }
        Ok(if code.is_some() { Proof::Wrong } else { Proof::Missing })
    }

    /// What is said to whose password was right where their second factor is
    /// missing, with what it can be.
    pub(in crate::identity) async fn second_factor_required(&self, tx: &mut Tx, user: UserId) -> ApiResult<ApiError> {
        let (code, passkey) = (store::is_on(tx, user).await?, passkeys::has_any(tx, user).await?);
        Ok(required().with_details(serde_json::json!({ "code": code, "passkey": passkey })))
    }

    async fn prove_code(&self, tx: &mut Tx, user: UserId, code: Option<&SecretString>) -> ApiResult<Proof> {
        let Some(row) = store::find(tx, user).await?.filter(|row| row.confirmed_at.is_some()) else {
            return Ok(Proof::NotNeeded);
        };
        let Some(code) = code else {
            return Ok(Proof::Missing);
        };
        let now = self.now();
        let proof = match GivenCode::parse(code) {
            Some(GivenCode::Digits(digits)) => {
                match self.open_secret(user, &row)?.find_step(&digits, now, row.last_step) {
                    Some(step) if store::use_step(tx, user, step).await? => Proof::Code,
                    Some(_) | None => Proof::Wrong,
                }
            }
            Some(GivenCode::Recovery(code)) => {
                match store::use_recovery_code(tx, user, &code.digest(user), now).await? {
                    true => Proof::RecoveryCode,
                    false => Proof::Wrong,
                }
            }
            None => Proof::Wrong,
        };
        Ok(proof)
    }

    /// Records that a recovery code was used, where one was.
    pub(in crate::identity) async fn record_proof(
        &self,
        tx: &mut Tx,
        proof: Proof,
        by: &Actor,
        user: UserId,
    ) -> ApiResult<()> {
        if proof == Proof::RecoveryCode {
            let left = store::count_recovery_codes(tx, user).await?;
            let entry = Entry::new(by, Action::RecoveryCodeUse, &user.to_string()).fact("left", left.into());
            audit::record(tx, entry, self.now()).await?;
        }
        Ok(())
    }

    /// The same for one's own, where one must have it.
    async fn prove_own(
        &self,
        tx: &mut Tx,
        own: &SignedInUser,
        code: &SecretString,
        caller: &Caller,
        now: Timestamp,
    ) -> ApiResult<()> {
        match self.prove_code(tx, own.id, Some(code)).await? {
            proof @ (Proof::Code | Proof::RecoveryCode | Proof::Passkey(_)) => {
                self.record_proof(tx, proof, &caller.into(), own.id).await
            }
            Proof::NotNeeded => {
                self.throttle.take_back(&own.name, caller.address, now).await;
                Err(ApiError::conflict("second_factor_off", "You have no second factor."))
            }
            Proof::Missing | Proof::Wrong | Proof::Refused(_) => Err(wrong(StatusCode::FORBIDDEN)),
        }
    }

    /// Sees that it is really they before something about how they sign in
    /// changes: by their password, and by a code where they have an app.
    pub(super) async fn prove_fully(
        &self,
        own: &SignedInUser,
        password: Option<SecretString>,
        code: Option<&SecretString>,
        caller: &Caller,
    ) -> ApiResult<()> {
        let now = self.begin_attempt(own, caller).await?;
        self.check_own_password(own, password).await?;
        let mut tx = self.db.write().await?;
        match self.prove_code(&mut tx, own.id, code).await? {
            Proof::Missing => {
                self.throttle.take_back(&own.name, caller.address, now).await;
                let message = "The password is right. Send the code of your app too, as `code`.";
                return Err(ApiError::forbidden("second_factor_required", message));
            }
            Proof::Wrong | Proof::Refused(_) => return Err(wrong(StatusCode::FORBIDDEN)),
            proof @ (Proof::NotNeeded | Proof::Code | Proof::RecoveryCode | Proof::Passkey(_)) => {
                self.record_proof(&mut tx, proof, &caller.into(), own.id).await?;
            }
        }
        tx.commit().await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        Ok(())
    }

    /// Counts an attempt as wrong before it is made; the moment it is made at.
    async fn begin_attempt(&self, own: &SignedInUser, caller: &Caller) -> ApiResult<Timestamp> {
        let now = self.now();
        self.throttle.begin(&own.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        Ok(now)
    }

    /// Sees that it is really they before something that outlasts their session.
    ///
    /// # Errors
    /// 403 when the password is wrong, or where there is none and they confirmed
    /// too long ago that it is they; 429 after too many attempts.
    pub async fn prove_again(
        &self,
        own: &SignedInUser,
        password: Option<SecretString>,
        caller: &Caller,
    ) -> ApiResult<()> {
        let now = self.begin_attempt(own, caller).await?;
        self.check_own_password(own, password).await?;
        self.throttle.forgive(&own.name, caller.address, now).await;
        Ok(())
    }

    /// Sees that it is really they: by their password, or where they have none
    /// here, by having confirmed it a moment ago.
    async fn check_own_password(&self, own: &SignedInUser, password: Option<SecretString>) -> ApiResult<()> {
        let hash = super::find_password_hash(&mut self.db.read().await?, own.id).await?;
        let proven = match (hash, password) {
            (Some(hash), Some(password)) => self.passwords.verify(password, Some(hash)).await?,
            (Some(_), None) => false,
            (None, _) if self.confirmed_just_now(own).await? => true,
            (None, _) => return Err(confirmation_required()),
        };
        match proven {
            true => Ok(()),
            false => Err(ApiError::forbidden("wrong_password", "The present password is wrong.")),
        }
    }

    async fn renew_recovery_codes_within(&self, tx: &mut Tx, user: UserId) -> ApiResult<RecoveryCodes> {
        let codes: Vec<RecoveryCode> = (0..RECOVERY_CODES).map(|_| RecoveryCode::generate(&self.random)).collect();
        let digests: Vec<[u8; 32]> = codes.iter().map(|code| code.digest(user)).collect();
        store::replace_recovery_codes(tx, user, &digests).await?;
        Ok(codes.iter().map(RecoveryCode::show).collect())
    }

    fn open_secret(&self, user: UserId, row: &FactorRow) -> ApiResult<Secret> {
        let opened = self.vault.open(&place(&user.to_string()), &row.secret_sealed);
        opened.map(Secret::new).map_err(ApiError::internal)
    }
}

/// Whether a user has an app whose codes are asked for.
pub(super) async fn has_app(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    store::is_on(tx, user).await
}

/// What is said to whose password was right where a code is missing.
/// What is said to whose code is missing.
pub(in crate::identity) fn required() -> ApiError {
    let message = "The password is right. Send the code of your second factor too, as `code`, or a `passkey`.";
    ApiError::new(StatusCode::UNAUTHORIZED, "second_factor_required", message)
}

/// What is said to whose code is wrong or was used.
pub(in crate::identity) fn wrong(status: StatusCode) -> ApiError {
    let message = "The code is wrong, too old or was used before. Wait for the next one.";
    ApiError::new(status, "wrong_second_factor", message)
}

/// Where a user's secret is sealed.
fn place(user: &str) -> Place<'_> {
    Place { table: "second_factors", row: user, column: "secret_sealed" }
}
