//! The measurements that the hub may not have yet: the last ones in memory, and
//! those before on the disk where there is a folder for them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windflow_protocol::message::metrics::deltas::Reading;
use windflow_protocol::message::report::Position;

use super::segments::{DISK_MAX, Segments};
use crate::host;

/// Most measurements in memory: an hour of them, where there is no disk.
const MEMORY_MAX: usize = 240;
/// This many that no hub has kept go to the disk: a hub that is there keeps
/// them before.
const SPILL_AT: usize = 12;
/// What was measured longer ago than this, by the host's own clock, was not.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Names the time since the host started.
    pub boot: [u8; 16],
    /// How long after that.
    pub since_boot: Duration,
    /// By the host's clock, for when the host was started again.
    pub clock_micros: i64,
}

/// A measurement with its number and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub sequence: u64,
    pub at: Moment,
    pub readings: Vec<Reading>,
}

impl Moment {
    pub fn now() -> Self {
        Self { boot: host::boot(), since_boot: host::since_boot(), clock_micros: host::clock_micros() }
    }

    /// How long ago it was. Only across a start of the host its clock is asked,
    /// which may give none.
    pub fn age(&self, now: &Self) -> Option<Duration> {
        let age = if self.boot == now.boot {
            now.since_boot.saturating_sub(self.since_boot)
        } else {
            Duration::from_micros(u64::try_from(now.clock_micros.checked_sub(self.clock_micros)?).ok()?)
        };
        Some(age).filter(|age| *age <= AGE_MAX)
    }
}

/// The measurements of one agent. Clones share them. All of its functions but
/// [`Buffer::new`] may wait for the disk.
#[derive(Clone, Debug)]
pub struct Buffer {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    epoch: [u8; 8],
    /// The number of the last measurement.
    last: u64,
    /// Those that are not on the disk.
    recent: VecDeque<Arc<Kept>>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory,
    /// Not looked at yet.
    Folder(PathBuf),
    Disk(Segments),
}

impl Buffer {
    /// Keeps measurements in memory, and in this folder where there is one.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let place = folder.map_or(Place::Memory, Place::Folder);
        let inner = Inner { epoch: rand::random(), last: 0, recent: VecDeque::new(), place };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Reads what an earlier run left, once.
    pub fn open(&self) {
        let mut inner = self.inner();
        let Place::Folder(folder) = &inner.place else {
            return;
        };
        match Segments::open(folder, DISK_MAX) {
            Ok((segments, found)) => {
                if let Some(found) = found {
                    (inner.epoch, inner.last) = (found.epoch, found.last);
                }
                inner.place = Place::Disk(segments);
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "measurements cannot be kept on the disk");
                inner.place = Place::Memory;
            }
        }
    }

    /// Which numbers belong together.
    pub fn epoch(&self) -> [u8; 8] {
        self.inner().epoch
    }

    /// Adds a measurement; gives its number.
    pub fn add(&self, at: Moment, readings: Vec<Reading>) -> u64 {
        let mut inner = self.inner();
        inner.last += 1;
        let sequence = inner.last;
        inner.recent.push_back(Arc::new(Kept { sequence, at, readings }));
        if inner.recent.len() >= SPILL_AT {
            inner.spill();
        }
        while inner.recent.len() > MEMORY_MAX {
            inner.recent.pop_front();
        }
        sequence
    }

    /// Some of the measurements after a number, oldest first; nothing where
    /// there are none.
    pub fn after(&self, sequence: u64) -> Vec<Arc<Kept>> {
        let inner = self.inner();
        if let Place::Disk(segments) = &inner.place
            && segments.last().is_some_and(|last| last > sequence)
        {
            let found = segments.after(sequence);
            if !found.is_empty() {
                return found.into_iter().map(Arc::new).collect();
            }
        }
        inner.recent.iter().filter(|kept| kept.sequence > sequence).cloned().collect()
    }

    /// The hub has everything until here.
    pub fn forget(&self, until: Position) {
        let mut inner = self.inner();
        if until.epoch != inner.epoch {
            return;
        }
        inner.recent.retain(|kept| kept.sequence > until.sequence);
        if let Place::Disk(segments) = &mut inner.place {
            segments.forget(until.sequence);
        }
    }

    /// Puts everything on the disk, before the agent ends.
    pub fn flush(&self) {
        self.inner().spill();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn spill(&mut self) {
        let Place::Disk(segments) = &mut self.place else {
            return;
        };
        let recent = self.recent.make_contiguous();
        match segments.append(self.epoch, recent) {
            Ok(()) => self.recent.clear(),
            // What stays in memory is tried again with the next one.
            Err(error) => tracing::warn!(%error, "measurements cannot be written to the disk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(buffer: &Buffer, count: usize) {
        for _ in 0..count {
            buffer.add(Moment::now(), Vec::new());
        }
    }

    fn numbers(buffer: &Buffer, after: u64) -> Vec<u64> {
        let mut found: Vec<u64> = Vec::new();
        loop {
            let more = buffer.after(found.last().copied().unwrap_or(after));
            if more.is_empty() {
                return found;
            }
            found.extend(more.iter().map(|kept| kept.sequence));
        }
    }

    #[test]
    fn memory_keeps_the_last_hour() {
        let buffer = Buffer::new(None);
        buffer.open();
        add(&buffer, MEMORY_MAX + 3);
        assert_eq!(numbers(&buffer, 0), (4..=243).collect::<Vec<u64>>());
        buffer.forget(Position { epoch: buffer.epoch(), sequence: 241 });
        assert_eq!(numbers(&buffer, 0), [242, 243]);
        buffer.forget(Position { epoch: [0; 8], sequence: 900 });
        assert_eq!(numbers(&buffer, 242), [243]);
    }

    #[test]
    fn what_no_hub_took_is_there_after_the_agent_was_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = Buffer::new(Some(folder.path().join("metrics")));
        buffer.open();
        add(&buffer, SPILL_AT * 3 + 2);
        assert_eq!(numbers(&buffer, 5), (6..=38).collect::<Vec<u64>>());
        buffer.flush();
        let again = Buffer::new(Some(folder.path().join("metrics")));
        again.open();
        assert_eq!(again.epoch(), buffer.epoch());
        assert_eq!(numbers(&again, 0), (1..=38).collect::<Vec<u64>>());
        add(&again, 1);
        assert_eq!(numbers(&again, 37), [38, 39]);
        again.forget(Position { epoch: again.epoch(), sequence: 39 });
        assert_eq!(numbers(&again, 0), [0_u64; 0]);
    }

    #[test]
    fn a_folder_that_cannot_be_used_costs_nothing_but_the_folder() {
        let buffer = Buffer::new(Some("/proc/nonexistent/metrics".into()));
        buffer.open();
        add(&buffer, SPILL_AT + 1);
        assert_eq!(numbers(&buffer, 0).len(), SPILL_AT + 1);
    }

    #[test]
    fn an_age_is_counted_by_the_steady_clock_and_across_a_start_by_the_other() {
        let at = |boot, seconds, clock| Moment {
            boot: [boot; 16],
            since_boot: Duration::from_secs(seconds),
            clock_micros: clock,
        };
        let now = at(1, 100, 1_000_000_000);
        assert_eq!(at(1, 40, 5).age(&now), Some(Duration::from_secs(60)));
        assert_eq!(at(1, 101, 5).age(&now), Some(Duration::ZERO));
        assert_eq!(at(2, 90, 970_000_000).age(&now), Some(Duration::from_secs(30)));
        assert_eq!(at(2, 90, 1_000_000_001).age(&now), None, "the clock was set back");
        assert_eq!(at(2, 90, i64::MIN).age(&now), None);
    }
}
