//! Jobs: work that takes long, for which nobody has to wait. A job is written
//! down, tells how far it has come and what it says, can be cancelled, and ends
//! within its deadline whatever happens. Knows no feature: whoever starts a job
//! brings its work.
//!
//! What runs stands in memory, and in the database now and then and at its end.
//! A job that a hub did not live to end is ended by the next one.

mod drive;
mod error;
mod model;
mod output;
mod running;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::error::{JobError, StartError};
pub use self::model::{
    AskedBy, Failure, Job, JobFilter, JobId, JobKind, JobState, NewJob, Part, Progress, StateFilter,
};
pub use self::output::Excerpt;
pub use self::running::JobHandle;
use self::running::{Interruption, Running};
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, DbError, Tx};
use crate::http::{List, Page, Visible};
use crate::lifecycle::Lifecycle;
use crate::tunnel::Feed;

/// Jobs are forgotten so long after their end.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Jobs that are over and kept, at most.
const KEPT_MAX: i64 = 2000;

/// How many jobs there may be, and how patient the hub is with them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs that run at once.
    pub running: usize,
    /// The same of one environment.
    pub running_of_environment: usize,
    /// Jobs that wait and run.
    pub active: usize,
    /// The same of one environment.
    pub active_of_environment: usize,
    /// A job must get its turn within this.
    pub queue_deadline: Duration,
    /// A hub that ends lets its jobs finish for this long.
    pub stop_grace: Duration,
    /// A job that is told to end must have undone what it has to within this.
    pub end_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running: 32,
            running_of_environment: 4,
            active: 256,
            active_of_environment: 32,
            queue_deadline: Duration::from_secs(60 * 60),
            stop_grace: Duration::from_secs(5),
            end_grace: Duration::from_secs(15),
        }
    }
}

/// A moment in a job's life that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was asked for.
    Begin,
    /// It ended, as the job says.
    End,
}

/// Keeps the record of a job, in the transaction that writes the job down.
/// Implemented by the feature that keeps records.
pub trait Witness: Debug + Send + Sync {
    /// Records a moment in the life of `job`.
    fn note<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: &'a Job,
        moment: Moment,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DbError>>;
}

/// All jobs of the hub. Clones share them.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    feed: Feed,
    lifecycle: Lifecycle,
    limits: Limits,
    /// Those whose end is not written down, in the order they were asked for.
    active: Mutex<Vec<Arc<Running>>>,
    /// How many these are.
    count: watch::Sender<usize>,
}

impl Jobs {
    /// No job yet.
    pub fn new(db: Db, clock: Arc<dyn Clock>, feed: Feed, lifecycle: Lifecycle, limits: Limits) -> Self {
        let (active, count) = (Mutex::default(), watch::Sender::default());
        Self(Arc::new(Inner { db, clock, feed, lifecycle, limits, active, count }))
    }

    /// Starts a job: `work` is done as soon as there is room for it. It says
    /// how it does through its handle, and gives a small JSON result.
    ///
    /// Work that must undo something looks out for its end with
    /// [`JobHandle::unless_told_to_end`]; it has 15 seconds from then. Other
    /// work is dropped after as long.
    ///
    /// # Errors
    /// [`StartError`]; nothing was begun then.
    pub async fn start<W, F>(&self, new: NewJob, work: W) -> Result<Job, StartError>
    where
        W: FnOnce(JobHandle) -> F + Send + 'static,
        F: Future<Output = Result<Value, JobError>> + Send + 'static,
    {
        let now = self.clock().now();
        let job = Job {
            id: JobId::generate(),
            kind: new.kind.0.to_owned(),
            environment_id: new.environment.map(|environment| environment.0),
            subject: new.subject,
            asked_by: new.asked_by.name,
            asked_by_id: new.asked_by.user,
            state: JobState::Queued,
            progress: Progress::default(),
            result: None,
            failure: None,
            created_at: now,
            started_at: None,
            ended_at: None,
        };
        let running = Arc::new(Running::new(job.clone(), new.environment, new.deadline, new.witness));
        self.enter(&running)?;
        let seat = Seat { jobs: self, running: Some(&running) };
        let mut tx = self.db().write().await?;
        store::insert(&mut tx, &job).await?;
        running.witness.note(&mut tx, &job, Moment::Begin, now).await?;
        tx.commit().await?;
        seat.keep();
        self.tell(&running);
        self.promote();
        let job = running.job();
        tracing::info!(job.id = %job.id, job.kind, job.asked_by, "job asked for");
        self.0.lifecycle.tasks.spawn(self.clone().drive(running, work));
        Ok(job)
    }

    /// The jobs that match and are to be shown, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self, filter: &JobFilter, visible: &Visible, page: Page) -> Result<List<Job>, DbError> {
        let mut tx = self.db().read().await?;
        let items = store::list(&mut tx, filter, visible, page).await?;
        let total = store::count(&mut tx, filter, visible).await?;
        Ok(List { items, total }.map(|job| self.active(job.id).map_or(job, |running| running.job())))
    }

    /// One job.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: JobId) -> Result<Option<Job>, DbError> {
        match self.active(id) {
            Some(running) => Ok(Some(running.job())),
            None => store::find(&mut self.db().read().await?, id).await,
        }
    }

    /// What a job said from this line on, as far as it is kept.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn output(&self, id: JobId, from: u64) -> Result<Option<Excerpt>, DbError> {
        match self.active(id) {
            Some(running) => Ok(Some(running.said_from(from))),
            None => {
                let output = store::find_output(&mut self.db().read().await?, id).await?;
                Ok(output.map(|output| output.from(from)))
            }
        }
    }

    /// Tells a job to end; false where it is over.
    pub fn cancel(&self, id: JobId) -> bool {
        let running = self.active(id).filter(|running| !running.state().is_over());
        running.map(|running| running.interrupt(Interruption::Cancelled)).is_some()
    }

    /// Ends the jobs that an earlier hub did not live to end.
    ///
    /// # Errors
    /// When the database fails; what was ended stays so.
    pub async fn end_cut_off(&self, witness: &dyn Witness) -> Result<u64, DbError> {
        let left = store::list_active(&mut self.db().read().await?).await?;
        // After the rows: what ends in between is no longer here, and no longer active there.
        let own: HashSet<JobId> = self.seats().iter().map(|running| running.id).collect();
        let (_, failure) = Interruption::HubStops.verdict();
        let failure = failure.expect("a job that a hub did not end has failed");
        let mut ended = 0;
        for id in left.into_iter().filter(|id| !own.contains(id)) {
            let now = self.clock().now();
            let mut tx = self.db().write_vital().await?;
            if store::end(&mut tx, id, &failure, now).await?
                && let Some(job) = store::find(&mut tx, id).await?
            {
                witness.note(&mut tx, &job, Moment::End, now).await?;
                ended += 1;
            }
            tx.commit().await?;
        }
        Ok(ended)
    }

    /// Forgets the jobs that ended long ago. How many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_expired(&self) -> Result<u64, DbError> {
        let mut tx = self.db().write_vital().await?;
        let deleted = store::delete_ended(&mut tx, self.clock().now() - KEPT_FOR, KEPT_MAX).await?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Waits until no job is left. Each ends by itself once the hub is asked to
    /// finish.
    pub async fn ended(&self) {
        // Cannot fail: the sender is held.
        self.0.count.subscribe().wait_for(|count| *count == 0).await.ok();
    }

    /// Takes a job in, if there is room.
    fn enter(&self, running: &Arc<Running>) -> Result<(), StartError> {
        if self.soft().is_cancelled() {
            return Err(StartError::Stopping);
        }
        let mut seats = self.seats();
        let of_environment = seats.iter().filter(|other| other.environment == running.environment).count();
        if seats.len() >= self.limits().active {
            return Err(StartError::Crowded);
        }
        if running.environment.is_some() && of_environment >= self.limits().active_of_environment {
            return Err(StartError::EnvironmentCrowded);
        }
        seats.push(Arc::clone(running));
        self.0.count.send_replace(seats.len());
        Ok(())
    }

    /// Forgets a job that is over, and gives its room to the next.
    fn leave(&self, running: &Running) {
        let mut seats = self.seats();
        seats.retain(|other| other.id != running.id);
        self.0.count.send_replace(seats.len());
        drop(seats);
        self.promote();
    }

    /// Lets those run for which there is room, in the order they were asked for.
    fn promote(&self) {
        let (seats, now) = (self.seats(), self.clock().now());
        let runs = |running: &&Arc<Running>| running.state() == JobState::Running;
        for next in seats.iter().filter(|running| running.state() == JobState::Queued) {
            let own = seats.iter().filter(runs).filter(|other| other.environment == next.environment).count();
            let is_free = next.environment.is_none() || own < self.limits().running_of_environment;
            if is_free && seats.iter().filter(runs).count() < self.limits().running {
                next.change(|job| (job.state, job.started_at) = (JobState::Running, Some(now)));
            }
        }
    }

    fn active(&self, id: JobId) -> Option<Arc<Running>> {
        self.seats().iter().find(|running| running.id == id).cloned()
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Arc<Running>>> {
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> &Db {
        &self.0.db
    }

    fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    fn feed(&self) -> &Feed {
        &self.0.feed
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn soft(&self) -> &CancellationToken {
        &self.0.lifecycle.soft
    }

    fn hard(&self) -> &CancellationToken {
        &self.0.lifecycle.hard
    }
}

/// The place of a job that is being written down for the first time. It is
/// given back unless that succeeds, also where nobody waits for it any more.
struct Seat<'a> {
    jobs: &'a Jobs,
    running: Option<&'a Running>,
}

impl Seat<'_> {
    fn keep(mut self) {
        self.running = None;
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running {
            self.jobs.leave(running);
        }
    }
}
