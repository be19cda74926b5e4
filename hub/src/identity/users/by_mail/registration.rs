//! Registering by oneself, where the hub allows it: whoever has a mailbox gets
//! an invitation that nobody else made. Off unless it is turned on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use uuid::Uuid;

use super::active;
use super::links::LinkSecret;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, Permission, Role, UserId};
use crate::identity::audit::{self, Action, Entry};
use crate::identity::users::invitations::{self, NewRow};
use crate::identity::users::store;
use crate::identity::{Identity, grants};
use crate::mail::{LIFE_MAX, Language, Letter, MailAddress, MailError, Mailing};
use crate::settings;

const KEY: &str = "identity.registration";
/// How long the link of a registration works.
const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Domains that may be named.
const DOMAINS_MAX: usize = 100;

/// Whether people may register by themselves, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationSettings {
    /// Whether they may.
    pub enabled: bool,
    /// The domains that their addresses must be of; empty for any.
    #[serde(default)]
    pub domains: Vec<String>,
    /// What they may do everywhere: nothing unless said, and never everything.
    #[serde(default)]
    pub role: DefaultRole,
    /// The team that they come into.
    #[serde(default)]
    pub team_id: Option<Uuid>,
}

/// The role of those who register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefaultRole {
    /// Nothing but what is granted to them or their team.
    #[default]
    Restricted,
    /// Looking on.
    Viewer,
    /// Keeping running what is there.
    Operator,
}

impl From<DefaultRole> for Role {
    fn from(role: DefaultRole) -> Self {
        match role {
            DefaultRole::Restricted => Self::Restricted,
            DefaultRole::Viewer => Self::Viewer,
            DefaultRole::Operator => Self::Operator,
        }
    }
}

impl RegistrationSettings {
    /// Whether an address is of a domain that may register.
    pub(in crate::identity::users) fn admits(&self, email: &MailAddress) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|domain| domain == email.domain())
    }
}

/// Somebody who asked to be registered, and has a place among those whose
/// request is worked on.
#[derive(Debug)]
pub(super) struct Registering {
    email: MailAddress,
    language: Language,
    caller: Caller,
    _place: OwnedSemaphorePermit,
}

/// What is set. What cannot be read lets nobody in.
pub(in crate::identity::users) async fn read(tx: &mut Tx) -> Result<RegistrationSettings, DbError> {
    let stored = settings::find(tx, KEY).await?;
    Ok(stored.and_then(|stored| serde_json::from_slice(&stored).ok()).unwrap_or_default())
}

impl Identity {
    /// Whether and how people may register.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn registration(&self) -> ApiResult<RegistrationSettings> {
        Ok(read(&mut self.db.read().await?).await?)
    }

    /// Lets people register by themselves, or not any more. Who says what they
    /// get must be one who manages users.
    ///
    /// # Errors
    /// 403 without that, 400 for a domain that is none, 404 for a team that is
    /// none, 409 where the hub cannot send mail.
    pub async fn set_registration(&self, new: &RegistrationSettings, caller: &Caller) -> ApiResult<()> {
        let mut tx = self.db.write().await?;
        let before = read(&mut tx).await?;
        if before == *new {
            return Ok(());
        }
        caller.require(Permission::UsersManage)?;
        let is_domain = |domain: &String| {
            let address = format!("x@{domain}").parse::<MailAddress>();
            address.is_ok_and(|address| address.domain() == domain)
        };
        if new.domains.len() > DOMAINS_MAX || !new.domains.iter().all(is_domain) {
            let message = format!("At most {DOMAINS_MAX} domains in small letters, such as example.com.");
            return Err(ApiError::bad_request("invalid_domain", message));
        }
        if let Some(team) = new.team_id {
            grants::require_team(&mut tx, team).await?;
        }
        if new.enabled && self.mail.public_url(&mut tx).await?.is_none() {
            return Err(MailError::NotConfigured.into());
        }
        let now = self.now();
        let stored = serde_json::to_vec(new).map_err(ApiError::internal)?;
        settings::put(&mut tx, KEY, &stored, now).await?;
        let entry = Entry::new(&caller.into(), Action::SignInSettings, "registration");
        let entry = entry.fact("before", json!(before)).fact("registration", json!(new));
        audit::record(&mut tx, entry, now).await?;
        Ok(tx.commit().await?)
    }

    /// Lets somebody ask to be registered. Says nothing of whether the address
    /// has an account.
    ///
    /// # Errors
    /// 403 where nobody may or not with this address, 429 after too many
    /// requests.
    pub(super) async fn ask_to_register(
        &self,
        email: MailAddress,
        language: Language,
        caller: &Caller,
    ) -> ApiResult<Registering> {
        let place = self.admit_asking(caller.address)?;
        let mut tx = self.db.read().await?;
        let set = read(&mut tx).await?;
        if !set.enabled || self.mail.public_url(&mut tx).await?.is_none() {
            let message = "Nobody registers by themselves here. Ask an administrator for an invitation.";
            return Err(ApiError::forbidden("registration_off", message));
        }
        if !set.admits(&email) {
            let message = "Addresses of this domain cannot be registered here.";
            return Err(ApiError::forbidden("domain_not_allowed", message));
        }
        Ok(Registering { email, language, caller: caller.clone(), _place: place })
    }

    /// Mails the link, or that there is an account. To be done after the
    /// answer, so that it tells nothing by the time it takes.
    pub(super) async fn mail_registration(&self, asked: Registering) {
        match self.try_mail_registration(&asked).await {
            Ok(()) => self.mail.wake(),
            Err(error) => tracing::error!(error.code, error.message, "the link of a registration was not mailed"),
        }
    }

    async fn try_mail_registration(&self, asked: &Registering) -> ApiResult<()> {
        let now = self.now();
        let Registering { email, language, caller, .. } = asked;
        if self.recovery.mailed.admit(Some(email.to_string()), now).is_err() {
            tracing::warn!("an address asks to be registered again and again: it gets no further mail for an hour");
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        let set = read(&mut tx).await?;
        let Some(public_url) = self.mail.public_url(&mut tx).await? else { return Ok(()) };
        if store::is_email_taken(&mut tx, email.as_str(), UserId(Uuid::nil())).await? {
            if let Some(user) = active(store::find_by_verified_email(&mut tx, email.as_str()).await?) {
                let letter = Letter::AlreadyRegistered { name: user.name, address: format!("{public_url}/sign-in") };
                let useful_until = now + LIFE_MAX;
                let mailing = Mailing { to: email, language: user.language, letter, useful_until };
                self.mail.queue(&mut tx, mailing).await?;
            }
            return Ok(tx.commit().await?);
        }
        let (secret, until) = (LinkSecret::generate(&self.random), now + LINK_LIFE);
        invitations::end_registrations(&mut tx, email, now).await?;
        let row = registration(&set, email, *language, now, until);
        invitations::insert(&mut tx, &row, &secret.digest()).await?;
        let link = public_url.page("/invitation", secret.expose());
        let mailing = Mailing {
            to: email,
            language: *language,
            letter: Letter::Registration { link, until },
            useful_until: until,
        };
        self.mail.queue(&mut tx, mailing).await?;
        let entry = Entry::new(&caller.into(), Action::InvitationRegister, &row.id.to_string());
        audit::record(&mut tx, entry.called(Some(email.as_str())), now).await?;
        Ok(tx.commit().await?)
    }
}

fn registration(
    set: &RegistrationSettings,
    email: &MailAddress,
    language: Language,
    now: Timestamp,
    until: Timestamp,
) -> NewRow {
    NewRow {
        id: Uuid::now_v7(),
        kind: invitations::InvitationKind::Registration,
        email: Some(email.to_string()),
        language,
        role: set.role.into(),
        teams: set.team_id.into_iter().collect(),
        grants: Vec::new(),
        invited_by: String::new(),
        invited_by_id: None,
        created_at: now,
        expires_at: until,
    }
}
