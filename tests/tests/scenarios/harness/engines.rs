//! The harness's own promise: both engines run containers, and leave nothing.

use std::time::Duration;

use windflow_tests::engine::{
    BUSYBOX, ENGINE_PORT, EngineCertificates, EngineNetwork, EngineOptions, EngineTcp, EngineVersion, Registry,
    TestEngine,
};
use windflow_tests::network::Netns;
use windflow_tests::process::{processes_that_mention, run};

fn runs_a_container(version: EngineVersion) {
    let engine = TestEngine::start(version);
    let reported = engine.docker(["version", "--format", "{{.Server.Version}}"]).succeeded();
    assert!(reported.starts_with(version.prefix()), "{reported}");
    engine.import_busybox();
    assert_eq!(engine.docker(["run", "--rm", BUSYBOX, "echo", "it runs"]).succeeded(), "it runs");
}

#[test]
fn docker_20_10_runs_a_container() {
    runs_a_container(EngineVersion::V20_10);
}

#[test]
fn docker_26_1_runs_a_container() {
    runs_a_container(EngineVersion::V26_1);
}

#[test]
fn an_engine_with_a_running_container_leaves_no_process_and_no_folder() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.import_busybox();
    engine.docker(["run", "--detach", BUSYBOX, "sleep", "600"]).succeeded();
    let folder = engine.folder().to_owned();
    drop(engine);
    assert!(!folder.exists());
    assert_eq!(processes_that_mention(&folder), Vec::<String>::new());
}

#[test]
fn an_engine_that_was_killed_comes_back_with_its_images() {
    let mut engine = TestEngine::start(EngineVersion::V20_10);
    engine.import_busybox();
    engine.kill();
    assert!(!engine.answers());
    engine.start_again();
    assert_eq!(engine.docker(["run", "--rm", BUSYBOX, "echo", "again"]).succeeded(), "again");
}

#[test]
fn an_engine_that_hangs_answers_again_after_it_goes_on() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.hang();
    assert!(!engine.answers());
    engine.go_on();
    assert!(engine.answers());
}

#[test]
fn an_engine_on_tcp_answers_those_with_its_certificates_only() {
    let namespace = Netns::new();
    let certificates = EngineCertificates::generate(namespace.inside().into());
    let network = EngineNetwork::Namespace(namespace.name().to_owned());
    let tcp = EngineTcp::MutualTls(certificates.clone());
    let engine = TestEngine::start_with(EngineVersion::V20_10, EngineOptions { network, tcp });
    let address = format!("tcp://{}:{ENGINE_PORT}", namespace.inside());
    let folder = tempfile::tempdir().unwrap();
    certificates.write_client_files(folder.path());

    let mut command = engine.docker_command();
    command.env("DOCKER_HOST", &address).env("DOCKER_CERT_PATH", folder.path()).env("DOCKER_TLS_VERIFY", "1");
    run(command.args(["info"]), Duration::from_secs(20)).succeeded();
    let mut stranger = engine.docker_command();
    run(stranger.env("DOCKER_HOST", &address).args(["--tls", "info"]), Duration::from_secs(20)).failed();
}

#[test]
fn an_image_goes_to_the_registry_and_comes_back() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    let registry = Registry::start(&engine);
    engine.import_busybox();
    let name = registry.name_of("busybox");
    engine.docker(["tag", BUSYBOX, &name]).succeeded();
    engine.docker(["push", &name]).succeeded();
    engine.docker(["image", "rm", &name, BUSYBOX]).succeeded();
    engine.docker(["pull", &name]).succeeded();
}
