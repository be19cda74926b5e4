//! Two hosts, each with a network, an engine and an agent of its own, behind
//! one hub.

use std::net::SocketAddr;

use windflow_tests::engine::{BUSYBOX, EngineNetwork, EngineOptions, EngineTcp, EngineVersion, TestEngine};
use windflow_tests::network::{Blocked, Netns};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, HubOptions};

use super::SOON;

/// A host; what depends on something else stands before it.
struct Host {
    docker: DockerCli,
    agent: Agent,
    _engine: TestEngine,
    namespace: Netns,
}

fn host(hub: &Hub, name: &str, version: EngineVersion) -> Host {
    let namespace = Netns::new();
    let network = EngineNetwork::Namespace(namespace.name().to_owned());
    let engine = TestEngine::start_with(version, EngineOptions { network, tcp: EngineTcp::None });
    engine.import_busybox();
    let options = AgentOptions::new(hub, &engine.address());
    let options = options.through(hub.url_at(namespace.outside().into())).inside(namespace.name());
    let agent = Agent::online(hub, name, options);
    Host { docker: DockerCli::new(hub, name), agent, _engine: engine, namespace }
}

fn hub_for_everybody() -> Hub {
    Hub::start_with(HubOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..HubOptions::default() })
}

#[test]
fn one_hub_drives_two_hosts_and_each_runs_its_own_containers() {
    let hub = hub_for_everybody();
    let (north, south) = (host(&hub, "north", EngineVersion::V20_10), host(&hub, "south", EngineVersion::V26_1));
    for (site, name) in [(&north, "from-north"), (&south, "from-south")] {
        site.docker.run(["run", "--detach", "--name", name, BUSYBOX, "sleep", "600"]).succeeded();
    }
    assert_eq!(north.docker.run(["ps", "--format", "{{.Names}}"]).succeeded(), "from-north");
    assert_eq!(south.docker.run(["ps", "--format", "{{.Names}}"]).succeeded(), "from-south");
}

#[test]
fn a_host_behind_a_dead_link_goes_offline_alone_and_returns() {
    let hub = hub_for_everybody();
    let (north, south) = (host(&hub, "north", EngineVersion::V20_10), host(&hub, "south", EngineVersion::V26_1));
    north.namespace.block(Blocked::Tcp);
    north.namespace.block(Blocked::Udp);
    hub.wait_for_state("north", "offline", std::time::Duration::from_secs(40));
    south.docker.run(["ps"]).succeeded();
    assert_eq!(hub.state_of("south"), "online");
    north.namespace.unblock();
    hub.wait_for_state("north", "online", std::time::Duration::from_secs(70));
    north.docker.run(["ps"]).succeeded();
    north.agent.wait_for_status("connected", SOON);
}
