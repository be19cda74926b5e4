//! What an engine has: its containers, images, volumes and networks, kept as
//! they are while somebody follows. The engine says when something changes,
//! and is asked only then, and now and then in case it forgot to.

mod changes;
mod collect;
mod known;
mod listed;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use windflow_protocol::message::control::{ContainerCounts, EngineStatus};
use windflow_protocol::message::report::{ObjectId, Position, Report};

use self::changes::{Changes, Suspects};
use self::collect::Collector;
use self::known::Known;
use super::EngineAddress;
use super::again::{Again, runs};
use super::events::Events;

/// Changes come in bursts; a burst is waited for this long.
const BURST: Duration = Duration::from_millis(200);
/// An engine may tell of a change before it shows it: this long after the last
/// one it is looked at once more.
const AFTERMATH: Duration = Duration::from_secs(3);
/// An engine that tells of nothing is looked at this often.
const RECONCILE: Duration = Duration::from_secs(60);
/// An engine that did not tell what it has is tried again after this, doubled
/// each time up to the second, or as soon as it is back.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(40));
/// After a look the engine is left alone for so many times as long.
const REST: u32 = 4;

/// Why an engine is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It told of a change.
    Told,
    /// It told of one just now.
    Aftermath,
    /// There was more to look at than one look may take.
    Rest,
    /// It told of nothing for long.
    Routine,
}

/// How far an engine has been told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The number of the last change; zero until the engine was looked at.
    pub number: u64,
    /// Whether the engine does not say what it has now.
    pub is_stale: bool,
}

/// A container that runs: its id, and when it was started, in seconds since 1970.
pub type Running = (ObjectId, i64);

/// What one engine has. Shared by everyone who follows it.
#[derive(Debug)]
pub struct Inventory {
    known: Mutex<Known>,
    told: watch::Sender<Told>,
    /// Somebody began to follow.
    wanted: Notify,
}

impl Inventory {
    pub(super) fn new() -> Self {
        Self { known: Mutex::new(Known::new()), told: watch::Sender::new(Told::default()), wanted: Notify::new() }
    }

    /// Follows what the engine has. It is looked at only while somebody
    /// follows.
    pub fn follow(&self) -> watch::Receiver<Told> {
        let told = self.told.subscribe();
        self.wanted.notify_one();
        told
    }

    /// What to tell somebody who has heard until `after`, the position as the
    /// last one.
    pub fn after(&self, after: Option<Position>) -> Vec<Report> {
        self.known().after(after)
    }

    /// How many containers the engine has; none while that is not known.
    pub fn counts(&self) -> Option<ContainerCounts> {
        let told = *self.told.borrow();
        (told.number > 0 && !told.is_stale).then(|| self.known().counts())
    }

    /// The containers that run, as far as is known.
    pub fn running(&self) -> Vec<Running> {
        self.known().running()
    }

    /// Keeps it true for as long as it is polled.
    pub(super) async fn keep(&self, address: &EngineAddress, status: watch::Receiver<EngineStatus>, events: &Events) {
        loop {
            while self.told.receiver_count() == 0 {
                self.wanted.notified().await;
            }
            tokio::select! {
                () = self.told.closed() => {}
                () = self.keep_followed(address, status.clone(), events) => return,
            }
        }
    }

    async fn keep_followed(&self, address: &EngineAddress, mut status: watch::Receiver<EngineStatus>, events: &Events) {
        let mut again = Again::new(AGAIN.0, AGAIN.1);
        while status.wait_for(runs).await.is_ok() {
            let begun = Instant::now();
            let Err(error) = self.keep_running(address, events).await;
            tracing::debug!(engine.address = %address, %error, "the engine does not tell what it has");
            self.told.send_if_modified(|told| !std::mem::replace(&mut told.is_stale, true));
            again.wait(begun.elapsed(), &mut status).await;
        }
    }

    /// Looks, and looks again after each change, until the engine stops
    /// telling.
    async fn keep_running(&self, address: &EngineAddress, events: &Events) -> anyhow::Result<std::convert::Infallible> {
        // Listened to before it is looked at; what it does in between is seen a
        // little later.
        let mut changes = Changes::begin(events).await?;
        let (mut collector, mut cause) = (Collector::default(), Cause::Told);
        loop {
            let (begun, suspects) = (Instant::now(), changes.take());
            self.take(collector.look(address, &suspects).await?);
            let rested = Instant::now() + begun.elapsed() * REST;
            let wait = match cause {
                _ if collector.has_rest() => Duration::ZERO,
                Cause::Told | Cause::Rest => AFTERMATH,
                Cause::Aftermath | Cause::Routine => RECONCILE,
            };
            cause = match timeout(wait, changes.wait()).await {
                Ok(told) => told.map(|()| Cause::Told)?,
                Err(_) if collector.has_rest() => changes.suspect(Suspects::containers(), Cause::Rest),
                Err(_) if cause == Cause::Told => changes.suspect(suspects, Cause::Aftermath),
                Err(_) => changes.suspect(Suspects::everything(), Cause::Routine),
            };
            sleep_until(rested.max(Instant::now() + BURST)).await;
            changes.gather()?;
        }
    }

    fn take(&self, seen: Vec<collect::Seen>) {
        let mut known = self.known();
        for seen in seen {
            known.replace(seen.kind, seen.things);
        }
        let now = Told { number: known.settle(), is_stale: false };
        self.told.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
