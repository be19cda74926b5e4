//! The transport alone: both ends of the tunnel in this process, or a far end
//! behind the agent's dispatcher.

pub mod bulk;
pub mod small;
pub mod stalled;

use std::process::Command;
use std::time::Duration;

use windflow_tests::process::Process;
use windflow_tests::wait;

use super::meter::{WORKERS, block_on, myself};
use super::peer;

/// Every figure of the transport. The far end is a process of its own, so that
/// its processor time is not ours.
pub fn measure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("far.sock");
    let mut command: Command = myself(peer::PART);
    let _backend = Process::start("the far end", command.arg(&socket), &folder.path().join("log"));
    wait::until_true("the far end's socket", Duration::from_secs(10), || socket.exists());
    let here = socket.clone();
    block_on(WORKERS, async move { bulk::measure(&here).await });
    block_on(WORKERS, async move { small::measure(&socket).await });
    stalled::measure();
}
