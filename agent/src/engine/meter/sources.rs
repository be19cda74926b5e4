//! Where counts come from: the host's files, each container's control group,
//! and the engine for what cannot be read so.

use std::collections::{BTreeSet, HashMap};

use windflow_protocol::limits::METRIC_SUBJECTS_MAX;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::report::ObjectId;

use super::super::EngineAddress;
use super::super::inventory::Running;
use super::asked;
use super::cgroups::Files;
use super::rates::{Counts, Passed};
use super::system::HostRoot;

/// Most containers that are measured; the rest is for the host and its disks.
const CONTAINERS_MAX: usize = METRIC_SUBJECTS_MAX - 32;

/// Where the counts of one engine's host and containers come from.
#[derive(Debug)]
pub struct Sources<'a> {
    address: &'a EngineAddress,
    /// None where the engine is on a host of which nothing can be read.
    host: Option<HostRoot>,
    ways: HashMap<ObjectId, (i64, Way)>,
}

/// How a container is measured.
#[derive(Clone, Debug)]
enum Way {
    Read(Files),
    Ask,
}

impl<'a> Sources<'a> {
    /// Those of an engine: one behind a socket is on this host.
    pub fn of(address: &'a EngineAddress) -> Self {
        let host = match address {
            EngineAddress::Unix(_) => Some(HostRoot::find()),
            EngineAddress::Tcp { .. } => None,
        };
        Self { address, host, ways: HashMap::new() }
    }

    /// Counts the host and these containers.
    pub async fn count_all(&mut self, mut running: Vec<Running>) -> Vec<Counts> {
        running.truncate(CONTAINERS_MAX);
        self.look_for(&running).await;
        let here: BTreeSet<ObjectId> = running.iter().map(|(id, _)| *id).collect();
        self.ways.retain(|id, _| here.contains(id));
        self.count(self.host.clone(), here).await
    }

    /// Counts what somebody looks at, as far as it was counted before.
    pub async fn count_watched(&self, watched: &BTreeSet<Subject>) -> Vec<Counts> {
        let containers = watched.iter().filter_map(|subject| match subject {
            Subject::Container(id) => Some(*id),
            Subject::Host | Subject::Disk(_) => None,
        });
        let host = self.host.clone().filter(|_| watched.contains(&Subject::Host));
        self.count(host, containers.collect()).await
    }

    /// Counts containers that are new.
    pub async fn count_new(&mut self, mut running: Vec<Running>) -> Vec<Counts> {
        running.truncate(CONTAINERS_MAX);
        let new: Vec<Running> = running.into_iter().filter(|running| self.is_new(*running)).collect();
        self.look_for(&new).await;
        self.count(None, new.into_iter().map(|(id, _)| id).collect()).await
    }

    fn is_new(&self, (id, started): Running) -> bool {
        self.ways.get(&id).is_none_or(|(known, _)| *known != started)
    }

    /// Finds out how new containers are measured.
    async fn look_for(&mut self, running: &[Running]) {
        let new: HashMap<ObjectId, i64> = running.iter().copied().filter(|running| self.is_new(*running)).collect();
        let Some(host) = &self.host else {
            return self.ways.extend(new.into_iter().map(|(id, started)| (id, (started, Way::Ask))));
        };
        if new.is_empty() {
            return;
        }
        for (id, found) in asked::find_processes(self.address, new.keys().copied().collect()).await {
            let files = found.and_then(|(process, network)| Files::find(host, id, process, network));
            let way = files.map_or(Way::Ask, Way::Read);
            tracing::debug!(container.id = %id, read = matches!(way, Way::Read(_)), "a container is measured");
            self.ways.insert(id, (new.get(&id).copied().unwrap_or_default(), way));
        }
    }

    async fn count(&self, host: Option<HostRoot>, containers: BTreeSet<ObjectId>) -> Vec<Counts> {
        let (mut read, mut ask) = (Vec::new(), Vec::new());
        for id in containers {
            match self.ways.get(&id) {
                Some((_, Way::Read(files))) => read.push((id, files.clone())),
                Some((_, Way::Ask)) => ask.push(id),
                None => {}
            }
        }
        let processors = self.host.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut counted = Vec::new();
            let passed = processors.and_then(|host| host.passed()).unwrap_or_else(Passed::by_the_clock);
            if let Some(host) = &host {
                counted.push(host.count());
                counted.extend(host.count_disks());
            }
            counted.extend(read.into_iter().filter_map(|(id, files)| files.count(id, passed)));
            counted
        });
        let mut counted = reading.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the host cannot be measured");
            Vec::new()
        });
        if !ask.is_empty() {
            counted.extend(asked::count(self.address, ask).await);
        }
        counted
    }
}
