//! Work that goes on for as long as a session lives, one for each session.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use windflow_protocol::ids::{EnvironmentId, SessionId};

use crate::app::AppState;
use crate::tunnel::Session;

/// How long after work failed it is begun again: the first number, doubled each
/// time up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What follows when work on a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is begun again after a while.
    Retry,
    /// The session has nothing for it until there is news of its environment.
    Leave,
}

/// Has `work` done on every session, those that begin later included, until the
/// hub is asked to finish.
pub async fn follow_all<W, F>(app: &AppState, work: W)
where
    W: Fn(AppState, Arc<Session>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Then> + Send + 'static,
{
    let followers = Followers { app: app.clone(), work, followed: Arc::default() };
    let mut newest = app.sessions.feed().newest();
    let mut position = *newest.borrow_and_update();
    followers.follow_all();
    loop {
        tokio::select! {
            changed = newest.changed() => match changed {
                Ok(()) => position = followers.take_news(position),
                Err(_) => return,
            },
            () = app.lifecycle.soft.cancelled() => return,
        }
    }
}

struct Followers<W> {
    app: AppState,
    work: W,
    /// The sessions that are worked on.
    followed: Arc<Mutex<HashSet<SessionId>>>,
}

impl<W, F> Followers<W>
where
    W: Fn(AppState, Arc<Session>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Then> + Send + 'static,
{
    /// Follows sessions that are new. Gives the number of the last change that
    /// was looked at.
    fn take_news(&self, position: u64) -> u64 {
        let feed = self.app.sessions.feed();
        let now = *feed.newest().borrow();
        let Ok(news) = feed.after(position) else {
            self.follow_all();
            return now;
        };
        let changed: HashSet<EnvironmentId> =
            { news.iter() }.filter_map(|(_, news)| news.of_environment_itself()).collect();
        for session in changed.into_iter().filter_map(|environment| self.app.sessions.of(environment).ok()) {
            self.follow(session);
        }
        news.last().map_or(position, |(number, _)| *number)
    }

    fn follow_all(&self) {
        for session in self.app.sessions.all() {
            self.follow(session);
        }
    }

    fn follow(&self, session: Arc<Session>) {
        if !lock(&self.followed).insert(session.id) {
            return;
        }
        let (app, work, followed) = (self.app.clone(), self.work.clone(), Arc::clone(&self.followed));
        let soft = self.app.lifecycle.soft.clone();
        self.app.lifecycle.tasks.spawn(async move {
            tokio::select! {
                () = again_and_again(&app, &work, &session) => {}
                _ = session.ended() => {}
                () = soft.cancelled() => {}
            }
            lock(&followed).remove(&session.id);
        });
    }
}

async fn again_and_again<W, F>(app: &AppState, work: &W, session: &Arc<Session>)
where
    W: Fn(AppState, Arc<Session>) -> F,
    F: Future<Output = Then>,
{
    let mut wait = BACK_OFF.0;
    loop {
        let begun = Instant::now();
        if work(app.clone(), Arc::clone(session)).await == Then::Leave {
            return;
        }
        if begun.elapsed() > BACK_OFF.1 {
            wait = BACK_OFF.0;
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}

fn lock(followed: &Mutex<HashSet<SessionId>>) -> std::sync::MutexGuard<'_, HashSet<SessionId>> {
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}
