//! Cookie sessions: what a browser has after its user gave a password.

mod confirmation;
mod routes;
mod store;
pub mod throttle;

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::AppendHeaders;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use windflow_protocol::text::base32;
use zeroize::Zeroizing;

pub(super) use self::confirmation::{Way, WayToConfirm, in_browser};
pub(super) use self::routes::{MeResponse, routes};
use self::store::Running;
pub use self::store::{Session, SessionFilter, delete_all};
pub(super) use self::store::{delete, delete_expired, delete_of_user, find_running, list_ended_there};
use super::audit::{self, Action, Actor, Entry, Outcome};
use super::federation::{self, Elsewhere, Pace, Person};
use super::users::passkeys::{Presented, UsedPasskey};
use super::users::second_factor::{self, Proof};
use super::users::{self, Door, User, UserName};
use super::{Identity, grants, hash_secret};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::http::{
    Caller, CredentialUsed, List, Page, Permission, Powers, Principal, Scheme, SignedInUser, UserId, cookie,
    looks_like_credential,
};

/// The last use of a session is written this often at most.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Random bytes in a session's secret.
const SECRET_BYTES: usize = 32;
/// Characters of a browser's name that are kept.
const USER_AGENT_MAX: usize = 256;
/// What is recorded in place of what cannot be the name of a user.
const NO_NAME: &str = "(no name of a user)";

/// A new session's secret, on its way to the browser.
#[derive(Debug)]
pub struct SessionCookie {
    secret: SecretString,
    life: Duration,
}

impl SessionCookie {
    /// The header that gives it to the browser.
    pub fn into_header(self, scheme: Scheme) -> AppendHeaders<[(header::HeaderName, header::HeaderValue); 1]> {
        AppendHeaders([(header::SET_COOKIE, cookie::set(scheme, self.secret.expose_secret(), self.life))])
    }
}

/// A session that was started.
#[derive(Debug)]
pub(super) struct Started {
    /// Its secret.
    pub cookie: SessionCookie,
    /// Who acts from now on.
    pub actor: Actor,
    /// Whether it took the place of another one, which has ended.
    pub has_replaced: bool,
}

/// What someone who signs in says.
#[derive(Debug)]
pub struct Credentials {
    /// Their name.
    pub name: String,
    /// Their password.
    pub password: SecretString,
    /// A code of their second factor, or a recovery code.
    pub code: Option<SecretString>,
    /// A passkey in the place of a code.
    pub passkey: Option<Presented>,
}

/// Somebody who proved who they are, in a transaction that has yet to say what
/// they get for it.
#[derive(Debug)]
pub(super) struct Proven {
    /// The transaction.
    pub tx: Tx,
    /// Who it is.
    pub user: User,
    by: By,
    proof: Proof,
    given: Credentials,
    began: Timestamp,
}

/// Who knows somebody's password.
#[derive(Debug)]
enum By {
    /// The hub, by this hash.
    Password(String),
    /// A directory, which says that they are this.
    Directory(SignedInBy, Person),
}

/// Whom a name and a password belong to.
enum Known {
    User(Box<(Tx, User, By)>),
    /// Nobody. Why, for the record.
    Nobody(Option<String>),
    Wait(Duration),
}

impl Proven {
    /// The directory that knows them, where it is one.
    pub fn provider(&self) -> Option<SignedInBy> {
        match &self.by {
            By::Password(_) => None,
            By::Directory(provider, _) => Some(provider.clone()),
        }
    }

    /// The passkey that was their second factor, where it was one.
    fn passkey(&self) -> Option<UsedPasskey> {
        let Proof::Passkey(used) = self.proof else { return None };
        Some(used)
    }
}

/// What is known of the browser that gets a session.
#[derive(Debug)]
pub struct Browser {
    /// The secret of the session it had until now, which ends.
    pub replaces: Option<Zeroizing<String>>,
    /// What it calls itself.
    pub user_agent: String,
    /// The provider by whom its user is known, where it is not the hub.
    pub provider: Option<SignedInBy>,
    /// The passkey by which its user is known, where it is one.
    pub passkey: Option<UsedPasskey>,
}

/// The identity provider that said who somebody is.
#[derive(Clone, Debug)]
pub struct SignedInBy {
    /// The provider.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Who they are there, where it can say that they left.
    pub there: Option<There>,
}

/// Who somebody is with a provider, and in which of their sessions there they
/// were known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// Who says so.
    pub issuer: String,
    /// Who they are.
    pub subject: String,
    /// The session, where the provider has a name for it.
    pub session: Option<String>,
}

/// What a provider says that ended there: one session, or all of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedThere {
    /// Who says so.
    pub issuer: String,
    /// Whose sessions.
    pub subject: Option<String>,
    /// Which of them.
    pub session: Option<String>,
}

impl Browser {
    /// What a request tells of its browser.
    pub fn of(headers: &HeaderMap, scheme: Scheme) -> Self {
        let replaces = cookie::find(headers, scheme);
        Self { replaces, user_agent: user_agent(headers), provider: None, passkey: None }
    }
}

/// What a request calls the program that sends it.
pub fn user_agent(headers: &HeaderMap) -> String {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    user_agent.chars().take(USER_AGENT_MAX).collect()
}

impl Identity {
    /// Starts a session for whoever knows the password, and has the second
    /// factor where there is one.
    ///
    /// # Errors
    /// 401 when name and password do not belong together, 429 after too many
    /// attempts. Both say nothing about whether the user exists. 401 too where
    /// the code of the second factor is missing or wrong.
    pub async fn sign_in(
        &self,
        given: Credentials,
        browser: Browser,
        caller: &Caller,
    ) -> ApiResult<(User, SessionCookie)> {
        let mut proven = self.prove(given, caller).await?;
        let user = proven.user.clone();
        let browser = Browser { provider: proven.provider(), passkey: proven.passkey(), ..browser };
        let started = self.start_session_within(&mut proven.tx, &user, caller, browser).await?;
        self.settle(proven, &started.actor, caller, started.has_replaced).await?;
        Ok((user, started.cookie))
    }

    /// Looks at what somebody says who signs in, in whatever way: a wrong
    /// password takes as long for a user that does not exist, and what is wrong
    /// counts.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub(super) async fn prove(&self, given: Credentials, caller: &Caller) -> ApiResult<Proven> {
        self.prove_for(Action::SignIn, given, caller).await
    }

    /// The same for something else than a sign-in, as which a refusal is
    /// recorded.
    async fn prove_for(&self, action: Action, given: Credentials, caller: &Caller) -> ApiResult<Proven> {
        let now = self.now();
        self.throttle.begin(&given.name, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let mut tx = self.db.read().await?;
        let door = users::find_door(&mut tx, &given.name).await?;
        let directories = federation::list_directories(&mut tx).await?;
        drop(tx);
        let pace = Pace::begin(&directories);
        let known = match door {
            Door::Password(user, hash) => self.prove_password(&given, user, hash).await?,
            Door::Closed => self.prove_nobody(&given).await?,
            Door::Elsewhere => {
                let asked = self.ask_directories(directories, &given, caller, now);
                let (nobody, asked) = tokio::join!(self.prove_nobody(&given), asked);
                nobody?;
                self.found_elsewhere(asked?).await?
            }
        };
        let (mut tx, user, by) = match known {
            Known::User(found) => *found,
            Known::Nobody(why) => {
                self.record(refused(action, &given.name, why.as_deref(), caller), now).await?;
                pace.wait().await;
                return Err(ApiError::unauthorized("The name and the password do not belong together."));
            }
            Known::Wait(wait) => return Err(ApiError::too_many_requests(wait)),
        };
        match self.prove_beside_password(&mut tx, user.id, &given).await? {
            Proof::Missing => {
                let required = self.second_factor_required(&mut tx, user.id).await?;
                // A directory may have said other groups than before.
                tx.commit().await?;
                if let By::Directory(_, person) = &by {
                    self.credentials_ended();
                    self.take_back_spelling(person, &given.name, caller, now).await;
                }
                self.throttle.take_back(&given.name, caller.address, now).await;
                Err(required)
            }
            Proof::Wrong => {
                drop(tx);
                self.record(refused(action, &user.name, Some("wrong second factor"), caller), now).await?;
                Err(second_factor::wrong(StatusCode::UNAUTHORIZED))
            }
            Proof::Refused(refusal) => {
                drop(tx);
                Err(self.refuse_passkey(refusal, Some(&user), (caller, action), now).await?)
            }
            proof @ (Proof::NotNeeded | Proof::Code | Proof::RecoveryCode | Proof::Passkey(_)) => {
                Ok(Proven { tx, user, by, proof, given, began: now })
            }
        }
    }

    async fn prove_password(&self, given: &Credentials, user: User, hash: String) -> ApiResult<Known> {
        if !self.passwords.verify(given.password.clone(), Some(hash.clone())).await? {
            return Ok(Known::Nobody(None));
        }
        Ok(Known::User(Box::new((self.db.write_vital().await?, user, By::Password(hash)))))
    }

    /// Takes as long as a password.
    async fn prove_nobody(&self, given: &Credentials) -> ApiResult<Known> {
        self.passwords.verify(given.password.clone(), None).await?;
        Ok(Known::Nobody(None))
    }

    async fn found_elsewhere(&self, found: Elsewhere) -> ApiResult<Known> {
        let (provider, person) = match found {
            Elsewhere::Known(provider, person) => (provider, person),
            Elsewhere::Nobody(why) => return Ok(Known::Nobody(why)),
            Elsewhere::Wait(wait) => return Ok(Known::Wait(wait)),
        };
        let mut tx = self.db.write_vital().await?;
        match self.admit_from_directory(&mut tx, &provider, &person).await? {
            Ok(user) => {
                let signed_in_by = SignedInBy { id: provider.id, name: provider.name, there: None };
                Ok(Known::User(Box::new((tx, user, By::Directory(signed_in_by, person)))))
            }
            Err(refusal) => Ok(Known::Nobody(Some(format!("{}: {refusal}", provider.name)))),
        }
    }

    /// Takes back what was counted of somebody who proved who they are and gets
    /// nothing for it.
    pub(super) async fn set_aside(&self, proven: Proven, caller: &Caller) {
        let Proven { tx, given, began, .. } = proven;
        drop(tx);
        self.throttle.take_back(&given.name, caller.address, began).await;
    }

    /// Commits what somebody got who proved who they are, and forgives what
    /// they did wrong before. `has_ended` is whether something ended with it; what
    /// begins is nothing that others have to look again for.
    pub(super) async fn settle(
        &self,
        proven: Proven,
        actor: &Actor,
        caller: &Caller,
        has_ended: bool,
    ) -> ApiResult<()> {
        let Proven { mut tx, user, by, proof, given, began } = proven;
        self.record_proof(&mut tx, proof, actor, user.id).await?;
        tx.commit().await?;
        // A directory may have said other groups than before.
        if has_ended || matches!(by, By::Directory(..)) {
            self.credentials_ended();
        }
        self.throttle.forgive(&given.name, caller.address, began).await;
        match by {
            By::Password(hash) => self.renew_dated_hash(user.id, &hash, given.password).await,
            By::Directory(_, person) => self.forgive_spelling(&person, &given.name, caller, began).await,
        }
        Ok(())
    }

    /// Starts a session for a user who proved who they are. The one that the
    /// browser had ends, so that nobody can have planted it there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_session(&self, user: &User, caller: &Caller, browser: Browser) -> ApiResult<SessionCookie> {
        let mut tx = self.db.write_vital().await?;
        let started = self.start_session_within(&mut tx, user, caller, browser).await?;
        tx.commit().await?;
        if started.has_replaced {
            self.credentials_ended();
        }
        Ok(started.cookie)
    }

    /// The same in a transaction that proves it.
    pub(super) async fn start_session_within(
        &self,
        tx: &mut Tx,
        user: &User,
        caller: &Caller,
        browser: Browser,
    ) -> ApiResult<Started> {
        let now = self.now();
        let secret = self.session_secret();
        let session = Session {
            id: Uuid::now_v7(),
            user_id: user.id,
            user_name: user.name.clone(),
            address: caller.address.map(|address| address.to_string()),
            user_agent: browser.user_agent,
            created_at: now,
            expires_at: now + self.terms.life(),
            last_used_at: now,
        };
        let actor = as_user(caller, user, CredentialUsed::Session(session.id));
        let has_replaced = match browser.replaces {
            Some(secret) => store::delete_by_hash(tx, &hash_secret(secret.as_bytes())).await?,
            None => false,
        };
        store::insert(tx, &session, &hash_secret(secret.as_bytes())).await?;
        let mut entry = Entry::new(&actor, Action::SignIn, &user.id.to_string()).called(Some(&user.name));
        if let Some(provider) = browser.provider {
            store::set_provider(tx, session.id, &provider).await?;
            entry = entry.fact("provider", provider.name.into());
        }
        if let Some(passkey) = browser.passkey {
            entry = passkey.told(entry);
        }
        audit::record(tx, entry, now).await?;
        let cookie = SessionCookie { secret: secret.as_str().into(), life: self.terms.life() };
        Ok(Started { cookie, actor, has_replaced })
    }

    fn session_secret(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.random.bytes::<SECRET_BYTES>());
        Zeroizing::new(base32().encode(bytes.as_slice()))
    }

    /// Ends the caller's own session; by which provider they were known, where
    /// it was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, session: Uuid, user: UserId, by: &Actor) -> ApiResult<Option<Uuid>> {
        let mut tx = self.db.write_vital().await?;
        let provider = store::find_provider(&mut tx, session).await?;
        store::delete(&mut tx, session).await?;
        audit::record(&mut tx, Entry::new(by, Action::SignOut, &user.to_string()), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(provider)
    }

    /// Ends a session, if it is one that `caller` may end: their own, or any
    /// for an administrator.
    ///
    /// # Errors
    /// 404 when there is no such session for this caller.
    pub async fn revoke_session(&self, id: Uuid, caller: &Caller) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        let session = store::find(&mut tx, id).await?.filter(|session| may_see(caller, session.user_id));
        let session = session.ok_or_else(|| ApiError::not_found("session"))?;
        store::delete(&mut tx, id).await?;
        let entry = Entry::new(&caller.into(), Action::SessionRevoke, &id.to_string()).detail(&session.user_name);
        audit::record(&mut tx, entry, self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// One page of the running sessions that match.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_sessions(&self, filter: &SessionFilter, page: Page) -> ApiResult<List<Session>> {
        let running = self.running();
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, filter, page, running).await?;
        let total = store::count(&mut tx, filter, running).await?;
        Ok(List { items, total })
    }

    /// Whose session has this secret.
    pub(super) async fn find_session_user(&self, secret: &str) -> ApiResult<Option<SignedInUser>> {
        let now = self.now();
        let asked = match self.recent_sessions.find(secret, now).await {
            Ok(user) => return Ok(Some(user)),
            Err(asked) => asked,
        };
        let hash = hash_secret(secret.as_bytes());
        let mut tx = self.db.read().await?;
        let Some(found) = store::find_user(&mut tx, &hash, self.running()).await? else {
            return Ok(None);
        };
        let powers = grants::powers_of(&mut tx, &found.user).await?;
        let second_factor_due = second_factor::is_due(&mut tx, found.user.id, &powers).await?;
        drop(tx);
        self.note_session_use(found.session_id, found.last_used_at).await;
        let user = signed_in(&found.user, powers, CredentialUsed::Session(found.session_id));
        let user = SignedInUser { second_factor_due, ..user };
        self.recent_sessions.keep(secret, &user, asked, now).await;
        Ok(Some(user))
    }

    /// Which sessions are not over.
    pub(super) fn running(&self) -> Running {
        let now = self.now();
        Running { now, used_after: now - self.terms.idle() }
    }

    /// Writes that a session is used. It failing is no reason to refuse the
    /// request.
    pub(super) async fn note_session_use(&self, id: Uuid, last: Timestamp) {
        let now = self.now();
        if now.since(last) < USE_NOTED_EVERY {
            return;
        }
        let noted = async {
            let mut tx = self.db.write_vital().await?;
            store::set_last_used(&mut tx, id, now).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, session.id = %id, "the last use of a session was not noted");
        }
    }

    pub(super) async fn record_refusal(
        &self,
        name: &str,
        why: Option<&str>,
        caller: &Caller,
        now: Timestamp,
    ) -> ApiResult<()> {
        self.record_refusal_of(Action::SignIn, name, why, caller, now).await
    }

    pub(super) async fn record_refusal_of(
        &self,
        action: Action,
        name: &str,
        why: Option<&str>,
        caller: &Caller,
        now: Timestamp,
    ) -> ApiResult<()> {
        self.record(refused(action, name, why, caller), now).await
    }

    async fn record(&self, entry: Entry, now: Timestamp) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        audit::record(&mut tx, entry, now).await?;
        Ok(tx.commit().await?)
    }
}

/// That somebody who said that they are `name` was refused.
fn refused(action: Action, name: &str, why: Option<&str>, caller: &Caller) -> Entry {
    let name = as_recorded(name);
    let own = caller.principal.as_ref().and_then(Principal::user).map(|own| &own.credential);
    let entry = match (action, own) {
        (Action::SessionConfirm, Some(CredentialUsed::Session(session))) => {
            Entry::new(&caller.into(), action, &session.to_string()).called(Some(name))
        }
        _ => Entry::new(&caller.into(), action, name),
    };
    let entry = entry.outcome(Outcome::Denied);
    why.into_iter().fold(entry, Entry::detail)
}

/// What is recorded of what was typed as a name: passwords and tokens get into
/// that field too.
fn as_recorded(typed: &str) -> &str {
    let is_name = typed.parse::<UserName>().is_ok() && !looks_like_credential(typed);
    if is_name { typed } else { NO_NAME }
}

/// Whether `caller` may see and end the credentials of `user`.
pub(super) fn may_see(caller: &Caller, user: UserId) -> bool {
    caller.principal.as_ref().is_some_and(|principal| {
        principal.may(Permission::UsersManage) || principal.user().is_some_and(|own| own.id == user)
    })
}

/// To whom nothing is said of a second factor.
pub(super) fn signed_in(user: &User, powers: Powers, credential: CredentialUsed) -> SignedInUser {
    let (id, name, role, powers) = (user.id, user.name.clone(), user.role, powers.into());
    SignedInUser { id, name, role, powers, credential, limits: None, second_factor_due: false }
}

/// Who acts from now on with what they were given.
pub(super) fn as_user(caller: &Caller, user: &User, credential: CredentialUsed) -> Actor {
    // It stands in a record only.
    let powers = Powers::of(user.role);
    let principal = Principal::User(signed_in(user, powers, credential));
    Actor::Caller(Caller { principal: Some(principal), ..caller.clone() })
}
