//! Jobs from their start to their end, on a database of their own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::oneshot;
use windflow_protocol::ids::EnvironmentId;

use super::*;
use crate::clock::ManualClock;
use crate::db::testing::{TestDb, on_both_engines};

/// How long something may take that takes a moment.
const SOON: Duration = Duration::from_secs(10);
/// A deadline that is never reached.
const NEVER: Duration = Duration::from_secs(3600);
const ALL: Page = Page { limit: 50, offset: 0 };
const PULL: JobKind = JobKind("image.pull");

/// Keeps no record.
#[derive(Debug)]
struct Nobody;

impl Witness for Nobody {
    fn note<'a>(&'a self, _: &'a mut Tx, _: &'a Job, _: Moment, _: Timestamp) -> BoxFuture<'a, Result<(), DbError>> {
        async { Ok(()) }.boxed()
    }
}

struct World {
    jobs: Jobs,
    clock: Arc<ManualClock>,
    lifecycle: Lifecycle,
    db: Db,
}

const QUICK: Limits = Limits {
    running: 3,
    running_of_environment: 2,
    active: 5,
    active_of_environment: 4,
    queue_deadline: NEVER,
    stop_grace: Duration::from_millis(20),
    end_grace: Duration::from_millis(50),
};

impl World {
    fn on(db: Db, limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(time::macros::datetime!(2026-05-04 0:00 UTC).into()));
        let lifecycle = Lifecycle::default();
        let jobs = Jobs::new(db.clone(), clock.clone(), Feed::starting_at(1), lifecycle.clone(), limits);
        Self { jobs, clock, lifecycle, db }
    }

    /// Starts a job that runs until it is let go, and waits until it does.
    async fn held(&self, environment: Option<EnvironmentId>) -> (Job, oneshot::Sender<()>) {
        let (go, gone) = oneshot::channel::<()>();
        let work = move |job: JobHandle| async move {
            job.unless_told_to_end(gone).await?.ok();
            Ok(Value::Null)
        };
        let job = self.jobs.start(NewJob { environment, ..new(NEVER) }, work).await.unwrap();
        (job, go)
    }

    async fn ended(&self, id: JobId) -> Job {
        self.until(id, |job| job.state.is_over()).await
    }

    async fn until(&self, id: JobId, wanted: impl Fn(&Job) -> bool) -> Job {
        let mut newest = self.jobs.feed().newest();
        let waiting = async {
            loop {
                newest.borrow_and_update();
                let job = self.jobs.find(id).await.unwrap().unwrap();
                if wanted(&job) {
                    return job;
                }
                newest.changed().await.unwrap();
            }
        };
        tokio::time::timeout(SOON, waiting).await.expect("the job comes that far")
    }

    async fn state(&self, id: JobId) -> JobState {
        self.jobs.find(id).await.unwrap().unwrap().state
    }
}

fn new(deadline: Duration) -> NewJob {
    let asked_by = AskedBy { name: "ada".into(), user: None };
    NewJob { kind: PULL, environment: None, subject: "nginx".into(), asked_by, deadline, witness: Box::new(Nobody) }
}

fn code(job: &Job) -> &str {
    job.failure.as_ref().map(|failure| failure.code.as_str()).unwrap_or_default()
}

on_both_engines! {
    async fn a_job_tells_how_it_does_and_its_end_is_kept(db) {
        let world = World::on(db.clone(), QUICK);
        let work = |job: JobHandle| async move {
            job.steps(2);
            job.step("pull");
            job.output("one");
            job.bytes(5, Some(10));
            job.step("start");
            job.output("two");
            job.part(Part { id: "a".into(), status: "Waiting".into(), ..Part::default() });
            Ok(json!({ "image": "nginx" }))
        };
        let environment = EnvironmentId::generate();
        let started = world.jobs.start(NewJob { environment: Some(environment), ..new(NEVER) }, work).await.unwrap();
        let job = world.ended(started.id).await;
        assert_eq!((job.state, job.result), (JobState::Succeeded, Some(json!({ "image": "nginx" }))));
        let progress = job.progress;
        assert_eq!((progress.step.as_deref(), progress.steps_done, progress.steps_total), (Some("start"), 1, Some(2)));
        assert_eq!((progress.bytes_done, progress.parts.len()), (0, 1));

        // Another hub on the same database knows all of it.
        world.jobs.ended().await;
        let later = World::on(db, QUICK);
        let kept = later.jobs.find(started.id).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.environment_id), (JobState::Succeeded, Some(environment.0)));
        let lines = later.jobs.output(started.id, 1).await.unwrap().unwrap();
        assert_eq!((lines.from, lines.lines), (1, vec!["two".to_owned()]));
    }

    async fn jobs_are_listed_newest_first_and_filtered(db) {
        let world = World::on(db, QUICK);
        let environment = Some(EnvironmentId::generate());
        let (first, go) = world.held(environment).await;
        let (second, _held) = world.held(None).await;
        let list = |filter: JobFilter| {
            let jobs = world.jobs.clone();
            async move { jobs.list(&filter, &Visible::All, ALL).await.unwrap().items.iter().map(|job| job.id).collect::<Vec<_>>() }
        };
        assert_eq!(list(JobFilter::default()).await, [second.id, first.id]);
        let here = JobFilter { environment: environment.map(|id| id.0), ..JobFilter::default() };
        assert_eq!(list(here).await, [first.id]);
        go.send(()).unwrap();
        world.ended(first.id).await;
        let in_state = |state| JobFilter { state: Some(state), ..JobFilter::default() };
        world.until(first.id, |job| job.state == JobState::Succeeded).await;
        assert_eq!(list(in_state(StateFilter::Succeeded)).await, [first.id]);
        assert_eq!(list(in_state(StateFilter::Active)).await, [second.id]);
        let of_kind = |kind: &str| JobFilter { kind: Some(kind.into()), ..JobFilter::default() };
        assert_eq!(list(of_kind("image.pull")).await.len(), 2);
        assert!(list(of_kind("prune")).await.is_empty());
    }

    async fn what_a_hub_did_not_live_to_end_is_ended_by_the_next(db) {
        let world = World::on(db.clone(), QUICK);
        let (job, _held) = world.held(None).await;
        assert_eq!(world.jobs.end_cut_off(&Nobody).await.unwrap(), 0, "its own jobs run");
        let next = World::on(db, QUICK);
        assert_eq!(next.jobs.end_cut_off(&Nobody).await.unwrap(), 1);
        let ended = next.jobs.find(job.id).await.unwrap().unwrap();
        assert_eq!((ended.state, code(&ended)), (JobState::Failed, "hub_stopped"));
        assert_eq!(next.jobs.end_cut_off(&Nobody).await.unwrap(), 0);
    }

    async fn jobs_are_forgotten_a_month_after_their_end(db) {
        let world = World::on(db.clone(), QUICK);
        let old = world.jobs.start(new(NEVER), |_| async { Ok(Value::Null) }).await.unwrap();
        world.jobs.ended().await;
        world.clock.advance(KEPT_FOR);
        assert_eq!(world.jobs.delete_expired().await.unwrap(), 0);
        world.clock.advance(Duration::from_secs(1));
        let (running, _held) = world.held(None).await;
        assert_eq!(world.jobs.delete_expired().await.unwrap(), 1);
        assert!(world.jobs.find(old.id).await.unwrap().is_none());
        assert!(world.jobs.find(running.id).await.unwrap().is_some());
    }

    async fn of_many_jobs_the_newest_are_kept(db) {
        let world = World::on(db.clone(), QUICK);
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(world.jobs.start(new(NEVER), |_| async { Ok(Value::Null) }).await.unwrap().id);
            world.jobs.ended().await;
        }
        let mut tx = db.write().await.unwrap();
        let moment = Timestamp::from_micros(0).unwrap();
        assert_eq!(store::delete_ended(&mut tx, moment, 3).await.unwrap(), 0);
        assert_eq!(store::delete_ended(&mut tx, moment, 1).await.unwrap(), 2);
        let left = store::list(&mut tx, &JobFilter::default(), &Visible::All, ALL).await.unwrap();
        assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), ids[2..]);
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_undoes_what_it_must_and_is_cancelled_then() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), QUICK);
    let work = |job: JobHandle| async move {
        job.step("pull");
        let told = job.unless_told_to_end(std::future::pending::<()>()).await;
        job.output("undone");
        told.map(|()| Value::Null)
    };
    let job = world.jobs.start(new(NEVER), work).await.unwrap();
    world.until(job.id, |job| job.progress.step.is_some()).await;
    assert!(world.jobs.cancel(job.id));
    let ended = world.ended(job.id).await;
    assert_eq!((ended.state, ended.failure), (JobState::Cancelled, None));
    assert_eq!(world.jobs.output(job.id, 0).await.unwrap().unwrap().lines, ["undone"]);
    world.jobs.ended().await;
    assert!(!world.jobs.cancel(job.id), "it is over");
}

#[tokio::test]
async fn a_job_that_does_not_listen_is_dropped_after_its_grace() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), QUICK);
    let deaf = |_| std::future::pending();
    let cancelled = world.jobs.start(new(NEVER), deaf).await.unwrap();
    world.jobs.cancel(cancelled.id);
    assert_eq!(world.ended(cancelled.id).await.state, JobState::Cancelled);
    let overdue = world.jobs.start(new(Duration::from_millis(10)), deaf).await.unwrap();
    let overdue = world.ended(overdue.id).await;
    assert_eq!((overdue.state, code(&overdue)), (JobState::Failed, "overdue"));
}

#[tokio::test]
async fn a_job_that_fails_or_has_a_defect_says_so() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), QUICK);
    let failing = |_| async { Err(JobError::fail("no_space", "The disk is full.")) };
    let failed = world.jobs.start(new(NEVER), failing).await.unwrap();
    let failed = world.ended(failed.id).await;
    assert_eq!((failed.state, code(&failed)), (JobState::Failed, "no_space"));
    let defect = world.jobs.start(new(NEVER), |_| async { panic!("a defect of the test") }).await.unwrap();
    let defect = world.ended(defect.id).await;
    assert_eq!((defect.state, code(&defect)), (JobState::Failed, "internal"));
}

#[tokio::test]
async fn jobs_wait_for_their_turn_and_too_many_are_refused() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), QUICK);
    let busy = Some(EnvironmentId::generate());
    let (_, first) = world.held(busy).await;
    let (_, _second) = world.held(busy).await;
    let (third, _third) = world.held(busy).await;
    let (fourth, _fourth) = world.held(busy).await;
    assert_eq!(world.state(third.id).await, JobState::Queued, "two of an environment run at once");
    let refused = world.jobs.start(NewJob { environment: busy, ..new(NEVER) }, |_| std::future::pending()).await;
    assert!(matches!(refused, Err(StartError::EnvironmentCrowded)));
    let (elsewhere, _elsewhere) = world.held(Some(EnvironmentId::generate())).await;
    assert_eq!(elsewhere.state, JobState::Running, "another environment has room");
    let refused = world.jobs.start(new(NEVER), |_| std::future::pending()).await;
    assert!(matches!(refused, Err(StartError::Crowded)));
    first.send(()).unwrap();
    world.until(third.id, |job| job.state == JobState::Running).await;
    assert_eq!(world.state(fourth.id).await, JobState::Queued);
    assert!(world.jobs.cancel(fourth.id));
    assert_eq!(world.ended(fourth.id).await.state, JobState::Cancelled, "one that waits is cancelled too");
}

#[tokio::test]
async fn a_job_that_never_gets_its_turn_ends() {
    let test = TestDb::sqlite().await;
    let limits = Limits { running: 0, queue_deadline: Duration::from_millis(10), ..QUICK };
    let world = World::on(test.db.clone(), limits);
    let (job, _held) = world.held(None).await;
    assert_eq!(code(&world.ended(job.id).await), "never_began");
}

#[tokio::test]
async fn a_hub_that_stops_lets_jobs_finish_for_a_moment_and_ends_the_others() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), Limits { stop_grace: Duration::from_secs(2), ..QUICK });
    let (quick, go) = world.held(None).await;
    let (slow, _held) = world.held(None).await;
    let (cut, cutting) = oneshot::channel::<()>();
    let failing = move |_| async move {
        cutting.await.ok();
        Err(JobError::fail("engine_cut", "The engine is gone."))
    };
    let failed = world.jobs.start(new(NEVER), failing).await.unwrap();
    world.lifecycle.soft.cancel();
    cut.send(()).unwrap();
    assert_eq!(code(&world.ended(failed.id).await), "hub_stopped");
    let refused = world.jobs.start(new(NEVER), |_| std::future::pending()).await;
    assert!(matches!(refused, Err(StartError::Stopping)));
    go.send(()).unwrap();
    assert_eq!(world.ended(quick.id).await.state, JobState::Succeeded);
    let slow = world.ended(slow.id).await;
    assert_eq!((slow.state, code(&slow)), (JobState::Failed, "hub_stopped"));
    world.jobs.ended().await;
    world.lifecycle.tasks.close();
    tokio::time::timeout(SOON, world.lifecycle.tasks.wait()).await.expect("no task is left");
}

#[tokio::test]
async fn a_job_that_was_not_written_down_takes_no_room() {
    let test = TestDb::sqlite().await;
    let world = World::on(test.db.clone(), Limits { active: 1, ..QUICK });
    world.db.close().await;
    for _ in 0..2 {
        let refused = world.jobs.start(new(NEVER), |_| std::future::pending()).await;
        assert!(matches!(refused, Err(StartError::Db(_))));
    }
}
