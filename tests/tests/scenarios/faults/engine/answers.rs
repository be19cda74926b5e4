//! Engines that answer what no engine should, or more than one expects. They
//! are simulated, see `windflow_tests::simulated`; the agent before them is
//! the real one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windflow_tests::product::{Agent, AgentOptions, Answer, Hub};
use windflow_tests::simulated::{Conduct, SimulatedEngine};
use windflow_tests::wait;

use super::super::super::SOON;
use super::super::super::worlds::NAME;
use super::{RECOVERY, engine_of};

/// What an answer without an end may bring before it is cut, in bytes: the
/// largest list that an agent reads, some times over.
const POURED_MAX: u64 = 128 * 1024 * 1024;
/// How long it may take until a list that drips is given up, or a good one is
/// asked for again.
const NOTICED: Duration = Duration::from_secs(100);
/// Five thousand containers are looked at one by one, and the engine is left
/// alone in between: a minute where nothing else is to be done.
const LOOKED_AT: Duration = Duration::from_secs(400);
/// How many containers the engine has.
const CONTAINERS: usize = 3;
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
    engine.set_containers(CONTAINERS);
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

    /// Checks that a list which makes no sense leaves what was known, and shows
    /// it as such, while the link and the engine's other answers are as they
    /// were.
    fn list_fails(&self, conduct: Conduct) {
        self.lists("the containers", |as_of| as_of.is_null());
        self.engine.set_conduct(LIST, conduct);
        self.engine.tell("start", &format!("{:064x}", 1));
        let session = self.hub.connected_at(NAME);
        self.lists(&format!("{conduct:?} to be noticed"), Value::is_string);
        let info = format!("/api/v1/environments/{}/engine/v1.41/info", self.id);
        assert_eq!(self.hub.request("GET", &info, "").status, 200, "{conduct:?}");
        assert_eq!(self.hub.connected_at(NAME), session, "{conduct:?}");
        self.engine.set_conduct(LIST, Conduct::Good);
        self.lists(&format!("the end of {conduct:?}"), |as_of| as_of.is_null());
    }

    /// Waits until all containers are listed, as of what is wanted.
    fn lists(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        wait::until_true(what, NOTICED, || {
            let list: Value = serde_json::from_str(&self.containers("").body).unwrap();
            list["total"] == CONTAINERS && wanted(&list["items"][0]["as_of"])
        });
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
fn f40_five_thousand_containers_are_told_once_and_found_without_a_question() {
    let site = site();
    site.changes_are_followed();
    site.engine.set_containers(5000);
    site.engine.tell("create", "the last of many");
    site.counts(2500, 5000);
    let total = |answer: Answer| serde_json::from_str::<Value>(&answer.body).unwrap()["total"].as_u64();
    wait::until_true("all to be told", NOTICED, || total(site.containers("?limit=1")) == Some(5000));
    // The list is looked at a few times for what it does not say of each.
    let looks = || site.engine.asked_for(&format!("/containers/{:064x}/json", 4999));
    wait::until_true("the last to be looked at", LOOKED_AT, || looks() == 1);

    let asked = site.engine.asked_for(LIST);
    let page: Value = serde_json::from_str(&site.containers("?limit=200&offset=4900").body).unwrap();
    assert_eq!((page["total"].as_u64(), page["items"].as_array().map(Vec::len)), (Some(5000), Some(100)));
    let found: Value = serde_json::from_str(&site.containers("?search=simulated-04711").body).unwrap();
    assert_eq!((found["total"].as_u64(), found["items"][0]["state"].as_str()), (Some(1), Some("exited")));
    // Its own look after the last change may fall between.
    assert!(site.engine.asked_for(LIST) <= asked + 1, "an engine is not asked for a page");
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
