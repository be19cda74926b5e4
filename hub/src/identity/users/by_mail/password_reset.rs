//! A new password through a mail. It goes to a verified address only; the
//! second factor stays, and so do API tokens.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OwnedSemaphorePermit;

use super::links::{self, LinkKind, LinkSecret, NewLink};
use super::pace::WINDOW;
use super::{MAILS_MAX, active, invalid_link};
use crate::db::{DbError, Tx, dialect};
use crate::error::ApiResult;
use crate::http::Caller;
use crate::identity::Identity;
use crate::identity::audit::{self, Action, Actor, Entry, Outcome};
use crate::identity::users::{User, check_password, store};
use crate::mail::{LIFE_MAX, Letter, MailAddress, MailError, Mailing};

/// How long a link to choose a password works.
pub(super) const LINK_LIFE: Duration = Duration::from_secs(30 * 60);

/// Somebody who asked, and has a place among those whose request is worked on.
#[derive(Debug)]
pub(super) struct Asked {
    /// A name or an address.
    pub account: String,
    pub caller: Caller,
    _place: OwnedSemaphorePermit,
}

impl Identity {
    /// Lets somebody ask for a new password. Says nothing of whether there is
    /// such an account.
    ///
    /// # Errors
    /// 409 where the hub cannot send mail, 429 after too many requests.
    pub(super) async fn ask_for_reset(&self, account: String, caller: &Caller) -> ApiResult<Asked> {
        let place = self.admit_asking(caller.address)?;
        if self.mail.public_url(&mut self.db.read().await?).await?.is_none() {
            return Err(MailError::NotConfigured.into());
        }
        Ok(Asked { account, caller: caller.clone(), _place: place })
    }

    /// Mails the link, where there is somebody to get it. To be done after the
    /// answer, so that it tells nothing by the time it takes.
    pub(super) async fn mail_reset(&self, asked: Asked) {
        match self.try_mail_reset(&asked).await {
            Ok(()) => self.mail.wake(),
            Err(error) => tracing::error!(error.code, error.message, "a link for a new password was not mailed"),
        }
    }

    async fn try_mail_reset(&self, asked: &Asked) -> ApiResult<()> {
        let now = self.now();
        let by = Actor::from(&asked.caller);
        let mut tx = self.db.write().await?;
        let Some(public_url) = self.mail.public_url(&mut tx).await? else { return Ok(()) };
        let Some((user, email)) = find_recipient(&mut tx, &asked.account).await? else {
            let account: String = asked.account.chars().take(64).collect();
            let entry = Entry::new(&by, Action::PasswordResetRequest, &account).outcome(Outcome::Denied);
            audit::record(&mut tx, entry, now).await?;
            return Ok(tx.commit().await?);
        };
        let entry = Entry::new(&by, Action::PasswordResetRequest, &user.id.to_string()).called(Some(&user.name));
        if links::count_since(&mut tx, user.id, LinkKind::Reset, now - WINDOW).await? >= i64::from(MAILS_MAX) {
            let entry = entry.outcome(Outcome::Denied).detail("too many in an hour");
            audit::record(&mut tx, entry, now).await?;
            return Ok(tx.commit().await?);
        }
        let (secret, until) = (LinkSecret::generate(&self.random), now + LINK_LIFE);
        let new = NewLink { user: user.id, kind: LinkKind::Reset, email: email.as_str(), now, expires_at: until };
        links::insert(&mut tx, new, &secret.digest()).await?;
        let link = public_url.page("/password-reset", secret.expose());
        let letter = Letter::PasswordReset { name: user.name.clone(), link, until };
        let mailing = Mailing { to: &email, language: user.language, letter, useful_until: until };
        self.mail.queue(&mut tx, mailing).await?;
        audit::record(&mut tx, entry, now).await?;
        Ok(tx.commit().await?)
    }

    /// Replaces the password of whoever has the link. Their sessions end; API
    /// tokens and the second factor stay.
    ///
    /// # Errors
    /// 403 for a link that does not work, 400 for a weak password, 429 after
    /// too many attempts.
    pub(super) async fn complete_reset(
        &self,
        secret: &LinkSecret,
        password: SecretString,
        caller: &Caller,
    ) -> ApiResult<()> {
        self.admit_trying(caller.address)?;
        let (digest, kind) = (secret.digest(), LinkKind::Reset);
        let mut tx = self.db.read().await?;
        let link = links::find(&mut tx, kind, &digest, self.now()).await?.ok_or_else(invalid_link)?;
        let user = active(store::find(&mut tx, link.user_id).await?).ok_or_else(invalid_link)?;
        drop(tx);
        check_password(&password, &user.name.parse()?)?;
        let hash = self.passwords.hash(password).await?;

        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        if !dialect::hold_row(&mut tx, "users", link.user_id.0).await? {
            return Err(invalid_link());
        }
        let link = links::consume(&mut tx, kind, &digest, now).await?.ok_or_else(invalid_link)?;
        let user = active(store::find(&mut tx, link.user_id).await?).ok_or_else(invalid_link)?;
        self.replace_password(&mut tx, user.id, &hash, now).await?;
        let entry = Entry::new(&caller.into(), Action::PasswordResetByMail, &user.id.to_string());
        audit::record(&mut tx, entry.called(Some(&user.name)), now).await?;
        if let Ok(to) = link.email.parse::<MailAddress>() {
            let letter = Letter::PasswordChanged { name: user.name.clone() };
            let mailing = Mailing { to: &to, language: user.language, letter, useful_until: now + LIFE_MAX };
            self.queue_if_possible(&mut tx, mailing).await?;
        }
        tx.commit().await?;
        self.mail.wake();
        self.credentials_ended();
        Ok(())
    }
}

/// Who gets the link: the user with this verified address, or of this name with
/// one, who has a password.
async fn find_recipient(tx: &mut Tx, account: &str) -> Result<Option<(User, MailAddress)>, DbError> {
    let by_address = match account.parse::<MailAddress>() {
        Ok(address) => store::find_by_verified_email(tx, address.as_str()).await?,
        Err(_) => None,
    };
    let found = match by_address {
        Some(user) => Some(user),
        None => store::find_by_name(tx, account).await?,
    };
    let Some(user) = active(found).filter(|user| user.email_verified_at.is_some()) else { return Ok(None) };
    // Who signs in elsewhere only gets no password here in passing.
    if store::find_password_hash(tx, user.id).await?.is_none() {
        return Ok(None);
    }
    let email = user.email.as_deref().and_then(|email| email.parse().ok());
    Ok(email.map(|email| (user, email)))
}
