//! An agent that is stopped while much is asked of it. The kernel of its host
//! keeps its connection, so that nobody is told. The engines are simulated, see
//! `windflow_tests::simulated`; the agents are the real ones.

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;
use windflow_tests::product::{Agent, AgentOptions, Conversation, Hub};
use windflow_tests::simulated::SimulatedEngine;
use windflow_tests::wait;

use super::super::super::SOON;
use super::{RECOVERY, SILENCE_KNOWN};

/// The one that is stopped.
const STOPPED: &str = "stopped";
/// The others, each with how its agent connects.
const OTHERS: [(&str, &str); 3] = [("north", "websocket"), ("south", "quic"), ("west", "auto")];
/// Requests to the stopped one that wait for an answer, more than a browser
/// makes.
const WAITING: usize = 40;
/// Those who ask everything else at once, and how often each asks all of it.
const CALLERS: usize = 5;
const ROUNDS: usize = 2;
/// Lists of the hub that speak of every host, or of none.
const LISTS: [&str; 9] = [
    "/api/v1/environments",
    "/api/v1/overview",
    "/api/v1/agents",
    "/api/v1/containers",
    "/api/v1/images",
    "/api/v1/volumes",
    "/api/v1/networks",
    "/api/v1/jobs",
    "/readyz",
];

/// A host. What depends on something else stands before it.
struct Site {
    agent: Agent,
    id: String,
    _engine: SimulatedEngine,
}

struct Fleet {
    stopped: Site,
    others: Vec<Site>,
    hub: Hub,
}

fn site(hub: &Hub, name: &str, transport: &str) -> Site {
    let engine = SimulatedEngine::start();
    engine.set_containers(2);
    let agent = Agent::online(hub, name, AgentOptions::new(hub, &engine.address()).over(transport));
    Site { agent, id: hub.environment(name).unwrap().id, _engine: engine }
}

fn fleet(transport_of_stopped: &str) -> Fleet {
    let hub = Hub::start();
    let others = OTHERS.map(|(name, transport)| site(&hub, name, transport)).into();
    let fleet = Fleet { stopped: site(&hub, STOPPED, transport_of_stopped), others, hub };
    wait::until_true("all containers to be told", RECOVERY, || {
        let total = 2 * (OTHERS.len() + 1);
        fleet.hub.read("/api/v1/containers")["total"] == total
    });
    fleet
}

impl Site {
    /// What its engine is asked for through the gateway.
    fn through_gateway(&self, path: &str) -> String {
        format!("/api/v1/environments/{}/engine/v1.41{path}", self.id)
    }

    fn list(&self) -> String {
        format!("/api/v1/environments/{}/containers", self.id)
    }
}

impl Fleet {
    /// When the sessions of the others began.
    fn sessions(&self) -> Vec<String> {
        OTHERS.map(|(name, _)| self.hub.connected_at(name)).into()
    }

    fn states(&self) -> BTreeMap<String, String> {
        let list = self.hub.read("/api/v1/environments");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().expect("a list has items").iter();
        items.map(|item| (text(&item["name"]), text(&item["state"]))).collect()
    }

    /// Asks the stopped one for what its engine would say at once.
    fn ask_the_stopped(&self) -> Vec<Conversation> {
        let path = self.stopped.through_gateway("/info");
        (0..WAITING).map(|_| Conversation::get(&self.hub, &path)).collect()
    }

    /// Asks the others, and for every list, that of the stopped one's
    /// containers too. Returns how many answers came.
    fn ask_everything_else(&self) -> usize {
        let ways = |site: &Site| [site.through_gateway("/info"), site.through_gateway("/containers/json"), site.list()];
        let of_others = self.others.iter().flat_map(ways);
        let paths = of_others.chain(LISTS.map(str::to_owned)).chain([self.stopped.list()]);
        paths.map(|path| assert_eq!(self.hub.request("GET", &path, "").status, 200, "{path}")).count()
    }

    /// Checks that the others are online in these sessions, and answer.
    fn others_are_well(&self, sessions: &[String]) {
        let states = self.states();
        assert!(OTHERS.iter().all(|(name, _)| states[*name] == "online"), "{states:?}");
        assert_eq!(self.sessions(), sessions);
        for site in &self.others {
            assert_eq!(self.hub.request("GET", &site.through_gateway("/info"), "").status, 200);
        }
    }
}

fn a_stopped_agent_delays_no_other_host(transport: &str) {
    let fleet = fleet(transport);
    let (sessions, before) = (fleet.sessions(), fleet.hub.connected_at(STOPPED));
    let mut terminal = Conversation::terminal(&fleet.hub, &fleet.stopped.id);
    terminal.echoes("are you there?");
    fleet.stopped.agent.hang();
    let mut waiting = fleet.ask_the_stopped();
    thread::scope(|scope| {
        // It fills whatever there is on the way to the stopped one.
        scope.spawn(|| terminal.type_until_ended());
        let ask = || (0..ROUNDS).map(|_| fleet.ask_everything_else()).sum::<usize>();
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(ask)).collect();
        let answered: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert!(answered >= 100, "{answered} answers are too few to say anything");
        let unanswered = waiting.iter().filter(|request| request.is_unanswered()).count();
        assert_eq!(unanswered, WAITING, "whoever asks the stopped one waits until all others were answered");
        wait::until_true("the hub to know", SILENCE_KNOWN, || {
            fleet.others_are_well(&sessions);
            fleet.states()[STOPPED] == "offline"
        });
    });
    for request in &mut waiting {
        let status = request.status();
        assert!(status.is_some_and(|status| (500..600).contains(&status)), "{status:?}");
    }
    fleet.others_are_well(&sessions);

    fleet.stopped.agent.go_on();
    fleet.hub.wait_for_state(STOPPED, "online", RECOVERY);
    assert_ne!(fleet.hub.connected_at(STOPPED), before);
    wait::until_true("its engine to answer", SOON, || {
        fleet.hub.request("GET", &fleet.stopped.through_gateway("/info"), "").status == 200
    });
    fleet.others_are_well(&sessions);
}

#[test]
fn c51_an_agent_that_is_stopped_delays_no_other_host() {
    a_stopped_agent_delays_no_other_host("websocket");
}

#[test]
fn c51_an_agent_that_is_stopped_and_came_over_quic_delays_no_other_host() {
    a_stopped_agent_delays_no_other_host("quic");
}
