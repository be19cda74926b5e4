//! What is known of an engine, and which of it changed lately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use windflow_protocol::message::control::ContainerCounts;
use windflow_protocol::message::report::{ObjectId, Position, Report};

use super::Running;

/// Changes that are kept for those who come back: their keys only.
const CHANGES_MAX: usize = 4096;

/// A kind of thing that an engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Containers,
    Images,
    Volumes,
    Networks,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Containers, Self::Images, Self::Volumes, Self::Networks];
}

/// Which thing it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Container(ObjectId),
    Image(ObjectId),
    Volume(String),
    Network(ObjectId),
}

impl Key {
    fn kind(&self) -> Kind {
        match self {
            Self::Container(_) => Kind::Containers,
            Self::Image(_) => Kind::Images,
            Self::Volume(_) => Kind::Volumes,
            Self::Network(_) => Kind::Networks,
        }
    }

    fn gone(&self) -> Report {
        match self {
            Self::Container(id) => Report::ContainerGone(*id),
            Self::Image(id) => Report::ImageGone(*id),
            Self::Volume(name) => Report::VolumeGone(name.clone()),
            Self::Network(id) => Report::NetworkGone(*id),
        }
    }
}

/// All things, and the last changes by number.
#[derive(Debug)]
pub struct Known {
    epoch: [u8; 8],
    sequence: u64,
    things: BTreeMap<Key, Report>,
    changes: VecDeque<(u64, Key)>,
    /// The last change that is no longer kept.
    forgotten: u64,
}

impl Known {
    pub fn new() -> Self {
        Self { epoch: rand::random(), sequence: 0, things: BTreeMap::new(), changes: VecDeque::new(), forgotten: 0 }
    }

    /// Puts what was seen in the place of all things of its kind.
    pub fn replace(&mut self, kind: Kind, seen: BTreeMap<Key, Report>) {
        let gone: Vec<Key> =
            self.things.keys().filter(|key| key.kind() == kind && !seen.contains_key(key)).cloned().collect();
        for key in gone {
            self.things.remove(&key);
            self.note(key);
        }
        for (key, thing) in seen {
            if self.things.get(&key) != Some(&thing) {
                self.things.insert(key.clone(), thing);
                self.note(key);
            }
        }
    }

    /// How many containers there are.
    pub fn counts(&self) -> ContainerCounts {
        let containers = self.things.values().filter_map(|thing| match thing {
            Report::Container(container) => Some(container),
            _ => None,
        });
        containers.fold(ContainerCounts::default(), |counts, container| ContainerCounts {
            running: counts.running + u32::from(container.state == "running"),
            total: counts.total + 1,
        })
    }

    /// The number of the last change. An engine that has been looked at has
    /// one, also where it has nothing.
    pub fn settle(&mut self) -> u64 {
        self.sequence = self.sequence.max(1);
        self.sequence
    }

    /// What to tell somebody who has heard until `after`, the position as the
    /// last one. Where the changes since are no longer all kept, it is
    /// everything.
    pub fn after(&self, after: Option<Position>) -> Vec<Report> {
        let here = after.filter(|after| after.epoch == self.epoch && after.sequence <= self.sequence);
        let mut told: Vec<Report> = match here.filter(|after| after.sequence >= self.forgotten) {
            Some(after) => {
                let first = self.changes.partition_point(|(number, _)| *number <= after.sequence);
                let changed: BTreeSet<&Key> = self.changes.range(first..).map(|(_, key)| key).collect();
                changed.into_iter().map(|key| self.things.get(key).cloned().unwrap_or_else(|| key.gone())).collect()
            }
            None => std::iter::once(Report::Everything).chain(self.things.values().cloned()).collect(),
        };
        told.push(Report::Position(Position { epoch: self.epoch, sequence: self.sequence }));
        told
    }

    /// The containers that run.
    pub fn running(&self) -> Vec<Running> {
        let containers = self.things.values().filter_map(|thing| match thing {
            Report::Container(container) => Some(container),
            _ => None,
        });
        let running = containers.filter(|container| matches!(container.state.as_str(), "running" | "paused"));
        running.map(|container| (container.id, container.started_at)).collect()
    }

    fn note(&mut self, key: Key) {
        self.sequence += 1;
        if self.changes.len() == CHANGES_MAX
            && let Some((number, _)) = self.changes.pop_front()
        {
            self.forgotten = number;
        }
        self.changes.push_back((self.sequence, key));
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::report::Volume;

    use super::*;

    fn volumes(names: &[(&str, &str)]) -> BTreeMap<Key, Report> {
        let volume = |(name, driver): &(&str, &str)| {
            let volume = Volume { name: (*name).to_owned(), driver: (*driver).to_owned(), ..Volume::default() };
            (Key::Volume(volume.name.clone()), Report::Volume(volume))
        };
        names.iter().map(volume).collect()
    }

    fn position(told: &[Report]) -> Position {
        let Some(Report::Position(position)) = told.last() else { panic!("no position: {told:?}") };
        *position
    }

    fn names(told: &[Report]) -> Vec<String> {
        let name = |report: &Report| match report {
            Report::Volume(volume) => volume.name.clone(),
            Report::VolumeGone(name) => format!("-{name}"),
            Report::Everything => "all".to_owned(),
            Report::Position(_) => ".".to_owned(),
            other => panic!("{other:?}"),
        };
        told.iter().map(name).collect()
    }

    #[test]
    fn who_comes_back_hears_what_changed_meanwhile_and_nothing_else() {
        let mut known = Known::new();
        known.replace(Kind::Volumes, volumes(&[("a", "local"), ("b", "local"), ("c", "local")]));
        let first = known.after(None);
        assert_eq!(names(&first), ["all", "a", "b", "c", "."]);
        let heard = position(&first);
        assert_eq!(names(&known.after(Some(heard))), ["."]);

        known.replace(Kind::Volumes, volumes(&[("a", "nfs"), ("c", "local")]));
        known.replace(Kind::Volumes, volumes(&[("a", "local"), ("c", "local"), ("d", "local")]));
        assert_eq!(names(&known.after(Some(heard))), ["a", "-b", "d", "."]);
        known.replace(Kind::Networks, BTreeMap::new());
        assert_eq!(names(&known.after(Some(position(&known.after(Some(heard)))))), ["."]);
    }

    #[test]
    fn who_heard_another_run_or_too_little_hears_everything() {
        let mut known = Known::new();
        known.replace(Kind::Volumes, volumes(&[("a", "local")]));
        let heard = position(&known.after(None));
        let other = Position { epoch: [0; 8], ..heard };
        assert_eq!(names(&known.after(Some(other))), ["all", "a", "."]);
        let ahead = Position { sequence: heard.sequence + 1, ..heard };
        assert_eq!(names(&known.after(Some(ahead))), ["all", "a", "."]);
        for round in 0..CHANGES_MAX {
            known.replace(Kind::Volumes, volumes(&[("a", if round % 2 == 0 { "nfs" } else { "local" })]));
        }
        assert_eq!(names(&known.after(Some(heard))), ["a", "."]);
        known.replace(Kind::Volumes, volumes(&[]));
        assert_eq!(names(&known.after(Some(heard))), ["all", "."]);
        assert_eq!(known.changes.len(), CHANGES_MAX);
    }
}
