//! What only the engine knows of its containers: which process is a
//! container's first one, and, where the kernel's own counts cannot be seen,
//! what it counted.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::report::ObjectId;

use super::super::inquiry::{self, carried_by, get};
use super::super::{CONNECT_DEADLINE, EngineAddress, connect};
use super::cgroups::{Network, known, memory_in_use};
use super::rates::{Count, Counts, Passed};
use crate::host::since_boot;

/// Largest answer about one container, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;
/// Questions about counts that an engine answers at once.
const LANES: usize = 4;
/// An engine must have answered about all containers within this; what it has
/// not is missing once.
const DEADLINE: Duration = Duration::from_secs(10);

/// The first process of each container, where it runs.
pub async fn find_processes(address: &EngineAddress, ids: Vec<ObjectId>) -> Vec<(ObjectId, Option<(u32, Network)>)> {
    let told: Vec<(ObjectId, Inspected)> = ask_each(address, &ids, |id| format!("/containers/{id}/json")).await;
    told.into_iter().map(|(id, told)| (id, told.process())).collect()
}

/// What the engine counted, in the order of
/// [`ContainerValue`](windflow_protocol::message::metrics::ContainerValue).
pub async fn count(address: &EngineAddress, ids: Vec<ObjectId>) -> Vec<Counts> {
    let path = |id| format!("/containers/{id}/stats?stream=false&one-shot=true");
    let told: Vec<(ObjectId, Stats)> = ask_each(address, &ids, path).await;
    told.into_iter().map(|(id, stats)| stats.counts(id)).collect()
}

/// Asks about each, in a few lanes side by side.
async fn ask_each<T: DeserializeOwned>(
    address: &EngineAddress,
    ids: &[ObjectId],
    path: fn(ObjectId) -> String,
) -> Vec<(ObjectId, T)> {
    let until = Instant::now() + DEADLINE;
    let share = ids.len().div_ceil(LANES).max(1);
    let lanes = ids.chunks(share).map(async |ids| {
        let mut answers = Vec::new();
        if let Err(error) = ask_in_turn(address, ids, until, path, &mut answers).await {
            tracing::debug!(engine.address = %address, %error, "the engine does not say all of its containers");
        }
        answers
    });
    join_all(lanes).await.into_iter().flatten().collect()
}

async fn ask_in_turn<T: DeserializeOwned>(
    address: &EngineAddress,
    ids: &[ObjectId],
    until: Instant,
    path: fn(ObjectId) -> String,
    answers: &mut Vec<(ObjectId, T)>,
) -> anyhow::Result<()> {
    let stream = timeout(CONNECT_DEADLINE, connect::connect(address)).await.context("No connection in time")??;
    let (mut sender, carrier) = inquiry::begin(stream).await?;
    let asking = carried_by(carrier, async {
        for id in ids {
            match get(&mut sender, &path(*id), ANSWER_MAX).await {
                Ok(answer) => answers.push((*id, answer)),
                Err(error) if sender.is_closed() => return Err(error),
                // It is gone meanwhile, most likely.
                Err(error) => tracing::debug!(container.id = %id, %error, "a container is not measured"),
            }
        }
        Ok(())
    });
    timeout_at(until, asking).await.context("Not all were answered in time")?
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    #[serde(default)]
    host_config: HostConfig,
}

impl Inspected {
    fn process(&self) -> Option<(u32, Network)> {
        let mode = &self.host_config.network_mode;
        let is_shared = mode == "host" || mode.starts_with("container:");
        let network = if is_shared { Network::Shared } else { Network::Own };
        Some((self.state.pid, network)).filter(|(process, _)| *process > 0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    pid: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stats {
    cpu_stats: CpuStats,
    memory_stats: MemoryStats,
    networks: Option<std::collections::BTreeMap<String, Traffic>>,
    blkio_stats: BlockStats,
    pids_stats: ProcessStats,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CpuStats {
    cpu_usage: CpuUsage,
    /// What passed on all processors, in nanoseconds.
    system_cpu_usage: u64,
    online_cpus: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    usage: Option<u64>,
    limit: Option<u64>,
    stats: Option<MemoryDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MemoryDetails {
    /// Version 1.
    total_inactive_file: Option<u64>,
    /// Version 2.
    inactive_file: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Traffic {
    rx_bytes: u64,
    tx_bytes: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BlockStats {
    io_service_bytes_recursive: Option<Vec<Transfer>>,
}

#[derive(Deserialize)]
struct Transfer {
    op: String,
    value: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProcessStats {
    current: Option<u64>,
}

impl CpuStats {
    fn passed(&self) -> Passed {
        match (self.system_cpu_usage, self.online_cpus) {
            (0, _) | (_, 0) => Passed::by_the_clock(),
            (nanos, processors) => Passed { nanos, processors },
        }
    }
}

impl Stats {
    fn counts(&self, id: ObjectId) -> Counts {
        let details = self.memory_stats.stats.as_ref();
        let inactive = details.and_then(|details| details.total_inactive_file.or(details.inactive_file)).unwrap_or(0);
        let used = self.memory_stats.usage.map(|used| memory_in_use(used, inactive));
        let [memory, limit] = [used, self.memory_stats.limit].map(|bytes| known(bytes.map(|bytes| bytes / 1024)));
        let traffic = |of: fn(&Traffic) -> u64| match &self.networks {
            Some(networks) => Count::Bytes(networks.values().map(of).fold(0, u64::wrapping_add)),
            None => Count::Unknown,
        };
        let transfers = |operation: &str| match &self.blkio_stats.io_service_bytes_recursive {
            Some(transfers) => {
                let those = transfers.iter().filter(|transfer| transfer.op.eq_ignore_ascii_case(operation));
                Count::Bytes(those.map(|transfer| transfer.value).fold(0, u64::wrapping_add))
            }
            None => Count::Unknown,
        };
        let counts = vec![
            Count::Worked { nanos: self.cpu_stats.cpu_usage.total_usage, of: self.cpu_stats.passed() },
            memory,
            limit,
            traffic(|traffic| traffic.rx_bytes),
            traffic(|traffic| traffic.tx_bytes),
            transfers("read"),
            transfers("write"),
            known(self.pids_stats.current),
        ];
        Counts { subject: Subject::Container(id), at: since_boot(), counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_counted_is_taken_as_docker_stats_does() {
        let stats = r#"{"cpu_stats":{"cpu_usage":{"total_usage":5000},"system_cpu_usage":9000,
            "online_cpus":2},"pids_stats":{"current":3},
            "memory_stats":{"usage":102400,"limit":512000,"stats":{"inactive_file":4096}},
            "networks":{"eth0":{"rx_bytes":1,"tx_bytes":2},"eth1":{"rx_bytes":10,"tx_bytes":20}},
            "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":7},{"op":"write","value":8}]}}"#;
        let stats: Stats = serde_json::from_str(stats).unwrap();
        let expected = [
            Count::Worked { nanos: 5000, of: Passed { nanos: 9000, processors: 2 } },
            Count::Is(96),
            Count::Is(500),
            Count::Bytes(11),
            Count::Bytes(22),
            Count::Bytes(7),
            Count::Bytes(8),
            Count::Is(3),
        ];
        assert_eq!(stats.counts(ObjectId([1; 32])).counts, expected);
        let nothing: Stats = serde_json::from_str(r#"{"blkio_stats":{"io_service_bytes_recursive":null}}"#).unwrap();
        assert_eq!(nothing.counts(ObjectId([1; 32])).counts[1..], [Count::Unknown; 7]);
    }
}
