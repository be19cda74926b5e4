//! Terminals on real engines: what is typed and printed, what is found again,
//! and how they end.

mod grants;
mod recordings;
mod roles;

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::process::{run, run_with_input};
use windflow_tests::product::{Hub, TerminalChannel, ask_for_terminal};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{Way, World, world};

/// How long a hub may take to notice that the way to an engine is lost.
const LOST: Duration = Duration::from_secs(45);

#[test]
fn a_shell_is_typed_at_resized_and_ends_with_its_code_on_the_hubs_own_engine_20_10() {
    a_shell_works(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn a_shell_is_typed_at_resized_and_ends_with_its_code_through_an_agent_26_1() {
    a_shell_works(&world(EngineVersion::V26_1, Way::Quic));
}

#[test]
fn a_shell_is_typed_at_resized_and_ends_with_its_code_on_an_engine_on_tcp() {
    a_shell_works(&world(EngineVersion::V26_1, Way::Tcp));
}

#[test]
fn whoever_comes_back_finds_the_same_shell_on_the_hubs_own_engine() {
    a_shell_is_found_again(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn whoever_comes_back_finds_the_same_shell_through_an_agent() {
    a_shell_is_found_again(&world(EngineVersion::V20_10, Way::WebSocket));
}

#[test]
fn a_terminal_is_its_users_own() {
    let world = world(EngineVersion::V26_1, Way::Local);
    let place = Place::with_container(&world);
    let mut own = place.open(json!({}));
    let mut add = world.hub.command();
    add.args(["user", "add", "eve", "--role", "administrator", "--password-stdin"]);
    run_with_input(&mut add, b"nineteen loud magpies", SOON).succeeded();
    let stranger = world.hub.cli(["api-token", "create", "--user", "eve", "--print", "token"]).succeeded();
    let headers = [("authorization", format!("Bearer {stranger}"))];
    let list = world.hub.request_with("GET", "/api/v1/terminals", &headers);
    assert_eq!(serde_json::from_str::<Value>(&list.body).unwrap()["total"], 0, "{}", list.body);
    let path = format!("/api/v1/terminals/{}", own.id);
    assert_eq!(world.hub.request_with("DELETE", &path, &headers).status, 404);
    assert_eq!(TerminalChannel::try_attach(&world.hub, &own.id, 0, &stranger).err(), Some(404));
    own.type_in("echo still $((40 + 2))\r");
    own.until_printed("still 42", SOON);
    assert_eq!(world.hub.read("/api/v1/terminals")["total"], 1);
}

#[test]
fn the_end_of_a_credential_ends_its_channel_and_the_terminal_waits_for_its_user() {
    let world = world(EngineVersion::V26_1, Way::Local);
    let mut terminal = Place::with_container(&world).open(json!({}));
    terminal.until_printed("#", SOON);
    let made = world.hub.request("POST", "/api/v1/api-tokens", &json!({ "name": "second" }).to_string());
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let token = made["token"].as_str().unwrap();
    let mut channel = TerminalChannel::try_attach(&world.hub, &terminal.id, 0, token).unwrap();
    assert_eq!(terminal.until_closed(SOON), "opened elsewhere");
    channel.type_in("echo was-$((2 * 21))\r");
    channel.until_printed("was-42", SOON);
    let revoke = format!("/api/v1/api-tokens/{}/revoke", made["id"].as_str().unwrap());
    assert!(world.hub.request("POST", &revoke, "{}").status < 300);
    assert_eq!(channel.until_closed(SOON), "signed out");
    assert_eq!(TerminalChannel::try_attach(&world.hub, &terminal.id, 0, token).err(), Some(401));
    TerminalChannel::attach(&world.hub, &terminal.id, 0).until_printed("was-42", SOON);
}

#[test]
fn an_image_without_a_shell_says_so_and_still_runs_what_it_has() {
    let world = world(EngineVersion::V26_1, Way::WebSocket);
    world.engine.import_without_shell("windflow/bare:latest");
    let start =
        ["run", "--detach", "--name", "bare", "--network", "none", "windflow/bare:latest", "/busybox", "sleep", "600"];
    let id = world.docker.run(start).succeeded();
    let place = Place { world: &world, environment: environment(&world), container: id };
    let refused = ask_for_terminal(&world.hub, &place.environment, &place.container, json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (409, "no_shell"), "{}", refused.body);
    let mut terminal = place.open(json!({ "command": ["/busybox", "echo", "it has this"] }));
    terminal.until_printed("it has this", SOON);
    assert_eq!(terminal.until_ended(SOON)["exit_code"], 0);
    let mut missing = place.open(json!({ "command": ["nothing-like-it"] }));
    missing.until_printed("not found", SOON);
    assert!([126, 127].contains(&missing.until_ended(SOON)["exit_code"].as_i64().unwrap()));
}

#[test]
fn a_container_that_is_removed_ends_its_terminals() {
    for (version, way) in [(EngineVersion::V20_10, Way::Local), (EngineVersion::V26_1, Way::Quic)] {
        let world = world(version, way);
        let place = Place::with_container(&world);
        let mut terminal = place.open(json!({}));
        terminal.until_printed("#", SOON);
        world.engine.docker(["rm", "--force", "worker"]).succeeded();
        let ended = terminal.until_ended(SOON);
        assert!(ended["why"] == "container_stopped" || ended["exit_code"] == 137, "{ended}");
    }
}

#[test]
fn an_agent_that_is_killed_ends_its_terminals_and_their_shells_once_it_is_back() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    let place = Place::with_container(&world);
    let mut terminal = place.open(json!({}));
    terminal.until_printed("#", SOON);
    let container = place.container.clone();
    let mut agent = world.agent.take().unwrap();
    agent.kill();
    assert_eq!(terminal.until_ended(LOST)["why"], "lost");
    assert_eq!(terminal.until_closed(SOON), "ended");
    assert!(processes(&world, &container).contains("ash"), "no engine ends it by itself");
    agent.run();
    world.hub.wait_for_state(&world.name, "online", LOST);
    wait::until_true("the shell to be gone", SOON, || !processes(&world, &container).contains("ash"));
}

#[test]
fn f35_an_engine_that_is_restarted_ends_its_terminals_and_opens_others() {
    let mut world = world(EngineVersion::V20_10, Way::WebSocket);
    let place = Place::with_container(&world);
    let mut terminal = place.open(json!({}));
    terminal.until_printed("#", SOON);
    let (environment, container) = (place.environment.clone(), place.container.clone());
    world.engine.restart();
    let ended = terminal.until_ended(LOST);
    assert!(["lost", "container_stopped"].contains(&ended["why"].as_str().unwrap()), "{ended}");
    world.engine.docker(["start", "worker"]).succeeded();
    wait::until_true("another terminal", LOST, || {
        ask_for_terminal(&world.hub, &environment, &container, json!({})).status == 201
    });
}

#[test]
fn a_hub_that_is_stopped_leaves_nothing_running_in_the_containers() {
    for way in [Way::Local, Way::WebSocket] {
        let mut world = world(EngineVersion::V26_1, way);
        let container = {
            let place = Place::with_container(&world);
            let mut terminal = place.open(json!({}));
            terminal.type_in("sleep 4321\r");
            wait::until_true("it to run", SOON, || place.processes().contains("sleep 4321"));
            place.container.clone()
        };
        assert_eq!(world.hub.terminate(), Some(0));
        let left = processes(&world, &container);
        assert!(left.contains("sleep 600") && !left.contains("ash") && !left.contains("4321"), "{left}");
    }
}

#[test]
fn a_closed_terminal_leaves_nothing_running_in_the_container() {
    for (version, way) in [(EngineVersion::V20_10, Way::WebSocket), (EngineVersion::V26_1, Way::Local)] {
        let world = world(version, way);
        let place = Place::with_container(&world);
        let mut terminal = place.open(json!({}));
        terminal.type_in("sleep 4321\r");
        wait::until_true("it to run", SOON, || place.processes().contains("sleep 4321"));
        assert_eq!(world.hub.request("DELETE", &format!("/api/v1/terminals/{}", terminal.id), "").status, 204);
        assert_eq!(terminal.until_ended(SOON)["why"], "closed");
        wait::until_true("it to be gone", SOON, || !place.processes().contains("sleep 4321"));
        let processes = place.processes();
        assert!(processes.contains("sleep 600") && !processes.contains("ash"), "{processes}");
        wait::until_true("its place to be free", SOON, || world.hub.read("/api/v1/terminals")["total"] == 0);
        let records = world.hub.read("/api/v1/audit?action=terminal.open&limit=2");
        let (end, begin) = (&records["items"][0], &records["items"][1]);
        assert_eq!((&end["outcome"], &begin["outcome"]), (&json!("done"), &json!("begun")), "{records}");
        assert_eq!(end["details"]["why"], "closed");
        assert!(end["details"]["seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(begin["details"]["container"], json!(place.container));
    }
}

#[test]
fn a_browser_that_does_not_read_stops_the_program_and_loses_nothing() {
    let world = world(EngineVersion::V26_1, Way::Quic);
    let place = Place::with_container(&world);
    let mut terminal = place.open(json!({}));
    terminal.type_in("i=0; while [ $i -lt 60000 ]; do echo line $i of many; i=$((i+1)); done; echo all of it\r");
    let kept = 256 * 1024;
    terminal.until("as much as is kept", SOON, |terminal| terminal.received + 32 * 1024 > kept);
    // The program stands still, as what was printed has not been shown; what is typed is taken all the same.
    assert!(terminal.received <= kept);
    while !terminal.printed.contains("\nall of it") {
        terminal.note_shown();
        let before = terminal.received;
        terminal.until("more of it", SOON, |terminal| terminal.received > before);
    }
    let lines =
        terminal.printed.lines().filter(|line| line.starts_with("line ") && line.trim_end().ends_with("of many"));
    let numbers: Vec<u32> = { lines }.map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..60_000).collect::<Vec<_>>());
}

#[test]
fn the_main_process_is_attached_to_and_goes_on_when_the_terminal_is_closed() {
    let world = world(EngineVersion::V26_1, Way::WebSocket);
    let start = ["run", "--detach", "-it", "--name", "main", "--network", "none", BUSYBOX, "sh"];
    let container = world.docker.run(start).succeeded();
    let place = Place { world: &world, environment: environment(&world), container };
    let mut terminal = place.open(json!({ "attach": true }));
    terminal.type_in("echo process $$\r");
    terminal.until_printed("process 1\r", SOON);
    assert_eq!(world.hub.request("DELETE", &format!("/api/v1/terminals/{}", terminal.id), "").status, 204);
    assert_eq!(terminal.until_ended(SOON)["why"], "closed");
    let mut again = place.open(json!({ "attach": true }));
    again.type_in("exit 5\r");
    let ended = again.until_ended(SOON);
    assert_eq!((&ended["exit_code"], &ended["why"]), (&json!(5), &json!("exited")));

    // Without a terminal of its own its output comes in frames, and it may take no input.
    let say = [
        "run",
        "--detach",
        "--name",
        "says",
        "--network",
        "none",
        BUSYBOX,
        "sh",
        "-c",
        "while :; do echo out; echo err >&2; sleep 1; done",
    ];
    let container = world.docker.run(say).succeeded();
    let place = Place { world: &world, environment: environment(&world), container };
    let mut plain = place.open(json!({ "attach": true }));
    plain.until_printed("out\n", SOON);
    plain.until_printed("err\n", SOON);
    assert!(plain.printed.chars().all(|c| c.is_ascii_alphabetic() || c == '\n'), "{:?}", plain.printed);
}

/// A container that terminals are opened in.
struct Place<'a> {
    world: &'a World,
    environment: String,
    container: String,
}

impl<'a> Place<'a> {
    fn with_container(world: &'a World) -> Self {
        let start = ["run", "--detach", "--name", "worker", "--stop-signal", "KILL", "--network", "none", BUSYBOX];
        let mut command = world.docker.command();
        command.args(start).args(["sleep", "600"]);
        let container = run(&mut command, SOON).succeeded();
        Self { world, environment: environment(world), container }
    }

    fn open(&self, asked: Value) -> TerminalChannel {
        TerminalChannel::open(&self.world.hub, &self.environment, &self.container, asked)
    }

    /// The command lines of all that runs in the container.
    fn processes(&self) -> String {
        processes(self.world, &self.container)
    }
}

fn processes(world: &World, container: &str) -> String {
    let mut top = world.engine.docker_command();
    run(top.args(["top", container, "-eo", "pid,args"]), SOON).succeeded()
}

fn environment(world: &World) -> String {
    world.hub.environment(&world.name).unwrap().id
}

fn a_shell_works(world: &World) {
    let place = Place::with_container(world);
    let wishes = json!({ "user": "root", "working_directory": "/tmp", "environment": ["GREETING=good day"] });
    let mut terminal = place.open(wishes);
    terminal.type_in("echo \"$GREETING from $(pwd), $((6 * 7))\"\r");
    terminal.until_printed("good day from /tmp, 42", SOON);
    for (columns, rows) in [(132, 43), (61, 19)] {
        terminal.resize(columns, rows);
        let size = format!("{rows} {columns}");
        wait::until_true(&format!("the size {size}"), SOON, || {
            terminal.printed.clear();
            terminal.type_in("stty size\r");
            terminal.until("a size", SOON, |terminal| terminal.printed.matches(" # ").count() > 0);
            terminal.printed.contains(&size)
        });
    }
    terminal.type_in("exit 7\r");
    let ended = terminal.until_ended(SOON);
    assert_eq!((&ended["exit_code"], &ended["why"]), (&json!(7), &json!("exited")));
    assert_eq!(terminal.until_closed(SOON), "ended");
    // Who comes back then sees how it was.
    let mut after = TerminalChannel::attach(&world.hub, &terminal.id, 0);
    assert_eq!(after.until_ended(SOON)["exit_code"], 7);
    assert!(after.printed.contains("good day from /tmp, 42"));
    is_recorded(&world.hub, &terminal.id);
}

fn is_recorded(hub: &Hub, id: &str) {
    let records = hub.read(&format!("/api/v1/audit?action=terminal.open&target_id={id}"));
    let end = &records["items"][0];
    assert_eq!((&end["outcome"], &end["details"]["exit_code"]), (&json!("done"), &json!(7)), "{records}");
}

fn a_shell_is_found_again(world: &World) {
    let place = Place::with_container(world);
    let mut first = place.open(json!({}));
    first.type_in("secret=hidden; echo ready-$secret\r");
    first.until_printed("ready-hidden", SOON);
    let (id, seen) = (first.id.clone(), first.received);
    // What was sent and not answered for is sent again: it is taken once.
    first.type_in("echo again-$secret\r");
    first.until("it to be taken", SOON, |first| first.taken == first.typed);
    let sent = first.typed;
    drop(first);
    let mut second = TerminalChannel::attach(&world.hub, &id, seen);
    assert_eq!(second.typed, sent);
    second.send_input(sent - 19, "echo again-$secret\recho third-$secret\r");
    second.until_printed("third-hidden", SOON);
    assert!(!second.printed.contains("ready-hidden"), "{:?}", second.printed);
    assert_eq!(second.printed.matches("again-hidden").count(), 1, "{:?}", second.printed);

    // A page that is loaded again has seen nothing; it has the terminal for itself.
    let mut third = TerminalChannel::attach(&world.hub, &id, 0);
    third.until_printed("third-hidden", SOON);
    assert!(third.printed.contains("ready-hidden"));
    assert_eq!(second.until_closed(SOON), "opened elsewhere");
}
