//! Backups of the hub: everything it knows, with the master key, in one
//! encrypted file that restores into either database.
//!
//! `seal` is the envelope, `archive` what is inside it, `dump` and `restore`
//! the ways from and into a database, `swap` the last step of a restore.

mod archive;
mod dump;
mod restore;
mod routes;
mod seal;
mod swap;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub use self::archive::{Archive, Contents, End};
pub use self::dump::{PARTS_WAITING, Sink, Source, write};
pub use self::restore::{Forgotten, Present, Restored, Target, restore};
pub use self::routes::routes;
pub use self::seal::{Header, OpenError, read_head};
pub use self::swap::Places;
use crate::app::AppState;
use crate::db::DbError;
use crate::identity::audit::{self, Action, Actor, Entry, Outcome};
use crate::vault::{KeyCost, MasterKeySource};

/// Fewest characters of a passphrase: a backup can be tried at home for ever.
pub const PASSPHRASE_MIN: usize = 12;
/// Most bytes of a passphrase.
pub const PASSPHRASE_MAX: usize = 1024;

/// How long whoever takes a backup that failed may take to hear of it.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(5);

/// Makes backups of the running hub, one at a time.
#[derive(Debug)]
pub struct Backups {
    master_key: MasterKeySource,
    cost: KeyCost,
    turn: Arc<Semaphore>,
}

/// The passphrase cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the passphrase must have {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters")]
pub struct WeakPassphrase;

/// Why a backup was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The passphrase cannot be used.
    #[error(transparent)]
    Passphrase(#[from] WeakPassphrase),
    /// Another backup is being made.
    #[error("another backup is being made: wait for its end")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The master key cannot be read.
    #[error(transparent)]
    MasterKey(#[from] crate::vault::MasterKeyError),
}

/// Checks a passphrase for a new backup.
///
/// # Errors
/// [`WeakPassphrase`].
pub fn check_passphrase(passphrase: &SecretString) -> Result<(), WeakPassphrase> {
    let text = passphrase.expose_secret();
    let fits = text.chars().count() >= PASSPHRASE_MIN && text.len() <= PASSPHRASE_MAX;
    fits.then_some(()).ok_or(WeakPassphrase)
}

impl Backups {
    /// Will get the master key from here.
    pub fn new(master_key: MasterKeySource, cost: KeyCost) -> Self {
        Self { master_key, cost, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Begins a backup in a task of the hub; the parts of the file come out of
    /// the receiver, the last of them only if all went well.
    ///
    /// # Errors
    /// [`BeginError`].
    pub async fn begin(
        &self,
        app: &AppState,
        passphrase: SecretString,
        by: Actor,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, BeginError> {
        check_passphrase(&passphrase)?;
        let turn = self.turn.clone().try_acquire_owned().map_err(|_| BeginError::Busy)?;
        let master_key = self.master_key.read().await?;
        note(app, &by, Outcome::Begun, None).await?;
        let source = Source { db: app.db.clone(), master_key, now: app.clock.now(), cost: self.cost };
        let (sink, parts) = mpsc::channel(PARTS_WAITING);
        app.lifecycle.tasks.spawn(run(app.clone(), source, passphrase, by, sink, turn));
        Ok(parts)
    }
}

async fn run(
    app: AppState,
    source: Source,
    passphrase: SecretString,
    by: Actor,
    sink: Sink,
    turn: OwnedSemaphorePermit,
) {
    let written = tokio::select! {
        written = write(source, passphrase, &sink) => written,
        () = app.lifecycle.hard.cancelled() => Err(anyhow::anyhow!("the hub stops")),
    };
    let (outcome, rows) = match &written {
        Ok(end) => (Outcome::Done, Some(end.rows.values().sum())),
        Err(_) => (Outcome::Failed, None),
    };
    if let Err(error) = note(&app, &by, outcome, rows).await {
        tracing::error!(%error, "the end of a backup was not recorded");
    }
    match written {
        Ok(_) => tracing::info!(rows, "a backup was made"),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "a backup was not made");
            // Whoever still listens sees the answer break off; nobody may.
            let broken = sink.send(Err(io::Error::other("the backup was not made")));
            let _nobody_listens_is_fine = tokio::time::timeout(FAREWELL_DEADLINE, broken).await;
        }
    }
    drop(turn);
}

/// Records a backup even on a full disk: it is what helps there.
async fn note(app: &AppState, by: &Actor, outcome: Outcome, rows: Option<u64>) -> Result<(), DbError> {
    let mut tx = app.db.write_vital().await?;
    let entry = Entry::new(by, Action::HubBackup, &app.fleet.authority().hub().to_string()).outcome(outcome);
    let entry = match rows {
        Some(rows) => entry.fact("rows", rows.into()),
        None => entry,
    };
    audit::record(&mut tx, entry, app.clock.now()).await?;
    tx.commit().await
}
