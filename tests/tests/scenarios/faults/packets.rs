//! Networks that lose, delay, reorder and swallow packets, by their number in
//! the fault matrix: the agent is behind the harness's packet link.

use std::net::SocketAddr;
use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::network::{Netns, PacketLink, PacketOptions};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, HubOptions};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, engine_with_image};

const MS: Duration = Duration::from_millis(1);
const KIB: usize = 1024;

/// A hub, and a host behind a packet link. What depends on something else
/// stands before it.
struct FarWorld {
    docker: DockerCli,
    agent: Agent,
    hub: Hub,
    _engine: TestEngine,
    namespace: Netns,
}

/// A world whose agent is online, with a container that waits for work.
fn far_world(options: PacketOptions, transport: &str) -> FarWorld {
    let namespace = Netns::over(options);
    let engine = engine_with_image(EngineVersion::V26_1);
    engine.docker(["run", "--detach", "--name", "echo", "--network", "none", BUSYBOX, "sleep", "600"]).succeeded();
    let hub = Hub::start_with(HubOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..HubOptions::default() });
    let options = AgentOptions::new(&hub, &engine.address()).through(hub.url_at(namespace.outside().into()));
    let agent = Agent::online(&hub, NAME, options.inside(namespace.name()).over(transport));
    FarWorld { docker: DockerCli::new(&hub, NAME), agent, hub, _engine: engine, namespace }
}

impl FarWorld {
    fn link(&self) -> &PacketLink {
        self.namespace.packets()
    }

    /// Sends this many bytes to a container and checks that it sends the same
    /// ones back.
    fn echoes(&self, size: usize) {
        let sent: String =
            (0_u32..).map(|number| format!("{:08x}\n", number.wrapping_mul(2_654_435_761))).take(size / 9).collect();
        let echoed = self.docker.run_with_input(["exec", "--interactive", "echo", "cat"], sent.as_bytes());
        assert!(echoed.status.success(), "{}", echoed.stderr);
        assert!(echoed.stdout == sent, "{} bytes came back of {}, or others", echoed.stdout.len(), sent.len());
    }

    /// How many sessions the agent has had.
    fn sessions(&self) -> usize {
        self.agent.log().matches("connected to the hub").count()
    }
}

fn survives_loss(transport: &str) {
    let world = far_world(PacketOptions { delay: 5 * MS, seed: 8, ..PacketOptions::default() }, transport);
    for (lost_per_mille, size) in [(50, 2048 * KIB), (200, 64 * KIB)] {
        world.link().change(|link| link.lost_per_mille = lost_per_mille);
        world.echoes(size);
    }
    assert!(world.link().counts().lost > 0, "the link has lost nothing");
    assert_eq!(world.sessions(), 1);
}

#[test]
fn f8_a_websocket_session_survives_the_loss_of_every_fifth_packet_and_every_byte_arrives() {
    survives_loss("websocket");
}

#[test]
fn f8_a_quic_session_survives_the_loss_of_every_fifth_packet_and_every_byte_arrives() {
    survives_loss("quic");
}

fn does_not_flap_with_jitter(transport: &str) {
    let world = far_world(PacketOptions { seed: 9, ..PacketOptions::default() }, transport);
    // 300 ms, 200 ms more or less, there and back; each packet may overtake.
    world.link().change(|link| {
        link.delay = 50 * MS;
        link.jitter = 200 * MS;
        link.overtaking_per_mille = 1000;
    });
    world.echoes(16 * KIB);
    wait::holds("the session", Duration::from_secs(15), || world.hub.state_of(NAME) == "online");
    world.echoes(KIB);
    assert_eq!(world.sessions(), 1);
}

#[test]
fn f9_a_websocket_session_stands_while_packets_are_late_by_chance_and_overtake() {
    does_not_flap_with_jitter("websocket");
}

#[test]
fn f9_a_quic_session_stands_while_packets_are_late_by_chance_and_overtake() {
    does_not_flap_with_jitter("quic");
}

fn works_on_a_narrow_path(transport: &str) {
    let world = far_world(PacketOptions { mtu: 1280, largest: Some(1280), ..PacketOptions::default() }, transport);
    world.echoes(1024 * KIB);
    assert_eq!(world.sessions(), 1);
    assert_eq!(world.link().counts().too_large, 0);
}

#[test]
fn f12_a_websocket_session_works_where_packets_have_1280_bytes_at_most() {
    works_on_a_narrow_path("websocket");
}

#[test]
fn f12_a_quic_session_works_where_packets_have_1280_bytes_at_most() {
    works_on_a_narrow_path("quic");
}

/// Both ends believe in 1,500 bytes, and nobody tells them better.
fn black_hole() -> PacketOptions {
    PacketOptions { largest: Some(1280), ..PacketOptions::default() }
}

#[test]
fn f12_a_quic_session_works_where_larger_packets_vanish_without_a_word() {
    let world = far_world(black_hole(), "quic");
    world.echoes(1024 * KIB);
    assert_eq!(world.sessions(), 1);
    assert!(world.link().counts().too_large > 0, "nobody tried a larger packet");
}

#[test]
fn f12_auto_comes_online_where_larger_packets_vanish_without_a_word() {
    let world = far_world(black_hole(), "auto");
    world.echoes(1024 * KIB);
    world.agent.wait_for_status("connected", SOON);
}
