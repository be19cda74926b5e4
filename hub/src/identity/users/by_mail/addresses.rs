//! The addresses of users. One counts for nothing before its owner followed the
//! link that was sent there.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::links::{self, LinkKind, LinkSecret, NewLink};
use super::pace::WINDOW;
use super::{MAILS_MAX, active, end_resets, invalid_link};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, SignedInUser, UserId};
use crate::identity::Identity;
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::identity::users::{User, found, store};
use crate::mail::{LIFE_MAX, Language, Letter, MailAddress, MailError, Mailing};

/// How long a link to verify an address works.
pub(super) const LINK_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How one is written to.
#[derive(Debug)]
pub(super) struct OwnContact {
    /// The present address.
    pub email: Option<String>,
    /// Since when it is verified.
    pub email_verified_at: Option<Timestamp>,
    /// The address that waits to be verified.
    pub pending_email: Option<String>,
    /// The language of mails.
    pub language: Language,
    /// Whether they have a password here.
    pub has_password: bool,
}

impl Identity {
    /// How the caller is written to.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn own_contact(&self, own: UserId) -> ApiResult<OwnContact> {
        let mut tx = self.db.read().await?;
        let user = found(store::find(&mut tx, own).await?)?;
        let pending_email = links::find_pending_email(&mut tx, own, self.now()).await?;
        let has_password = store::find_password_hash(&mut tx, own).await?.is_some();
        let User { email, email_verified_at, language, .. } = user;
        Ok(OwnContact { email, email_verified_at, pending_email, language, has_password })
    }

    /// Has the caller's mails written in another language.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn set_own_language(&self, own: UserId, language: Language) -> ApiResult<()> {
        let mut tx = self.db.write().await?;
        store::set_language(&mut tx, own, language, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Sends a link to the address that is to be the caller's own, and a notice
    /// to the one until now. Whether somebody else has it is said to nobody but
    /// whoever reads its mail.
    ///
    /// # Errors
    /// 403 when the password is wrong, 409 where the hub cannot send mail, 429
    /// after too many attempts or mails.
    pub(super) async fn request_email(
        &self,
        own: &SignedInUser,
        password: Option<SecretString>,
        email: &MailAddress,
        caller: &Caller,
    ) -> ApiResult<()> {
        self.prove_again(own, password, caller).await?;
        let now = self.now();
        let mut tx = self.db.write().await?;
        let user = found(store::find(&mut tx, own.id).await?)?;
        if links::count_since(&mut tx, own.id, LinkKind::Verify, now - WINDOW).await? >= i64::from(MAILS_MAX) {
            return Err(ApiError::too_many_requests(WINDOW));
        }
        self.mail_verification(&mut tx, &user, email).await?;
        self.mail_notice(&mut tx, &user, email.as_str()).await?;
        let entry = Entry::new(&caller.into(), Action::EmailRequest, &own.id.to_string()).called(Some(&own.name));
        audit::record(&mut tx, entry.fact("email", json!(email)), now).await?;
        tx.commit().await?;
        self.mail.wake();
        Ok(())
    }

    /// Makes the address that a link was sent to that of its user.
    ///
    /// # Errors
    /// 403 for a link that does not work, 409 where another user has the
    /// address, 429 after too many attempts.
    pub(super) async fn verify_email(&self, secret: &LinkSecret, caller: &Caller) -> ApiResult<()> {
        self.admit_trying(caller.address)?;
        let now = self.now();
        let mut tx = self.db.write().await?;
        let link = links::consume(&mut tx, LinkKind::Verify, &secret.digest(), now).await?.ok_or_else(invalid_link)?;
        let user = active(store::find(&mut tx, link.user_id).await?).ok_or_else(invalid_link)?;
        self.refuse_taken_email(&mut tx, &link.email, user.id).await?;
        end_resets(&mut tx, user.id, now).await?;
        store::set_email(&mut tx, user.id, Some(&link.email), Some(now), now).await?;
        let entry = Entry::new(&caller.into(), Action::UserEmail, &user.id.to_string()).called(Some(&user.name));
        let entry = entry.fact("before", json!(user.email)).fact("email", json!(link.email));
        audit::record(&mut tx, entry.fact("verified", json!(true)), now).await?;
        Ok(tx.commit().await?)
    }

    /// Gives a user another address, which they have yet to verify, or none.
    ///
    /// # Errors
    /// 404 when there is no such user, 409 where another one has the address.
    pub(in crate::identity::users) async fn give_email(
        &self,
        tx: &mut Tx,
        id: UserId,
        email: Option<MailAddress>,
        by: &Actor,
    ) -> ApiResult<()> {
        let now = self.now();
        let before = found(store::find(tx, id).await?)?;
        let email = email.map(|email| email.to_string());
        if before.email == email {
            return Ok(());
        }
        if let Some(email) = &email {
            self.refuse_taken_email(tx, email, id).await?;
        }
        self.mail_notice(tx, &before, email.as_deref().unwrap_or("-")).await?;
        links::end_of_user(tx, id, LinkKind::Verify, now).await?;
        end_resets(tx, id, now).await?;
        store::set_email(tx, id, email.as_deref(), None, now).await?;
        let entry = Entry::new(by, Action::UserEmail, &id.to_string()).called(Some(&before.name));
        let entry = entry.fact("before", json!(before.email)).fact("email", json!(email));
        audit::record(tx, entry.fact("verified", json!(false)), now).await?;
        let changed = found(store::find(tx, id).await?)?;
        self.ask_to_verify(tx, &changed).await
    }

    /// Sends a link to a user's address, where it is not verified and the hub
    /// can send mail.
    ///
    /// # Errors
    /// When the database fails.
    pub(in crate::identity::users) async fn ask_to_verify(&self, tx: &mut Tx, user: &User) -> ApiResult<()> {
        let unverified = user.email.as_deref().filter(|_| user.email_verified_at.is_none());
        let Some(email) = unverified.and_then(|email| email.parse().ok()) else { return Ok(()) };
        if self.mail.public_url(tx).await?.is_none() {
            return Ok(());
        }
        self.mail_verification(tx, user, &email).await
    }

    /// Another user may have it, verified or not.
    pub(in crate::identity::users) async fn refuse_taken_email(
        &self,
        tx: &mut Tx,
        email: &str,
        of: UserId,
    ) -> ApiResult<()> {
        match store::is_email_taken(tx, email, of).await? {
            true => Err(ApiError::conflict("email_taken", "Another user has this e-mail address.")),
            false => Ok(()),
        }
    }

    async fn mail_verification(&self, tx: &mut Tx, user: &User, email: &MailAddress) -> ApiResult<()> {
        let now = self.now();
        let public_url = self.mail.public_url(tx).await?.ok_or(MailError::NotConfigured)?;
        let (secret, until) = (LinkSecret::generate(&self.random), now + LINK_LIFE);
        links::end_of_user(tx, user.id, LinkKind::Verify, now).await?;
        let new = NewLink { user: user.id, kind: LinkKind::Verify, email: email.as_str(), now, expires_at: until };
        links::insert(tx, new, &secret.digest()).await?;
        let link = public_url.page("/verify-email", secret.expose());
        let letter = Letter::VerifyAddress { name: user.name.clone(), link, until };
        let mailing = Mailing { to: email, language: user.language, letter, useful_until: until };
        Ok(self.mail.queue(tx, mailing).await?)
    }

    /// Tells whoever reads the address until now that it is to be another one.
    async fn mail_notice(&self, tx: &mut Tx, user: &User, to: &str) -> Result<(), DbError> {
        let verified = user.email.as_deref().filter(|email| user.email_verified_at.is_some() && *email != to);
        let Some(before) = verified.and_then(|email| email.parse::<MailAddress>().ok()) else { return Ok(()) };
        let letter = Letter::AddressChanges { name: user.name.clone(), to: to.to_owned() };
        let useful_until = self.now() + LIFE_MAX;
        let mailing = Mailing { to: &before, language: user.language, letter, useful_until };
        self.queue_if_possible(tx, mailing).await
    }
}
