//! How large the programs are, on disk and in memory.

use windflow_tests::places;
use windflow_tests::product::Hub;

use super::{Bed, print_size};

const MIB: u64 = 1 << 20;

/// Sizes at rest.
pub fn measure(bed: &Bed) {
    let idle = Hub::start();
    print_size("hub without agents", idle.resident_bytes(), 40 * MIB);
    for agent in &bed.agents {
        print_size(&format!("agent over {} after all this", agent.name()), agent.resident_bytes(), 64 * MIB);
    }
    let agent = std::fs::metadata(places::built("windflow-agent")).expect("it was built");
    print_size("agent on disk", agent.len(), 12 * MIB);
}
