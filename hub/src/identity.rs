//! Users, what they were granted, and every way in which they prove who they
//! are: password, second factor, passkey and cookie session, an identity provider, access
//! token, API token, mailed link, setup code. What they do is recorded in [`audit`].

pub mod access_tokens;
pub mod audit;
pub mod federation;
mod grants;
mod recent;
pub mod sessions;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod users;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use self::federation::Federation;
use self::recent::Recent;
use self::sessions::throttle::Throttle;
use self::users::passkeys::Pending;
use self::users::passwords::{HashCost, Passwords};
use self::users::setup::Setup;
use self::users::{Recovery, by_mail, invitations, passkeys, second_factor};
use crate::app::AppState;
use crate::clock::{Clock, Random, Timestamp};
use crate::config::SessionOptions;
use crate::db::{Db, DbError};
use crate::error::{ApiError, ApiResult};
use crate::http::{
    ASK_AGAIN, Authenticate, Credential, CredentialUsed, Decision, LOOK_AGAIN, Permission, Places, Reach, Routes,
    SignedInUser, UserId,
};
use crate::mail::Mail;
use crate::outgoing::Outgoing;
use crate::peers::{Endings, Peers};
use crate::vault::Vault;
use crate::vault::settings;

/// Where the hub keeps the name under which it signs.
const ISSUER_KEY: &str = "identity.issuer";
/// How long an API token is listed after it ended.
const ENDED_TOKEN_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long links that were mailed are kept: they count as mailed for an hour,
/// and work for a day at most.
const OLD_LINK_LIFE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Users and their credentials.
#[derive(Debug)]
pub struct Identity {
    db: Db,
    vault: Arc<Vault>,
    peers: Peers,
    clock: Arc<dyn Clock>,
    random: Random,
    passwords: Passwords,
    throttle: Throttle,
    setup: Setup,
    terms: SessionOptions,
    federation: Federation,
    recent_tokens: Recent,
    recent_sessions: Recent,
    recent_access: Recent,
    /// Under which name access tokens are signed.
    issuer: String,
    mail: Arc<Mail>,
    recovery: Recovery,
    /// Passkeys that are being made or used.
    pending: Pending,
}

/// What identities are built on.
#[derive(Debug)]
pub struct Foundation {
    /// The database.
    pub db: Db,
    /// Seals what second factors are made of.
    pub vault: Arc<Vault>,
    /// The other hubs on the same database.
    pub peers: Peers,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What hashing a password costs.
    pub cost: HashCost,
    /// How long somebody stays signed in.
    pub terms: SessionOptions,
    /// Writes to people.
    pub mail: Arc<Mail>,
    /// The way to identity providers.
    pub outgoing: Arc<Outgoing>,
}

impl Identity {
    /// The identities in the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(base: Foundation) -> Result<Self, DbError> {
        let Foundation { db, vault, peers, clock, cost, terms, mail, outgoing } = base;
        let random = Random::default();
        let passwords = Passwords::new(cost, random.clone());
        let setup = Setup::default();
        let mut tx = db.write_vital().await?;
        if users::any(&mut tx).await? {
            setup.close();
        }
        let issuer = format!("urn:windflow:hub:{}", Uuid::new_v4());
        let issuer = settings::get_or_insert(&mut tx, ISSUER_KEY, issuer.as_bytes(), clock.now()).await?;
        tx.commit().await?;
        let recent = |kind| Recent::new(kind, peers.clone(), vault.clone());
        Ok(Self {
            recent_tokens: recent("token"),
            recent_sessions: recent("session"),
            recent_access: recent("access-token"),
            throttle: Throttle::new(peers.clone()),
            db,
            vault,
            peers,
            clock,
            random,
            passwords,
            setup,
            terms,
            federation: Federation::new(outgoing),
            issuer: String::from_utf8_lossy(&issuer).into_owned(),
            mail,
            recovery: Recovery::default(),
            pending: Pending::default(),
        })
    }

    /// Deletes what is over: sessions, what programs signed in with, and API
    /// tokens that ended long ago. How many rows went.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(&self) -> Result<u64, DbError> {
        let now = self.clock.now();
        let mut tx = self.db.write_vital().await?;
        let sessions = sessions::delete_expired(&mut tx, self.running()).await?;
        let families = access_tokens::delete_expired(&mut tx, now).await?;
        let tokens = tokens::delete_ended_before(&mut tx, now - ENDED_TOKEN_LIFE).await?;
        let attempts = federation::delete_spent(&mut tx, now).await?;
        let links = by_mail::delete_old_links(&mut tx, now - OLD_LINK_LIFE).await?;
        let invitations = invitations::delete_old(&mut tx, now).await?;
        tx.commit().await?;
        Ok(sessions + families + tokens + attempts + links + invitations)
    }

    /// To be called once a credential was ended, or a user shut out or given
    /// other powers: nothing that was known of credentials counts any more.
    fn credentials_ended(&self) {
        self.peers.tell_credentials_ended();
    }

    /// To be called once an environment was moved to another group or got other
    /// labels: whoever may do something in some of them only is asked for again.
    pub fn environments_moved(&self) {
        self.peers.tell_places_ended();
    }

    /// Waits until a user may not do this there any more: shut out, of other
    /// powers, or without the second factor that is asked of them. The operator on this machine always may.
    pub async fn until_refused(
        &self,
        places: Arc<dyn Places>,
        user: Option<UserId>,
        permission: Permission,
        environment: EnvironmentId,
    ) {
        let Some(user) = user else { return std::future::pending().await };
        let mut endings = self.peers.endings();
        loop {
            let wait = match self.user_may(places.clone(), user, permission, environment).await {
                Ok(true) => LOOK_AGAIN,
                Ok(false) => return,
                Err(_) => ASK_AGAIN,
            };
            // There is a sender as long as there is this.
            tokio::time::timeout(wait, endings.changed()).await.ok();
        }
    }

    async fn user_may(
        &self,
        places: Arc<dyn Places>,
        user: UserId,
        permission: Permission,
        environment: EnvironmentId,
    ) -> ApiResult<bool> {
        let mut tx = self.db.read().await?;
        let Some(known) = users::find(&mut tx, user).await?.filter(|known| known.disabled_at.is_none()) else {
            return Ok(false);
        };
        let powers = grants::powers_of(&mut tx, &known).await?;
        if second_factor::is_due(&mut tx, user, &powers).await? {
            return Ok(false);
        }
        drop(tx);
        let reach = Reach::new(powers.into(), places);
        Ok(reach.decide(permission, Some(environment.0)).await? == Decision::Allowed)
    }

    async fn credential_stands(&self, user: &SignedInUser) -> ApiResult<bool> {
        let now = self.now();
        let mut tx = self.db.read().await?;
        let known = users::find(&mut tx, user.id).await?;
        let Some(known) = known.filter(|known| known.disabled_at.is_none() && known.role == user.role) else {
            return Ok(false);
        };
        let powers = grants::powers_of(&mut tx, &known).await?;
        if !user.second_factor_due && second_factor::is_due(&mut tx, user.id, &powers).await? {
            return Ok(false);
        }
        let limits = user.limits.as_deref();
        if tokens::limited(powers, limits) != *user.powers {
            return Ok(false);
        }
        Ok(match &user.credential {
            CredentialUsed::Session(id) => {
                let session = sessions::find_running(&mut tx, *id, self.running()).await?;
                drop(tx);
                match session {
                    // Whoever looks on uses it, also without asking for anything.
                    Some(session) => self.note_session_use(session.id, session.last_used_at).await,
                    None => return Ok(false),
                }
                true
            }
            CredentialUsed::ApiToken(id) => {
                let token = tokens::find_standing(&mut tx, id, now).await?;
                token.is_some_and(|token| token.limits == limits.cloned().unwrap_or_default())
            }
            CredentialUsed::AccessToken(family) => {
                let found = access_tokens::find_standing(&mut tx, *family, now).await?;
                found.is_some_and(|found| found.user_id == user.id)
            }
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Authenticate for Identity {
    fn authenticate<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Option<SignedInUser>, ApiError>> {
        async move {
            match credential {
                Credential::Session(secret) => self.find_session_user(secret).await,
                Credential::Bearer(text) if text.starts_with(tokens::PREFIX) => self.find_token_user(text).await,
                Credential::Bearer(text) => self.find_access_user(text).await,
            }
        }
        .boxed()
    }

    fn stands<'a>(&'a self, user: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>> {
        self.credential_stands(user).boxed()
    }

    fn is_confirmed<'a>(&'a self, user: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>> {
        self.needs_no_confirmation(user).boxed()
    }

    fn endings(&self) -> watch::Receiver<Endings> {
        self.peers.endings()
    }

    fn setup_is_open(&self) -> bool {
        self.setup.is_open()
    }
}

/// Adds the routes of users, what they were granted, sessions, access tokens,
/// API tokens and the audit list.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = users::routes(routes);
    let routes = second_factor::routes(routes);
    let routes = passkeys::routes(routes);
    let routes = by_mail::routes(routes);
    let routes = invitations::routes(routes);
    let routes = grants::routes(routes);
    let routes = sessions::routes(routes);
    let routes = access_tokens::routes(routes);
    let routes = federation::routes(routes);
    let routes = tokens::routes(routes);
    audit::routes(routes)
}

/// What is stored of a secret that is random enough to need no slow hash.
fn hash_secret(secret: &[u8]) -> [u8; 32] {
    digest(&SHA256, secret).as_ref().try_into().expect("SHA-256 has 32 bytes")
}
