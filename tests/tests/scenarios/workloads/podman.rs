//! An agent in front of Podman's socket, which speaks an older Docker API.

use serde_json::json;
use windflow_tests::engine::{BUSYBOX, Podman};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, TerminalChannel};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::NAME;
use super::{containers_go_through_their_states, hears_of_a_start, watching};

#[test]
fn the_docker_command_runs_containers_on_podman() {
    let Some(podman) = Podman::start() else { return };
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &podman.address()));
    let docker = DockerCli::new(&hub, NAME);
    let run = ["run", "--rm", "--network", "none", BUSYBOX, "echo", "in a pod"];
    assert_eq!(docker.run(run).succeeded(), "in a pod");

    let mut shell = docker.start(["run", "--rm", "-i", "--network", "none", BUSYBOX, "sh"]);
    shell.write(b"echo product $((6 * 7))\nexit\n");
    shell.wait_for("product 42", SOON);
    assert!(shell.finish(SOON).status.success());
}

#[test]
fn containers_are_listed_changed_and_told_of_on_podman() {
    let Some(podman) = Podman::start() else { return };
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &podman.address()));
    let docker = DockerCli::new(&hub, NAME);
    containers_go_through_their_states(&hub, &docker);
    hears_of_a_start(&mut watching(&hub), &docker, "first");
}

#[test]
fn a_shell_is_typed_at_and_a_log_is_read_on_podman() {
    let Some(podman) = Podman::start() else { return };
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &podman.address()));
    let docker = DockerCli::new(&hub, NAME);
    let script = "echo first words; exec sleep 600";
    let run = ["run", "--detach", "--stop-signal", "KILL", "--network", "none", BUSYBOX, "sh", "-c", script];
    let container = docker.run(run).succeeded();
    let environment = hub.environment(NAME).unwrap().id;

    let mut terminal = TerminalChannel::open(&hub, &environment, &container, json!({}));
    terminal.type_in("echo product $((6 * 7))\r");
    terminal.until_printed("product 42", SOON);
    terminal.type_in("exit 7\r");
    let ended = terminal.until_ended(SOON);
    assert_eq!((&ended["exit_code"], &ended["why"]), (&json!(7), &json!("exited")));

    let log = format!("/api/v1/environments/{environment}/containers/{container}/logs");
    wait::until_true("the log's first words", SOON, || hub.request("GET", &log, "").body.contains("first words"));
}
