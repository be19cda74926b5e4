//! Mail: what the hub writes to people. A letter is queued in the transaction
//! that it tells of, sealed, and kept until a server took it or its time is
//! over; one task sends what is due. Knows no feature: who queues a letter
//! fills it in.

mod address;
mod letter;
mod outbox;
mod public_url;
mod settings;
mod smtp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

pub use self::address::{InvalidAddress, MailAddress};
pub use self::letter::{Language, Letter};
pub use self::outbox::{Delivery, DeliveryState};
pub use self::public_url::PublicUrl;
use self::settings::Server;
pub use self::settings::{InvalidSettings, MailSettings, NewMailSettings, Security};
pub use self::smtp::{Step, StepReport};
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError, Tx};
use crate::error::ApiError;
use crate::http::{List, Page};
use crate::vault::{Place, Vault, VaultError};

/// A mail that no server took for this long is given up.
pub const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Mails that wait at once.
const WAITING_MAX: i64 = 1_000;
/// How long it stays known what became of a mail.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Why a mail cannot be queued, or what is stored of mail not be read.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The hub has no mail server.
    #[error("no mail server is set")]
    NotConfigured,
    /// As many wait as may.
    #[error("too many mails wait to be sent")]
    Full,
    /// What is stored is not what this hub sealed there.
    #[error("what is stored of mail does not open")]
    Sealed(#[from] VaultError),
    /// What is stored has an unknown form.
    #[error("what is stored of mail has an unknown form")]
    Form(#[from] serde_json::Error),
}

impl From<MailError> for ApiError {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Database(error) => error.into(),
            MailError::NotConfigured => Self::conflict(
                "mail_not_configured",
                "This hub cannot send mail: an administrator sets a mail server first.",
            ),
            MailError::Full => Self::unavailable("mail_queue_full", "Too many mails wait to be sent. Try again later."),
            MailError::Sealed(_) | MailError::Form(_) => Self::internal(error),
        }
    }
}

/// A letter on its way to somebody.
#[derive(Debug)]
pub struct Mailing<'a> {
    /// To whom.
    pub to: &'a MailAddress,
    /// In which language.
    pub language: Language,
    /// What it says.
    pub letter: Letter,
    /// When what it says is no longer of use; at most [`LIFE_MAX`] from now.
    pub useful_until: Timestamp,
}

/// Mail: its settings, and what waits to be sent.
#[derive(Debug)]
pub struct Mail {
    db: Db,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    /// Something was queued, or the server is another one.
    wake: Notify,
}

impl Mail {
    /// The mail of the hub with this database.
    pub fn new(db: Db, vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Self {
        Self { db, vault, clock, wake: Notify::new() }
    }

    /// Where links in mails lead, while there is a mail server.
    ///
    /// # Errors
    /// When the database fails or the settings cannot be read.
    pub async fn public_url(&self, tx: &mut Tx) -> Result<Option<PublicUrl>, MailError> {
        Ok(settings::read(tx).await?.map(|settings| settings.public_url))
    }

    /// Queues a letter; it is sent once the transaction is committed and
    /// [`wake`](Self::wake) was called, or a moment later.
    ///
    /// # Errors
    /// [`MailError::NotConfigured`] without a server, [`MailError::Full`] where
    /// too many wait.
    pub async fn queue(&self, tx: &mut Tx, mailing: Mailing<'_>) -> Result<(), MailError> {
        if settings::read(tx).await?.is_none() {
            return Err(MailError::NotConfigured);
        }
        if outbox::count_waiting(tx).await? >= WAITING_MAX {
            return Err(MailError::Full);
        }
        let (id, now) = (Uuid::now_v7(), self.clock.now());
        let rendered = serde_json::to_vec(&mailing.letter.render(mailing.language))?;
        let sealed = self.vault.seal(&place(&id.to_string()), &rendered);
        let waiting = outbox::NewDelivery {
            id,
            kind: mailing.letter.kind(),
            recipient: mailing.to.as_str(),
            letter_sealed: &sealed,
            created_at: now,
            expires_at: mailing.useful_until.min(now + LIFE_MAX),
        };
        Ok(outbox::insert(tx, &waiting).await?)
    }

    /// Has the worker look at once at what is due.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What waits, and what became of the mails of the last week: the newest
    /// first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_deliveries(&self, page: Page) -> Result<List<Delivery>, DbError> {
        let mut tx = self.db.read().await?;
        let items = outbox::list(&mut tx, page).await?;
        Ok(List { items, total: outbox::count(&mut tx).await? })
    }

    /// Forgets what became of mails long ago.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_old(&self) -> Result<u64, DbError> {
        let mut tx = self.db.write_vital().await?;
        let rows = outbox::delete_created_before(&mut tx, self.clock.now() - KEPT).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// The settings, without the password.
    ///
    /// # Errors
    /// When the database fails or the settings cannot be read.
    pub async fn settings(&self) -> Result<Option<MailSettings>, MailError> {
        settings::read(&mut self.db.read().await?).await
    }

    /// Sets the server, in a transaction that records it. The password stays
    /// only where it goes to the same place as before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set(&self, tx: &mut Tx, new: NewMailSettings) -> Result<MailSettings, MailError> {
        let set = settings::write(tx, &self.vault, new, self.clock.now()).await?;
        outbox::try_again_now(tx, self.clock.now()).await?;
        Ok(set)
    }

    /// Forgets the server and its password, in a transaction that records it.
    /// What waits is given up when its time is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unset(&self, tx: &mut Tx) -> Result<(), MailError> {
        Ok(settings::delete(tx).await?)
    }

    /// Sends a test mail right now, and tells of each step of it. The last one
    /// says what went wrong, if something did.
    ///
    /// # Errors
    /// [`MailError::NotConfigured`] without a server.
    pub async fn test(&self, to: &MailAddress, language: Language) -> Result<Vec<StepReport>, MailError> {
        let server = self.server().await?.ok_or(MailError::NotConfigured)?;
        let rendered = Letter::Test { address: server.settings.public_url.to_string() }.render(language);
        let post = smtp::Post { id: Uuid::now_v7(), to, letter: &rendered, at: self.clock.now() };
        Ok(smtp::deliver(&server, &post).await.steps)
    }

    /// The settings with the password.
    async fn server(&self) -> Result<Option<Server>, MailError> {
        settings::read_server(&mut self.db.read().await?, &self.vault).await
    }
}

/// Gives up every mail that waits.
///
/// # Errors
/// When the database fails.
pub async fn give_up_all(tx: &mut Tx, why: &str, now: Timestamp) -> Result<(), DbError> {
    outbox::fail_all(tx, why, now).await
}

/// Where a letter is sealed for.
fn place(id: &str) -> Place<'_> {
    Place { table: "outbox", row: id, column: "letter_sealed" }
}
