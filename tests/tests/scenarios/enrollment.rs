//! How a host becomes an agent, and how it does not.

use std::process::Command;
use std::thread;
use std::time::Duration;

use windflow_protocol::token::EnrollmentToken;
use windflow_tests::network::{Direction, LinkOptions, Relay};
use windflow_tests::process::{run, write_private};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions, Postgres, contains, enroll_command};
use windflow_tests::wait;

use super::SOON;
use super::worlds::{NAME, NO_ENGINE};

fn options(hub: &Hub) -> AgentOptions {
    AgentOptions::new(hub, NO_ENGINE)
}

fn one_use_token(hub: &Hub) -> String {
    hub.enrollment_token(&["--uses", "1", "--ttl", "1h"])
}

#[test]
fn an_enrolled_agent_is_listed_and_comes_online_over_every_transport() {
    let hub = Hub::start();
    for transport in ["auto", "websocket", "quic"] {
        let _agent = Agent::online(&hub, transport, options(&hub).over(transport));
        let listed = hub.environment(transport).unwrap();
        assert_eq!(listed.kind, "edge");
        assert_eq!(listed.transport.as_deref(), Some(if transport == "quic" { "quic" } else { "websocket" }));
        assert!(listed.agent_version.is_some());
    }
}

#[test]
fn of_100_concurrent_uses_of_a_one_use_token_exactly_one_wins() {
    let hub = Hub::start();
    let token = one_use_token(&hub);
    let folder = tempfile::tempdir().unwrap();
    let options = options(&hub);
    let enroll = |number: usize| {
        let own = folder.path().join(number.to_string());
        std::fs::create_dir(&own).unwrap();
        let file = own.join("token");
        write_private(&file, &token);
        enroll_command(&options, &format!("racer-{number}"), &file, &own.join("state"))
    };
    let mut commands = (0..100).map(enroll).collect::<Vec<_>>();
    let winners = thread::scope(|scope| {
        let racers = commands.iter_mut().map(|command| scope.spawn(|| run(command, Duration::from_secs(120))));
        let racers = racers.collect::<Vec<_>>();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(|o| o.status.success()).count()
    });
    assert_eq!(winners, 1);
    assert_eq!(hub.environments().len(), 1);
}

#[test]
fn a_token_that_has_expired_lets_nobody_in() {
    let hub = Hub::start();
    let token = hub.enrollment_token(&["--uses", "1", "--ttl", "1s"]);
    let id = token.split('_').nth(1).unwrap();
    wait::until_true("the token to expire", SOON, || {
        hub.cli(["token", "show", id, "--output", "json"]).succeeded().contains("\"expired\"")
    });
    Agent::new(NAME, options(&hub)).enroll(&token).failed();
    assert!(hub.environments().is_empty());
}

#[test]
fn a_hub_on_postgresql_enrolls_hosts_and_knows_them_after_a_restart() {
    let database = Postgres::start();
    let arguments = vec!["--database-url".to_owned(), database.url()];
    let mut hub = Hub::start_with(HubOptions { arguments, ..HubOptions::default() });
    let agent = Agent::online(&hub, NAME, options(&hub));
    hub.restart();
    let back = hub.wait_for_state(NAME, "online", Duration::from_secs(30));
    assert_eq!(back.kind, "edge");
    assert!(agent.status().is_some());
}

#[test]
fn a_lost_answer_does_not_burn_the_token() {
    let hub = Hub::start();
    let slow = LinkOptions { delay: Duration::from_millis(500), ..LinkOptions::default() };
    let relay = Relay::start(hub.address(), slow);
    let agent = Agent::new(NAME, options(&hub).through(relay.url()).over("websocket"));
    let token = one_use_token(&hub);
    thread::scope(|scope| {
        let enrolling = scope.spawn(|| agent.enroll(&token));
        // The hub has decided while its answer is still on the way.
        wait::until_true("the hub to have taken the agent", SOON, || hub.state_of(NAME) != "absent");
        relay.cut();
        enrolling.join().unwrap().succeeded();
    });
    assert_eq!(hub.environments().len(), 1);
}

#[test]
fn a_wrong_pin_ends_the_enrollment_before_the_secret_is_sent() {
    let hub = Hub::start();
    let impostor = Hub::start();
    let relay = Relay::start(impostor.address(), LinkOptions::default());
    let token = one_use_token(&hub);
    let agent = Agent::new(NAME, options(&impostor).through(format!("http://{}", relay.address())).over("websocket"));
    let said = agent.enroll(&token).failed();
    assert!(said.contains("PIN_MISMATCH"), "{said}");

    let sent = relay.recorded(Direction::ToHub);
    assert!(contains(&sent, b"GET /agent/v1/tunnel"), "the relay saw the attempt");
    let parsed = EnrollmentToken::parse(&token).unwrap();
    let secret = token.split('_').nth(2).unwrap();
    assert!(!contains(&sent, parsed.secret.expose()) && !contains(&sent, secret.as_bytes()));
    assert!(!impostor.log().contains("enroll"), "the impostor heard of an enrollment: {}", impostor.log());

    // Nobody has used the token.
    Agent::new(NAME, options(&hub)).enroll(&token).succeeded();
}

#[test]
fn a_used_a_revoked_and_a_misplaced_token_are_refused_in_the_same_words() {
    let hub = Hub::start();
    let used = one_use_token(&hub);
    Agent::new("first", options(&hub)).enroll(&used).succeeded();

    let revoked = one_use_token(&hub);
    let id = revoked.split('_').nth(1).unwrap();
    hub.cli(["token", "revoke", id, "--reason", "it leaked"]).succeeded();
    let elsewhere = hub.enrollment_token(&["--uses", "1", "--ttl", "1h", "--cidr", "192.0.2.0/24"]);

    let refusals = [used, revoked, elsewhere].map(|token| Agent::new(NAME, options(&hub)).enroll(&token).failed());
    assert!(refusals[0].contains("ENROLL_DENIED"), "{}", refusals[0]);
    // Each refusal has a number of its own, by which the audit log knows it.
    let words = refusals.map(|text| {
        let from = text.find("ENROLL_DENIED").expect("each is refused in this way");
        text[from..].split("(reference").next().unwrap().to_owned()
    });
    assert!(words.iter().all(|said| *said == words[0]), "{words:?}");
    assert_eq!(hub.environments().len(), 1);
}

#[test]
fn a_mistyped_token_is_refused_without_touching_the_network() {
    let hub = Hub::start();
    let relay = Relay::start(hub.address(), LinkOptions::default());
    let mut token = one_use_token(&hub);
    let last = token.pop().unwrap();
    token.push(if last == '0' { '1' } else { '0' });
    let said = Agent::new(NAME, options(&hub).through(relay.url())).enroll(&token).failed();
    assert!(said.contains("TOKEN_MALFORMED"), "{said}");
    assert_eq!((relay.connections(), relay.datagrams()), (0, 0));
}

#[test]
fn the_token_file_is_gone_after_the_enrollment_and_the_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let hub = Hub::start();
    let agent = Agent::enrolled(&hub, NAME, options(&hub));
    let token_file = agent.state_folder().with_file_name("token");
    assert!(!token_file.exists());
    let mode = |path: &str| std::fs::metadata(agent.state_folder().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("identity"), mode("identity/key.der")), (0o700, 0o600));
}

#[test]
fn an_enrolled_agent_is_not_enrolled_again_by_accident() {
    let hub = Hub::start();
    let agent = Agent::enrolled(&hub, NAME, options(&hub));
    let second = one_use_token(&hub);
    agent.enroll(&second).failed();
    Agent::new("other", options(&hub)).enroll(&second).succeeded();
}

#[test]
fn no_secret_stands_in_any_log() {
    let hub = Hub::start();
    let token = one_use_token(&hub);
    let mut agent = Agent::new(NAME, options(&hub));
    let said = agent.enroll(&token).succeeded();
    agent.run();
    hub.wait_for_state(NAME, "online", SOON);
    let secrets = [token.split('_').nth(2).unwrap(), hub.api_token()];
    for text in [said, hub.log(), agent.log(), every_file_text(&hub)] {
        assert!(secrets.iter().all(|secret| !text.contains(secret)));
    }
}

#[test]
fn an_agent_opens_no_port() {
    let hub = Hub::start();
    let agent = Agent::online(&hub, NAME, options(&hub).over("websocket"));
    let mut listeners = Command::new("ss");
    let listening =
        run(listeners.args(["--no-header", "--listening", "--tcp", "--udp", "--processes"]), SOON).succeeded();
    assert!(listening.contains("windflow-hub"), "{listening}");
    let own = format!("pid={},", agent.process_id());
    assert!(!listening.contains(&own), "{listening}");
}

/// Everything in the hub's data folder, as text where it is text.
fn every_file_text(hub: &Hub) -> String {
    let mut list = Command::new("find");
    let files = run(list.arg(hub.data_folder()).args(["-type", "f"]), SOON).succeeded();
    let texts = files.lines().filter_map(|file| std::fs::read(file).ok());
    texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}
