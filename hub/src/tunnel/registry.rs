//! Which environment has which session. Nothing waits under its lock.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use windflow_protocol::ids::{EnvironmentId, SessionId};
use windflow_protocol::limits::PROBE_DEADLINE;
use windflow_protocol::message::control::ToAgent;

use super::feed::{Feed, News};
use super::session::{Session, StreamError};

/// How much longer the agents' return is spread for each of them, so that a
/// restarted hub is not met by all at once.
const SPREAD_PER_SESSION_MILLIS: u32 = 5;

/// Every live session. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    table: Arc<RwLock<Table>>,
    feed: Feed,
}

#[derive(Debug, Default)]
struct Table {
    by_environment: HashMap<EnvironmentId, Arc<Session>>,
    by_id: HashMap<SessionId, Arc<Session>>,
}

/// The place is taken by another agent that is alive.
#[derive(Debug)]
pub struct Taken(pub Arc<Session>);

impl Registry {
    /// No session yet; what changes is posted in `feed`.
    pub fn new(feed: Feed) -> Self {
        Self { table: Arc::default(), feed }
    }

    /// Where it is posted what changes.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The session of an environment.
    ///
    /// # Errors
    /// [`StreamError::Offline`], at once, where there is none.
    pub fn of(&self, environment: EnvironmentId) -> Result<Arc<Session>, StreamError> {
        self.seated(environment).filter(|session| session.stands()).ok_or(StreamError::Offline)
    }

    /// The session that has the environment's place, also while it does not
    /// stand yet: for those who decide over it.
    pub fn seated(&self, environment: EnvironmentId) -> Option<Arc<Session>> {
        self.read().by_environment.get(&environment).cloned()
    }

    /// A session by its own id; `None` once it has ended.
    pub fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.read().by_id.get(&id).cloned()
    }

    /// Every live session, in no order.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.read().by_environment.values().filter(|session| session.stands()).cloned().collect()
    }

    /// How many sessions live.
    pub fn len(&self) -> usize {
        self.read().by_environment.values().filter(|session| session.stands()).count()
    }

    /// Whether no session lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the environment to the newest session. The same agent coming back
    /// takes its place at once; another one only once the older session does
    /// not answer a probe.
    ///
    /// # Errors
    /// [`Taken`] when the older session is alive and another agent's.
    pub async fn enter(&self, session: &Arc<Session>) -> Result<(), Taken> {
        loop {
            let Some(older) = self.enter_if_free(session) else {
                return Ok(());
            };
            if !session.outranks(&older) && older.answers_within(PROBE_DEADLINE).await {
                return Err(Taken(older));
            }
            older.close("replaced by a newer session");
            self.leave(&older);
        }
    }

    /// Removes this very session; a newer one of the same environment stays.
    pub fn leave(&self, session: &Session) {
        let mut table = self.write();
        table.by_id.remove(&session.id);
        let held = table.by_environment.get(&session.environment).is_some_and(|held| held.id == session.id);
        if held {
            table.by_environment.remove(&session.environment);
        }
        drop(table);
        if held && session.stands() {
            self.feed.post(News::Environment(session.environment));
        }
    }

    /// Ends the environment's session, if there is one, also one that does not
    /// stand yet.
    pub fn close(&self, environment: EnvironmentId, reason: &str) {
        if let Some(session) = self.seated(environment) {
            session.close(reason);
            self.leave(&session);
        }
    }

    /// Tells every agent that the hub stops as planned, and ends all sessions.
    pub async fn drain(&self) {
        let sessions = self.all();
        let spread_millis = u32::try_from(sessions.len()).unwrap_or(u32::MAX).saturating_mul(SPREAD_PER_SESSION_MILLIS);
        let farewells = sessions.iter().map(|session| session.dismiss(ToAgent::Draining { spread_millis }));
        futures_util::future::join_all(farewells).await;
    }

    /// How many places are taken, also by sessions that do not stand yet.
    #[cfg(test)]
    pub fn places(&self) -> usize {
        self.read().by_environment.len()
    }

    fn enter_if_free(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let mut table = self.write();
        if let Some(older) = table.by_environment.get(&session.environment) {
            return Some(Arc::clone(older));
        }
        table.by_environment.insert(session.environment, Arc::clone(session));
        table.by_id.insert(session.id, Arc::clone(session));
        None
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
