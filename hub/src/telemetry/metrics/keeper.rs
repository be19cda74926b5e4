//! Follows every session's metrics, writes them to the database, and thins out
//! what is there by its age.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use windflow_protocol::ids::{EnvironmentId, SessionId};

use super::follower::{FollowError, Follower};
use super::latest::{Place, Timed};
use super::points::thinning;
use super::points::{Points, Span};
use super::store::{self, ChunkKey};
use super::subject::{StoredSubject, TIERS, moment};
use crate::app::AppState;
use crate::db::{DbError, Tx};
use crate::tunnel::{Session, StreamError};

/// What was measured is written this often. Until then its agent keeps it too.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Environments that are written in one transaction.
const WRITTEN_AT_ONCE: usize = 16;
/// What is old is thinned out this often.
const THIN_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long after a stream failed the next one is opened: the first number,
/// doubled each time up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Follows and writes until the hub is asked to finish.
pub async fn keep(app: AppState) {
    let follower = Follower { measurements: app.measurements.clone(), clock: app.clock.clone() };
    let keeper = Keeper { follower, followed: Arc::default(), app };
    let mut writes = interval_at(Instant::now() + WRITE_EVERY, WRITE_EVERY);
    writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut thins = interval_at(Instant::now() + THIN_EVERY, THIN_EVERY);
    thins.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut newest = keeper.app.sessions.feed().newest();
    let mut position = *newest.borrow_and_update();
    keeper.follow_all().await;
    loop {
        tokio::select! {
            _ = writes.tick() => keeper.write_all().await,
            () = keeper.follower.measurements.urgent() => keeper.write_all().await,
            _ = thins.tick() => keeper.thin().await,
            _ = newest.changed() => position = keeper.take_news(position).await,
            () = keeper.app.lifecycle.soft.cancelled() => break,
        }
    }
    keeper.write_all().await;
}

struct Keeper {
    app: AppState,
    follower: Follower,
    /// The sessions that are followed.
    followed: Arc<Mutex<HashSet<SessionId>>>,
}

impl Keeper {
    /// Follows sessions that are new, and forgets environments that are gone.
    /// Gives the number of the last change that was looked at.
    async fn take_news(&self, position: u64) -> u64 {
        let feed = self.app.sessions.feed();
        let now = *feed.newest().borrow();
        let Ok(news) = feed.after(position) else {
            self.follow_all().await;
            return now;
        };
        let changed: HashSet<EnvironmentId> =
            { news.iter() }.filter_map(|(_, news)| news.of_environment_itself()).collect();
        for environment in changed {
            match self.app.sessions.of(environment) {
                Ok(session) => self.follow(session).await,
                Err(_) => self.forget_if_gone(environment).await,
            }
        }
        news.last().map_or(position, |(number, _)| *number)
    }

    async fn follow_all(&self) {
        for session in self.app.sessions.all() {
            self.follow(session).await;
        }
    }

    async fn follow(&self, session: Arc<Session>) {
        if !self.followed().insert(session.id) {
            return;
        }
        if let Err(error) = self.read_position(session.environment).await {
            tracing::warn!(environment.id = %session.environment, %error, "it is not known what was measured before");
        }
        let (follower, followed) = (self.follower.clone(), Arc::clone(&self.followed));
        let soft = self.app.lifecycle.soft.clone();
        self.app.lifecycle.tasks.spawn(async move {
            tokio::select! {
                () = follow_again(&follower, &session) => {}
                _ = session.ended() => {}
                () = soft.cancelled() => {}
            }
            lock(&followed).remove(&session.id);
        });
    }

    /// How far the agent of an environment was heard before the hub started.
    async fn read_position(&self, environment: EnvironmentId) -> Result<(), DbError> {
        let place = self.follower.measurements.place(environment);
        if place.position().is_none() {
            let found = store::find_position(&mut self.app.db.read().await?, environment).await?;
            place.kept.send_replace(found);
        }
        Ok(())
    }

    async fn forget_if_gone(&self, environment: EnvironmentId) {
        if matches!(self.app.fleet.find_environment(environment).await, Ok(None)) {
            self.follower.measurements.forget(environment);
        }
    }

    /// Writes what waits. What cannot be written waits on, and its agent with it.
    async fn write_all(&self) {
        for some in self.follower.measurements.waiting().chunks(WRITTEN_AT_ONCE) {
            if let Err(error) = self.write(some).await {
                tracing::debug!(environments = some.len(), %error, "what was measured is not written yet");
            }
        }
    }

    async fn write(&self, some: &[(EnvironmentId, Arc<Place>)]) -> Result<(), DbError> {
        let mut tx = self.app.db.write().await?;
        let mut written = Vec::new();
        for (environment, place) in some {
            let pending = place.pending();
            match write_one(&mut tx, *environment, &pending).await? {
                true => written.push((place, pending.len())),
                false => self.follower.measurements.forget(*environment),
            }
        }
        tx.commit().await?;
        for (place, count) in written {
            place.written(count);
        }
        Ok(())
    }

    async fn thin(&self) {
        let (lives, now) = (self.app.measurements.lives(), self.app.clock.now());
        match thinning::thin(&self.app.db, lives, now, &self.app.lifecycle.soft).await {
            Ok(0) => {}
            Ok(chunks) => tracing::debug!(chunks, "thinned out what was measured long ago"),
            Err(error) => tracing::warn!(%error, "what was measured long ago is not thinned out"),
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        lock(&self.followed)
    }
}

/// Adds measurements to the chunks they belong to. False where their
/// environment is gone.
pub async fn write_one(tx: &mut Tx, environment: EnvironmentId, pending: &[Arc<Timed>]) -> Result<bool, DbError> {
    let Some(last) = pending.last() else {
        return Ok(true);
    };
    if !store::put_position(tx, environment, last.position).await? {
        return Ok(false);
    }
    let closest = TIERS[0];
    let mut chunks: BTreeMap<(StoredSubject, i64), Points> = BTreeMap::new();
    for timed in pending {
        for reading in &timed.readings {
            let points = chunks.entry(((&reading.subject).into(), closest.start(timed.at))).or_default();
            points.insert(timed.at, reading.values.iter().map(|value| value.map(Span::once)).collect());
        }
    }
    for ((subject, start), points) in chunks {
        let key = ChunkKey { environment, subject, step_seconds: closest.step, starts_at: moment(start) };
        thinning::add(tx, &key, points).await?;
    }
    Ok(true)
}

fn lock(followed: &Mutex<HashSet<SessionId>>) -> MutexGuard<'_, HashSet<SessionId>> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows a session, stream after stream, until it has nothing to tell.
async fn follow_again(follower: &Follower, session: &Session) {
    let mut wait = BACK_OFF.0;
    loop {
        let begun = Instant::now();
        let Err(error) = follower.follow(session).await;
        tracing::debug!(session.id = %session.id, %error, "an agent's metrics do not come");
        match error {
            // There is news of the environment once it is approved.
            FollowError::Stream(StreamError::NotActive | StreamError::NotCapable) => return,
            FollowError::Stream(_) | FollowError::Codec(_) | FollowError::Delta(_) => {}
        }
        if begun.elapsed() > BACK_OFF.1 {
            wait = BACK_OFF.0;
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}
