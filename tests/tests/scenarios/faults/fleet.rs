//! Bad days of a whole fleet. Its agents are simulated, see
//! `windflow_tests::simulated`; beside them stand real ones with a real engine.

mod storm;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::process::Running;
use windflow_tests::product::{Agent, AgentOptions, Conversation, Hub};
use windflow_tests::simulated::{Manners, SimulatedFleet};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, World, edge};

/// Simulated agents beside the two real ones.
const AGENTS: usize = 100;
/// Terminals, and requests that wait for their answer, open at once.
const BUSY: usize = 40;
/// How long a fleet may take to come in on a machine that does other things too.
const ALL_IN: Duration = Duration::from_secs(120);
/// A hub that is back is dialled this often by one agent, at most: more would
/// say that it turned agents away whom it had to take.
const TRIES_MAX: usize = 3;

/// A hub with two real agents and a simulated fleet, all of them online.
struct FleetWorld {
    fleet: SimulatedFleet,
    second: Agent,
    world: World,
}

const SECOND: &str = "second";

fn fleet_world() -> FleetWorld {
    let world = edge(EngineVersion::V20_10, "websocket");
    let options = AgentOptions::new(&world.hub, &world.engine.address()).over("quic");
    let second = Agent::online(&world.hub, SECOND, options);
    let mut fleet = SimulatedFleet::enroll(&world.hub, "simulated", AGENTS);
    fleet.start(Manners::Product);
    fleet.wait_for_online(&world.hub, AGENTS, ALL_IN);
    FleetWorld { fleet, second, world }
}

/// The ids of environments whose names begin like this.
fn ids_of(hub: &Hub, prefix: &str) -> Vec<String> {
    let found = hub.environments().into_iter().filter(|environment| environment.name.starts_with(prefix));
    found.map(|environment| environment.id).collect()
}

impl FleetWorld {
    fn hub(&self) -> &Hub {
        &self.world.hub
    }

    /// An exec on a real engine that runs until it is cut.
    fn exec(&self) -> Running {
        self.world.docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
        let exec = self.world.docker.start(["exec", "host", "sh", "-c", "echo begun; sleep 600"]);
        exec.wait_for("begun", SOON);
        exec
    }

    /// Starts the hub again and waits until everybody is back, each as one
    /// session that stays.
    fn everybody_returns(&mut self) {
        self.world.hub.start_again();
        let up = Instant::now();
        let took = self.fleet.wait_for_online(self.hub(), AGENTS, ALL_IN);
        for name in [NAME, SECOND] {
            self.hub().wait_for_state(name, "online", ALL_IN);
        }
        let tries = self.fleet.front.dials_since(up, AGENTS);
        println!("{AGENTS} simulated agents were back {took:?} after the hub was");
        println!("dials since then, in steps of 100 ms: {:?}", histogram(&self.fleet, up));
        assert!(tries.iter().all(|tries| *tries <= TRIES_MAX), "agents had to dial this often: {tries:?}");
        let dialled = self.fleet.front.dials().len();
        wait::holds("the fleet's sessions", Duration::from_secs(3), || {
            self.fleet.online(self.hub()) == AGENTS && self.fleet.front.dials().len() == dialled
        });
        self.world.docker.run(["exec", "host", "true"]).succeeded();
    }
}

/// How many dials came in each tenth of a second.
fn histogram(fleet: &SimulatedFleet, since: Instant) -> Vec<usize> {
    let mut steps = Vec::new();
    for dial in fleet.front.dials().iter().filter(|dial| dial.at >= since) {
        let step = usize::try_from((dial.at - since).as_millis() / 100).unwrap();
        steps.resize(steps.len().max(step + 1), 0);
        steps[step] += 1;
    }
    steps
}

#[test]
fn f1_a_killed_hub_has_its_whole_fleet_back_and_no_terminal_outlives_it() {
    let mut world = fleet_world();
    let ids = ids_of(world.hub(), "simulated-");
    let mut terminals: Vec<_> = ids[..BUSY].iter().map(|id| Conversation::terminal(world.hub(), id)).collect();
    for terminal in &mut terminals {
        terminal.echoes("are you there?");
    }
    assert_eq!(world.fleet.engine.terminals(), BUSY);
    let mut exec = world.exec();

    let killed = Instant::now();
    world.world.hub.kill();
    for terminal in &mut terminals {
        terminal.wait_for_end();
    }
    assert!(!wait::until("the exec to end", SOON, || exec.ended()).success());
    wait::until_true("the terminals to end at the engine", SOON, || world.fleet.engine.terminals() == 0);
    wait::until_true("every agent to find the hub gone", SOON, || {
        world.fleet.front.dials_since(killed, AGENTS).iter().all(|dials| *dials > 0)
    });
    world.everybody_returns();
    // Agents that all waited as long as each other would have dialled as often.
    let often: BTreeSet<usize> = world.fleet.front.dials_since(killed, AGENTS).into_iter().collect();
    assert!(often.len() >= 3, "the fleet dials in step: each agent did so {often:?} times");
}

#[test]
fn f2_a_hub_told_to_end_under_load_answers_what_runs_and_says_goodbye_to_its_fleet() {
    let mut world = fleet_world();
    let ids = ids_of(world.hub(), "simulated-");
    let slow = |id: &String| Conversation::get(world.hub(), &format!("/api/v1/environments/{id}/engine/v1.41/slow"));
    let mut running: Vec<_> = ids[..BUSY].iter().map(slow).collect();
    wait::until_true("the engine to be asked", SOON, || world.fleet.engine.waiting() == BUSY);
    let mut exec = world.exec();

    assert_eq!(world.world.hub.terminate(), Some(0));
    let log = world.hub().log();
    assert!(!log.contains("stopping without waiting"), "it took its 30 seconds and more");
    for request in &mut running {
        let status = request.status().expect("a request under way is answered");
        let body = String::from_utf8_lossy(&request.read_to_end()).into_owned();
        let clear = (500..600).contains(&status) && body.contains("\"code\"") && body.contains("\"message\"");
        assert!(status == 200 || clear, "{status}: {body}");
    }
    assert!(wait::until("the exec to end", SOON, || exec.ended()).code() != Some(0));
    for agent in [world.world.agent.as_ref().unwrap(), &world.second] {
        wait::until_true("the hub's goodbye", SOON, || agent.log().contains("shutting down as planned"));
    }
    world.everybody_returns();
}
