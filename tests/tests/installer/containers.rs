//! The agent in a container: the image of our Dockerfile, run by what
//! `--container` prints.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use windflow_tests::engine::{EngineNetwork, EngineOptions, EngineTcp, EngineVersion, TestEngine};
use windflow_tests::machine::{Init, Machine};
use windflow_tests::network::Netns;
use windflow_tests::places;
use windflow_tests::process::{run, write_private};
use windflow_tests::product::{DockerCli, Hub, HubOptions};

use super::{SCRIPT, SOON};

/// How long an image may take to be built.
const BUILD: Duration = Duration::from_secs(120);

#[test]
fn the_compose_file_is_one_and_the_machine_stays_as_it_was() {
    let machine = Machine::boot(Init::None);
    machine.write(SCRIPT, "600", &std::fs::read(places::workspace().join("install.sh")).unwrap());
    let before = machine.files();
    let file = machine.shell(&format!("sh {SCRIPT} --container --hub https://hub.example:8443"));
    assert_eq!(machine.files().differences(&before), Vec::<String>::new());
    for part in ["read_only: true", "cap_drop: [ALL]", "https://hub.example:8443", "state:/state"] {
        assert!(file.contains(part), "{part} is missing in {file}");
    }
    assert!(!file.contains("ports:") && !file.contains("privileged"), "{file}");
}

#[test]
fn the_printed_compose_file_runs_our_image_and_a_new_container_is_the_same_host() {
    let hub = Hub::start_with(HubOptions { listen: "0.0.0.0:0".parse().unwrap(), ..HubOptions::default() });
    let namespace = Netns::new();
    let network = EngineNetwork::Namespace(namespace.name().to_owned());
    let engine = TestEngine::start_with(EngineVersion::V26_1, EngineOptions { network, tcp: EngineTcp::None });
    let docker = DockerCli::on_socket(&engine.socket());
    build_agent_image(&docker);

    let folder = tempfile::tempdir().unwrap();
    let url = hub.url_at(namespace.outside().into());
    let mut print = Command::new("sh");
    print.arg(places::workspace().join("install.sh")).args(["--container", "--hub", &url]);
    std::fs::write(folder.path().join("compose.yaml"), run(&mut print, SOON).succeeded()).unwrap();
    write_private(&folder.path().join("windflow-token"), &hub.enrollment_token(&["--name-pattern", "boxed"]));
    // The test's own engine and its network; a host would have them anyway.
    let own = format!(
        "services:\n  windflow-agent:\n    network_mode: host\n    hostname: boxed\n    volumes:\n      \
         - {}:/var/run/docker.sock\n",
        engine.socket().display()
    );
    std::fs::write(folder.path().join("compose.override.yaml"), own).unwrap();
    let compose = |arguments: &[&str]| {
        let mut command = docker.command();
        command.current_dir(folder.path()).args(["compose", "--project-name", "boxed"]).args(arguments);
        run(&mut command, BUILD).succeeded()
    };

    compose(&["up", "--detach"]);
    let first = hub.wait_for_state("boxed", "online", SOON);
    // A container of the same volume, but without the token.
    compose(&["down"]);
    hub.wait_for_state("boxed", "offline", SOON);
    write_private(&folder.path().join("windflow-token"), "used up");
    compose(&["up", "--detach"]);
    assert_eq!(hub.wait_for_state("boxed", "online", SOON).id, first.id);
    let inspected = docker.run(["inspect", "boxed-windflow-agent-1"]).succeeded();
    assert!(inspected.contains("\"ReadonlyRootfs\": true"), "{inspected}");
    compose(&["down", "--volumes"]);
}

/// Builds the last stage of the Dockerfile. The stages that compile need the
/// internet: what they would make is given instead.
fn build_agent_image(docker: &DockerCli) {
    let made = tempfile::tempdir().unwrap();
    std::fs::create_dir(made.path().join("out")).unwrap();
    std::fs::copy(places::static_agent(), made.path().join("out/windflow-agent")).unwrap();
    let mut build = docker.command();
    build.args(["buildx", "build", "--target", "agent", "--tag", "windflow-agent"]);
    let empty = empty_folder(made.path());
    for (stage, content) in [("build", made.path()), ("console", &empty)] {
        build.arg("--build-context").arg(format!("{stage}={}", content.display()));
    }
    build.arg("--file").arg(places::workspace().join("Dockerfile")).arg(&empty);
    run(&mut build, BUILD).succeeded();
}

fn empty_folder(beside: &Path) -> std::path::PathBuf {
    let folder = beside.join("empty");
    std::fs::create_dir(&folder).unwrap();
    folder
}
