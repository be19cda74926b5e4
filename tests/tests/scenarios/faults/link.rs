//! Links that are slow, broken, or only look alive.

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::network::{Direction, Flow, LinkOptions, Relay};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{LinkWorld, NAME, engine_with_image, link};

/// A session is dead after 25 s of silence; this is when that must be known.
const SILENCE_KNOWN: Duration = Duration::from_secs(40);
/// How long an agent may take back to a hub that can be reached again. Its
/// pause has grown by then.
const RETURN: Duration = Duration::from_secs(70);

fn is_noticed_at_both_ends_and_heals(direction: Direction) {
    let LinkWorld { relay, hub } = link(LinkOptions::default());
    let options = AgentOptions::new(&hub, super::super::worlds::NO_ENGINE).through(relay.url()).over("websocket");
    let agent = Agent::online(&hub, NAME, options);
    relay.set_flow(direction, Flow::Swallow);
    hub.wait_for_state(NAME, "offline", SILENCE_KNOWN);
    wait::until_true("the agent to notice", SILENCE_KNOWN, || {
        agent.status().is_some_and(|status| status.state != "connected")
    });
    relay.set_flows(Flow::Pass);
    hub.wait_for_state(NAME, "online", RETURN);
}

#[test]
fn f7_a_link_that_silently_loses_what_the_agent_says_is_noticed_and_heals() {
    is_noticed_at_both_ends_and_heals(Direction::ToHub);
}

#[test]
fn f7_a_link_that_silently_loses_what_the_hub_says_is_noticed_and_heals() {
    is_noticed_at_both_ends_and_heals(Direction::ToAgent);
}

#[test]
fn f5_a_link_that_dies_without_a_word_ends_what_runs_on_it_and_heals() {
    let engine = engine_with_image(EngineVersion::V26_1);
    let LinkWorld { relay, hub } = link(LinkOptions::default());
    let options = AgentOptions::new(&hub, &engine.address()).through(relay.url()).over("websocket");
    let agent = Agent::online(&hub, NAME, options);
    let docker = DockerCli::new(&hub, NAME);
    docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
    let mut exec = docker.start(["exec", "host", "sh", "-c", "echo begun; sleep 600"]);
    exec.wait_for("begun", SOON);

    relay.set_flows(Flow::Swallow);
    hub.wait_for_state(NAME, "offline", SILENCE_KNOWN);
    assert!(!wait::until("the exec to end", SOON, || exec.ended()).success());
    let said = docker.run(["ps"]).failed();
    assert!(said.contains("offline"), "{said}");
    wait::until_true("the agent to notice", SILENCE_KNOWN, || {
        agent.status().is_some_and(|status| status.state != "connected")
    });

    relay.set_flows(Flow::Pass);
    hub.wait_for_state(NAME, "online", RETURN);
    docker.run(["exec", "host", "true"]).succeeded();
}

#[test]
fn f6_a_link_whose_end_the_hub_does_not_notice_is_replaced_at_once() {
    let world = link(LinkOptions::default());
    let agent = Agent::online(&world.hub, NAME, world.options().over("websocket"));
    let before = world.hub.connected_at(NAME);
    world.relay.forget();
    // Silence alone would be noticed after 25 s.
    wait::until_true("a new session", Duration::from_secs(10), || world.hub.connected_at(NAME) != before);
    agent.wait_for_status("connected", SOON);
    let after = world.hub.connected_at(NAME);
    wait::holds("the new session", Duration::from_secs(5), || world.hub.connected_at(NAME) == after);
    assert_eq!(world.hub.state_of(NAME), "online");
}

#[test]
fn f13_a_link_that_is_reset_again_and_again_is_dialled_less_and_less() {
    let reset_after = Some(Duration::from_secs(2));
    let world = link(LinkOptions { reset_after, ..LinkOptions::default() });
    let options = world.options().over("websocket");
    let mut agent = Agent::enrolled(&world.hub, NAME, options);
    let before = world.relay.connections();
    agent.run();
    wait::holds("the agent's patience", Duration::from_secs(45), || {
        // Without growing pauses there would be one every 2.5 s.
        world.relay.connections() - before <= 11
    });
    assert!(world.relay.connections() - before >= 2, "it never came back");
}

#[test]
fn f14_a_way_that_ends_what_rests_for_15_seconds_never_ends_a_session() {
    let idle_max = Some(Duration::from_secs(15));
    let world = link(LinkOptions { idle_max, ..LinkOptions::default() });
    let _agent = Agent::online(&world.hub, NAME, world.options().over("websocket"));
    let before = world.hub.connected_at(NAME);
    wait::holds("the session", Duration::from_secs(35), || world.hub.connected_at(NAME) == before);
}

#[test]
fn f14_a_session_that_is_ended_at_its_age_is_back_every_time() {
    let reset_after = Some(Duration::from_secs(8));
    let world = link(LinkOptions { reset_after, ..LinkOptions::default() });
    let _agent = Agent::online(&world.hub, NAME, world.options().over("websocket"));
    for _ in 0..2 {
        let before = world.hub.connected_at(NAME);
        wait::until_true("the next session", RETURN, || world.hub.connected_at(NAME) != before);
        world.hub.wait_for_state(NAME, "online", SOON);
    }
}

#[test]
fn f15_a_slow_link_that_splits_everything_into_single_bytes_still_works() {
    let engine = engine_with_image(EngineVersion::V26_1);
    let hub = Hub::start();
    let slow = LinkOptions { delay: Duration::from_millis(200), piece: Some(1), ..LinkOptions::default() };
    let relay = Relay::start(hub.address(), slow);
    let options = AgentOptions::new(&hub, &engine.address()).through(relay.url()).over("websocket");
    let _agent = Agent::online(&hub, NAME, options);
    let docker = DockerCli::new(&hub, NAME);
    assert_eq!(docker.run(["run", "--rm", BUSYBOX, "echo", "slowly"]).succeeded(), "slowly");
    let site = wait::until("a measured round trip", SOON, || {
        hub.environment(NAME).filter(|site| site.rtt_ms.is_some_and(|rtt| rtt > 0.0))
    });
    assert!(site.rtt_ms.is_some_and(|rtt| rtt >= 400.0), "{:?}", site.rtt_ms);
}

#[test]
fn a_cut_link_is_back_within_seconds() {
    let world = link(LinkOptions::default());
    let _agent = Agent::online(&world.hub, NAME, world.options().over("websocket"));
    let before = world.relay.connections();
    world.relay.cut();
    wait::until_true("a new connection", SOON, || world.relay.connections() > before);
    world.hub.wait_for_state(NAME, "online", SOON);
}

#[test]
fn a_plain_link_shows_nothing_of_what_it_carries() {
    let engine = engine_with_image(EngineVersion::V20_10);
    let hub = Hub::start();
    let relay = Relay::start(hub.address(), LinkOptions::default());
    let options = AgentOptions::new(&hub, &engine.address()).over("websocket");
    let _agent = Agent::online(&hub, NAME, options.through(format!("http://{}", relay.address())));
    let docker = DockerCli::new(&hub, NAME);
    docker.run(["run", "--rm", BUSYBOX, "echo", "herons in the reeds"]).succeeded();
    for direction in [Direction::ToHub, Direction::ToAgent] {
        let seen = relay.recorded(direction);
        assert!(seen.len() > 1000, "the relay saw {} bytes", seen.len());
        for secret in ["herons in the reeds", "containers/create", "Api-Version"] {
            assert!(!windflow_tests::product::contains(&seen, secret.as_bytes()), "{secret} went in the clear");
        }
    }
}
