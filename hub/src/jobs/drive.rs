//! Takes one job from its turn to its end, whatever its work does: every job
//! ends, and its end is written down.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::sleep;

use super::error::JobError;
use super::model::{Failure, JobState};
use super::running::{Interruption, JobHandle, Running};
use super::{Jobs, Moment, store};
use crate::db::DbError;
use crate::tunnel::News;

/// Who looks on is told of a job's progress at most this often.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How far a job has come is written down this often.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// An end that could not be written down is tried again after this.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

/// How a job's work ended.
enum Ended {
    /// By itself.
    Returned(Result<Value, JobError>),
    /// In a defect.
    Panicked,
    /// It did not end when it was told to.
    Abandoned(Interruption),
}

impl Jobs {
    /// Takes a job through its life.
    pub(super) async fn drive<W, F>(self, running: Arc<Running>, work: W)
    where
        W: FnOnce(JobHandle) -> F + Send,
        F: Future<Output = Result<Value, JobError>> + Send,
    {
        let ended = match self.turn(&running).await {
            Ok(()) => self.run(&running, work).await,
            Err(why) => Ended::Abandoned(why),
        };
        let (state, result, failure) = judge(&running, self.in_view_of_the_end(&running, ended));
        let now = self.clock().now();
        let mut ending = running.job();
        (ending.state, ending.result, ending.failure, ending.ended_at) = (state, result, failure, Some(now));
        self.write_end(&running, &ending).await;
        running.change(|job| *job = ending);
        self.leave(&running);
        self.tell(&running);
        let job = running.job();
        let code = job.failure.as_ref().map(|failure| failure.code.as_str());
        tracing::info!(job.id = %job.id, job.kind, state = job.state.as_str(), code, "job ended");
    }

    /// Whatever fails while the hub stops fails for that: its engines go first.
    fn in_view_of_the_end(&self, running: &Running, ended: Ended) -> Ended {
        match ended {
            Ended::Returned(Err(JobError::Failed(failure))) if self.soft().is_cancelled() => {
                running.output().say(&failure.message);
                Ended::Abandoned(Interruption::HubStops)
            }
            ended => ended,
        }
    }

    /// Waits until there is room for the job.
    async fn turn(&self, running: &Running) -> Result<(), Interruption> {
        let mut job = running.follow();
        // Cannot fail: the job is held.
        let turn = async { drop(job.wait_for(|job| job.state == JobState::Running).await) };
        let why = tokio::select! {
            biased;
            () = running.told_to_end() => running.interruption().unwrap_or(Interruption::Cancelled),
            () = self.soft().cancelled() => Interruption::HubStops,
            () = turn => return Ok(()),
            () = sleep(self.limits().queue_deadline) => Interruption::NeverBegan,
        };
        running.interrupt(why);
        Err(why)
    }

    async fn run<W, F>(&self, running: &Arc<Running>, work: W) -> Ended
    where
        W: FnOnce(JobHandle) -> F + Send,
        F: Future<Output = Result<Value, JobError>> + Send,
    {
        let handle = JobHandle(Arc::clone(running));
        let work = AssertUnwindSafe(async move { work(handle).await }).catch_unwind();
        tokio::select! {
            done = work => done.map_or(Ended::Panicked, Ended::Returned),
            why = self.overstayed(running) => Ended::Abandoned(why),
            never = self.keep_told(running) => match never {},
            never = self.keep_written(running) => match never {},
        }
    }

    /// Waits for a reason to end the job, tells it so, and waits until it
    /// should have ended.
    async fn overstayed(&self, running: &Running) -> Interruption {
        let stops = async {
            self.soft().cancelled().await;
            sleep(self.limits().stop_grace).await;
        };
        let why = tokio::select! {
            () = running.told_to_end() => running.interruption().unwrap_or(Interruption::Cancelled),
            () = sleep(running.deadline) => Interruption::Overdue,
            () = stops => Interruption::HubStops,
            () = self.hard().cancelled() => return Interruption::HubStops,
        };
        running.interrupt(why);
        tokio::select! {
            () = sleep(self.limits().end_grace) => {}
            () = self.hard().cancelled() => {}
        }
        tracing::warn!(job.id = %running.id, ?why, "a job did not end when it was told to, and was dropped");
        running.interruption().unwrap_or(why)
    }

    /// Tells those who look on that the job has come further, at a pace.
    async fn keep_told(&self, running: &Running) -> Infallible {
        let mut job = running.follow();
        loop {
            self.tell(running);
            sleep(TELL_EVERY).await;
            // Cannot fail: the job is held.
            job.changed().await.ok();
        }
    }

    /// Writes down how far the job has come, now and then.
    async fn keep_written(&self, running: &Running) -> Infallible {
        let mut job = running.follow();
        job.mark_changed();
        loop {
            // Cannot fail: the job is held.
            job.changed().await.ok();
            if let Err(error) = self.write(running).await {
                tracing::warn!(job.id = %running.id, %error, "how far a job has come was not written down");
            }
            sleep(WRITE_EVERY).await;
        }
    }

    async fn write(&self, running: &Running) -> Result<(), DbError> {
        let mut tx = self.db().write().await?;
        let output = running.output().clone();
        store::update(&mut tx, &running.job(), &output).await?;
        tx.commit().await
    }

    /// Writes down how the job ended, and its record. It is tried until it is
    /// done or the hub ends: the next one finds the job cut off then.
    async fn write_end(&self, running: &Running, ending: &super::Job) {
        loop {
            let written = async {
                let mut tx = self.db().write_vital().await?;
                let output = running.output().clone();
                store::update(&mut tx, ending, &output).await?;
                running.witness.note(&mut tx, ending, Moment::End, self.clock().now()).await?;
                tx.commit().await
            };
            let Err(error) = written.await else { return };
            tracing::error!(job.id = %running.id, %error, "the end of a job was not written down");
            let can_help = matches!(error, DbError::Unavailable(_) | DbError::Locked(_) | DbError::Full(_));
            if !can_help || self.soft().is_cancelled() {
                return;
            }
            tokio::select! {
                () = sleep(WRITE_AGAIN) => {}
                () = self.soft().cancelled() => {}
            }
        }
    }

    /// Tells those who look on that a job is not as it was.
    pub(super) fn tell(&self, running: &Running) {
        self.feed().post(News::Job { job: running.id.0, environment: running.environment });
    }
}

/// How a job stands after its work ended like this.
fn judge(running: &Running, ended: Ended) -> (JobState, Option<Value>, Option<Failure>) {
    let interrupted = |why: Interruption| {
        let (state, failure) = why.verdict();
        (state, None, failure)
    };
    match ended {
        Ended::Returned(Ok(result)) => (JobState::Succeeded, Some(result).filter(|result| !result.is_null()), None),
        Ended::Returned(Err(JobError::Failed(failure))) => (JobState::Failed, None, Some(failure)),
        Ended::Returned(Err(JobError::Interrupted)) => {
            interrupted(running.interruption().unwrap_or(Interruption::Cancelled))
        }
        Ended::Abandoned(why) => interrupted(why),
        Ended::Panicked => {
            tracing::error!(job.id = %running.id, "a job ended in a defect");
            let message = "The hub failed. Its log has the cause.".to_owned();
            (JobState::Failed, None, Some(Failure { code: "internal".to_owned(), message }))
        }
    }
}
