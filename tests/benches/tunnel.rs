//! `make bench`: what the tunnel and the hub cost, side by side in one run.
//! `cargo bench -p windflow-tests -- PART` measures one part of it: `engine`,
//! `transport`, `agents` or `distance`.
//!
//! Nothing here passes or fails by time: the table has what was measured
//! beside what is required, for people to read. Figures are to be compared
//! within one run only.

mod tunnel {
    pub mod agents;
    pub mod bulk;
    pub mod distance;
    pub mod engine;
    pub mod lane;
    pub mod meter;
    pub mod peer;
    pub mod small;
    pub mod stalled;
    pub mod table;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tunnel::meter::{myself, runtime};
use tunnel::{agents, bulk, distance, engine, peer, small, stalled, table};
use windflow_tests::process::Process;
use windflow_tests::wait;

/// As in the hub.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The part of this program that is a far end: `backend SOCKET`.
const BACKEND_PART: &str = "backend";
/// Enough for both ends.
const WORKERS: usize = 2;

fn main() {
    raise_open_files();
    // Whatever part it is, the arguments are of use until the end.
    let arguments: &'static [String] = std::env::args().skip(1).collect::<Vec<_>>().leak();
    let words: Vec<&'static str> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words[..] {
        [BACKEND_PART, socket] => drop(block_on(WORKERS, peer::serve_unix(Path::new(socket)))),
        [small::PART, socket] => block_on(1, small::measure_this_core(Path::new(socket))),
        [stalled::PART, transport] => block_on(WORKERS, stalled::measure_here(transport)),
        [stalled::TINY_PART, transport] => block_on(WORKERS, stalled::measure_tiny_here(transport)),
        [agents::ENROLL_PART, url, folder] => block_on(WORKERS, agents::enroll_all(url, Path::new(folder))),
        [agents::FLEET_PART, folder, url, transport] => {
            block_on(WORKERS, agents::run_fleet(Path::new(folder), url, transport));
        }
        _ => measure(&words),
    }
}

/// Measures the named parts, or all.
fn measure(wanted: &[&str]) {
    table::print_head();
    let parts: [(&str, fn()); 4] = [
        ("engine", engine::measure),
        ("transport", measure_transport),
        ("agents", agents::measure),
        ("distance", || {
            block_on(WORKERS, distance::measure());
        }),
    ];
    for (name, part) in parts.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        // The other parts are worth having without this one.
        if catch_unwind(AssertUnwindSafe(part)).is_err() {
            table::print_not_measured(&format!("the rest of {name}"), "it failed, see above");
        }
    }
}

/// The far end is a process of its own, so that its processor time is not ours.
fn measure_transport() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("far.sock");
    let mut command: Command = myself(BACKEND_PART);
    let _backend = Process::start("the far end", command.arg(&socket), &folder.path().join("log"));
    wait::until_true("the far end's socket", Duration::from_secs(10), || socket.exists());
    let here = socket.clone();
    block_on(WORKERS, async move { bulk::measure(&here).await });
    block_on(WORKERS, async move { small::measure(&socket).await });
    stalled::measure();
}

/// Runs a future as a task of a runtime: outside the workers, where `block_on`
/// itself is, each wake-up crosses threads.
fn block_on<T: Send + 'static>(workers: usize, future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = runtime(workers);
    let tasks = tokio_util::task::TaskTracker::new();
    let task = tasks.spawn_on(future, runtime.handle());
    let done = runtime.block_on(task);
    runtime.shutdown_background();
    done.unwrap_or_else(|error| panic!("a part of the benchmark failed: {error}"))
}

/// A fleet of a thousand needs more files than a shell allows at first.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit, everybody may");
}
