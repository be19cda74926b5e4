//! New keys for secrets at rest: a data key by a job, on demand, by schedule, or
//! to go on where one was cut off; another master key in one step.
//!
//! What a key seals, and how it is put aside, is the vault's business; here is
//! when it is done, by whom, and that it is on record.

pub mod locked;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

pub use self::routes::routes;
use crate::app::AppState;
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError};
use crate::error::{ApiError, ApiResult, sentence};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobId, JobKind, NewJob};
use crate::vault::{
    KeyCost, MasterKey, MasterKeyError, MasterKeyId, MasterKeySource, Resealed, Rewrapped, SealedColumn, Vault,
    VaultError,
};

/// What the job is called.
const KIND: JobKind = JobKind("keys.rotate");
/// A rotation must be done within this; what is left is done by the next.
const DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often all columns are gone through: somebody may have sealed with the
/// old key a moment before there was another.
const PASSES_MAX: u32 = 5;
/// An empty data key is kept for this long, for what was sealed with it and is
/// not written down yet.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How often is looked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// Makes new keys, one at a time.
#[derive(Debug)]
pub struct Keys {
    source: MasterKeySource,
    cost: KeyCost,
    /// How old a data key may become.
    life: Option<Duration>,
    turn: Arc<Semaphore>,
    job: Mutex<Option<JobId>>,
}

/// Why a rotation is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// There shall be a new data key.
    New,
    /// One was made, and older ones are in use still.
    Continued,
}

/// Where the hub finds another master key at its next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPlace {
    /// In the file where the present one is, which is replaced.
    Same,
    /// Elsewhere: whoever starts the hub says where.
    Other,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It is being done already.
    #[error("the keys are being changed already: wait for the end of it")]
    Busy,
    /// The vault or the database.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The new master key cannot be put where the hub looks for it.
    #[error("the new master key cannot be put in the place of the old one, and nothing was changed: {0}")]
    Place(MasterKeyError),
    /// It may or may not be in use.
    #[error(
        "the database did not say whether it knows the new master key. Both keys are kept beside each other; start the \
         hub again, it finds the right one"
    )]
    Unknown(#[source] DbError),
}

impl From<DbError> for KeysError {
    fn from(error: DbError) -> Self {
        Self::Vault(error.into())
    }
}

impl Keys {
    /// Gets the master key from here. `life` is how old a data key may become.
    pub fn new(source: MasterKeySource, cost: KeyCost, life: Option<Duration>) -> Self {
        Self { source, cost, life, turn: Arc::new(Semaphore::new(1)), job: Mutex::default() }
    }

    fn take_turn(self: &Arc<Self>) -> Result<Turn, KeysError> {
        let permit = self.turn.clone().try_acquire_owned().map_err(|_| KeysError::Busy)?;
        Ok(Turn { keys: self.clone(), _permit: permit })
    }

    fn set_job(&self, job: Option<JobId>) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = job;
    }

    /// The job that seals anew just now.
    fn job(&self) -> Option<JobId> {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is to change the keys.
struct Turn {
    keys: Arc<Keys>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.keys.set_job(None);
    }
}

/// Starts the job that seals everything with a new data key, or goes on with it.
///
/// # Errors
/// When it runs already, or the job cannot be started.
pub async fn rotate(app: &AppState, rotation: Rotation, asked_by: AskedBy, by: &Actor) -> ApiResult<Job> {
    let turn = app.keys.take_turn()?;
    let entry = Entry::new(by, Action::KeysRotate, &app.fleet.authority().hub().to_string());
    let new = NewJob {
        kind: KIND,
        environment: None,
        subject: String::new(),
        asked_by,
        deadline: DEADLINE,
        witness: Box::new(entry),
    };
    let work = app.clone();
    let job = app.jobs.start(new, move |job| async move {
        turn.keys.set_job(Some(job.id()));
        run(&work, rotation, &job).await
    });
    Ok(job.await?)
}

async fn run(app: &AppState, rotation: Rotation, job: &JobHandle) -> Result<Value, JobError> {
    job.steps(2);
    if rotation == Rotation::New {
        job.step("make_key");
        make_key(&app.vault, &app.db, app.clock.now()).await?;
    }
    job.step("reseal");
    let told = |done: Resealed| job.bytes(done.values, None);
    let resealed = job.unless_told_to_end(reseal(&app.vault, &app.db, &*app.clock, told)).await??;
    Ok(json!({ "generation": app.vault.generation(), "values": resealed.values, "unreadable": resealed.unreadable }))
}

/// Makes a data key, with which is sealed from now on.
///
/// # Errors
/// When the database fails, or another program changed the keys.
pub async fn make_key(vault: &Vault, db: &Db, now: Timestamp) -> Result<(), VaultError> {
    let mut tx = db.write().await?;
    let fresh = vault.make_key(&mut tx, now).await?;
    tx.commit().await?;
    vault.adopt_key(&fresh);
    tracing::info!(generation = fresh.generation().0, "secrets are sealed with a new data key from now on");
    Ok(())
}

/// Seals with the present data key whatever older ones sealed, until nothing of
/// them is left. Can be dropped, and begun again.
///
/// # Errors
/// When the database fails, or values are left that do not open.
pub async fn reseal(
    vault: &Vault,
    db: &Db,
    clock: &dyn Clock,
    told: impl Fn(Resealed) + Send + Sync,
) -> Result<Resealed, ResealError> {
    let mut total = Resealed::default();
    for _ in 0..PASSES_MAX {
        let before = total.values;
        let tell = |_: &SealedColumn, done: Resealed| told(Resealed { values: before + done.values, ..done });
        let done = vault.reseal(db, tell).await?;
        total = Resealed { values: before + done.values, unreadable: done.unreadable };
        if vault.settle(db, clock.now()).await?.is_empty() {
            tracing::info!(values = total.values, unreadable = total.unreadable, "all secrets are sealed anew");
            return Ok(total);
        }
    }
    Err(ResealError::Left(total))
}

/// Why not everything is sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The vault or the database.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Something is left.
    #[error(
        "{} values were sealed anew, but {} do not open and were left as they are; the log names them. The old data \
         keys are kept for them", .0.values, .0.unreadable
    )]
    Left(Resealed),
}

impl From<ResealError> for ApiError {
    fn from(error: ResealError) -> Self {
        match error {
            ResealError::Vault(error) => error.into(),
            ResealError::Left(_) => Self::conflict("values_unreadable", sentence(&error)),
        }
    }
}

/// What takes another master key.
#[derive(Debug)]
pub struct Change<'a> {
    /// The open vault.
    pub vault: &'a Vault,
    /// Its database.
    pub db: &'a Db,
    /// Where the present master key comes from.
    pub source: &'a MasterKeySource,
    /// What deriving a key costs.
    pub cost: KeyCost,
    /// Who does it.
    pub by: &'a Actor,
    /// What the record says it is done to.
    pub hub: String,
    /// The present moment.
    pub now: Timestamp,
}

impl Change<'_> {
    /// Wraps the data keys with another master key. It counts from the one
    /// moment on in which the database knows it.
    ///
    /// # Errors
    /// [`KeysError`]; nothing was changed then, unless it says so.
    pub async fn to(self, master: MasterKey, place: NewPlace) -> Result<MasterKeyId, KeysError> {
        let Self { vault, db, source, cost, by, hub, now } = self;
        let staged = match place {
            NewPlace::Same => Some(source.stage(&master).await.map_err(KeysError::Place)?),
            NewPlace::Other => None,
        };
        let (fresh, before) = (Rewrapped::derive(master, cost).await, vault.master_key_id());
        let id = fresh.root().id().clone();
        let written = async {
            let mut tx = db.write().await?;
            vault.rewrap(&mut tx, &fresh, now).await?;
            let entry = Entry::new(by, Action::MasterKeyChange, &hub);
            audit::record(&mut tx, entry.fact("old_key", json!(before)).fact("new_key", json!(id)), now).await?;
            Ok::<_, VaultError>(tx)
        };
        let tx = match written.await {
            Ok(tx) => tx,
            Err(error) => {
                if let Some(Err(error)) = staged.map(|staged| staged.discard()) {
                    tracing::warn!(%error, "a master key that is not used was left beside its file");
                }
                return Err(error.into());
            }
        };
        // Where this fails, nobody knows whether it was done: both keys stay.
        tx.commit().await.map_err(KeysError::Unknown)?;
        vault.adopt_master(fresh);
        tracing::info!(from = %before, to = %id, "the data keys are wrapped with another master key");
        if let Some(Err(error)) = staged.map(|staged| staged.install()) {
            tracing::error!(%error, "the new master key waits beside its file; the next start puts it there");
        }
        Ok(id)
    }
}

/// Changes the master key of the running hub.
///
/// # Errors
/// As [`Change::to`].
pub async fn change_master_key(
    app: &AppState,
    master: MasterKey,
    place: NewPlace,
    by: &Actor,
) -> Result<MasterKeyId, KeysError> {
    let _turn = app.keys.take_turn()?;
    let change = Change {
        vault: &app.vault,
        db: &app.db,
        source: &app.keys.source,
        cost: app.keys.cost,
        by,
        hub: app.fleet.authority().hub().to_string(),
        now: app.clock.now(),
    };
    change.to(master, place).await
}

/// Goes on with what was cut off, makes a new data key when it is time, and
/// removes the old ones that are empty.
pub async fn keep(app: AppState) {
    match app.vault.is_rotating(&app.db).await {
        Ok(true) => begin(&app, Rotation::Continued).await,
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "whether a rotation was cut off is not known"),
    }
    let mut turns = tokio::time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = app.lifecycle.soft.cancelled() => return,
        }
        if let Err(error) = look(&app, app.keys.life).await {
            tracing::error!(%error, "the data keys could not be looked at");
        }
    }
}

/// Does what is due now.
async fn look(app: &AppState, life: Option<Duration>) -> Result<(), VaultError> {
    let now = app.clock.now();
    // What is being sealed anew is left to whoever does it.
    if app.keys.job().is_some() {
        return Ok(());
    }
    let dropped = app.vault.drop_emptied(&app.db, now - KEPT_FOR, now).await?;
    if dropped > 0 {
        tracing::info!(dropped, "removed data keys that nothing is sealed with any more");
    }
    let current = app.vault.list_keys(&app.db).await?.pop();
    let is_due = |life: Duration| {
        let made = current.as_ref().and_then(|key| key.created_at);
        made.is_none_or(|made| now.since(made) >= life)
    };
    if life.is_some_and(is_due) {
        begin(app, Rotation::New).await;
    }
    Ok(())
}

/// Starts a job by itself.
async fn begin(app: &AppState, rotation: Rotation) {
    let hub = AskedBy { name: "system".to_owned(), user: None };
    if let Err(error) = rotate(app, rotation, hub, &Actor::System).await {
        tracing::error!(code = error.code(), "a rotation of the keys was not begun");
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Database(error) => error.into(),
            VaultError::Changed => Self::conflict("keys_changed", sentence(&error)),
            VaultError::Format
            | VaultError::Sealed
            | VaultError::UnknownKey(_)
            | VaultError::DataKey(_)
            | VaultError::WrongMasterKey { .. } => Self::internal(error),
        }
    }
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Busy => Self::conflict("keys_busy", sentence(&error)),
            KeysError::Place(_) => Self::conflict("master_key_place", sentence(&error)),
            KeysError::Unknown(_) => Self::unavailable("master_key_unknown", sentence(&error)),
            KeysError::Vault(error) => error.into(),
        }
    }
}
