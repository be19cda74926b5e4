//! One job in memory, from when it is asked for until its end is written down;
//! and the [`JobHandle`] by which its work tells how it does.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use windflow_protocol::ids::EnvironmentId;

use super::Witness;
use super::error::JobError;
use super::model::{Failure, Job, JobId, JobState, Part, Progress};
use super::output::{Excerpt, Output};

/// Why a job was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// Somebody wanted it to.
    Cancelled,
    /// It took too long.
    Overdue,
    /// It waited too long for others.
    NeverBegan,
    /// The hub ends.
    HubStops,
}

impl Interruption {
    /// How a job stands that ended for this reason.
    pub fn verdict(self) -> (JobState, Option<Failure>) {
        let failed = |code: &str, message: &str| {
            (JobState::Failed, Some(Failure { code: code.to_owned(), message: message.to_owned() }))
        };
        match self {
            Self::Cancelled => (JobState::Cancelled, None),
            Self::Overdue => failed("overdue", "It took longer than it may, and was ended."),
            Self::NeverBegan => failed("never_began", "It waited too long for other jobs. Start it again."),
            Self::HubStops => failed("hub_stopped", "The hub was stopped while it ran. Start it again."),
        }
    }
}

/// One job in memory.
#[derive(Debug)]
pub(super) struct Running {
    pub id: JobId,
    pub environment: Option<EnvironmentId>,
    /// How long it may run.
    pub deadline: Duration,
    pub witness: Box<dyn Witness>,
    job: watch::Sender<Job>,
    output: Mutex<Output>,
    interruption: OnceLock<Interruption>,
    told_to_end: CancellationToken,
}

impl Running {
    pub fn new(job: Job, environment: Option<EnvironmentId>, deadline: Duration, witness: Box<dyn Witness>) -> Self {
        Self {
            id: job.id,
            environment,
            deadline,
            witness,
            job: watch::Sender::new(job),
            output: Mutex::default(),
            interruption: OnceLock::new(),
            told_to_end: CancellationToken::new(),
        }
    }

    /// The job as it is.
    pub fn job(&self) -> Job {
        self.job.borrow().clone()
    }

    pub fn state(&self) -> JobState {
        self.job.borrow().state
    }

    /// The job, now and when anything of it changes, its output included.
    pub fn follow(&self) -> watch::Receiver<Job> {
        self.job.subscribe()
    }

    /// What it said from this line on.
    pub fn said_from(&self, number: u64) -> Excerpt {
        self.output().from(number)
    }

    /// All that is kept of what it said.
    pub fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn change(&self, change: impl FnOnce(&mut Job)) {
        self.job.send_modify(change);
    }

    /// Tells the job to end. The first reason counts.
    pub fn interrupt(&self, why: Interruption) {
        self.interruption.get_or_init(|| why);
        self.told_to_end.cancel();
    }

    /// Why it was told to end, if it was.
    pub fn interruption(&self) -> Option<Interruption> {
        self.interruption.get().copied()
    }

    /// Waits until it is told to end.
    pub async fn told_to_end(&self) {
        self.told_to_end.cancelled().await;
    }
}

/// What a job's work has of its job. Clones are the same.
#[derive(Clone, Debug)]
pub struct JobHandle(pub(super) Arc<Running>);

impl JobHandle {
    /// The job's id.
    pub fn id(&self) -> JobId {
        self.0.id
    }

    /// Says that there will be so many steps.
    pub fn steps(&self, total: u32) {
        self.0.change(|job| job.progress.steps_total = Some(total));
    }

    /// Begins a step, such as `pull`: the console has words for it. What was
    /// told of the one before it is forgotten.
    pub fn step(&self, name: &str) {
        self.0.change(|job| {
            let before = &job.progress;
            let steps_done = before.steps_done + u32::from(before.step.is_some());
            let (step, steps_total) = (Some(name.to_owned()), before.steps_total);
            job.progress = Progress { step, steps_done, steps_total, ..Progress::default() };
        });
    }

    /// Says how many bytes of this step are done, and of how many.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        self.0.change(|job| {
            job.progress.bytes_done = done;
            job.progress.bytes_total = total;
        });
    }

    /// Says how one of several things does that are done at once.
    pub fn part(&self, part: Part) {
        self.0.change(|job| job.progress.note(part));
    }

    /// Adds a line to what those who look on can read. Never a secret: who may
    /// look at jobs may read it.
    pub fn output(&self, line: &str) {
        self.0.output().say(line);
        self.0.change(|_| {});
    }

    /// Waits for `work`, unless the job is told to end: cancelled by somebody,
    /// overdue, or the hub stops. `work` is dropped then. What must be undone
    /// is undone after that, without this.
    ///
    /// # Errors
    /// [`JobError::Interrupted`], to be passed on once what must be undone is.
    pub async fn unless_told_to_end<T>(&self, work: impl Future<Output = T>) -> Result<T, JobError> {
        tokio::select! {
            biased;
            () = self.0.told_to_end() => Err(JobError::Interrupted),
            done = work => Ok(done),
        }
    }
}
