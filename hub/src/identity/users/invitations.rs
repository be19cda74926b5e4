//! Invitations: a link with which somebody becomes a user. What they get is
//! settled when it is made, as grants are; the link works once, and only while
//! whoever made it may still make users.

mod model;
mod routes;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

pub(super) use self::model::InvitationKind;
pub use self::model::{Invitation, NewInvitation};
pub(in crate::identity) use self::routes::routes;
use self::store::InvitationRow;
pub(super) use self::store::{NewRow, end_all, end_registrations, insert};
use super::by_mail::{LinkSecret, invalid_link, read_registration};
use super::{User, UserName, check_password};
use crate::clock::Timestamp;
use crate::db::Tx;
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, List, Page, Permission, UserId};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::identity::grants::{self, Grantee};
use crate::identity::{Identity, users};
use crate::mail::{Language, Letter, Mailing};

/// How long an invitation works unless it is said.
const LIFE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest and the shortest that may be said.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const LIFE_MIN: Duration = Duration::from_secs(5 * 60);
/// Invitations that wait at once.
const WAITING_MAX: i64 = 1_000;
/// Teams and grants that one brings.
const PARTS_MAX: usize = 50;
/// How long it stays known what became of one.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A new invitation, and its link where it was not mailed.
#[derive(Debug)]
struct Made {
    invitation: Invitation,
    secret: Option<LinkSecret>,
}

/// Who comes with an invitation, and as whom.
#[derive(Debug)]
struct Accepting {
    secret: LinkSecret,
    name: UserName,
    password: SecretString,
    language: Option<Language>,
}

impl Identity {
    /// Invites somebody by mail, or makes a link to be handed over.
    ///
    /// # Errors
    /// 400 for what makes no sense, 404 for what is not there, 409 for an
    /// address that a user has, where the hub cannot send mail, or where too
    /// many wait.
    async fn invite(&self, new: NewInvitation, by: &Caller) -> ApiResult<Made> {
        let now = self.now();
        let row = planned(new, by, now)?;
        let secret = LinkSecret::generate(&self.random);
        let mut tx = self.db.write().await?;
        self.check_parts(&mut tx, &row).await?;
        if store::count_waiting(&mut tx, now).await? >= WAITING_MAX {
            let message = format!("At most {WAITING_MAX} invitations wait at once. Revoke some first.");
            return Err(ApiError::conflict("too_many", message));
        }
        let mailed = self.mail_invitation(&mut tx, &row, &secret).await?;
        store::insert(&mut tx, &row, &secret.digest()).await?;
        let entry = Entry::new(&by.into(), Action::InvitationCreate, &row.id.to_string()).called(row.email.as_deref());
        let entry = entry.fact("role", json!(row.role)).fact("teams", json!(row.teams));
        audit::record(&mut tx, entry.fact("grants", json!(row.grants)), now).await?;
        let invitation = found(store::find(&mut tx, row.id).await?)?.told(now);
        tx.commit().await?;
        self.mail.wake();
        Ok(Made { invitation, secret: (!mailed).then_some(secret) })
    }

    /// The same is asked of each part as when it is granted.
    async fn check_parts(&self, tx: &mut Tx, row: &NewRow) -> ApiResult<()> {
        if let Some(email) = &row.email {
            self.refuse_taken_email(tx, email, UserId(Uuid::nil())).await?;
        }
        for team in &row.teams {
            grants::require_team(tx, *team).await?;
        }
        for grant in &row.grants {
            grants::check(tx, grant.role, &grant.scope).await?;
        }
        Ok(())
    }

    /// Whether there is an address that it was mailed to.
    async fn mail_invitation(&self, tx: &mut Tx, row: &NewRow, secret: &LinkSecret) -> ApiResult<bool> {
        let Some(email) = row.email.as_deref().and_then(|email| email.parse().ok()) else { return Ok(false) };
        let public_url = self.mail.public_url(tx).await?.ok_or(crate::mail::MailError::NotConfigured)?;
        let link = public_url.page("/invitation", secret.expose());
        let letter = Letter::Invitation { invited_by: row.invited_by.clone(), link, until: row.expires_at };
        let mailing = Mailing { to: &email, language: row.language, letter, useful_until: row.expires_at };
        self.mail.queue(tx, mailing).await?;
        Ok(true)
    }

    /// One page of the invitations, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    async fn list_invitations(&self, page: Page) -> ApiResult<List<Invitation>> {
        let now = self.now();
        let mut tx = self.db.read().await?;
        let items = store::list(&mut tx, page).await?.into_iter().map(|row| row.told(now)).collect();
        Ok(List { items, total: store::count(&mut tx).await? })
    }

    /// Ends an invitation that waits.
    ///
    /// # Errors
    /// 404 when none of this id waits.
    async fn revoke_invitation(&self, id: Uuid, by: &Actor) -> ApiResult<()> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        let row = found(store::find(&mut tx, id).await?)?;
        if !store::revoke(&mut tx, id, now).await? {
            return Err(ApiError::not_found("invitation that waits"));
        }
        let entry = Entry::new(by, Action::InvitationRevoke, &id.to_string()).called(row.email.as_deref());
        audit::record(&mut tx, entry, now).await?;
        Ok(tx.commit().await?)
    }

    /// What somebody who has the link is invited to.
    ///
    /// # Errors
    /// 403 for a link that does not work, 429 after too many attempts.
    async fn look_at_invitation(&self, secret: &LinkSecret, caller: &Caller) -> ApiResult<Invitation> {
        self.admit_trying(caller.address)?;
        let now = self.now();
        let mut tx = self.db.read().await?;
        let row = store::find_working(&mut tx, &secret.digest(), now).await?.ok_or_else(invalid_link)?;
        self.settled(&mut tx, row).await.map(|row| row.told(now))
    }

    /// Makes the user whom a link is for, with all that it brings, or nothing
    /// of it.
    ///
    /// # Errors
    /// 403 for a link that does not work, 400 for a weak password, 409 for a
    /// name that is taken or where what it brings is gone, 429 after too many
    /// attempts.
    async fn accept_invitation(&self, accepting: Accepting, caller: &Caller) -> ApiResult<User> {
        self.look_at_invitation(&accepting.secret, caller).await?;
        check_password(&accepting.password, &accepting.name)?;
        let hash = self.passwords.hash(accepting.password).await?;
        let (now, by) = (self.now(), Actor::from(caller));
        let mut tx = self.db.write().await?;
        let row = store::consume(&mut tx, &accepting.secret.digest(), accepting.name.as_str(), now).await?;
        let row = self.settled(&mut tx, row.ok_or_else(invalid_link)?).await?;
        let language = accepting.language.unwrap_or(row.language);
        let user = User::new(&accepting.name, row.role, now).proven_at(row.email.as_deref(), language);
        self.insert_user_within(&mut tx, &user, &hash, &by).await?;
        for team in &row.teams.0 {
            grants::join(&mut tx, *team, user.id, &by, now).await.map_err(outdated)?;
        }
        for grant in &row.grants.0 {
            let granted = grants::Granted { grantee: Grantee::User(user.id.0), role: grant.role, scope: &grant.scope };
            grants::give(&mut tx, &granted, &by, now).await.map_err(outdated)?;
        }
        let entry = Entry::new(&by, Action::InvitationAccept, &row.id.to_string()).called(row.email.as_deref());
        let entry = entry.fact("user", json!(user.name)).fact("invited_by", json!(row.invited_by));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.setup.close();
        Ok(user)
    }

    /// What a link brings now. One that a user made works only while that user
    /// may make users; one of a registration brings what registrations bring.
    async fn settled(&self, tx: &mut Tx, row: InvitationRow) -> ApiResult<InvitationRow> {
        match (row.kind, row.invited_by_id) {
            (InvitationKind::Registration, _) => {
                let set = read_registration(tx).await?;
                let email = row.email.as_deref().and_then(|email| email.parse().ok());
                if !set.enabled || !email.is_some_and(|email| set.admits(&email)) {
                    return Err(invalid_link());
                }
                let teams = sqlx::types::Json(set.team_id.into_iter().collect());
                Ok(InvitationRow { role: set.role.into(), teams, ..row })
            }
            (InvitationKind::Invitation, Some(inviter)) => {
                let inviter = users::find(tx, UserId(inviter)).await?.filter(|user| user.disabled_at.is_none());
                let Some(inviter) = inviter else { return Err(invalid_link()) };
                let powers = grants::powers_of(tx, &inviter).await?;
                match powers.everywhere().has(Permission::UsersManage) {
                    true => Ok(row),
                    false => Err(invalid_link()),
                }
            }
            (InvitationKind::Invitation, None) => Ok(row),
        }
    }
}

/// What a new invitation is written as.
fn planned(new: NewInvitation, by: &Caller, now: Timestamp) -> ApiResult<NewRow> {
    let life = new.ttl_seconds.map_or(LIFE_DEFAULT, Duration::from_secs);
    if !(LIFE_MIN..=LIFE_MAX).contains(&life) {
        return Err(ApiError::bad_request("invalid_ttl", "An invitation works for 5 minutes to 30 days."));
    }
    if new.team_ids.len() + new.grants.len() > PARTS_MAX {
        let message = format!("An invitation brings at most {PARTS_MAX} teams and grants.");
        return Err(ApiError::bad_request("too_many", message));
    }
    let actor = Actor::from(by);
    Ok(NewRow {
        id: Uuid::now_v7(),
        kind: InvitationKind::Invitation,
        email: new.email.map(|email| email.to_string()),
        language: new.language,
        role: new.role,
        teams: new.team_ids,
        grants: new.grants,
        invited_by: actor.name(),
        invited_by_id: by.principal.as_ref().and_then(|principal| principal.user()).map(|user| user.id.0),
        created_at: now,
        expires_at: now + life,
    })
}

/// Deletes what became of invitations long ago.
pub(in crate::identity) async fn delete_old(tx: &mut Tx, now: Timestamp) -> Result<u64, crate::db::DbError> {
    store::delete_ended_before(tx, now - KEPT).await
}

/// What cannot be granted any more ends the invitation; what failed otherwise did
/// not.
fn outdated(error: ApiError) -> ApiError {
    if !error.status().is_client_error() {
        return error;
    }
    let message = "A team, a role or a place that this invitation brings is gone. Ask for a new invitation.";
    ApiError::conflict("invitation_outdated", message)
}

fn found(row: Option<InvitationRow>) -> ApiResult<InvitationRow> {
    row.ok_or_else(|| ApiError::not_found("invitation"))
}
