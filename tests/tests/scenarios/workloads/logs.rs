//! Logs of real containers: read, followed, filtered, merged and skipped.

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, HubOptions, LiveChannel};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, Way, World, engine_with_image, world};

/// How long a flood may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(240);
/// What a program may grow by while it skips most of a flood: windows and
/// buffers, and nothing that grows with the flood, in bytes.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;

/// Says a few lines and stays.
const SPEAKER: &str = "for i in 1 2 3 4 5; do echo line $i; done; echo wrong >&2; sleep 600";

/// A line that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    source: u64,
    time: i64,
    is_error: bool,
    text: String,
}

/// A channel of logs, and what was told on it.
struct Logs {
    channel: LiveChannel,
    lines: Vec<Line>,
    skipped: u64,
    /// Why sources ended, as they did.
    ended: Vec<String>,
    /// The last message of another kind.
    last: Value,
}

impl Logs {
    fn open(hub: &Hub, sources: &[(&str, &str)], follow: bool, select: &Value) -> Self {
        let sources: Vec<Value> = sources
            .iter()
            .map(|(environment, container)| json!({ "environment": environment, "container": container }))
            .collect();
        let wish = json!({ "sources": sources, "follow": follow, "select": select });
        let channel = LiveChannel::open_at(hub, "/api/v1/logs", &wish);
        Self { channel, lines: Vec::new(), skipped: 0, ended: Vec::new(), last: Value::Null }
    }

    /// Takes one message in; not when the hub has ended the channel.
    fn hear(&mut self) -> bool {
        let Some(message) = self.channel.next(SOON) else { return false };
        match message["kind"].as_str().unwrap() {
            "lines" => {
                let line = |line: &Value| Line {
                    source: line["s"].as_u64().unwrap(),
                    time: line["t"].as_str().unwrap().parse().unwrap(),
                    is_error: line["e"] == true,
                    text: line["x"].as_str().unwrap().to_owned(),
                };
                self.lines.extend(message["lines"].as_array().unwrap().iter().map(line));
            }
            "skipped" => self.skipped += message["lines"].as_u64().unwrap(),
            "ended" => self.ended.push(message["why"].as_str().unwrap().to_owned()),
            _ => self.last = message,
        }
        true
    }

    fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        while !wanted(self) {
            assert!(self.hear(), "the channel ended before {what}: {:?} {:?}", self.lines, self.ended);
        }
    }

    fn until_caught_up(&mut self) {
        self.until("it had caught up", |logs| logs.last["kind"] == "caught_up");
    }

    fn heard_out(mut self) -> Self {
        while self.hear() {}
        self
    }

    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line.text.as_str()).collect()
    }
}

impl World {
    fn id(&self) -> String {
        self.hub.environment(&self.name).unwrap().id
    }

    fn logs(&self, container: &str, follow: bool, select: &Value) -> Logs {
        Logs::open(&self.hub, &[(&self.id(), container)], follow, select)
    }

    /// What is there now of a container's log.
    fn texts(&self, container: &str, select: &Value) -> Vec<String> {
        let logs = self.logs(container, false, select).heard_out();
        assert_eq!(logs.ended, ["complete"]);
        logs.texts().into_iter().map(str::to_owned).collect()
    }
}

fn start(docker: &DockerCli, name: &str, options: &[&str], script: &str) {
    let mut command = docker.command();
    command.args(["run", "--detach", "--name", name, "--network", "none"]).args(options);
    command.args([BUSYBOX, "sh", "-c", script]);
    windflow_tests::process::run(&mut command, SOON).succeeded();
}

/// Makes the container itself say something.
fn say(docker: &DockerCli, name: &str, text: &str) {
    docker.run(["exec", name, "sh", "-c", &format!("echo '{text}' > /proc/1/fd/1")]).succeeded();
}

#[test]
fn logs_are_read_and_followed_on_a_local_engine() {
    logs_are_read_and_followed(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn logs_are_read_and_followed_through_an_edge_agent() {
    logs_are_read_and_followed(&world(EngineVersion::V20_10, Way::WebSocket));
}

#[test]
fn logs_are_read_and_followed_on_an_engine_on_tcp() {
    logs_are_read_and_followed(&world(EngineVersion::V26_1, Way::Tcp));
}

fn logs_are_read_and_followed(world: &World) {
    start(&world.docker, "speaker", &[], SPEAKER);
    wait::until_true("the speaker's lines", SOON, || world.texts("speaker", &json!({})).len() == 6);
    let whole = world.logs("speaker", false, &json!({})).heard_out().lines;
    assert!(whole.iter().any(|line| line.is_error && line.text == "wrong"));

    let out = |select: Value| {
        let mut select = select;
        select["stream"] = json!("stdout");
        world.texts("speaker", &select)
    };
    let third = whole.iter().find(|line| line.text == "line 3").unwrap().time;
    assert_eq!(out(json!({ "since": moment(third) })), ["line 3", "line 4", "line 5"]);
    assert_eq!(out(json!({ "until": moment(third) })), ["line 1", "line 2", "line 3"]);
    assert_eq!(world.texts("speaker", &json!({ "tail": 1 })).len(), 1);
    assert_eq!(world.texts("speaker", &json!({ "stream": "stderr" })), ["wrong"]);
    assert_eq!(world.texts("speaker", &json!({ "regex": "^line [24]$" })), ["line 2", "line 4"]);
    assert_eq!(world.texts("speaker", &json!({ "text": "WRONG", "ignore_case": true })), ["wrong"]);

    let mut followed = world.logs("speaker", true, &json!({ "tail": 0, "text": "later" }));
    followed.until_caught_up();
    say(&world.docker, "speaker", "something else");
    say(&world.docker, "speaker", "later on");
    followed.until("what was said", |logs| !logs.lines.is_empty());
    assert_eq!(followed.texts(), ["later on"]);

    what_cannot_be_read_is_said(world);
    downloads_are_whole(world);
    a_terminals_log_is_read(world);

    world.docker.run(["rm", "--force", "speaker"]).succeeded();
    followed.until("the container's end", |logs| !logs.ended.is_empty());
    assert_eq!(followed.ended, ["removed"]);
}

fn what_cannot_be_read_is_said(world: &World) {
    let unknown = world.logs("nobody", true, &json!({})).heard_out();
    assert_eq!((unknown.ended, unknown.lines), (vec!["not_found".to_owned()], Vec::new()));
    let refused = world.logs("speaker", true, &json!({ "regex": "(" })).heard_out();
    assert_eq!(refused.last["kind"], "refused");
    assert!(refused.last["message"].as_str().unwrap().contains("at character 1"), "{}", refused.last);
    start(&world.docker, "mute", &["--log-driver", "none"], "echo nobody hears");
    assert_eq!(world.logs("mute", true, &json!({})).heard_out().ended, ["unreadable"]);
}

fn downloads_are_whole(world: &World) {
    let long = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo behind it";
    start(&world.docker, "long", &[], long);
    world.docker.run(["wait", "long"]).succeeded();
    let base = format!("/api/v1/environments/{}/containers/long/logs", world.id());
    let answer = world.hub.request("GET", &base, "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].len() == 100_000 && lines[0].bytes().all(|byte| byte == b'x'));
    assert_eq!(lines[1], "behind it");
    // In a window there is room for the beginning only.
    let shown = world.texts("long", &json!({}));
    assert_eq!((shown[0].len(), shown[1].as_str()), (16 * 1024, "behind it"));
}

fn a_terminals_log_is_read(world: &World) {
    start(&world.docker, "terminal", &["--tty"], "printf '\\033[31mred\\033[0m\\n'; echo second; sleep 600");
    wait::until_true("the terminal's lines", SOON, || world.texts("terminal", &json!({})).len() == 2);
    assert_eq!(world.texts("terminal", &json!({})), ["\u{1b}[31mred\u{1b}[0m\r", "second\r"]);
    assert_eq!(world.texts("terminal", &json!({ "regex": "second$" })), ["second\r"]);
}

#[test]
fn logs_of_two_environments_are_one_in_the_order_of_their_times() {
    const NUMBERS: [&str; 5] = ["1", "2", "3", "4", "5"];
    let (here, there) = (engine_with_image(EngineVersion::V26_1), engine_with_image(EngineVersion::V20_10));
    let hub = Hub::start_with(HubOptions { engine: here.address(), ..HubOptions::default() });
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, &there.address()));
    let local = wait::until("the local environment", SOON, || {
        hub.environments().into_iter().find(|found| found.kind == "local" && found.state == "online")
    });
    let clis = [DockerCli::new(&hub, &local.name), DockerCli::new(&hub, NAME)];
    for docker in &clis {
        start(docker, "counter", &[], "while [ ! -e /end ]; do sleep 0.1; done");
    }
    for number in NUMBERS {
        for docker in &clis {
            say(docker, "counter", number);
        }
    }
    for docker in &clis {
        docker.run(["exec", "counter", "touch", "/end"]).succeeded();
        docker.run(["wait", "counter"]).succeeded();
    }
    let edge = hub.environment(NAME).unwrap().id;
    let sources = [(local.id.as_str(), "counter"), (edge.as_str(), "counter")];
    let merged = Logs::open(&hub, &sources, false, &json!({})).heard_out();
    assert_eq!(merged.ended, ["complete", "complete"]);
    assert!(merged.lines.is_sorted_by_key(|line| line.time), "{:?}", merged.lines);
    for source in 0..2 {
        let own: Vec<&str> =
            merged.lines.iter().filter(|line| line.source == source).map(|line| line.text.as_str()).collect();
        assert_eq!(own, NUMBERS);
    }
    assert!(!merged.lines.is_sorted_by_key(|line| line.source), "they took turns: {:?}", merged.lines);
}

#[test]
fn a_flood_that_nobody_reads_is_skipped_and_counted_and_holds_nobody_up() {
    const LINES: u64 = 300_000;
    let world = world(EngineVersion::V26_1, Way::WebSocket);
    let noise = format!("seq 1 {LINES} | sed 's/^/the quick brown heron number /'");
    let flood = format!("while [ ! -e /go ]; do sleep 0.1; done; {noise}; touch /done; sleep 600");
    start(&world.docker, "flood", &[], &flood);
    let mut logs = world.logs("flood", true, &json!({ "tail": 0 }));
    logs.until_caught_up();
    world.docker.run(["ps"]).succeeded();
    let memory = || [world.hub.resident_bytes(), world.agent.as_ref().unwrap().resident_bytes()];
    let before = memory();
    world.docker.run(["exec", "flood", "touch", "/go"]).succeeded();
    // Small requests on the same session are answered meanwhile.
    wait::until_true("the flood's end", PATIENCE, || {
        world.docker.run(["exec", "flood", "test", "-e", "/done"]).status.success()
    });
    for (now, before) in memory().into_iter().zip(before) {
        assert!(now.saturating_sub(before) < GROWTH_MAX, "grew from {before} to {now} bytes");
    }
    say(&world.docker, "flood", "the end");
    while logs.texts().last() != Some(&"the end") {
        logs.channel.say(&json!({ "kind": "more", "lines": 20_000 }));
        assert!(logs.hear(), "the channel ended: {:?}", logs.ended);
    }
    println!("{} lines were shown and {} skipped", logs.lines.len(), logs.skipped);
    assert!(logs.skipped > 0);
    assert_eq!(logs.lines.len() as u64 + logs.skipped, LINES + 1);
    assert!(logs.lines.is_sorted_by_key(|line| line.time));
}

#[test]
fn a_log_whose_engine_or_agent_goes_away_ends_with_the_reason() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    start(&world.docker, "speaker", &[], SPEAKER);
    let mut logs = world.logs("speaker", true, &json!({}));
    logs.until_caught_up();
    world.engine.kill();
    logs.until("the engine's end", |logs| !logs.ended.is_empty());
    assert_eq!(logs.ended, ["engine"]);
    world.engine.start_again();
    wait::until_true("the engine to be back", PATIENCE, || world.docker.run(["start", "speaker"]).status.success());
    let mut logs = world.logs("speaker", true, &json!({}));
    logs.until_caught_up();
    drop(world.agent.take());
    logs.until("the agent's end", |logs| !logs.ended.is_empty());
    assert_eq!(logs.ended, ["unreachable"]);
    wait::until_true("the environment to be offline", PATIENCE, || world.hub.state_of(NAME) != "online");
    assert_eq!(world.logs("speaker", true, &json!({})).heard_out().ended, ["unreachable"]);
}

/// Nanoseconds as the API takes them.
fn moment(nanos: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(nanos.into()).unwrap();
    time.format(&time::format_description::well_known::Rfc3339).unwrap()
}
