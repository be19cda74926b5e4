//! The records of jobs: that one began, and how it ended.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use windflow_protocol::ids::EnvironmentId;

use super::{Action, Actor, Entry, Outcome, record};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::jobs::{Job, JobState, Moment, Witness};

/// What a job does is recorded as this entry: as begun, and as it ended, each
/// with the job's id.
impl Witness for Entry {
    fn note<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: &'a Job,
        moment: Moment,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        let entry = self.clone().fact("job", json!(job.id));
        let entry = match moment {
            Moment::Begin => entry.outcome(Outcome::Begun),
            Moment::End => ended(entry, job),
        };
        record(tx, entry, now).boxed()
    }
}

/// Records the jobs that a hub did not live to end.
#[derive(Clone, Copy, Debug)]
pub struct CutOff;

impl Witness for CutOff {
    fn note<'a>(
        &'a self,
        tx: &'a mut Tx,
        job: &'a Job,
        _moment: Moment,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        let entry = Entry::new(&Actor::System, Action::JobCutOff, &job.id.to_string());
        let entry = entry.fact("kind", json!(job.kind)).fact("subject", json!(job.subject));
        let entry = match job.environment_id {
            Some(environment) => entry.environment(EnvironmentId(environment)),
            None => entry,
        };
        record(tx, ended(entry, job), now).boxed()
    }
}

fn ended(entry: Entry, job: &Job) -> Entry {
    let failed = |why: &str| entry.clone().outcome(Outcome::Failed).fact("error", json!(why));
    match (job.state, &job.failure) {
        (JobState::Succeeded, _) => entry,
        (JobState::Cancelled, _) => failed("it was cancelled"),
        (JobState::Failed, Some(failure)) => failed(&failure.message),
        (JobState::Failed | JobState::Queued | JobState::Running, _) => failed("it did not end"),
    }
}
