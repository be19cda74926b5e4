//! What is known of all environments at this moment, who looks at it, and what
//! waits to be written.

mod watched;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, watch};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::metrics::deltas::Reading;
use windflow_protocol::message::metrics::{ContainerValue, DiskValue, HostValue, Subject};
use windflow_protocol::message::report::{ObjectId, Position};

pub use self::watched::{Glimpse, Look, Watched};
use super::model::ContainerUse;
use super::subject::Lives;
use crate::tunnel::HostUse;

/// Measurements of one environment that may wait to be written: a quarter of
/// an hour. An agent that has more waits until they are.
pub const PENDING_MAX: usize = 64;

/// A measurement, when it was made.
#[derive(Debug)]
pub struct Timed {
    pub position: Position,
    /// Seconds since 1970, by the hub's clock.
    pub at: i64,
    pub readings: Vec<Reading>,
}

/// The measurements of all environments. Clones share them.
#[derive(Clone, Debug)]
pub struct Measurements {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// How long what is written down is kept.
    lives: Lives,
    places: RwLock<HashMap<EnvironmentId, Arc<Place>>>,
    /// Some environment has as much to write as may wait.
    urgent: Notify,
    /// Measurements that agents made since somebody looked.
    glances: Counter,
}

/// What is known of one environment.
#[derive(Debug, Default)]
pub struct Place {
    state: Mutex<State>,
    /// The last measurement that is in the database.
    pub kept: watch::Sender<Option<Position>>,
    /// What somebody looks at.
    pub watched: Watched,
}

#[derive(Debug, Default)]
struct State {
    containers: HashMap<ObjectId, ContainerUse>,
    /// The last measurement that was heard.
    heard: Option<Position>,
    pending: VecDeque<Arc<Timed>>,
}

impl Measurements {
    /// Nothing was measured yet. What will be is kept so long, from the closest
    /// to the farthest.
    pub fn new(lives: Lives) -> Self {
        let (places, urgent, glances) = (RwLock::default(), Notify::new(), Counter::default());
        Self { inner: Arc::new(Inner { lives, places, urgent, glances }) }
    }

    /// How long what is written down is kept.
    pub fn lives(&self) -> Lives {
        self.inner.lives
    }

    /// What a container uses now, where that is known.
    pub fn of_container(&self, environment: EnvironmentId, id: &ObjectId) -> Option<ContainerUse> {
        self.find(environment)?.state().containers.get(id).copied()
    }

    /// The place of an environment.
    pub fn place(&self, environment: EnvironmentId) -> Arc<Place> {
        if let Some(place) = self.find(environment) {
            return place;
        }
        let mut places = self.inner.places.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(environment).or_default())
    }

    /// Forgets an environment.
    pub fn forget(&self, environment: EnvironmentId) {
        self.inner.places.write().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }

    /// All environments that have something to write.
    pub fn waiting(&self) -> Vec<(EnvironmentId, Arc<Place>)> {
        let places = self.inner.places.read().unwrap_or_else(PoisonError::into_inner);
        let waiting = places.iter().filter(|(_, place)| !place.state().pending.is_empty());
        waiting.map(|(id, place)| (*id, Arc::clone(place))).collect()
    }

    /// Waits until an environment has as much to write as may wait.
    pub async fn urgent(&self) {
        self.inner.urgent.notified().await;
    }

    /// Waits until another measurement of this environment may wait.
    pub async fn room(&self, place: &Place) {
        let mut kept = place.kept.subscribe();
        while place.state().pending.len() >= PENDING_MAX {
            self.inner.urgent.notify_one();
            if kept.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many measurements agents made only since somebody looked.
    pub fn glances(&self) -> &Counter {
        &self.inner.glances
    }

    fn find(&self, environment: EnvironmentId) -> Option<Arc<Place>> {
        self.inner.places.read().unwrap_or_else(PoisonError::into_inner).get(&environment).cloned()
    }
}

impl Place {
    /// Looks at a subject: it is measured more often until that ends.
    pub fn look(self: &Arc<Self>, subject: Subject) -> Look {
        Look::begin(Arc::clone(self), subject)
    }

    /// The last measurement that was heard or is in the database.
    pub fn position(&self) -> Option<Position> {
        let heard = self.state().heard;
        heard.or(*self.kept.borrow())
    }

    /// Adds a measurement to what is written.
    pub fn add(&self, timed: Timed) {
        let mut state = self.state();
        state.heard = Some(timed.position);
        state.pending.push_back(Arc::new(timed));
    }

    /// Shows a measurement as what is so now.
    pub fn show(&self, readings: &[Reading]) {
        let containers = readings.iter().filter_map(|reading| match &reading.subject {
            Subject::Container(id) => Some((*id, container_use(&reading.values))),
            Subject::Host | Subject::Disk(_) => None,
        });
        self.state().containers = containers.collect();
    }

    /// What is so now is no longer known.
    pub fn hide(&self) {
        self.state().containers.clear();
    }

    /// What waits to be written.
    pub fn pending(&self) -> Vec<Arc<Timed>> {
        self.state().pending.iter().cloned().collect()
    }

    /// So many of those that wait are in the database.
    pub fn written(&self, count: usize) {
        let last = self.state().pending.drain(..count).next_back();
        if let Some(last) = last {
            self.kept.send_replace(Some(last.position));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a container uses by its values.
pub fn container_use(values: &[Option<u64>]) -> ContainerUse {
    let at = |place: ContainerValue| values.get(place as usize).copied().flatten();
    ContainerUse {
        cpu_percent: at(ContainerValue::Cpu).map(percent),
        memory_bytes: at(ContainerValue::Memory).map(bytes),
        memory_limit_bytes: at(ContainerValue::MemoryLimit).map(bytes),
    }
}

/// What a host uses by a measurement; of its disks the fullest.
pub fn host_use(readings: &[Reading]) -> Option<HostUse> {
    let host = readings.iter().find(|reading| reading.subject == Subject::Host)?;
    let at = |place: HostValue| host.values.get(place as usize).copied().flatten();
    let disks = readings.iter().filter_map(|reading| match reading.subject {
        Subject::Disk(_) => {
            let value = |place: DiskValue| reading.values.get(place as usize).copied().flatten();
            value(DiskValue::Used).zip(value(DiskValue::Size).filter(|size| *size > 0))
        }
        Subject::Host | Subject::Container(_) => None,
    });
    let fullest = disks.max_by_key(|(used, size)| u128::from(*used) * 1_000_000 / u128::from(*size));
    Some(HostUse {
        cpu_percent: at(HostValue::Cpu).map(percent),
        memory_bytes: at(HostValue::Memory).map(bytes),
        memory_total_bytes: at(HostValue::MemoryTotal).map(bytes),
        disk_bytes: fullest.map(|(used, _)| bytes(used)),
        disk_total_bytes: fullest.map(|(_, size)| bytes(size)),
    })
}

/// Thousandths of a percent as percent.
#[expect(clippy::cast_precision_loss, reason = "a share that needs more than 52 bits is none")]
pub fn percent(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

const fn bytes(kib: u64) -> u64 {
    kib.saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(sequence: u64) -> Timed {
        Timed { position: Position { epoch: [1; 8], sequence }, at: 0, readings: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_with_too_much_waits_until_it_is_written() {
        let measurements = Measurements::new(Lives::default());
        let place = measurements.place(EnvironmentId::generate());
        for sequence in 0..PENDING_MAX as u64 {
            measurements.room(&place).await;
            place.add(timed(sequence));
        }
        let waiting = measurements.room(&place);
        let writing = async {
            measurements.urgent().await;
            place.written(10);
        };
        tokio::join!(waiting, writing);
        assert_eq!(place.pending().len(), PENDING_MAX - 10);
        assert_eq!(place.kept.borrow().unwrap().sequence, 9);
        assert_eq!(place.position().unwrap().sequence, PENDING_MAX as u64 - 1);
    }

    #[test]
    fn of_several_disks_the_fullest_is_shown() {
        let reading =
            |subject, values: &[u64]| Reading { subject, values: values.iter().map(|value| Some(*value)).collect() };
        let disks = [reading(Subject::Disk("/a".into()), &[5, 10]), reading(Subject::Disk("/b".into()), &[90, 100])];
        assert_eq!(host_use(&disks), None);
        let all = [&disks[..], &[reading(Subject::Host, &[12_345, 0, 0, 0, 1, 2])]].concat();
        let found = host_use(&all).unwrap();
        assert_eq!((found.disk_bytes, found.disk_total_bytes), (Some(90 * 1024), Some(100 * 1024)));
        assert_eq!((found.cpu_percent, found.memory_total_bytes), (Some(12.345), Some(2048)));
    }
}
