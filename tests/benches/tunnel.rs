//! `make bench`: what the tunnel and the hub cost, side by side in one run.
//! `cargo bench -p windflow-tests -- PART` measures one part of it: `engine`,
//! `live`, `access`, `transport`, `agents`, `distance` or `rival`.
//!
//! Nothing here passes or fails by time: the table has what was measured
//! beside what is required, for people to read. Figures are to be compared
//! within one run only.

mod tunnel {
    pub mod access;
    pub mod agents;
    pub mod distance;
    pub mod engine;
    pub mod hub_here;
    pub mod lane;
    pub mod live;
    pub mod meter;
    pub mod peer;
    pub mod rival;
    pub mod table;
    pub mod transport;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};
use tunnel::meter::{WORKERS, block_on};
use tunnel::transport::{bulk, small, stalled};
use tunnel::{access, agents, distance, engine, live, peer, rival, table, transport};

/// As in the hub.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    raise_open_files();
    // Whatever part it is, the arguments are of use until the end.
    let arguments: &'static [String] = std::env::args().skip(1).collect::<Vec<_>>().leak();
    let words: Vec<&'static str> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words[..] {
        [peer::PART, socket] => drop(block_on(WORKERS, peer::serve_unix(Path::new(socket)))),
        [peer::TCP_PART] => drop(block_on(WORKERS, peer::serve_tcp())),
        [rival::FRONT_PART, behind] => block_on(WORKERS, rival::run_front(behind)),
        [bulk::PART] => block_on(1, bulk::measure_this_core()),
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
    let parts: [(&str, fn()); 7] = [
        ("engine", engine::measure),
        ("live", live::measure),
        ("access", access::measure),
        ("transport", transport::measure),
        ("agents", agents::measure),
        ("distance", || block_on(WORKERS, distance::measure())),
        ("rival", rival::measure),
    ];
    for (name, part) in parts.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        // The other parts are worth having without this one.
        if catch_unwind(AssertUnwindSafe(part)).is_err() {
            table::print_not_measured(&format!("the rest of {name}"), "it failed, see above");
        }
    }
}

/// A fleet of a thousand needs more files than a shell allows at first.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit, everybody may");
}
