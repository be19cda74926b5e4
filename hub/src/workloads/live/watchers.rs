//! Who watches an engine: one stream of events for each environment that
//! somebody looks at, shared by all who do, and none for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windflow_protocol::ids::EnvironmentId;

use super::events;
use crate::clock::Random;
use crate::docker::Engines;
use crate::tunnel::{Feed, News};

/// An environment that nobody looks at any more is watched for this long, since
/// people go from page to page.
const LINGER: Duration = Duration::from_secs(5);
/// How long after a stream of events failed the next one is tried: up to the
/// first number, doubled each time up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The watchers of all environments. Clones share them.
#[derive(Clone, Debug)]
pub struct Watchers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engines: Engines,
    feed: Feed,
    random: Random,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// How many look at each environment that is watched.
    viewers: Mutex<HashMap<EnvironmentId, watch::Sender<usize>>>,
}

/// Somebody looks at an environment, for as long as this is held.
#[derive(Debug)]
pub struct Watching {
    watchers: Watchers,
    environment: EnvironmentId,
}

impl Watchers {
    /// Nothing is watched yet; all watching ends with `stop`.
    pub fn new(engines: Engines, feed: Feed, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let (random, viewers) = Default::default();
        Self { inner: Arc::new(Inner { engines, feed, random, tasks, stop, viewers }) }
    }

    /// Watches an environment.
    pub fn watch(&self, environment: EnvironmentId) -> Watching {
        let mut viewers = self.viewers();
        let count = viewers.entry(environment).or_insert_with(|| {
            let count = watch::Sender::new(0);
            let (watchers, left) = (self.clone(), count.subscribe());
            self.inner.tasks.spawn(async move { watchers.run(environment, left).await });
            count
        });
        count.send_modify(|count| *count += 1);
        Watching { watchers: self.clone(), environment }
    }

    async fn run(&self, environment: EnvironmentId, mut count: watch::Receiver<usize>) {
        tokio::select! {
            () = self.follow(environment) => {}
            () = self.left(environment, &mut count) => {}
            () = self.inner.stop.cancelled() => {
                self.viewers().remove(&environment);
            }
        }
    }

    /// Ends once nobody has looked for a while, and the environment is
    /// forgotten.
    async fn left(&self, environment: EnvironmentId, count: &mut watch::Receiver<usize>) {
        while count.wait_for(|count| *count == 0).await.is_ok() {
            sleep(LINGER).await;
            let mut viewers = self.viewers();
            if *count.borrow_and_update() == 0 {
                viewers.remove(&environment);
                return;
            }
        }
    }

    /// Passes on events, stream after stream.
    async fn follow(&self, environment: EnvironmentId) {
        let Inner { engines, feed, random, .. } = &*self.inner;
        let mut wait = BACK_OFF.0;
        loop {
            let mut newest = feed.newest();
            let position = *newest.borrow_and_update();
            match events::pass_on(engines, feed, environment).await {
                Ok(()) => wait = BACK_OFF.0,
                Err(error) => {
                    tracing::debug!(environment.id = %environment, %error, "an engine's events do not come");
                    wait = (wait * 2).min(BACK_OFF.1);
                }
            }
            // Until it is time, or the environment changes: it may be online again.
            let pause = wait.mul_f64(f64::from(u32::from_le_bytes(random.bytes())) / f64::from(u32::MAX));
            timeout(pause, changed(feed, environment, position)).await.ok();
        }
    }

    fn viewers(&self) -> MutexGuard<'_, HashMap<EnvironmentId, watch::Sender<usize>>> {
        self.inner.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many environments are watched.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.viewers().len()
    }
}

/// Ends once the environment has changed after `position`.
async fn changed(feed: &Feed, environment: EnvironmentId, mut position: u64) {
    let mut newest = feed.newest();
    loop {
        let now = *newest.borrow_and_update();
        let Ok(news) = feed.after(position) else {
            return;
        };
        if news.iter().any(|(_, news)| *news == News::Environment(environment)) {
            return;
        }
        position = now;
        if newest.changed().await.is_err() {
            return;
        }
    }
}

impl Watching {
    /// What is looked at.
    pub const fn environment(&self) -> EnvironmentId {
        self.environment
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(count) = self.watchers.viewers().get(&self.environment) {
            count.send_modify(|count| *count -= 1);
        }
    }
}
