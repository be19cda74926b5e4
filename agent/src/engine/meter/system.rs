//! What the host says of itself in `/proc` and `/sys`, and its file systems.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use windflow_protocol::limits::FACT_TEXT_MAX;
use windflow_protocol::message::metrics::Subject;

use super::rates::{Count, Counts, Passed};
use crate::host::since_boot;

/// Most file systems that are measured.
const DISKS_MAX: usize = 16;
/// File systems on disks of this host: one that is elsewhere may never answer.
const DISK_KINDS: [&str; 12] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "vfat", "exfat"];
/// What stands in front of interfaces that only lead to containers or back.
const INNER_INTERFACES: [&str; 9] = ["lo", "veth", "docker", "br-", "cni", "flannel", "cali", "virbr", "podman"];
/// Devices that only stand for others.
const INNER_DEVICES: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "sr"];
const SECTOR: u64 = 512;

/// Where the host's own files are.
#[derive(Clone, Debug)]
pub struct HostRoot {
    root: PathBuf,
    /// Whose mounts and network are the host's.
    process: &'static str,
}

impl HostRoot {
    /// An agent in a container sees its host's files below `/host` where they
    /// were mounted there; any other agent has its own.
    pub fn find() -> Self {
        match Path::new("/host/proc/stat").exists() {
            true => Self { root: "/host".into(), process: "1" },
            false => Self { root: "/".into(), process: "self" },
        }
    }

    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), process: "self" }
    }

    /// The host's file.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// All of its memory, in KiB.
    pub fn memory(&self) -> Option<u64> {
        field(&self.read("proc/meminfo")?, "MemTotal:")
    }

    /// What passed on its processors.
    pub fn passed(&self) -> Option<Passed> {
        let stat = self.read("proc/stat")?;
        let (line, rest) = stat.split_once('\n')?;
        // Of an eighth and later fields the engine knows nothing here: what was
        // stolen, and what runs in guests and is counted already.
        let ticks = line.strip_prefix("cpu ")?.split_whitespace().take(7);
        let ticks: u64 = ticks.map_while(|ticks| ticks.parse::<u64>().ok()).sum();
        let nanos = ticks.checked_mul(1_000_000_000 / rustix::param::clock_ticks_per_second())?;
        let processors = rest.lines().take_while(|line| line.starts_with("cpu")).count();
        Some(Passed { nanos, processors: u32::try_from(processors).ok()? })
    }

    /// What is counted of the host, in the order of
    /// [`HostValue`](windflow_protocol::message::metrics::HostValue).
    pub fn count(&self) -> Counts {
        let [memory, memory_total, swap, swap_total] = self.memories();
        let [load_1, load_5, load_15] = self.loads();
        let (received, sent) = self.networks();
        let (read, written) = self.devices();
        let counts = vec![
            self.processors(),
            load_1,
            load_5,
            load_15,
            memory,
            memory_total,
            swap,
            swap_total,
            received,
            sent,
            read,
            written,
        ];
        Counts { subject: Subject::Host, at: since_boot(), counts }
    }

    /// What is counted of each file system, in the order of
    /// [`DiskValue`](windflow_protocol::message::metrics::DiskValue).
    pub fn count_disks(&self) -> Vec<Counts> {
        let mounts = self.read(format!("proc/{}/mounts", self.process)).unwrap_or_default();
        let counted = disks(&mounts, |path| self.device_of(path)).into_iter().filter_map(|path| {
            let found = rustix::fs::statvfs(self.path(path.trim_start_matches('/'))).ok()?;
            let kib = |blocks: u64| blocks.saturating_mul(found.f_frsize) / 1024;
            let used = found.f_blocks.checked_sub(found.f_bfree)?;
            let counts = vec![Count::Is(kib(used)), Count::Is(kib(used.saturating_add(found.f_bavail)))];
            Some(Counts { subject: Subject::Disk(path), at: since_boot(), counts })
        });
        counted.take(DISKS_MAX).collect()
    }

    /// The number of the device that a folder is on; none for what is no folder.
    fn device_of(&self, path: &str) -> Option<u64> {
        let found = fs::metadata(self.path(path.trim_start_matches('/'))).ok()?;
        found.is_dir().then(|| found.dev())
    }

    fn processors(&self) -> Count {
        let counted = self.read("proc/stat").and_then(|stat| {
            let line = stat.lines().next()?.strip_prefix("cpu ")?;
            // What runs in guests is counted as the host's already.
            let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
            let (of, rests) = (ticks.iter().sum(), ticks.get(3..5)?.iter().sum::<u64>());
            Some(Count::Share { part: u64::checked_sub(of, rests)?, of })
        });
        counted.unwrap_or(Count::Unknown)
    }

    fn loads(&self) -> [Count; 3] {
        let line = self.read("proc/loadavg").unwrap_or_default();
        let mut loads = line.split_whitespace().map(|load| hundredths(load).map_or(Count::Unknown, Count::Is));
        std::array::from_fn(|_| loads.next().unwrap_or(Count::Unknown))
    }

    fn memories(&self) -> [Count; 4] {
        let lines = self.read("proc/meminfo").unwrap_or_default();
        let total = field(&lines, "MemTotal:");
        let used = total.zip(field(&lines, "MemAvailable:")).and_then(|(total, free)| total.checked_sub(free));
        let swap = field(&lines, "SwapTotal:");
        let swapped = swap.zip(field(&lines, "SwapFree:")).and_then(|(total, free)| total.checked_sub(free));
        [used, total, swapped, swap].map(|value| value.map_or(Count::Unknown, Count::Is))
    }

    fn networks(&self) -> (Count, Count) {
        match self.read(format!("proc/{}/net/dev", self.process)) {
            Some(lines) => traffic(&lines, &INNER_INTERFACES),
            None => (Count::Unknown, Count::Unknown),
        }
    }

    fn devices(&self) -> (Count, Count) {
        let Some(lines) = self.read("proc/diskstats") else {
            return (Count::Unknown, Count::Unknown);
        };
        let (mut read, mut written) = (0_u64, 0_u64);
        for line in lines.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, name, _, _, sectors_read, _, _, _, sectors_written, ..] = fields[..] else {
                continue;
            };
            let is_inner = INNER_DEVICES.iter().any(|inner| name.starts_with(inner));
            // A partition is part of a disk that is counted.
            if is_inner || !self.path("sys/block").join(name.replace('/', "!")).exists() {
                continue;
            }
            read = read.wrapping_add(sectors_read.parse().unwrap_or(0_u64).wrapping_mul(SECTOR));
            written = written.wrapping_add(sectors_written.parse().unwrap_or(0_u64).wrapping_mul(SECTOR));
        }
        (Count::Bytes(read), Count::Bytes(written))
    }
}

/// What all interfaces in these lines of a `net/dev` received and sent, without
/// those whose names begin so.
pub fn traffic(lines: &str, without: &[&str]) -> (Count, Count) {
    let (mut received, mut sent) = (0_u64, 0_u64);
    for (name, counts) in lines.lines().filter_map(|line| line.split_once(':')) {
        if without.iter().any(|inner| name.trim().starts_with(inner)) {
            continue;
        }
        let counts: Vec<u64> = counts.split_whitespace().map_while(|count| count.parse().ok()).collect();
        if let (Some(one), Some(other)) = (counts.first(), counts.get(8)) {
            received = received.wrapping_add(*one);
            sent = sent.wrapping_add(*other);
        }
    }
    (Count::Bytes(received), Count::Bytes(sent))
}

/// Where file systems on disks are mounted, each once, by its shortest path.
/// `device_of` is the number of the device that a folder is on. A file can be a
/// mount point too, such as a socket that a container was given: it is no disk.
fn disks(mounts: &str, device_of: impl Fn(&str) -> Option<u64>) -> Vec<String> {
    let mut found: Vec<(String, &str)> = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split_whitespace();
        let (Some(device), Some(path), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        // The root of a machine in a container is what it has of a disk.
        if DISK_KINDS.contains(&kind) || kind == "overlay" && path == "/" {
            found.push((unescaped(path), device));
        }
    }
    found.retain(|(path, _)| path.len() <= FACT_TEXT_MAX);
    found.sort_by(|(one, _), (other, _)| one.len().cmp(&other.len()).then_with(|| one.cmp(other)));
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    found.retain(|(path, name)| {
        let number = device_of(path);
        // One device may have several names, and one name several numbers.
        number.is_some_and(|number| names.insert(*name) & numbers.insert(number))
    });
    found.into_iter().map(|(path, _)| path).collect()
}

/// The kernel writes blanks and the like as `\040`.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(code.into());
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// The number behind a name at the beginning of a line.
pub fn field(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `0.52` as hundredths.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    let part: u64 = part.get(..2)?.parse().ok()?;
    Some(whole.parse::<u64>().ok()?.checked_mul(100)? + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_counted_by_what_its_kernel_writes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/stat", "cpu  100 10 50 800 20 5 5 10 90 0\ncpu0 1 2 3\n");
        write("proc/loadavg", "0.52 1.00 12.34 2/345 6789\n");
        write(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\nSwapTotal: 9 kB\nSwapFree: 2 kB\n",
        );
        let dev = "Inter-|\n face |bytes\n  lo: 7 0 0 0 0 0 0 0 7 0\n eth0: 100 1 0 0 0 0 0 0 50 1\nveth1:9 0 0 0 0 0 0 0 9\n";
        write("proc/self/net/dev", dev);
        write(
            "proc/diskstats",
            "8 0 sda 1 0 10 0 2 0 20 0 0 0 0\n8 1 sda1 1 0 9 0 2 0 19 0 0 0 0\n7 0 loop0 1 0 5 0 1 0 5\n",
        );
        fs::create_dir_all(folder.path().join("sys/block/sda")).unwrap();
        fs::create_dir_all(folder.path().join("sys/block/loop0")).unwrap();
        let host = HostRoot::at(folder.path());
        assert_eq!(host.passed(), Some(Passed { nanos: 9_900_000_000, processors: 1 }));
        let counted = host.count();
        let expected = [
            Count::Share { part: 180, of: 1000 },
            Count::Is(52),
            Count::Is(100),
            Count::Is(1234),
            Count::Is(600),
            Count::Is(1000),
            Count::Is(7),
            Count::Is(9),
            Count::Bytes(100),
            Count::Bytes(50),
            Count::Bytes(10 * SECTOR),
            Count::Bytes(20 * SECTOR),
        ];
        assert_eq!(counted.counts, expected);
    }

    #[test]
    fn a_host_that_says_nothing_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostRoot::at(folder.path());
        assert_eq!(host.passed(), None);
        let counted = host.count();
        assert!(counted.counts.iter().all(|count| *count == Count::Unknown), "{counted:?}");
        assert!(host.count_disks().is_empty());
    }

    #[test]
    fn a_disk_is_named_once_by_its_shortest_path() {
        let mounts = "/dev/sda1 /var/lib/docker/overlay ext4 rw 0 0\n/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n\
                      server:/x /mnt nfs rw 0 0\n/dev/sdb1 /media/my\\040disk xfs rw 0 0\noverlay /x overlay rw 0 0\n";
        let device_of = |path: &str| Some(if path.starts_with("/media") { 2 } else { 1 });
        assert_eq!(disks(mounts, device_of), ["/", "/media/my disk"]);
        let renamed = "/dev/root / ext4 rw 0 0\n/dev/sda1 /var ext4 rw 0 0\n/dev/sdb1 /media ext4 rw 0 0\n";
        assert_eq!(disks(renamed, device_of), ["/", "/media"], "two names of one device");
    }

    #[test]
    fn a_file_that_was_mounted_is_no_disk_and_hides_none() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["proc/self", "etc", "data/more"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(folder.path().join("etc/hosts"), "").unwrap();
        let mounts =
            "/dev/sda1 /etc/hosts ext4 rw 0 0\n/dev/sda1 /data/more ext4 rw 0 0\n/dev/sdb1 /gone ext4 rw 0 0\n";
        fs::write(folder.path().join("proc/self/mounts"), mounts).unwrap();
        let counted = HostRoot::at(folder.path()).count_disks();
        let subjects: Vec<&Subject> = counted.iter().map(|counts| &counts.subject).collect();
        assert_eq!(subjects, [&Subject::Disk("/data/more".to_owned())]);
    }
}
