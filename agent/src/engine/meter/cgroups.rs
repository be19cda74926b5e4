//! What the kernel counts of a container, read from its control group where
//! this process can see it: version 1 and 2, whatever driver made it.

use std::fs;
use std::path::{Path, PathBuf};

use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::report::ObjectId;

use super::rates::{Count, Counts, Passed};
use super::system::{HostRoot, field, traffic};
use crate::host::since_boot;

/// Where one container's counts are.
#[derive(Clone, Debug)]
pub struct Files {
    groups: Groups,
    /// Of a process in its network; none where that is not its own.
    network: Option<PathBuf>,
    /// All memory of the host, in bytes.
    memory: Option<u64>,
}

#[derive(Clone, Debug)]
enum Groups {
    /// Version 2: everything is in one folder.
    One(PathBuf),
    /// Version 1: each controller has a hierarchy of its own.
    Many { cpuacct: PathBuf, memory: PathBuf, blkio: Option<PathBuf>, pids: Option<PathBuf> },
}

/// Whose the network of a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Own,
    /// The host's, or another container's: the engine counts none for it.
    Shared,
}

impl Files {
    /// The files of a container whose first process has this number. None where
    /// they cannot be seen: the process must say that it belongs to this
    /// container, as the number may mean another one here.
    pub fn find(host: &HostRoot, id: ObjectId, process: u32, network: Network) -> Option<Self> {
        let said = host.read(format!("proc/{process}/cgroup"))?;
        let groups = Groups::find(&host.path("sys/fs/cgroup"), &said, &id.to_string())?;
        let network = (network == Network::Own).then(|| host.path(format!("proc/{process}/net/dev")));
        Some(Self { groups, network, memory: host.memory().and_then(|kib| kib.checked_mul(1024)) })
    }

    /// What is counted, in the order of
    /// [`ContainerValue`](windflow_protocol::message::metrics::ContainerValue);
    /// none where the container is gone. Its processor time is a part of what
    /// passed.
    pub fn count(&self, id: ObjectId, passed: Passed) -> Option<Counts> {
        let at = since_boot();
        let [cpu, memory, limit, read, written, processes] = self.groups.count(self.memory, passed)?;
        let (received, sent) = match &self.network {
            Some(path) => traffic(&fs::read_to_string(path).ok()?, &["lo"]),
            None => (Count::Unknown, Count::Unknown),
        };
        let counts = vec![cpu, memory, limit, received, sent, read, written, processes];
        Some(Counts { subject: Subject::Container(id), at, counts })
    }
}

impl Groups {
    /// Lines such as `4:memory:/docker/<id>`, or `0::/system.slice/docker-<id>.scope`.
    fn find(root: &Path, said: &str, id: &str) -> Option<Self> {
        let folder = |controller: &str| {
            let mut lines = said.lines().filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                rest.split_once(':')
            });
            let (_, path) = lines.find(|(names, _)| names.split(',').any(|name| name == controller))?;
            let is_its_own = path.contains(id) && !path.contains("..");
            is_its_own.then(|| root.join(controller).join(path.trim_start_matches('/')))
        };
        if let (Some(cpuacct), Some(memory)) = (folder("cpuacct"), folder("memory")) {
            let many = Self::Many { cpuacct, memory, blkio: folder("blkio"), pids: folder("pids") };
            return many.found().map(|_| many);
        }
        let one = Self::One(folder("")?);
        one.found().map(|_| one)
    }

    /// Processor, memory, limit, read, written, processes; none where the first
    /// two are not there.
    fn count(&self, host_memory: Option<u64>, passed: Passed) -> Option<[Count; 6]> {
        let found = self.found()?;
        let limit = [found.limit, host_memory].into_iter().flatten().min();
        let memory = memory_in_use(found.used, found.inactive);
        let [read, written] = match found.transferred {
            Some((read, written)) => [Count::Bytes(read), Count::Bytes(written)],
            None => [Count::Unknown; 2],
        };
        let [memory, limit] = [Some(memory), limit].map(|bytes| known(bytes.map(|bytes| bytes / 1024)));
        let worked = Count::Worked { nanos: found.cpu, of: passed };
        Some([worked, memory, limit, read, written, known(found.processes)])
    }

    fn found(&self) -> Option<Found> {
        match self {
            Self::One(folder) => Found::in_one(folder),
            Self::Many { cpuacct, memory, blkio, pids } => {
                Found::in_many(cpuacct, memory, blkio.as_deref(), pids.as_deref())
            }
        }
    }
}

/// Memory as `docker stats` counts it: without files that were not used lately.
pub fn memory_in_use(used: u64, inactive: u64) -> u64 {
    used.checked_sub(inactive).unwrap_or(used)
}

pub fn known(value: Option<u64>) -> Count {
    value.map_or(Count::Unknown, Count::Is)
}

struct Found {
    /// Nanoseconds.
    cpu: u64,
    used: u64,
    inactive: u64,
    limit: Option<u64>,
    /// Bytes read and written.
    transferred: Option<(u64, u64)>,
    processes: Option<u64>,
}

impl Found {
    fn in_one(folder: &Path) -> Option<Self> {
        Some(Self {
            cpu: field(&text(folder, "cpu.stat")?, "usage_usec ")?.checked_mul(1000)?,
            used: number(folder, "memory.current")?,
            inactive: field(&text(folder, "memory.stat")?, "inactive_file ")?,
            limit: number(folder, "memory.max"),
            transferred: text(folder, "io.stat").map(|lines| transferred(&lines)),
            processes: number(folder, "pids.current"),
        })
    }

    fn in_many(cpuacct: &Path, memory: &Path, blkio: Option<&Path>, pids: Option<&Path>) -> Option<Self> {
        let io = ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"];
        let io = blkio.and_then(|folder| io.iter().find_map(|name| text(folder, name)));
        Some(Self {
            cpu: number(cpuacct, "cpuacct.usage")?,
            used: number(memory, "memory.usage_in_bytes")?,
            inactive: field(&text(memory, "memory.stat")?, "total_inactive_file ")?,
            limit: number(memory, "memory.limit_in_bytes"),
            transferred: io.map(|lines| transferred_of_old(&lines)),
            processes: pids.and_then(|folder| number(folder, "pids.current")),
        })
    }
}

fn text(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    text(folder, name)?.trim().parse().ok()
}

/// Lines such as `8:0 rbytes=1 wbytes=2 rios=3`.
fn transferred(lines: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let words = lines.split_whitespace().filter_map(|word| word.strip_prefix(name));
        words.filter_map(|bytes| bytes.parse::<u64>().ok()).fold(0, u64::wrapping_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Lines such as `8:0 Read 1`.
fn transferred_of_old(lines: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let bytes = lines.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [_, operation, bytes] if operation == name => bytes.parse::<u64>().ok(),
            _ => None,
        });
        bytes.fold(0, u64::wrapping_add)
    };
    (sum("Read"), sum("Write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: Passed = Passed { nanos: 9_000_000, processors: 2 };

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn counted(root: &Path, said: &str) -> Option<Vec<Count>> {
        let id = ObjectId([0xab; 32]);
        write(root, "proc/7/cgroup", &said.replace("ID", &id.to_string()));
        write(root, "proc/7/net/dev", "lo: 9 0 0 0 0 0 0 0 9\neth0: 5 0 0 0 0 0 0 0 6\n");
        write(root, "proc/meminfo", "MemTotal: 1000 kB\n");
        let files = Files::find(&HostRoot::at(root), id, 7, Network::Own)?;
        files.count(id, PASSED).map(|counts| counts.counts)
    }

    fn expected(limit: u64) -> Vec<Count> {
        vec![
            Count::Worked { nanos: 5_000_000, of: PASSED },
            Count::Is(96),
            Count::Is(limit),
            Count::Bytes(5),
            Count::Bytes(6),
            Count::Bytes(11),
            Count::Bytes(22),
            Count::Is(3),
        ]
    }

    #[test]
    fn version_2_is_read_whatever_driver_made_the_group() {
        for group in ["docker/ID", "system.slice/docker-ID.scope", "custom/ID"] {
            let folder = tempfile::tempdir().unwrap();
            let path = format!("sys/fs/cgroup/{}", group.replace("ID", &ObjectId([0xab; 32]).to_string()));
            let write = |name: &str, text: &str| write(folder.path(), &format!("{path}/{name}"), text);
            write("cpu.stat", "usage_usec 5000\nuser_usec 1\n");
            write("memory.current", "102400\n");
            write("memory.stat", "anon 1\ninactive_file 4096\n");
            write("memory.max", "max\n");
            write("io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n");
            write("pids.current", "3\n");
            assert_eq!(counted(folder.path(), &format!("0::/{group}\n")), Some(expected(1000)));
        }
    }

    #[test]
    fn version_1_is_read_from_each_controller() {
        let folder = tempfile::tempdir().unwrap();
        let id = ObjectId([0xab; 32]);
        let write = |name: &str, text: &str| {
            let (controller, file) = name.split_once('/').unwrap();
            write(folder.path(), &format!("sys/fs/cgroup/{controller}/docker/{id}/{file}"), text);
        };
        write("cpuacct/cpuacct.usage", "5000000\n");
        write("memory/memory.usage_in_bytes", "102400\n");
        write("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 4096\n");
        write("memory/memory.limit_in_bytes", "512000\n");
        write("blkio/blkio.throttle.io_service_bytes", "8:0 Read 11\n8:0 Write 22\n8:0 Total 33\nTotal 33\n");
        write("pids/pids.current", "3\n");
        let said = "5:cpu,cpuacct:/docker/ID\n4:memory:/docker/ID\n3:blkio:/docker/ID\n2:pids:/docker/ID\n0::/\n";
        assert_eq!(counted(folder.path(), said), Some(expected(500)));
    }

    #[test]
    fn a_process_that_belongs_to_another_container_or_cannot_be_seen_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "sys/fs/cgroup/docker/other/cpu.stat", "usage_usec 5000\n");
        for said in ["0::/docker/other\n", "0::/../ID\n", "0::/\n", "", "nonsense"] {
            assert_eq!(counted(folder.path(), said), None, "{said}");
        }
    }
}
