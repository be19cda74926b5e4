//! Storms of handshakes: agents that dial in step, again and again, whatever
//! the hub says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windflow_protocol::message::hello::RejectReason;
use windflow_tests::product::Hub;
use windflow_tests::simulated::{Manners, SimulatedFleet};
use windflow_tests::wait;

use super::{ALL_IN, ids_of};

/// How much a hub's memory may grow by what it did before already, in bytes.
const GROWTH_MAX: u64 = 48 * 1024 * 1024;
/// File descriptors that a hub may open for itself meanwhile.
const OWN_FILES: usize = 24;

fn storm(hub: &Hub, prefix: &str, agents: usize) -> SimulatedFleet {
    let mut fleet = SimulatedFleet::enroll(hub, prefix, agents);
    fleet.start(Manners::Rude);
    fleet.wait_for_online(hub, agents, ALL_IN);
    fleet
}

/// Cuts every connection at once and waits until all agents are back.
fn cut_and_wait(hub: &Hub, fleet: &SimulatedFleet) {
    let cut = Instant::now();
    fleet.front.cut();
    wait::until_true("every agent to dial again", ALL_IN, || {
        fleet.front.dials_since(cut, fleet.len()).iter().all(|dials| *dials > 0)
    });
    fleet.wait_for_online(hub, fleet.len(), ALL_IN);
}

/// What the gateway says to a question that every engine answers.
fn ping(hub: &Hub, environment_id: &str) -> u16 {
    hub.request("GET", &format!("/api/v1/environments/{environment_id}/engine/_ping"), "").status
}

#[test]
fn f3_a_fleet_of_300_that_comes_and_goes_leaves_nothing_behind_in_the_hub() {
    let hub = Hub::start();
    let before = hub.open_files();
    let mut fleet = storm(&hub, "simulated", 300);
    cut_and_wait(&hub, &fleet);
    let (files, memory) = (hub.open_files(), hub.resident_bytes());
    for _ in 0..3 {
        cut_and_wait(&hub, &fleet);
    }
    let growth = hub.resident_bytes().saturating_sub(memory);
    assert!(growth < GROWTH_MAX, "the hub grew by {growth} bytes");
    wait::until_true("the old connections to be closed", ALL_IN, || hub.open_files() <= files + OWN_FILES);
    fleet.stop();
    fleet.wait_for_online(&hub, 0, ALL_IN);
    wait::until_true("all connections to be closed", ALL_IN, || hub.open_files() <= before + OWN_FILES);
}

#[test]
fn f4_agents_that_never_wait_disturb_nobody_who_is_connected_and_all_come_in() {
    let mut hub = Hub::start();
    let mut calm = SimulatedFleet::enroll(&hub, "calm", 20);
    calm.start(Manners::Product);
    calm.wait_for_online(&hub, calm.len(), ALL_IN);
    let (ids, dialled) = (ids_of(&hub, "calm-"), calm.front.dials().len());

    let rude = storm(&hub, "rude", 200);
    for _ in 0..3 {
        let cut = Instant::now();
        rude.front.cut();
        for id in &ids {
            assert_eq!(ping(&hub, id), 200, "an agent that was connected is asked in the middle of the storm");
        }
        wait::until_true("every rude agent to dial again", ALL_IN, || {
            rude.front.dials_since(cut, rude.len()).iter().all(|dials| *dials > 0)
        });
    }
    rude.wait_for_online(&hub, rude.len(), ALL_IN);
    assert_eq!(calm.front.dials().len(), dialled, "an agent that was connected lost its session");

    hub.restart();
    rude.wait_for_online(&hub, rude.len(), ALL_IN);
    calm.wait_for_online(&hub, calm.len(), ALL_IN);
}

#[test]
fn f44_agents_that_are_revoked_in_a_storm_are_never_admitted_again() {
    let hub = Hub::start();
    let fleet = storm(&hub, "simulated", 40);
    let list = hub.read("/api/v1/agents?limit=200");
    let (revoked, kept): (Vec<&Value>, Vec<&Value>) = list["items"].as_array().unwrap().iter().partition(|agent| {
        let number: usize = agent["name"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        number.is_multiple_of(2)
    });
    assert_eq!((revoked.len(), kept.len()), (20, 20));
    let environment = |agent: &Value| agent["environment_id"].as_str().unwrap().to_owned();
    fleet.front.cut();
    for agent in &revoked {
        let path = format!("/api/v1/agents/{}/revoke", agent["id"].as_str().unwrap());
        let answer = hub.request("POST", &path, &json!({ "reason": "the host was sold" }).to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_ne!(ping(&hub, &environment(agent)), 200, "it is decided once the answer is there");
    }

    fleet.front.cut();
    wait::until_true("every revoked agent to be told", ALL_IN, || {
        let evens = (0..fleet.len()).step_by(2);
        { evens }.all(|agent| fleet.refusal_of(agent) == Some(RejectReason::Revoked))
    });
    fleet.wait_for_online(&hub, kept.len(), ALL_IN);
    wait::holds("the decision", Duration::from_secs(3), || {
        revoked.iter().all(|agent| ping(&hub, &environment(agent)) != 200)
    });
    for agent in &kept {
        assert_eq!(ping(&hub, &environment(agent)), 200);
    }
    let states = hub.read("/api/v1/environments?state=revoked&limit=200");
    assert_eq!(states["total"], 20, "{states}");
}
