//! Where a test has its own process killed, as a power cut would end it. Only
//! tests know this; elsewhere a failpoint is nothing.

use std::sync::OnceLock;

use rustix::process::{Signal, getpid, kill_process};

static ARMED: OnceLock<String> = OnceLock::new();

/// Has the process killed at this point.
pub fn arm(point: &str) {
    ARMED.set(point.to_owned()).expect("a process is killed once");
}

/// A point. Does not return where it is the one.
pub fn at(point: &str) {
    if ARMED.get().is_some_and(|armed| armed == point) {
        kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        loop {
            std::thread::park();
        }
    }
}
