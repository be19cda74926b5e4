//! From somebody who was verified elsewhere to a user here, or to a refusal.
//! Knows no protocol.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::mapping;
use super::model::{LinkedIdentity, Provider};
use super::store;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx, dialect};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, CredentialUsed, Principal, SignedInUser, UserId};
use crate::identity::audit::{self, Action, Actor, Entry, Outcome};
use crate::identity::sessions::{Browser, SessionCookie, SignedInBy, There, Way};
use crate::identity::users::second_factor::{self, Proof};
use crate::identity::users::{self, User, UserName};
use crate::identity::{Identity, grants};

/// An attempt to sign in must come back within this.
pub const ATTEMPT_LIFE: Duration = Duration::from_secs(10 * 60);
/// Longest name that is made of what a provider says, with room for a number.
const NAME_MAX: usize = 56;
/// Numbers that are tried behind a name that is taken.
const NUMBERS_MAX: u32 = 1_000;

/// Somebody whom a provider verified just now.
#[derive(Debug)]
pub struct Verified<'a> {
    /// By whom.
    pub provider: &'a Provider,
    /// Who says so.
    pub issuer: String,
    /// Who they are there, for good.
    pub subject: String,
    /// In which of their sessions there, where the provider has a name for it.
    pub session: Option<String>,
    /// What they are called there, where the subject says nothing to people.
    pub called: Option<String>,
    /// What they might be called here, the best first.
    pub names: Vec<String>,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// Whether the provider saw a second factor, and is trusted to.
    pub by_two_factors: bool,
}

impl Verified<'_> {
    /// Who they are there, as it stands with their session.
    pub fn there(&self) -> There {
        There { issuer: self.issuer.clone(), subject: self.subject.clone(), session: self.session.clone() }
    }
}

/// An attempt that waits for the code of somebody who was verified.
#[derive(Debug)]
pub struct Waiting {
    /// What the attempt is known by, which counts once.
    pub digest: Vec<u8>,
    /// Who they are there.
    pub there: There,
    /// When it began.
    pub begun_at: Timestamp,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The attempt is too old, came back already, or is another browser's.
    #[error("the attempt is too old, was used, or is another browser's")]
    Expired,
    /// The provider gives no usable answer.
    #[error("the provider gives no usable answer")]
    Provider,
    /// The provider did not let them in, or what it said cannot be trusted.
    #[error("the provider refused, or what it said cannot be trusted")]
    Refused,
    /// They have no account here.
    #[error("nobody here is linked with this identity")]
    Unknown,
    /// They are not in the group that is let in.
    #[error("not in the group that is let in")]
    Group,
    /// Their account is disabled.
    #[error("the user is disabled")]
    Disabled,
    /// The hub asks them for a second factor, and the provider, which is trusted
    /// to, did not.
    #[error("the provider asked for one factor only")]
    Factor,
    /// The identity is linked with somebody else.
    #[error("the identity is linked with another user or provider")]
    Linked,
    /// They are somebody else than the user of the session.
    #[error("somebody else than the user of the session")]
    SomebodyElse,
}

impl Refusal {
    /// What the console is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Provider => "provider",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Group => "group",
            Self::Disabled => "disabled",
            Self::Factor => "factor",
            Self::Linked => "linked",
            Self::SomebodyElse => "somebody_else",
        }
    }
}

/// Why it goes no further.
#[derive(Debug)]
pub enum Stop {
    /// They are not let in.
    Refused(Refusal),
    /// The hub failed, or asks them to wait.
    Failed(ApiError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

/// How far somebody came.
#[derive(Debug)]
pub enum Entered {
    /// They are signed in.
    SignedIn(SessionCookie),
    /// Their own second factor is missing.
    NeedsCode(UserId),
}

impl Identity {
    /// Signs somebody in who was verified, as far as the provider alone can. What
    /// the provider ended since the attempt began does not begin here.
    pub(super) async fn enter(
        &self,
        who: &Verified<'_>,
        begun_at: Timestamp,
        caller: &Caller,
        browser: Browser,
    ) -> Result<Entered, Stop> {
        let mut tx = self.db.write_vital().await?;
        let user = self.admit(&mut tx, who).await?;
        let there = who.there();
        refuse_ended(&mut tx, who.provider, &there, begun_at).await?;
        let proof = self.prove_second_factor(&mut tx, user.id, None).await?;
        if proof == Proof::Missing && !who.by_two_factors {
            tx.commit().await?;
            self.credentials_ended();
            return Ok(Entered::NeedsCode(user.id));
        }
        // Where it is trusted, nobody here asks for one any more.
        let only_one = who.provider.trusted_for_second_factor && !who.by_two_factors && proof == Proof::NotNeeded;
        let powers = grants::powers_of(&mut tx, &user).await?;
        if only_one && second_factor::is_asked(&mut tx, &powers).await? {
            return Err(Refusal::Factor.into());
        }
        let provider = Some(signed_in_by(who.provider, there));
        let started = self.start_session_within(&mut tx, &user, caller, Browser { provider, ..browser }).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(Entered::SignedIn(started.cookie))
    }

    /// Signs somebody in whom a provider verified, with the code of their own
    /// second factor.
    ///
    /// # Errors
    /// 401 when the code is wrong, 429 after too many attempts.
    pub(super) async fn enter_with_code(
        &self,
        provider: &Provider,
        user: UserId,
        waiting: Waiting,
        code: &SecretString,
        (caller, browser): (&Caller, Browser),
    ) -> Result<(User, SessionCookie), Stop> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        share_provider(&mut tx, provider).await?;
        let user = self.still_linked(&mut tx, provider, user).await?;
        self.throttle.begin(&user.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let proof = self.prove_second_factor(&mut tx, user.id, Some(code)).await?;
        if matches!(proof, Proof::Wrong | Proof::Missing) {
            drop(tx);
            self.record_refusal(&user.name, Some("wrong second factor"), caller, now).await?;
            return Err(second_factor::wrong(axum::http::StatusCode::UNAUTHORIZED).into());
        }
        if !store::spend(&mut tx, &waiting.digest, now).await? {
            return Err(Refusal::Expired.into());
        }
        refuse_ended(&mut tx, provider, &waiting.there, waiting.begun_at).await?;
        let by = Some(signed_in_by(provider, waiting.there));
        let browser = Browser { provider: by, ..browser };
        let started = self.start_session_within(&mut tx, &user, caller, browser).await?;
        self.record_proof(&mut tx, proof, &started.actor, user.id).await?;
        tx.commit().await?;
        self.credentials_ended();
        self.throttle.forgive(&user.name, caller.address, now).await;
        Ok((user, started.cookie))
    }

    /// Links a signed-in user with who they are elsewhere.
    pub(super) async fn link(&self, who: &Verified<'_>, user: &SignedInUser, by: &Actor) -> Result<(), Stop> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        if !mapping::lets_in(who.provider, &who.groups) {
            return Err(Refusal::Group.into());
        }
        match store::find_identity(&mut tx, &who.issuer, &who.subject).await? {
            Some(known) if known.user_id != user.id.0 || known.provider_id != who.provider.id => {
                return Err(Refusal::Linked.into());
            }
            Some(_) => {}
            None => {
                store::insert_identity(&mut tx, &identity(who, user.id, None, now)).await?;
                let entry = Entry::new(by, Action::IdentityLink, &user.id.to_string()).called(Some(&user.name));
                audit::record(&mut tx, about(entry, who), now).await?;
            }
        }
        let wanted = mapping::granted_to(who.provider, &who.groups);
        grants::reconcile(&mut tx, who.provider.id, user.id, &wanted, now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// Confirms the session of a browser whose user was verified just now. Gives
    /// the secret that it has from now on.
    pub(super) async fn confirm_with_provider(
        &self,
        who: &Verified<'_>,
        (session, with_code): (Uuid, bool),
        caller: &Caller,
        browser: Browser,
    ) -> Result<SessionCookie, Stop> {
        let secret = browser.replaces.as_deref().ok_or(Refusal::Expired)?;
        let own = self.find_session_user(secret).await?;
        let own = own.filter(|own| own.credential == CredentialUsed::Session(session)).ok_or(Refusal::Expired)?;
        let mut tx = self.db.write_vital().await?;
        if self.admit(&mut tx, who).await?.id != own.id {
            return Err(Refusal::SomebodyElse.into());
        }
        // No less than what a sign-in takes.
        let proof = self.prove_second_factor(&mut tx, own.id, None).await?;
        let only_one = who.provider.trusted_for_second_factor && !who.by_two_factors && proof == Proof::NotNeeded;
        let is_short = only_one && second_factor::is_asked(&mut tx, &own.powers).await?;
        if is_short || (proof == Proof::Missing && !with_code) {
            return Err(Refusal::Factor.into());
        }
        let by = Actor::Caller(Caller { principal: Some(Principal::User(own.clone())), ..caller.clone() });
        let cookie = self.confirm_within(&mut tx, &own, (session, secret), Way::Provider, &by).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(cookie)
    }

    /// Puts on record that a session was not confirmed.
    pub(super) async fn record_unconfirmed(
        &self,
        provider: &Provider,
        session: Uuid,
        refusal: Refusal,
        caller: &Caller,
    ) -> ApiResult<()> {
        let entry = Entry::new(&caller.into(), Action::SessionConfirm, &session.to_string()).outcome(Outcome::Denied);
        let entry = entry.detail(&refusal.to_string()).fact("provider", json!(provider.name));
        let mut tx = self.db.write_vital().await?;
        audit::record(&mut tx, entry, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Puts on record that somebody was not let in.
    pub(super) async fn record_no_entry(
        &self,
        provider: &Provider,
        refusal: Refusal,
        caller: &Caller,
    ) -> ApiResult<()> {
        let entry = Entry::new(&caller.into(), Action::SignIn, &provider.id.to_string()).called(Some(&provider.name));
        let entry = entry.outcome(Outcome::Denied).detail(&refusal.to_string());
        let mut tx = self.db.write_vital().await?;
        audit::record(&mut tx, entry.fact("provider", json!(provider.name)), self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Who somebody is here, with the grants that follow from their groups.
    pub(super) async fn admit(&self, tx: &mut Tx, who: &Verified<'_>) -> Result<User, Stop> {
        let now = self.now();
        share_provider(tx, who.provider).await?;
        if !mapping::lets_in(who.provider, &who.groups) {
            return Err(Refusal::Group.into());
        }
        let user = match store::find_identity(tx, &who.issuer, &who.subject).await? {
            Some(known) if known.provider_id != who.provider.id => return Err(Refusal::Linked.into()),
            Some(known) => {
                store::note_identity_used(tx, known.id, who.called.as_deref(), now).await?;
                users::find(tx, UserId(known.user_id)).await?.ok_or(Refusal::Unknown)?
            }
            // Whoever comes before the first administrator would keep them out.
            None if who.provider.create_users && users::any(tx).await? => self.make_user(tx, who).await?,
            None => return Err(Refusal::Unknown.into()),
        };
        if user.disabled_at.is_some() {
            return Err(Refusal::Disabled.into());
        }
        let wanted = mapping::granted_to(who.provider, &who.groups);
        grants::reconcile(tx, who.provider.id, user.id, &wanted, now).await?;
        Ok(user)
    }

    async fn make_user(&self, tx: &mut Tx, who: &Verified<'_>) -> Result<User, Stop> {
        let now = self.now();
        let name = free_name(tx, &who.names).await?;
        let user = users::insert_without_password(tx, &name, now).await?;
        store::insert_identity(tx, &identity(who, user.id, Some(now), now)).await?;
        let entry = Entry::new(&Actor::System, Action::UserCreate, &user.id.to_string()).called(Some(&user.name));
        audit::record(tx, about(entry.fact("role", json!(user.role)), who), now).await?;
        Ok(user)
    }

    async fn still_linked(&self, tx: &mut Tx, provider: &Provider, user: UserId) -> Result<User, Stop> {
        let linked = store::identities_of(tx, user).await?;
        if !linked.iter().any(|identity| identity.provider_id == provider.id) {
            return Err(Refusal::Unknown.into());
        }
        let user = users::find(tx, user).await?.ok_or(Refusal::Unknown)?;
        if user.disabled_at.is_some() { Err(Refusal::Disabled.into()) } else { Ok(user) }
    }
}

/// Forgets attempts that are too old to come back, and what providers said
/// before any that can.
pub async fn delete_spent(tx: &mut Tx, now: Timestamp) -> Result<u64, DbError> {
    let moment = now - ATTEMPT_LIFE * 2;
    Ok(store::delete_spent_before(tx, moment).await? + store::delete_logouts_before(tx, moment).await?)
}

/// Whoever signs in by a provider comes before or after what that says of
/// sessions that ended, and before or after its removal.
async fn share_provider(tx: &mut Tx, provider: &Provider) -> Result<(), Stop> {
    match dialect::share_row(tx, "identity_providers", provider.id).await? {
        true => Ok(()),
        false => Err(Refusal::Provider.into()),
    }
}

async fn refuse_ended(tx: &mut Tx, provider: &Provider, there: &There, begun_at: Timestamp) -> Result<(), Stop> {
    match store::has_ended_there(tx, provider.id, there, begun_at).await? {
        true => Err(Refusal::Expired.into()),
        false => Ok(()),
    }
}

fn signed_in_by(provider: &Provider, there: There) -> SignedInBy {
    SignedInBy { id: provider.id, name: provider.name.clone(), there: Some(there) }
}

fn identity(who: &Verified<'_>, user: UserId, used: Option<Timestamp>, now: Timestamp) -> LinkedIdentity {
    LinkedIdentity {
        id: Uuid::now_v7(),
        provider_id: who.provider.id,
        provider_name: who.provider.name.clone(),
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        called: who.called.clone(),
        user_id: user.0,
        linked_at: now,
        last_used_at: used,
    }
}

fn about(entry: Entry, who: &Verified<'_>) -> Entry {
    let entry = entry.fact("provider", json!(who.provider.name)).fact("subject", json!(who.subject));
    who.called.iter().fold(entry, |entry, called| entry.fact("called", json!(called)))
}

/// A name that nobody has. One that is taken is somebody else's, whatever it is.
async fn free_name(tx: &mut Tx, wished: &[String]) -> Result<UserName, Stop> {
    let wished = wished.iter().filter_map(|name| plain(name)).next().unwrap_or_else(|| "user".to_owned());
    for number in 1..NUMBERS_MAX {
        let name = if number == 1 { wished.clone() } else { format!("{wished}-{number}") };
        if users::find_by_name(tx, &name).await?.is_none() {
            return Ok(name.parse()?);
        }
    }
    Err(ApiError::conflict("name_taken", "There are too many users of this name.").into())
}

/// What a user may be called of what somebody is called elsewhere.
fn plain(name: &str) -> Option<String> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._@-".contains(character);
    let kept: String = name.trim().chars().map(|c| if allowed(c) { c } else { '-' }).take(NAME_MAX).collect();
    let kept = kept.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches('-');
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_becomes_one_that_is_allowed_here() {
        for (name, kept) in [
            ("ada", Some("ada")),
            ("Ada Lovelace", Some("Ada-Lovelace")),
            ("ada@example.org", Some("ada@example.org")),
            ("../../root", Some("root")),
            ("日本", None),
            ("", None),
            ("  ", None),
        ] {
            assert_eq!(plain(name).as_deref(), kept, "{name:?}");
        }
        let long = plain(&"x".repeat(500)).unwrap();
        assert!(format!("{long}-999").parse::<UserName>().is_ok());
    }
}
