//! What one engine has, and how reports change it.

use std::collections::BTreeMap;
use std::sync::Arc;

use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::message::control::ContainerCounts;
use windflow_protocol::message::report::{Container, Image, Network, ObjectId, Position, Report, Volume};

use crate::clock::Timestamp;
use crate::fleet::environments::ContainerStates;

/// Most bytes that the reports of one environment may take, all things
/// together: some thirty thousand containers.
pub const SIZE_MAX: usize = 32 * 1024 * 1024;

/// Everything that was told until a position.
#[derive(Clone, Debug, Default)]
pub struct Things {
    /// The containers.
    pub containers: BTreeMap<ObjectId, Arc<Container>>,
    /// The images.
    pub images: BTreeMap<ObjectId, Arc<Image>>,
    /// The volumes.
    pub volumes: BTreeMap<String, Arc<Volume>>,
    /// The networks.
    pub networks: BTreeMap<ObjectId, Arc<Network>>,
}

/// What is known of an engine, and since when.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it has.
    pub things: Things,
    /// How far the agent has told.
    pub position: Position,
    /// When that was, by the hub's clock.
    pub at: Timestamp,
    /// Whether the agent no longer knows that it is so.
    pub is_stale: bool,
}

/// Why reports are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The engine has more than is kept.
    #[error("it takes more than {SIZE_MAX} bytes to tell what the engine has")]
    TooMuch,
    /// They cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Reports that wait for their position.
#[derive(Debug, Default)]
pub struct Pending {
    reports: Vec<Report>,
    size: usize,
}

/// What reports changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Which containers.
    pub containers: Containers,
    /// Whether an image, a volume or a network.
    pub resources: bool,
}

/// Which containers are not as they were.
#[derive(Debug, PartialEq, Eq)]
pub enum Containers {
    /// Whatever there is may be another.
    Any,
    /// These.
    These(Vec<ObjectId>),
}

impl Pending {
    /// Takes a report of that many bytes.
    ///
    /// # Errors
    /// When it is too much.
    pub fn add(&mut self, report: Report, size: usize) -> Result<(), ReportError> {
        self.size += size;
        if self.size > SIZE_MAX {
            return Err(ReportError::TooMuch);
        }
        self.reports.push(report);
        Ok(())
    }

    /// Changes `things` by all that was told.
    pub fn settle(&mut self, things: &mut Things) -> Changed {
        let mut changed = Changed::default();
        self.size = 0;
        for report in self.reports.drain(..) {
            things.apply(report, &mut changed);
        }
        changed
    }
}

impl Things {
    /// How many containers there are.
    pub fn counts(&self) -> ContainerCounts {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let running = self.containers.values().filter(|container| container.state == "running").count();
        ContainerCounts { running: number(running), total: number(self.containers.len()) }
    }

    /// How many containers are in which state.
    pub fn states(&self) -> ContainerStates {
        let mut states = ContainerStates::default();
        for container in self.containers.values() {
            match container.state.as_str() {
                "running" => states.running += 1,
                "paused" => states.paused += 1,
                "restarting" => states.restarting += 1,
                _ => states.stopped += 1,
            }
            states.unhealthy += u32::from(container.state == "running" && container.health == "unhealthy");
            states.total += 1;
        }
        states
    }

    fn apply(&mut self, report: Report, changed: &mut Changed) {
        match report {
            Report::Everything => {
                *self = Self::default();
                *changed = Changed::everything();
            }
            Report::Position(_) | Report::Stale => {}
            Report::Container(container) => {
                changed.add(container.id);
                self.containers.insert(container.id, Arc::new(container));
            }
            Report::ContainerGone(id) => {
                changed.add(id);
                self.containers.remove(&id);
            }
            other => {
                changed.resources = true;
                self.apply_resource(other);
            }
        }
    }

    fn apply_resource(&mut self, report: Report) {
        match report {
            Report::Image(image) => drop(self.images.insert(image.id, Arc::new(image))),
            Report::ImageGone(id) => drop(self.images.remove(&id)),
            Report::Volume(volume) => drop(self.volumes.insert(volume.name.clone(), Arc::new(volume))),
            Report::VolumeGone(name) => drop(self.volumes.remove(&name)),
            Report::Network(network) => drop(self.networks.insert(network.id, Arc::new(network))),
            Report::NetworkGone(id) => drop(self.networks.remove(&id)),
            Report::Everything | Report::Position(_) | Report::Stale => {}
            Report::Container(_) | Report::ContainerGone(_) => {}
        }
    }
}

impl Default for Containers {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Changed {
    /// Whatever there is may be another.
    pub const fn everything() -> Self {
        Self { containers: Containers::Any, resources: true }
    }

    fn add(&mut self, container: ObjectId) {
        match &mut self.containers {
            Containers::Any => {}
            Containers::These(containers) => containers.push(container),
        }
    }
}

/// The value of a label.
pub fn label_of<'a>(labels: &'a [(String, String)], key: &str) -> Option<&'a str> {
    labels.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
}

/// Whether this label is among them: `key`, or `key=value`.
pub fn has_label(labels: &[(String, String)], wanted: &str) -> bool {
    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
    label_of(labels, key).is_some_and(|found| value.is_none_or(|value| value == found))
}

impl Heard {
    /// All of it as reports, one after the other, as an agent would send them.
    ///
    /// # Errors
    /// When it would not be read back for its size.
    pub fn encode(&self) -> Result<Vec<u8>, ReportError> {
        let Things { containers, images, volumes, networks } = &self.things;
        let containers = containers.values().map(|thing| Report::Container((**thing).clone()));
        let images = images.values().map(|thing| Report::Image((**thing).clone()));
        let volumes = volumes.values().map(|thing| Report::Volume((**thing).clone()));
        let networks = networks.values().map(|thing| Report::Network((**thing).clone()));
        let all = containers.chain(images).chain(volumes).chain(networks);
        let mut bytes = Vec::new();
        for report in all.chain([Report::Position(self.position)]) {
            bytes.extend(codec::frame(&report)?);
            if bytes.len() > SIZE_MAX {
                return Err(ReportError::TooMuch);
            }
        }
        Ok(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When it cannot be read, or the position is missing.
    pub async fn decode(mut bytes: &[u8], at: Timestamp) -> Result<Self, ReportError> {
        let (mut things, mut pending) = (Things::default(), Pending::default());
        loop {
            let size = bytes.len();
            let report: Report = codec::read_message(&mut bytes).await?;
            if let Some(position) = report.position() {
                pending.settle(&mut things);
                return Ok(Self { things, position, at, is_stale: true });
            }
            pending.add(report, size - bytes.len())?;
        }
    }
}
