//! What an agent knows of the host it runs on and of the container it runs in,
//! and the one place that reads its wall clock. Nothing is ever decided by that
//! clock: it is shown, and waits are counted by the monotonic one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest;
use windflow_protocol::message::hello::HostFacts;
use windflow_protocol::message::report::ObjectId;

/// What an engine puts into each container from the folder that it has for it.
const OF_ENGINE: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// The host's clock, in microseconds since 1970; negative before it.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub fn clock_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

/// What the host says of itself now. What cannot be read is left empty.
pub fn facts() -> HostFacts {
    let host = HostFacts {
        hostname: read_line("/proc/sys/kernel/hostname"),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        machine: machine(),
        boot: boot(),
        clock_micros: clock_micros(),
    };
    host.sanitized()
}

/// SHA-256 of the machine id; zero where the host has none. Tells a copied
/// state directory from a moved one, as a hint.
pub fn machine() -> [u8; 32] {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().map(read_line).find(|id| !id.is_empty());
    id.map_or([0; 32], |id| sha256(id.as_bytes()))
}

/// The container that this process runs in, where it does and the kernel tells:
/// by the name of its control group, or by the files that its engine put there.
/// One that shares the network of another has that one's files.
pub fn container() -> Option<ObjectId> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    container_of(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
}

fn container_of(groups: &str, mounts: &str) -> Option<ObjectId> {
    let from_engine = |line: &&str| line.split(' ').nth(4).is_some_and(|place| OF_ENGINE.contains(&place));
    let sources = mounts.lines().filter(from_engine).filter_map(|line| line.split(' ').nth(3));
    groups.lines().chain(sources).find_map(|path| path.split('/').rev().find_map(named_after))
}

/// The container that a folder or a control group is named after.
fn named_after(name: &str) -> Option<ObjectId> {
    let name = name.strip_suffix(".scope").map_or(name, |scope| scope.rsplit('-').next().unwrap_or(scope));
    ObjectId::parse(name)
}

/// Seconds since the host started; zero where it does not say.
pub fn uptime_secs() -> u64 {
    read_line("/proc/uptime").split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

/// Sixteen random bytes that name one run of an agent.
pub fn new_instance() -> [u8; 16] {
    rand::random()
}

/// How long ago the host started, its sleep included. Steady, and the same for
/// all programs until the host starts again.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Names the time since the host started; zero where it does not say.
pub(crate) fn boot() -> [u8; 16] {
    read_line("/proc/sys/kernel/random/boot_id").parse().map_or([0; 16], uuid::Uuid::into_bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_group_or_by_what_its_engine_put_into_it() {
        let id = ObjectId([0xab; 32]);
        let own = "612 580 0:53 /snap /etc rw - ext4 /dev/vda rw\n\
                   613 580 254:1 /var/lib/docker/containers/ID/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw";
        let podman = "613 580 0:22 /user/overlay-containers/ID/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw";
        for (groups, mounts) in [
            ("0::/", own),
            ("0::/", podman),
            ("12:cpu:/docker/ID\n0::/docker/ID", ""),
            ("0::/system.slice/docker-ID.scope", ""),
            ("0::/machine.slice/libpod-ID.scope/container", ""),
        ] {
            let [groups, mounts] = [groups, mounts].map(|text| text.replace("ID", &id.to_string()));
            assert_eq!(container_of(&groups, &mounts), Some(id), "{groups} {mounts}");
        }
    }

    #[test]
    fn a_process_of_the_host_is_in_no_container() {
        // What the host sees of the containers on it.
        let mounts = "700 29 0:60 / /var/lib/docker/containers/ID/mounts/shm rw - tmpfs shm rw\n\
                      701 29 0:61 / /var/lib/docker/overlay2/ID/merged rw - overlay overlay rw\n\
                      702 29 254:1 /etc/hosts.real /etc/hosts rw - ext4 /dev/vda1 rw";
        let mounts = mounts.replace("ID", &ObjectId([0xab; 32]).to_string());
        for groups in ["0::/system.slice/windflow-agent.service", "0::/", "", "rubbish", "0::/docker/abcdef"] {
            assert_eq!(container_of(groups, &mounts), None, "{groups}");
        }
    }
}
