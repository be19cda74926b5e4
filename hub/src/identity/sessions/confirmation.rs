//! Confirming in a running session that it is really they: what a session that
//! somebody left open or stole must not be enough for takes such a proof of a
//! moment ago. Signing in is one.
//!
//! It proves as much as a sign-in does, in the same ways, and counts for the one
//! session. Its secret is replaced: whoever else has it is left outside.

mod routes;
#[cfg(test)]
mod tests;

use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

pub(super) use self::routes::routes;
use super::{By, Credentials, SessionCookie, refused, store};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, CredentialUsed, SignedInUser};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::identity::users::passkeys::{self, Presented};
use crate::identity::users::second_factor::{self, Proof};
use crate::identity::{Identity, federation, hash_secret, users};

/// How somebody proved that it is they.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) enum Way {
    /// With their password here.
    Password,
    /// With their password in a directory.
    Directory,
    /// By signing in again with an identity provider.
    Provider,
    /// With a passkey, which verified them.
    Passkey,
}

impl Way {
    /// The name in records.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Directory => "directory",
            Self::Provider => "provider",
            Self::Passkey => "passkey",
        }
    }
}

/// A way that is open to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::identity) enum WayToConfirm {
    /// Their password here.
    Password,
    /// Their name and password in a directory.
    Directory {
        /// What it is called.
        name: String,
    },
    /// A sign-in with an identity provider.
    Provider {
        /// What it is called in addresses.
        slug: String,
        /// What it is called.
        name: String,
    },
    /// A passkey of theirs.
    Passkey,
}

/// How the confirmation of a session stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::identity) struct Confirmed {
    /// Until when the last one counts, while it does.
    confirmed_until: Option<Timestamp>,
    /// Whether a code of the second factor is asked for too.
    needs_code: bool,
    /// The ways that are open.
    ways: Vec<WayToConfirm>,
}

/// What somebody says who confirms with a password.
#[derive(Debug)]
pub(in crate::identity) struct GivenProof {
    /// What they are called in their directory, where that is not their name.
    pub name: Option<String>,
    /// Their password.
    pub password: SecretString,
    /// A code of their second factor, or a recovery code.
    pub code: Option<SecretString>,
}

impl Identity {
    /// How the caller's session stands, and how it can be confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub(in crate::identity) async fn confirmation_of(&self, own: &SignedInUser, session: Uuid) -> ApiResult<Confirmed> {
        let mut tx = self.db.read().await?;
        let at = store::find_confirmed_at(&mut tx, session).await?;
        let at = at.filter(|at| self.counts(*at));
        let needs_code = users::find(&mut tx, own.id).await?.is_some_and(|user| user.second_factor_since.is_some());
        let mut ways = federation::ways_to_confirm(&mut tx, own.id).await?;
        if users::find_password_hash(&mut tx, own.id).await?.is_some() {
            // No directory is asked for the password of somebody who has one here.
            ways.retain(|way| !matches!(way, WayToConfirm::Directory { .. }));
            ways.insert(0, WayToConfirm::Password);
        }
        if passkeys::has_any(&mut tx, own.id).await? {
            // Where it is all that somebody has beside their password, nothing goes without it.
            ways.retain(|_| needs_code);
            ways.push(WayToConfirm::Passkey);
        }
        Ok(Confirmed { confirmed_until: at.map(|at| at + self.terms.confirm_window()), needs_code, ways })
    }

    /// Confirms a session, whose secret comes along, with a password and a code
    /// where there is a second factor. Gives the secret that it has from now on.
    ///
    /// # Errors
    /// 403 where what they say is wrong or not theirs, 429 after too many
    /// attempts.
    pub(in crate::identity) async fn confirm_with_password(
        &self,
        own: &SignedInUser,
        (session, secret): (Uuid, &str),
        given: GivenProof,
        caller: &Caller,
    ) -> ApiResult<SessionCookie> {
        let GivenProof { name, password, code } = given;
        let given = Credentials { name: name.unwrap_or_else(|| own.name.clone()), password, code, passkey: None };
        let mut proven = self.prove_for(Action::SessionConfirm, given, caller).await.map_err(within_session)?;
        if proven.user.id != own.id {
            // What was begun for somebody else is undone, and counts as wrong.
            drop(proven);
            let entry = refused(Action::SessionConfirm, &own.name, Some("somebody else"), caller);
            self.record(entry, self.now()).await?;
            return Err(wrong_password());
        }
        let way = match proven.by {
            By::Password(_) => Way::Password,
            By::Directory(..) => Way::Directory,
        };
        let by = Actor::from(caller);
        let cookie = self.confirm_within(&mut proven.tx, own, (session, secret), way, &by).await?;
        self.settle(proven, &by, caller, true).await?;
        Ok(cookie)
    }

    /// Confirms a session with a passkey of its user. Gives the secret that it
    /// has from now on.
    ///
    /// # Errors
    /// 403 where the passkey is not accepted, 429 after too many attempts.
    pub(in crate::identity) async fn confirm_with_passkey(
        &self,
        own: &SignedInUser,
        (session, secret): (Uuid, &str),
        presented: &Presented,
        caller: &Caller,
    ) -> ApiResult<SessionCookie> {
        let now = self.now();
        self.throttle.begin(&own.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let mut tx = self.db.write_vital().await?;
        if let Err(refusal) = self.use_own_passkey(&mut tx, own.id, presented).await? {
            let user = users::find(&mut tx, own.id).await?;
            drop(tx);
            let of = (caller, Action::SessionConfirm);
            return Err(within_session(self.refuse_passkey(refusal, user.as_ref(), of, now).await?));
        }
        let cookie = self.confirm_within(&mut tx, own, (session, secret), Way::Passkey, &Actor::from(caller)).await?;
        tx.commit().await?;
        self.credentials_ended();
        self.throttle.forgive(&own.name, caller.address, now).await;
        Ok(cookie)
    }

    /// Notes in a transaction that proves it that a session is confirmed, and
    /// gives it another secret.
    ///
    /// # Errors
    /// 401 where the session is over, or got another secret meanwhile.
    pub(in crate::identity) async fn confirm_within(
        &self,
        tx: &mut Tx,
        own: &SignedInUser,
        (session, before): (Uuid, &str),
        way: Way,
        by: &Actor,
    ) -> ApiResult<SessionCookie> {
        let (now, after) = (self.now(), self.session_secret());
        let secrets = (hash_secret(before.as_bytes()), hash_secret(after.as_bytes()));
        let ends = store::confirm(tx, session, (&secrets.0, &secrets.1), now).await?;
        let ends = ends.ok_or_else(|| ApiError::unauthorized("The session is over. Sign in again."))?;
        let entry = Entry::new(by, Action::SessionConfirm, &session.to_string()).called(Some(&own.name));
        audit::record(tx, entry.fact("way", json!(way.as_str())), now).await?;
        Ok(SessionCookie { secret: after.as_str().into(), life: ends.since(now) })
    }

    /// Uses up the code of somebody who is about to confirm with a provider,
    /// where they have a second factor. Whether they have one.
    ///
    /// # Errors
    /// 403 where the code is missing or wrong, 429 after too many attempts.
    pub(in crate::identity) async fn prove_code_for_provider(
        &self,
        own: &SignedInUser,
        code: Option<&SecretString>,
        caller: &Caller,
    ) -> ApiResult<bool> {
        let now = self.now();
        self.throttle.begin(&own.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let mut tx = self.db.write_vital().await?;
        let proof = self.prove_second_factor(&mut tx, own.id, code).await?;
        match proof {
            Proof::NotNeeded | Proof::Missing => self.throttle.take_back(&own.name, caller.address, now).await,
            Proof::Code | Proof::RecoveryCode | Proof::Passkey(_) => {
                self.record_proof(&mut tx, proof, &caller.into(), own.id).await?;
                tx.commit().await?;
                self.throttle.forgive(&own.name, caller.address, now).await;
            }
            Proof::Wrong | Proof::Refused(_) => {
                drop(tx);
                let entry = refused(Action::SessionConfirm, &own.name, Some("wrong second factor"), caller);
                self.record(entry, now).await?;
            }
        }
        match proof {
            Proof::NotNeeded => Ok(false),
            Proof::Code | Proof::RecoveryCode | Proof::Passkey(_) => Ok(true),
            Proof::Missing => Err(within_session(second_factor::required())),
            Proof::Wrong | Proof::Refused(_) => Err(second_factor::wrong(StatusCode::FORBIDDEN)),
        }
    }

    /// Whether a caller need not confirm that it is they.
    pub(in crate::identity) async fn needs_no_confirmation(&self, user: &SignedInUser) -> ApiResult<bool> {
        match user.credential {
            CredentialUsed::Session(_) => self.confirmed_just_now(user).await,
            // Nobody is there to answer, and nothing tells who holds them but
            // that they do. What they may do is limited by their scopes.
            CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => Ok(true),
        }
    }

    /// Whether the caller proved in this browser a moment ago that it is they.
    pub(in crate::identity) async fn confirmed_just_now(&self, user: &SignedInUser) -> ApiResult<bool> {
        let CredentialUsed::Session(session) = user.credential else { return Ok(false) };
        let at = store::find_confirmed_at(&mut self.db.read().await?, session).await?;
        Ok(at.is_some_and(|at| self.counts(at)))
    }

    /// A clock that was set back makes nothing recent.
    fn counts(&self, at: Timestamp) -> bool {
        let now = self.now();
        at <= now && now.since(at) < self.terms.confirm_window()
    }
}

/// Sees that there is a browser's session: its id.
pub(in crate::identity) fn in_browser(caller: &Caller) -> ApiResult<(&SignedInUser, Uuid)> {
    let own = caller.require_user()?;
    match own.credential {
        CredentialUsed::Session(session) => Ok((own, session)),
        CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => {
            let message = "Only a browser's session is confirmed; programs are not asked for it.";
            Err(ApiError::forbidden("session_required", message))
        }
    }
}

/// A sign-in that is refused says that nobody is signed in. Somebody is.
fn within_session(error: ApiError) -> ApiError {
    match error.code() {
        "unauthorized" => wrong_password(),
        _ if error.status() == StatusCode::UNAUTHORIZED => ApiError { status: StatusCode::FORBIDDEN, ..error },
        _ => error,
    }
}

fn wrong_password() -> ApiError {
    ApiError::forbidden("wrong_password", "The present password is wrong.")
}
