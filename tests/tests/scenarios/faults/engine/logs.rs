//! Containers that say more than anybody reads. Nothing on the way keeps what
//! its reader does not take.

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::Conversation;

use super::super::super::worlds::{NAME, World, edge};

/// What the noisy container says in all, in bytes.
const NOISE: usize = 100_000_000;
/// What a program may grow by while it passes the noise on: the windows of a
/// session and its buffers, and nothing that grows with the noise, in bytes.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;
/// How long the noise may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(400);

/// A container that says [`NOISE`] as fast as it can, and does something then.
fn noisy(then: &str) -> World {
    let world = edge(EngineVersion::V26_1, "auto");
    let noise = format!("yes 'the quick brown heron' | head -c {NOISE}; {then}");
    world.docker.run(["run", "--detach", "--name", "noisy", BUSYBOX, "sh", "-c", &noise]).succeeded();
    world
}

/// What the hub and the agent have in memory now.
fn memory(world: &World) -> [u64; 2] {
    [world.hub.resident_bytes(), world.agent.as_ref().unwrap().resident_bytes()]
}

fn has_not_grown(world: &World, before: [u64; 2]) {
    for (name, (now, before)) in ["hub", "agent"].iter().zip(memory(world).into_iter().zip(before)) {
        let growth = now.saturating_sub(before);
        println!("the {name} grew by {} KiB", growth / 1024);
        assert!(growth < GROWTH_MAX, "the {name} grew by {growth} bytes");
    }
}

#[test]
fn f24_a_reader_that_hardly_reads_a_noisy_log_throttles_that_stream_alone() {
    let world = noisy("touch /done; sleep 600");
    world.docker.run(["ps"]).succeeded();
    let before = memory(&world);
    let id = world.hub.environment(NAME).unwrap().id;
    let path = format!("/api/v1/environments/{id}/engine/v1.41/containers/noisy/logs?stdout=1&follow=1");
    let mut reader = Conversation::get(&world.hub, &path);
    assert_eq!(reader.status(), Some(200));
    // A kilobyte for each turn of somebody else, until all has been said.
    let mut turns = 0;
    while turns < 10 || !world.docker.run(["exec", "noisy", "test", "-e", "/done"]).status.success() {
        assert!(!reader.read(1024).is_empty(), "the slow stream was ended");
        turns += 1;
    }
    has_not_grown(&world, before);
    assert_eq!(world.hub.state_of(NAME), "online");
}

#[test]
fn f39_logs_that_come_faster_than_anything_reads_arrive_whole_and_stay_nowhere() {
    let world = noisy("exit");
    world.docker.run(["ps"]).succeeded();
    let before = memory(&world);
    let read = world.docker.run_into(["logs", "--follow", "noisy"], "wc -c", PATIENCE).succeeded();
    assert_eq!(read, NOISE.to_string());
    has_not_grown(&world, before);
    assert_eq!(world.hub.state_of(NAME), "online");
}

#[test]
fn f39_a_line_of_a_million_characters_arrives_as_one() {
    let world = edge(EngineVersion::V20_10, "auto");
    let line = "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo behind it";
    world.docker.run(["run", "--name", "long", BUSYBOX, "sh", "-c", line]).succeeded();
    let logs = world.docker.run(["logs", "long"]).succeeded();
    let lines: Vec<_> = logs.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].len() == 1_000_000 && lines[0].bytes().all(|byte| byte == b'x'));
    assert_eq!(lines[1], "behind it");
}
