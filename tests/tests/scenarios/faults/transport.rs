//! Networks that let one transport through and not the other.

use std::net::SocketAddr;
use std::time::Duration;

use windflow_tests::network::{Blocked, LinkOptions, Netns, relay::Entrance};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{LinkWorld, NAME, NO_ENGINE, link};

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
fn f10_auto_never_notices_that_udp_is_silently_blocked() {
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
fn f10_quic_says_clearly_that_udp_is_silently_blocked() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "quic");
    world.relay.set_udp_entrance(Entrance::Silent);
    agent.run();
    wait::until_true("an error that names UDP", Duration::from_secs(30), || {
        agent.status().is_some_and(|status| status.last_error.to_string().contains("UDP"))
    });
    assert_eq!(world.hub.state_of(NAME), "offline");
}

/// The kernel refuses every datagram of the host.
#[test]
fn f10_a_host_that_may_send_no_datagram_uses_the_websocket_and_says_why_it_cannot_use_quic() {
    let namespace = Netns::new();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let hub = Hub::start_with(HubOptions { listen, ..HubOptions::default() });
    let url = hub.url_at(namespace.outside().into());
    let options = AgentOptions::new(&hub, NO_ENGINE).through(url).inside(namespace.name());
    namespace.block(Blocked::Udp);
    let mut agent = Agent::enrolled(&hub, NAME, options);
    agent.run();
    hub.wait_for_state(NAME, "online", Duration::from_secs(5));
    agent.kill();
    "quic".clone_into(&mut agent.options_mut().transport);
    agent.run();
    wait::until_true("an error that names UDP", Duration::from_secs(30), || {
        agent.status().is_some_and(|status| status.last_error.to_string().contains("UDP"))
    });
}

#[test]
fn f11_a_session_on_quic_whose_datagrams_vanish_goes_on_over_the_websocket() {
    let world = link(LinkOptions::default());
    let mut agent = enrolled(&world, "auto");
    world.relay.set_tcp_entrance(Entrance::Refusing);
    agent.run();
    world.hub.wait_for_state(NAME, "online", SOON);
    assert_eq!(transport_of(&world).as_deref(), Some("quic"));
    world.relay.set_tcp_entrance(Entrance::Open);
    world.relay.set_udp_entrance(Entrance::Silent);
    wait::until_true("the WebSocket", Duration::from_secs(45), || transport_of(&world).as_deref() == Some("websocket"));
    world.hub.wait_for_state(NAME, "online", SOON);
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
fn f11_one_failure_never_downgrades_what_has_worked() {
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
