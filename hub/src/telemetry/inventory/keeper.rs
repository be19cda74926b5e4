//! Follows every session's reports, and keeps what they tell in the database.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use windflow_protocol::ids::{EnvironmentId, SessionId};

use super::follower::{FollowError, Follower};
use super::store;
use super::things::{Heard, ReportError};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::db::DbError;
use crate::tunnel::{News, Session, StreamError};

/// What changed is written this often: a hub that dies shows engines as they
/// were so long before.
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// How long after a report stream failed the next one is opened: the first
/// number, doubled each time up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Reads what was written, then follows and writes until the hub is asked to
/// finish.
pub async fn keep(app: AppState) {
    let keeper = Keeper {
        follower: Follower {
            inventories: app.inventories.clone(),
            feed: app.sessions.feed().clone(),
            clock: app.clock.clone(),
        },
        followed: Arc::default(),
        app,
    };
    let mut written = keeper.read().await;
    let mut turns = interval_at(Instant::now() + WRITE_EVERY, WRITE_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut newest = keeper.follower.feed.newest();
    let mut position = *newest.borrow_and_update();
    keeper.follow_all();
    loop {
        tokio::select! {
            _ = turns.tick() => keeper.write(&mut written).await,
            _ = newest.changed() => position = keeper.take_news(position).await,
            () = keeper.app.lifecycle.soft.cancelled() => break,
        }
    }
    keeper.write(&mut written).await;
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
        let now = *self.follower.feed.newest().borrow();
        let Ok(news) = self.follower.feed.after(position) else {
            self.follow_all();
            return now;
        };
        let mut changed = HashSet::new();
        for (_, news) in &news {
            if let News::Environment(environment) = news {
                changed.insert(*environment);
            }
        }
        for environment in changed {
            match self.app.sessions.of(environment) {
                Ok(session) => self.follow(session),
                Err(_) => self.forget_if_gone(environment).await,
            }
        }
        news.last().map_or(position, |(number, _)| *number)
    }

    fn follow_all(&self) {
        for session in self.app.sessions.all() {
            self.follow(session);
        }
    }

    fn follow(&self, session: Arc<Session>) {
        if !self.followed().insert(session.id) {
            return;
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

    async fn forget_if_gone(&self, environment: EnvironmentId) {
        let is_known = self.app.inventories.of(environment).is_some();
        if is_known && matches!(self.app.fleet.find_environment(environment).await, Ok(None)) {
            self.app.inventories.forget(environment);
        }
    }

    /// What was written before the hub started. One that cannot be read is told
    /// anew by its agent.
    async fn read(&self) -> HashMap<EnvironmentId, Timestamp> {
        let mut written = HashMap::new();
        match self.read_all(&mut written).await {
            Ok(()) => tracing::debug!(environments = written.len(), "read what the engines had"),
            Err(error) => tracing::warn!(%error, "what the engines had before the start is not known"),
        }
        written
    }

    async fn read_all(&self, written: &mut HashMap<EnvironmentId, Timestamp>) -> Result<(), DbError> {
        let mut tx = self.app.db.read().await?;
        for environment in store::list(&mut tx).await?.into_iter().map(EnvironmentId) {
            let Some(row) = store::find(&mut tx, environment).await? else {
                continue;
            };
            match Heard::decode(&row.reports, row.heard_at).await {
                // An agent may have been quicker.
                Ok(heard) if self.app.inventories.of(environment).is_none() => {
                    written.insert(environment, heard.at);
                    self.app.inventories.put(environment, heard);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(environment.id = %environment, %error, "passed over a stored inventory"),
            }
        }
        Ok(())
    }

    async fn write(&self, written: &mut HashMap<EnvironmentId, Timestamp>) {
        for (environment, heard) in self.app.inventories.all() {
            if written.get(&environment) == Some(&heard.at) {
                continue;
            }
            match self.write_one(environment, &heard).await {
                Ok(true) => drop(written.insert(environment, heard.at)),
                Ok(false) => {
                    written.remove(&environment);
                    self.app.inventories.forget(environment);
                }
                Err(error) => {
                    tracing::debug!(environment.id = %environment, %error, "an inventory was not written");
                }
            }
        }
    }

    async fn write_one(&self, environment: EnvironmentId, heard: &Heard) -> Result<bool, WriteError> {
        let reports = heard.encode()?;
        let mut tx = self.app.db.write().await?;
        let done = store::put(&mut tx, environment, heard.at, &reports).await?;
        tx.commit().await?;
        Ok(done)
    }

    fn followed(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        lock(&self.followed)
    }
}

/// Why an inventory was not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Report(#[from] ReportError),
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
        tracing::debug!(session.id = %session.id, %error, "an engine's reports do not come");
        match error {
            // There is news of the environment once it is approved.
            FollowError::Stream(StreamError::NotActive | StreamError::NotCapable) => return,
            FollowError::Stream(_) | FollowError::Report(_) => {}
        }
        if begun.elapsed() > BACK_OFF.1 {
            wait = BACK_OFF.0;
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}
