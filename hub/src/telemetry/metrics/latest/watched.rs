//! Who looks at what is measured of one environment. They are told each
//! measurement as it comes, and their agent what to measure more often. Who
//! takes them slowly misses some in between, and never the last one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use windflow_protocol::limits::METRIC_WATCHED_MAX;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::{Extent, Reading};

use super::Place;

/// Most file systems that are told with a host: an agent that names others each
/// time fills no browser.
const DISKS_MAX: usize = 32;

/// A measurement of one subject, as those who look are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    /// Seconds since 1970, by the hub's clock.
    pub at: i64,
    /// Whether everything was measured, which is written down, or only what
    /// somebody looks at, which is not.
    pub extent: Extent,
    /// Of the subject; with a host come its file systems.
    pub readings: Vec<Reading>,
}

/// What somebody looks at, of one environment.
#[derive(Debug, Default)]
pub struct Watched(watch::Sender<BTreeMap<Subject, Told>>);

/// Those who look at one subject, and what they are told.
#[derive(Debug, Default)]
struct Told {
    lookers: usize,
    newest: watch::Sender<Option<Arc<Glimpse>>>,
}

/// Follows what somebody looks at.
#[derive(Debug)]
pub struct Wanted(watch::Receiver<BTreeMap<Subject, Told>>);

/// One who looks. Dropping it ends that.
#[derive(Debug)]
pub struct Look {
    place: Arc<Place>,
    subject: Subject,
    newest: watch::Receiver<Option<Arc<Glimpse>>>,
}

impl Watched {
    /// Follows what somebody looks at, from now on: what that is already comes
    /// first.
    pub fn follow(&self) -> Wanted {
        let mut wanted = self.0.subscribe();
        if !wanted.borrow_and_update().is_empty() {
            wanted.mark_changed();
        }
        Wanted(wanted)
    }

    /// Tells those who look what was measured.
    pub fn tell(&self, at: i64, extent: Extent, readings: &[Reading]) {
        let watched = self.0.borrow();
        let mut found: BTreeMap<&Subject, Vec<Reading>> = BTreeMap::new();
        for reading in readings {
            let (of, most) = match &reading.subject {
                Subject::Disk(_) => (&Subject::Host, DISKS_MAX),
                own @ (Subject::Host | Subject::Container(_)) => (own, usize::MAX),
            };
            if watched.contains_key(of) {
                let readings = found.entry(of).or_default();
                if readings.len() < most {
                    readings.push(reading.clone());
                }
            }
        }
        for (subject, readings) in found {
            if let Some(told) = watched.get(subject) {
                told.newest.send_replace(Some(Arc::new(Glimpse { at, extent, readings })));
            }
        }
    }

    fn begin(&self, subject: Subject) -> watch::Receiver<Option<Arc<Glimpse>>> {
        let mut newest = None;
        self.0.send_if_modified(|watched| {
            let told = watched.entry(subject).or_default();
            told.lookers += 1;
            newest = Some(told.newest.subscribe());
            told.lookers == 1
        });
        newest.expect("the closure was called")
    }

    fn end(&self, subject: &Subject) {
        self.0.send_if_modified(|watched| {
            let Some(told) = watched.get_mut(subject) else {
                return false;
            };
            told.lookers -= 1;
            let is_last = told.lookers == 0;
            if is_last {
                watched.remove(subject);
            }
            is_last
        });
    }
}

impl Wanted {
    /// The subjects to measure more often, as soon as they are others. Cancel
    /// safe.
    pub async fn changed(&mut self) -> Vec<Subject> {
        if self.0.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.0.borrow_and_update().keys().take(METRIC_WATCHED_MAX).cloned().collect()
    }
}

impl Look {
    pub(super) fn begin(place: Arc<Place>, subject: Subject) -> Self {
        let newest = place.watched.begin(subject.clone());
        Self { place, subject, newest }
    }

    /// What is looked at.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The next measurement; the last one where there were several since. Cancel
    /// safe.
    pub async fn next(&mut self) -> Arc<Glimpse> {
        loop {
            if self.newest.changed().await.is_err() {
                return std::future::pending().await;
            }
            let newest = self.newest.borrow_and_update().clone();
            if let Some(newest) = newest {
                return newest;
            }
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.place.watched.end(&self.subject);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use windflow_protocol::message::report::ObjectId;

    use super::*;

    fn container(byte: u8) -> Subject {
        Subject::Container(ObjectId([byte; 32]))
    }

    fn reading(subject: Subject, value: u64) -> Reading {
        Reading { subject, values: vec![Some(value)] }
    }

    fn place() -> Arc<Place> {
        Arc::default()
    }

    #[test]
    fn what_is_looked_at_is_told_when_the_first_comes_and_when_the_last_leaves() {
        let place = place();
        let mut wanted = place.watched.follow();
        assert_eq!(wanted.changed().now_or_never(), None, "nobody looks yet");
        let (one, other) = (place.look(Subject::Host), place.look(Subject::Host));
        assert_eq!(wanted.changed().now_or_never(), Some(vec![Subject::Host]));
        let third = place.look(container(1));
        assert_eq!(wanted.changed().now_or_never(), Some(vec![Subject::Host, container(1)]));
        drop(one);
        assert_eq!(wanted.changed().now_or_never(), None, "somebody still looks");
        drop(other);
        assert_eq!(wanted.changed().now_or_never(), Some(vec![container(1)]));
        assert_eq!(place.watched.follow().changed().now_or_never(), Some(vec![container(1)]), "a new session");
        drop(third);
        assert_eq!(wanted.changed().now_or_never(), Some(vec![]));
        assert_eq!(place.watched.follow().changed().now_or_never(), None);
    }

    #[test]
    fn no_agent_is_asked_for_more_than_it_takes() {
        let place = place();
        let looks: Vec<Look> =
            (0..=u8::try_from(METRIC_WATCHED_MAX).unwrap()).map(|n| place.look(container(n))).collect();
        assert_eq!(place.watched.follow().changed().now_or_never().unwrap().len(), METRIC_WATCHED_MAX);
        drop(looks);
    }

    #[test]
    fn who_is_slow_hears_the_last_and_each_hears_of_its_own() {
        let place = place();
        let (mut host, mut web) = (place.look(Subject::Host), place.look(container(1)));
        let disk = || reading(Subject::Disk("/".to_owned()), 9);
        place.watched.tell(5, Extent::Glance, &[disk(), reading(Subject::Host, 1), reading(container(2), 1)]);
        place.watched.tell(7, Extent::Everything, &[reading(Subject::Host, 2), disk(), reading(container(2), 2)]);
        let told = host.next().now_or_never().unwrap();
        let readings = vec![reading(Subject::Host, 2), disk()];
        assert_eq!(*told, Glimpse { at: 7, extent: Extent::Everything, readings });
        assert!(host.next().now_or_never().is_none() && web.next().now_or_never().is_none());
        place.watched.tell(9, Extent::Glance, &[reading(container(1), 3)]);
        assert_eq!(web.next().now_or_never().unwrap().readings, [reading(container(1), 3)]);
    }

    #[test]
    fn a_host_of_endless_disks_is_told_with_some() {
        let place = place();
        let mut host = place.look(Subject::Host);
        let disks = (0..500).map(|number| reading(Subject::Disk(number.to_string()), 1));
        let all: Vec<Reading> = disks.chain([reading(Subject::Host, 1)]).collect();
        place.watched.tell(1, Extent::Everything, &all);
        let told = host.next().now_or_never().unwrap();
        assert_eq!((told.readings.len(), &told.readings[DISKS_MAX].subject), (DISKS_MAX + 1, &Subject::Host));
    }
}
