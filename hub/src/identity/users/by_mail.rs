//! What a user does through their mailbox: verify an address, choose a new
//! password, register. Each has a link with a secret of 256 bits that works
//! once and is stored as a digest. Who asks for one learns nothing about who
//! has an account: what there is to be done is done after the answer.

mod addresses;
pub(super) mod links;
pub(super) mod pace;
mod password_reset;
mod registration;
mod routes;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::links::LinkKind;
pub(super) use self::links::LinkSecret;
use self::pace::Pace;
pub use self::registration::RegistrationSettings;
pub(super) use self::registration::read as read_registration;
pub(in crate::identity) use self::routes::routes;
use super::User;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::UserId;
use crate::identity::Identity;
use crate::mail::{MailError, Mailing};

/// Requests that are worked on after their answer, at once.
const UNDERWAY_MAX: usize = 16;
/// Links of one kind that are mailed to one user, or to one address, in an hour.
const MAILS_MAX: u32 = 3;

/// How often people ask for links and come with them.
#[derive(Debug)]
pub struct Recovery {
    asked: Pace<IpAddr>,
    tried: Pace<IpAddr>,
    /// Of addresses that asked to be registered.
    mailed: Pace<String>,
    underway: Arc<Semaphore>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            asked: Pace::new(20, 500),
            tried: Pace::new(120, 5_000),
            mailed: Pace::new(MAILS_MAX, 500),
            underway: Arc::new(Semaphore::new(UNDERWAY_MAX)),
        }
    }
}

impl Identity {
    /// Lets somebody ask for a link.
    ///
    /// # Errors
    /// 429 when there were too many from their address, or in all.
    fn admit_asking(&self, from: Option<IpAddr>) -> ApiResult<OwnedSemaphorePermit> {
        self.recovery.asked.admit(from.map(pace::network), self.now()).map_err(ApiError::too_many_requests)?;
        let place = self.recovery.underway.clone().try_acquire_owned();
        place.map_err(|_| ApiError::too_many_requests(std::time::Duration::from_secs(5)))
    }

    /// Lets somebody come with a link.
    ///
    /// # Errors
    /// 429 when there were too many from their address, or in all.
    pub(super) fn admit_trying(&self, from: Option<IpAddr>) -> ApiResult<()> {
        self.recovery.tried.admit(from.map(pace::network), self.now()).map_err(ApiError::too_many_requests)
    }

    /// Queues a letter that is good to have and no reason to fail.
    async fn queue_if_possible(&self, tx: &mut Tx, mailing: Mailing<'_>) -> Result<(), DbError> {
        match self.mail.queue(tx, mailing).await {
            Ok(()) | Err(MailError::NotConfigured) => Ok(()),
            Err(MailError::Database(error)) => Err(error),
            Err(error @ (MailError::Full | MailError::Sealed(_) | MailError::Form(_))) => {
                tracing::warn!(%error, "a mail was not queued");
                Ok(())
            }
        }
    }
}

/// Ends the links with which a user could choose a password.
async fn end_resets(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    links::end_of_user(tx, user, LinkKind::Reset, now).await
}

/// Ends the links that whoever knew the old password, or was signed in with it,
/// could have asked for: to choose another one, and to make another address the
/// user's, to which they would go from then on.
pub(super) async fn end_what_others_asked(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    end_resets(tx, user, now).await?;
    links::end_changes(tx, user, now).await
}

/// Deletes the links that were made long ago.
pub(in crate::identity) async fn delete_old_links(tx: &mut Tx, before: Timestamp) -> Result<u64, DbError> {
    links::delete_created_before(tx, before).await
}

/// One text for all that is wrong with a link: who has none learns nothing.
pub(super) fn invalid_link() -> ApiError {
    let message = "The link is wrong, was used, or is too old. Ask for a new one.";
    ApiError::forbidden("invalid_link", message)
}

/// A user whom a link may serve.
fn active(user: Option<User>) -> Option<User> {
    user.filter(|user| user.disabled_at.is_none())
}
