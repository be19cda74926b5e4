//! The worlds that scenarios play in: a hub, an engine, and a way between.

use windflow_tests::engine::{ENGINE_PORT, EngineCertificates, EngineNetwork, EngineOptions, EngineTcp};
use windflow_tests::engine::{EngineVersion, TestEngine};
use windflow_tests::network::{LinkOptions, Netns, Relay};
use windflow_tests::process::run;
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, HubOptions};

/// The name of every world's environment, whatever its kind.
pub const NAME: &str = "site";

/// How the hub reaches the engine.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// In the hub's own process, over the engine's socket.
    Local,
    /// In the hub's own process, over TCP with certificates.
    Tcp,
    /// Through an agent that dials a WebSocket.
    WebSocket,
    /// Through an agent that dials QUIC.
    Quic,
}

/// A hub with one environment that is online. What depends on something else
/// stands before it and ends before it.
pub struct World {
    /// What its environment is called.
    pub name: String,
    pub docker: DockerCli,
    pub agent: Option<Agent>,
    pub hub: Hub,
    pub engine: TestEngine,
    _namespace: Option<Netns>,
}

/// A world with an engine that has the test image.
pub fn world(version: EngineVersion, way: Way) -> World {
    match way {
        Way::Local => local(version),
        Way::Tcp => tcp(version),
        Way::WebSocket => edge(version, "websocket"),
        Way::Quic => edge(version, "quic"),
    }
}

fn local(version: EngineVersion) -> World {
    local_with(version, HubOptions::default())
}

/// A world with the hub's own engine, whose data is on a disk of 64 MiB.
pub fn on_a_small_disk(version: EngineVersion) -> World {
    local_with(version, HubOptions { disk: Some(64), ..HubOptions::default() })
}

fn local_with(version: EngineVersion, options: HubOptions) -> World {
    let engine = engine_with_image(version);
    let hub = Hub::start_with(HubOptions { engine: engine.address(), ..options });
    let name = windflow_tests::wait::until("the local environment", super::SOON, || {
        hub.environments().into_iter().find(|found| found.kind == "local" && found.state == "online")
    });
    let docker = DockerCli::new(&hub, &name.name);
    World { name: name.name, docker, agent: None, hub, engine, _namespace: None }
}

fn tcp(version: EngineVersion) -> World {
    let namespace = Netns::new();
    let certificates = EngineCertificates::generate(namespace.inside().into());
    let network = EngineNetwork::Namespace(namespace.name().to_owned());
    let tcp = EngineTcp::MutualTls(certificates.clone());
    let engine = TestEngine::start_with(version, EngineOptions { network, tcp });
    engine.import_busybox();
    let hub = Hub::start();
    let files = certificates.write_client_files(engine.folder());
    let mut add = hub.command();
    add.args(["environment", "add", NAME, "--tcp", &format!("tcp://{}:{ENGINE_PORT}", namespace.inside())]);
    add.arg("--ca").arg(files.authority).arg("--cert").arg(files.certificate).arg("--key").arg(files.key);
    run(&mut add, super::SOON).succeeded();
    hub.wait_for_state(NAME, "online", super::SOON);
    World {
        name: NAME.to_owned(),
        docker: DockerCli::new(&hub, NAME),
        agent: None,
        hub,
        engine,
        _namespace: Some(namespace),
    }
}

/// A world with an agent over this transport.
pub fn edge(version: EngineVersion, transport: &str) -> World {
    let engine = engine_with_image(version);
    let hub = Hub::start();
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &engine.address()).over(transport));
    World {
        name: NAME.to_owned(),
        docker: DockerCli::new(&hub, NAME),
        agent: Some(agent),
        hub,
        engine,
        _namespace: None,
    }
}

/// An engine with the test image.
pub fn engine_with_image(version: EngineVersion) -> TestEngine {
    let engine = TestEngine::start(version);
    engine.import_busybox();
    engine
}

/// A hub without engines, and a relay in front of it. The agent's engine is an
/// address where nothing answers: these scenarios are about the link.
pub struct LinkWorld {
    pub relay: Relay,
    pub hub: Hub,
}

/// A link world with these properties.
pub fn link(options: LinkOptions) -> LinkWorld {
    let hub = Hub::start();
    LinkWorld { relay: Relay::start(hub.address(), options), hub }
}

impl LinkWorld {
    /// How an agent goes through the relay.
    pub fn options(&self) -> AgentOptions {
        AgentOptions::new(&self.hub, NO_ENGINE).through(self.relay.url())
    }
}

/// An engine address where nothing answers.
pub const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
