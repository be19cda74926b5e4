//! What changed lately, for those who look on. The last changes are kept, each
//! under a number of its own; who reads too slowly has missed some and is told
//! so. Nobody is waited for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;
use windflow_protocol::ids::{AgentId, EnvironmentId};

/// Changes kept at once.
pub const KEPT_MAX: usize = 1024;

/// A change: what to look at again, not what it is now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// An environment is not as it was, or is there or gone.
    Environment(EnvironmentId),
    /// An agent is not as it was, or is there.
    Agent(AgentId, EnvironmentId),
    /// A container is not as it was, or is there or gone.
    Container {
        /// The environment it is in.
        environment: EnvironmentId,
        /// Its id.
        container: String,
    },
    /// Something may have happened to any container of an environment.
    Containers(EnvironmentId),
    /// The images, volumes or networks of an environment are not as they were.
    Resources(EnvironmentId),
    /// A job has come further, or is there.
    Job {
        /// The job.
        job: Uuid,
        /// The environment it works on.
        environment: Option<EnvironmentId>,
    },
    /// Events of an environment's engine were written down.
    Events(EnvironmentId),
    /// A group of environments is not as it was, or is there or gone.
    Groups,
}

impl News {
    /// The environment that is itself not as it was, is there or gone.
    pub const fn of_environment_itself(&self) -> Option<EnvironmentId> {
        match self {
            Self::Environment(environment) => Some(*environment),
            Self::Agent(..) | Self::Container { .. } | Self::Containers(_) => None,
            Self::Resources(_) | Self::Job { .. } | Self::Events(_) | Self::Groups => None,
        }
    }
}

/// The changes after a number are no longer all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

/// The last changes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<VecDeque<News>>,
    newest: watch::Sender<u64>,
}

impl Feed {
    /// No change yet. Numbers go on from `number`, which no feed before this
    /// one may have reached.
    pub fn starting_at(number: u64) -> Self {
        Self { inner: Arc::new(Inner { kept: Mutex::default(), newest: watch::Sender::new(number) }) }
    }

    /// Adds a change.
    pub fn post(&self, news: News) {
        let mut kept = self.kept();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(news);
        // Under the lock, so that a number and its change belong together.
        self.inner.newest.send_modify(|number| *number += 1);
    }

    /// The number of the last change, now and when it grows.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    /// The changes after the one of this number, oldest first, each with its
    /// own.
    ///
    /// # Errors
    /// [`Missed`] where some are no longer there, and where the number is none
    /// of this feed.
    pub fn after(&self, number: u64) -> Result<Vec<(u64, News)>, Missed> {
        let kept = self.kept();
        let newest = *self.inner.newest.borrow();
        let behind = newest.checked_sub(number).and_then(|behind| usize::try_from(behind).ok());
        let behind = behind.filter(|behind| *behind <= kept.len()).ok_or(Missed)?;
        Ok((number + 1..).zip(kept.iter().skip(kept.len() - behind).cloned()).collect())
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<News>> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news() -> News {
        News::Environment(EnvironmentId::generate())
    }

    #[test]
    fn changes_are_read_from_any_number_that_is_still_kept() {
        let feed = Feed::starting_at(100);
        assert_eq!(feed.after(100), Ok(vec![]));
        let (first, second) = (news(), news());
        feed.post(first.clone());
        feed.post(second.clone());
        assert_eq!(feed.after(100), Ok(vec![(101, first), (102, second.clone())]));
        assert_eq!(feed.after(101), Ok(vec![(102, second)]));
        assert_eq!(feed.after(102), Ok(vec![]));
    }

    #[test]
    fn a_number_of_another_feed_or_from_long_ago_has_missed_some() {
        let feed = Feed::starting_at(100);
        for _ in 0..=KEPT_MAX {
            feed.post(news());
        }
        assert_eq!(feed.after(101).unwrap().len(), KEPT_MAX);
        for number in [0, 99, 100, 100 + KEPT_MAX as u64 + 2, u64::MAX] {
            assert_eq!(feed.after(number), Err(Missed), "{number}");
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_change() {
        let feed = Feed::starting_at(1);
        let mut newest = feed.newest();
        newest.borrow_and_update();
        feed.post(news());
        newest.changed().await.unwrap();
        assert_eq!(*newest.borrow(), 2);
    }
}
