//! Networks that let one transport through and not the other.

use std::time::Duration;

use windflow_tests::network::{LinkOptions, relay::Entrance};
use windflow_tests::product::Agent;
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{LinkWorld, NAME, link};

fn enrolled(world: &LinkWorld, transport: &str) -> Agent {
    Agent::enrolled(&world.hub, NAME, world.options().over(transport))
}

fn transport_of(world: &LinkWorld) -> Option<String> {
    world.hub.environment(NAME).and_then(|site| site.transport)
}

#[test]
fn auto_uses_the_websocket_where_both_pass() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "auto");
    agent.run();
    world.hub.wait_for_state(NAME, "online", SOON);
    assert_eq!(transport_of(&world).as_deref(), Some("websocket"));
}

#[test]
fn auto_never_notices_that_udp_is_blocked() {
    let world = link(LinkOptions::default());
    world.relay.set_udp_entrance(Entrance::Silent);
    let mut agent = enrolled(&world, "auto");
    agent.run();
    world.hub.wait_for_state(NAME, "online", Duration::from_secs(5));
    assert_eq!(transport_of(&world).as_deref(), Some("websocket"));
}

#[test]
fn quic_is_used_where_it_is_asked_for() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "quic");
    agent.run();
    world.hub.wait_for_state(NAME, "online", SOON);
    assert_eq!(transport_of(&world).as_deref(), Some("quic"));
    assert!(world.relay.datagrams() > 0);
}

#[test]
fn quic_says_clearly_that_udp_is_blocked() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "quic");
    world.relay.set_udp_entrance(Entrance::Silent);
    agent.run();
    wait::until_true("an error that names UDP", Duration::from_secs(30), || {
        agent.status().is_some_and(|status| status.last_error.to_string().contains("UDP"))
    });
    assert_eq!(world.hub.state_of(NAME), "offline");
}

fn auto_falls_back_to_quic(entrance: Entrance) {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "auto");
    world.relay.set_tcp_entrance(entrance);
    agent.run();
    world.hub.wait_for_state(NAME, "online", Duration::from_secs(5));
    assert_eq!(transport_of(&world).as_deref(), Some("quic"));
}

#[test]
fn auto_is_on_quic_in_five_seconds_where_tcp_vanishes() {
    auto_falls_back_to_quic(Entrance::Silent);
}

#[test]
fn auto_is_on_quic_in_five_seconds_where_tcp_is_refused() {
    auto_falls_back_to_quic(Entrance::Refusing);
}

#[test]
fn one_failure_never_downgrades_what_has_worked() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "auto");
    agent.run();
    world.hub.wait_for_state(NAME, "online", SOON);
    let before = world.relay.connections();
    world.relay.cut();
    wait::until_true("a new connection", SOON, || world.relay.connections() > before);
    world.hub.wait_for_state(NAME, "online", SOON);
    assert_eq!(transport_of(&world).as_deref(), Some("websocket"));
}
