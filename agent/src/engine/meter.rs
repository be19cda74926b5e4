//! Measures what the host and its containers use: regularly, and more often
//! what somebody looks at. What the hub has not kept yet stays here.

mod asked;
mod buffer;
mod cgroups;
mod rates;
mod segments;
mod sources;
mod system;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use windflow_protocol::limits::METRIC_WATCHED_MAX;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::Measured;
use windflow_protocol::message::report::Position;

use self::buffer::{Buffer, Moment};
use self::rates::Rates;
use self::sources::Sources;
use super::{EngineAddress, Inventory};

/// Everything is measured this often.
const REGULAR: Duration = Duration::from_secs(15);
/// The first measurement has something to be compared with after this.
const FIRST: Duration = Duration::from_secs(2);
/// What somebody looks at is measured this often.
const OFTEN: Duration = Duration::from_secs(2);

/// The measurements of one engine's host and containers. Shared by everyone who
/// takes them.
#[derive(Debug)]
pub struct Meter {
    buffer: Buffer,
    /// The number of the last measurement.
    newest: watch::Sender<u64>,
    glance: watch::Sender<Option<Arc<Measured>>>,
    /// What each of those who follow wants to be measured more often.
    watched: watch::Sender<BTreeMap<u64, BTreeSet<Subject>>>,
    /// Somebody began to follow.
    wanted: Notify,
    /// Whether to measure while nobody follows.
    always: bool,
}

impl Meter {
    /// Measures while somebody follows; where there is a folder to keep
    /// measurements in, always.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            always: folder.is_some(),
            buffer: Buffer::new(folder),
            newest: watch::Sender::new(0),
            glance: watch::Sender::new(None),
            watched: watch::Sender::new(BTreeMap::new()),
            wanted: Notify::new(),
        }
    }

    /// Follows the number of the last measurement.
    pub fn follow(&self) -> watch::Receiver<u64> {
        let newest = self.newest.subscribe();
        self.wanted.notify_one();
        newest
    }

    /// Follows what is measured for those who look.
    pub fn glances(&self) -> watch::Receiver<Option<Arc<Measured>>> {
        self.glance.subscribe()
    }

    /// A place among those who look; nothing is looked at yet.
    pub fn watcher(&self) -> Watcher<'_> {
        Watcher { meter: self, number: rand::random() }
    }

    /// Which numbers belong together.
    pub async fn epoch(&self) -> [u8; 8] {
        self.with_buffer(|buffer| {
            buffer.open();
            buffer.epoch()
        })
        .await
        .unwrap_or_default()
    }

    /// Some of the measurements after a number, oldest first, each with its age
    /// now; nothing where there are none. The second is the number after which
    /// to go on.
    pub async fn after(&self, sequence: u64) -> (Vec<Measured>, u64) {
        let found = self.with_buffer(move |buffer| buffer.after(sequence)).await.unwrap_or_default();
        let (now, last) = (Moment::now(), found.last().map_or(sequence, |kept| kept.sequence));
        let measured = found.iter().filter_map(|kept| {
            let age_millis = u64::try_from(kept.at.age(&now)?.as_millis()).ok()?;
            Some(Measured { sequence: kept.sequence, age_millis, readings: kept.readings.clone() })
        });
        (measured.collect(), last)
    }

    /// The hub has everything until here.
    pub async fn forget(&self, until: Position) {
        self.with_buffer(move |buffer| buffer.forget(until)).await;
    }

    /// Puts everything on the disk that the hub does not have, before the agent
    /// ends.
    pub(super) async fn flush(&self) {
        self.with_buffer(Buffer::flush).await;
    }

    /// Measures for as long as it is polled.
    pub(super) async fn keep(&self, address: &EngineAddress, inventory: &Inventory) {
        // Numbers go on where an earlier run ended.
        self.with_buffer(Buffer::open).await;
        loop {
            while !self.always && self.newest.receiver_count() == 0 {
                self.wanted.notified().await;
            }
            let unwanted = async {
                match self.always {
                    true => std::future::pending().await,
                    false => self.newest.closed().await,
                }
            };
            tokio::select! {
                () = unwanted => {}
                () = self.measure(address, inventory) => return,
            }
        }
    }

    async fn measure(&self, address: &EngineAddress, inventory: &Inventory) {
        let (mut regular, mut glanced) = (Rates::default(), Rates::default());
        let mut sources = Sources::of(address);
        let mut told = inventory.follow();
        regular.begin(sources.count_all(inventory.running()).await);
        let mut turns = interval_at(Instant::now() + FIRST, REGULAR);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(OFTEN);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watched = BTreeSet::new();
        loop {
            let now = self.watched();
            if now != watched {
                if watched.is_empty() {
                    // What was counted when somebody looked before is of another time.
                    glanced = Rates::default();
                }
                looks.reset_immediately();
                watched = now;
            }
            tokio::select! {
                _ = turns.tick() => {
                    let at = Moment::now();
                    let readings = regular.settle(sources.count_all(inventory.running()).await);
                    if let Some(number) = self.with_buffer(move |buffer| buffer.add(at, readings)).await {
                        self.newest.send_replace(number);
                    }
                }
                _ = looks.tick(), if !watched.is_empty() => {
                    let readings = glanced.settle(sources.count_watched(&watched).await);
                    self.glance.send_replace(Some(Arc::new(Measured { readings, ..Measured::default() })));
                }
                // The next measurement of a container that was started has
                // something to be compared with.
                changed = told.changed() => match changed {
                    Ok(()) => regular.begin(sources.count_new(inventory.running()).await),
                    Err(_) => return,
                },
                () = self.watches_other_than(&watched) => {}
            }
        }
    }

    fn watched(&self) -> BTreeSet<Subject> {
        self.watched.borrow().values().flatten().take(METRIC_WATCHED_MAX).cloned().collect()
    }

    async fn watches_other_than(&self, watched: &BTreeSet<Subject>) {
        let mut changes = self.watched.subscribe();
        while self.watched() == *watched {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets something be done that may wait for the disk. None where the
    /// program ends.
    async fn with_buffer<T: Send + 'static>(&self, done: impl FnOnce(&Buffer) -> T + Send + 'static) -> Option<T> {
        let buffer = self.buffer.clone();
        tokio::task::spawn_blocking(move || done(&buffer)).await.ok()
    }
}

/// One of those who look. Dropping it ends that.
#[derive(Debug)]
pub struct Watcher<'a> {
    meter: &'a Meter,
    number: u64,
}

impl Watcher<'_> {
    /// Looks at these, in the place of those before.
    pub fn watch(&self, subjects: Vec<Subject>) {
        let subjects = subjects.into_iter().take(METRIC_WATCHED_MAX).collect();
        self.meter.watched.send_modify(|watched| drop(watched.insert(self.number, subjects)));
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.meter.watched.send_modify(|watched| drop(watched.remove(&self.number)));
    }
}
