//! Engines that answer what no engine should, or more than one expects. They
//! are simulated, see `windflow_tests::simulated`; the agent before them is
//! the real one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windflow_tests::product::{Agent, AgentOptions, Answer, Conversation, Hub};
use windflow_tests::simulated::{Conduct, SimulatedEngine};
use windflow_tests::wait;

use super::super::super::SOON;
use super::super::super::worlds::NAME;
use super::{RECOVERY, engine_of};

/// What an answer without an end may bring before it is cut, in bytes: the
/// largest list that the hub reads, and what was on the way.
const POURED_MAX: u64 = 64 * 1024 * 1024;
/// What a program may grow by meanwhile, in bytes: such a list is read whole.
const GROWTH_MAX: u64 = 96 * 1024 * 1024;
/// Where an engine lists its containers.
const LIST: &str = "/containers/json";
/// How often an agent counts at most while containers change, and some grace.
const COUNTED_EVERY: Duration = Duration::from_secs(3);
const COUNTED_MORE: usize = 3;

/// A hub, an agent, and a simulated engine. What depends on something else
/// stands before it.
struct Site {
    agent: Agent,
    hub: Hub,
    engine: SimulatedEngine,
    id: String,
}

fn site() -> Site {
    let engine = SimulatedEngine::start();
    let hub = Hub::start();
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &engine.address()));
    let id = hub.environment(NAME).unwrap().id;
    let site = Site { agent, hub, engine, id };
    wait::until_true("the engine", RECOVERY, || engine_of(&site.hub) == "running");
    site
}

impl Site {
    fn containers(&self, query: &str) -> Answer {
        self.hub.request("GET", &format!("/api/v1/environments/{}/containers{query}", self.id), "")
    }

    /// Checks that the list fails with a reason in words, while the link and
    /// the engine's other answers are as they were.
    fn list_fails(&self, conduct: Conduct) {
        self.engine.set_conduct(LIST, conduct);
        let session = self.hub.connected_at(NAME);
        // The hub's own deadline is as long as other requests are waited for.
        let mut listing = Conversation::get(&self.hub, &format!("/api/v1/environments/{}/containers", self.id));
        let status = listing.status().expect("the hub answers");
        let body = String::from_utf8_lossy(&listing.read_to_end()).into_owned();
        let clear = body.contains("\"engine_cut\"") || body.contains("\"engine_unresponsive\"");
        assert!(clear && [502, 504].contains(&status), "{conduct:?}: {status} {body}");
        let info = format!("/api/v1/environments/{}/engine/v1.41/info", self.id);
        assert_eq!(self.hub.request("GET", &info, "").status, 200, "{conduct:?}");
        assert_eq!(self.hub.connected_at(NAME), session, "{conduct:?}");
        self.engine.set_conduct(LIST, Conduct::Good);
        assert_eq!(self.containers("").status, 200, "{conduct:?}");
    }

    fn changes_are_followed(&self) {
        wait::until_true("the agent to follow the changes", SOON, || self.engine.followers() > 0);
    }

    /// Waits until the hub shows these numbers for the environment.
    fn counts(&self, running: u32, total: u32) {
        let wanted = json!({ "running": running, "total": total });
        wait::until_true(&format!("{running} of {total} containers"), RECOVERY, || {
            self.hub.read(&format!("/api/v1/environments?name={NAME}"))["items"][0]["containers"] == wanted
        });
    }

    fn memory(&self) -> [u64; 2] {
        [self.hub.resident_bytes(), self.agent.resident_bytes()]
    }

    fn has_not_grown(&self, before: [u64; 2]) {
        for (now, before) in self.memory().into_iter().zip(before) {
            let growth = now.saturating_sub(before);
            assert!(growth < GROWTH_MAX, "it grew by {growth} bytes");
        }
    }
}

#[test]
fn f37_garbage_of_an_engine_is_an_error_in_words_and_costs_nobody_the_link() {
    let site = site();
    for conduct in [Conduct::Garbage, Conduct::NoJson, Conduct::CutOff] {
        site.list_fails(conduct);
    }
}

#[test]
fn f37_a_list_without_an_end_is_cut_at_its_cap() {
    let site = site();
    let before = site.memory();
    site.list_fails(Conduct::Endless);
    assert!(site.engine.poured() < POURED_MAX, "{} bytes were taken", site.engine.poured());
    site.has_not_grown(before);
}

#[test]
fn f37_an_answer_that_comes_byte_by_byte_ends_at_its_deadline() {
    let site = site();
    site.list_fails(Conduct::DrippingHead);
    site.list_fails(Conduct::DrippingBody);
}

#[test]
fn f37_an_engine_that_answers_nothing_as_an_engine_does_is_shown_as_unresponsive() {
    for conduct in [Conduct::Garbage, Conduct::NoJson, Conduct::Endless, Conduct::DrippingHead, Conduct::CutOff] {
        let site = site();
        let (session, before) = (site.hub.connected_at(NAME), site.memory());
        site.engine.set_conduct("*", conduct);
        wait::until_true("the hub to know", RECOVERY, || engine_of(&site.hub) == "unresponsive");
        site.has_not_grown(before);
        assert_eq!(site.hub.connected_at(NAME), session, "{conduct:?}");
        site.engine.set_conduct("*", Conduct::Good);
        wait::until_true("the hub to know", RECOVERY, || engine_of(&site.hub) == "running");
    }
}

#[test]
fn f40_five_thousand_containers_are_counted_listed_and_found_by_one_question_each() {
    let site = site();
    site.changes_are_followed();
    site.engine.set_containers(5000);
    site.engine.tell("create", "the last of many");
    site.counts(2500, 5000);
    assert_eq!(site.engine.asked_for(LIST), 0, "containers are counted, not listed");

    let page: Value = serde_json::from_str(&site.containers("?limit=200&offset=4900").body).unwrap();
    assert_eq!((page["total"].as_u64(), page["items"].as_array().map(Vec::len)), (Some(5000), Some(100)));
    let found: Value = serde_json::from_str(&site.containers("?search=simulated-04711").body).unwrap();
    assert_eq!((found["total"].as_u64(), found["items"][0]["state"].as_str()), (Some(1), Some("exited")));
    assert_eq!(site.engine.asked_for(LIST), 2, "one question for each list, however long it is");
}

#[test]
fn f40_a_flood_of_changes_is_counted_once_in_a_while_and_not_once_each() {
    let site = site();
    site.changes_are_followed();
    let (begun, counted) = (Instant::now(), site.engine.asked_for("/info"));
    for number in 0..10_000_usize {
        site.engine.tell("start", &format!("{number:064x}"));
    }
    site.engine.set_containers(10_000);
    site.engine.tell("start", "the last");
    site.counts(5000, 10_000);
    let turns = usize::try_from(begun.elapsed().as_secs() / COUNTED_EVERY.as_secs()).unwrap();
    let counted = site.engine.asked_for("/info") - counted;
    assert!(counted <= turns + COUNTED_MORE, "10,001 changes were counted {counted} times");
}
