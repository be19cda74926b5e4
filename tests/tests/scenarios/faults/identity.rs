//! Identities that are revoked or used twice.

use std::time::{Duration, Instant};

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE, edge};

#[test]
fn f44_a_revoked_agent_loses_its_open_exec_within_a_second_and_is_refused_afterwards() {
    let world = edge(EngineVersion::V20_10, "auto");
    world.docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
    let mut exec = world.docker.start(["exec", "host", "sh", "-c", "echo begun; sleep 600"]);
    exec.wait_for("begun", SOON);
    world.hub.cli(["agent", "revoke", NAME, "--reason", "the host was sold"]).succeeded();
    let revoked = Instant::now();
    wait::until("the exec to end", Duration::from_secs(1), || exec.ended());
    assert!(revoked.elapsed() < Duration::from_secs(1));
    assert_eq!(world.hub.state_of(NAME), "revoked");

    world.agent.as_ref().unwrap().wait_for_status("refused", SOON);
    world.docker.run(["ps"]).failed();
    wait::holds("the refusal", Duration::from_secs(5), || world.hub.state_of(NAME) == "revoked");
}

#[test]
fn an_api_token_that_is_revoked_ends_the_exec_and_the_log_that_it_carries() {
    let world = edge(EngineVersion::V20_10, "auto");
    let said = "echo begun; sleep 600";
    world.docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sh", "-c", said]).succeeded();
    let mut exec = world.docker.start(["exec", "host", "sh", "-c", said]);
    let mut log = world.docker.start(["logs", "--follow", "host"]);
    exec.wait_for("begun", SOON);
    log.wait_for("begun", SOON);
    let token = world.hub.api_token().split('_').nth(1).unwrap().to_owned();
    world.hub.cli(["api-token", "revoke", &token]).succeeded();
    wait::until("the exec to end", SOON, || exec.ended());
    wait::until("the log to end", SOON, || log.ended());
    world.docker.run(["ps"]).failed();
}

#[test]
fn f44_a_revoked_agent_that_starts_anew_is_refused() {
    let hub = Hub::start();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    agent.kill();
    hub.cli(["agent", "revoke", NAME, "--reason", "the host was sold"]).succeeded();
    agent.run();
    agent.wait_for_status("refused", SOON);
    assert_eq!(hub.state_of(NAME), "revoked");
}

#[test]
fn f42_of_two_agents_with_one_identity_the_one_that_was_there_keeps_working_and_the_other_is_told_of() {
    let hub = Hub::start();
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let session = hub.connected_at(NAME);
    let mut clone = agent.cloned_machine();
    clone.run();
    wait::until_true("the clone to be turned away", Duration::from_secs(30), || {
        clone.status().is_some_and(|status| status.last_error.to_string().contains("DUPLICATE_IDENTITY"))
    });
    wait::until_true("the alarm in the audit log", Duration::from_secs(60), || {
        hub.read("/api/v1/audit?limit=50").to_string().contains("agent.duplicate")
    });
    wait::holds("the first agent's session", Duration::from_secs(10), || {
        hub.state_of(NAME) == "online" && hub.connected_at(NAME) == session
    });
    assert_eq!(agent.status().map(|status| status.state).as_deref(), Some("connected"));
}

#[test]
fn f42_a_host_that_was_set_back_to_an_older_state_is_not_trusted_silently() {
    let hub = Hub::start();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let mut old = agent.cloned_machine();
    // Every session moves the ticket on; the copy is left behind by three.
    for _ in 0..3 {
        agent.kill();
        hub.wait_for_state(NAME, "offline", SOON);
        agent.run();
        hub.wait_for_state(NAME, "online", Duration::from_secs(30));
    }
    agent.kill();
    hub.wait_for_state(NAME, "offline", SOON);
    old.run();
    hub.wait_for_state(NAME, "quarantined", Duration::from_secs(30));
}
