//! What an agent knows of the host it runs on, and the one place that reads
//! its wall clock. Nothing is ever decided by that clock: it is shown, and
//! waits are counted by the monotonic one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest;
use windflow_protocol::message::hello::HostFacts;

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
