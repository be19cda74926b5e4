//! Clocks and meters: processor time, memory, medians, and parts of this
//! program that run as processes of their own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Threads of a runtime: enough for both ends.
pub const WORKERS: usize = 2;

/// Processor time that the process with this id, or `self`, has used.
pub fn cpu_time(process: &str) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let nanos = tasks.flatten().filter_map(|task| {
        let used = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        used.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Resident memory of the process with this id, or `self`, in MiB.
pub fn resident_mib(process: &str) -> f64 {
    status_mib(process, "VmRSS:")
}

/// The most resident memory that the process with this id has had, in MiB.
pub fn peak_mib(process: &str) -> f64 {
    status_mib(process, "VmHWM:")
}

fn status_mib(process: &str, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.expect("the kernel tells the size of a process") / 1024.0
}

/// The middle one; of an even number, the upper one of the two.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which `part` of the others lie.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// How long a future takes, in microseconds.
pub async fn time_of<T>(future: impl Future<Output = T>) -> f64 {
    let started = Instant::now();
    future.await;
    micros(started.elapsed())
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// This program again, as a process of its own that does only `part`.
pub fn myself(part: &str) -> Command {
    let mut command = Command::new(own_path());
    command.arg(part);
    command
}

/// The same, on one processor core.
pub fn myself_on_one_core(part: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(own_path()).arg(part);
    command
}

fn own_path() -> PathBuf {
    std::env::current_exe().expect("a running program has a path")
}

/// Runs a future as a task of a runtime with this many threads: outside the
/// workers, where `block_on` itself is, each wake-up crosses threads.
pub fn block_on<T: Send + 'static>(workers: usize, future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.expect("the system has room for threads");
    let tasks = tokio_util::task::TaskTracker::new();
    let task = tasks.spawn_on(future, runtime.handle());
    let done = runtime.block_on(task);
    runtime.shutdown_background();
    done.unwrap_or_else(|error| panic!("a part of the benchmark failed: {error}"))
}
