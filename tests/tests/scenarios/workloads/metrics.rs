//! What hosts and containers use, beside what their engine says of it.

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::network::{Flow, LinkOptions};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, LiveChannel};
use windflow_tests::{process, wait};

use super::super::SOON;
use super::super::worlds::{LinkWorld, NAME, Way, World, engine_with_image, link, world};
use super::{answer, environment};

/// Two regular measurements and some time.
const MEASURED: Duration = Duration::from_secs(90);
/// A link that is silent is known to be dead within this, and one that is whole
/// again is used within this.
const KNOWN: Duration = Duration::from_secs(90);
/// As close as the hub must be to `docker stats`.
const CLOSE: f64 = 0.02;
/// A shell that holds some megabytes and works for a fifth of a processor.
const BUSY: &str = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); while :; do :; done";

#[test]
fn a_container_of_a_local_engine_uses_what_docker_stats_says() {
    uses_what_docker_stats_says(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn a_container_of_an_edge_engine_uses_what_docker_stats_says() {
    uses_what_docker_stats_says(&world(EngineVersion::V20_10, Way::WebSocket));
}

/// The hub's processes are elsewhere: only the engine can be asked.
#[test]
fn a_container_of_an_engine_on_tcp_uses_what_docker_stats_says() {
    let world = world(EngineVersion::V26_1, Way::Tcp);
    uses_what_docker_stats_says_to_containers(&world);
    let environment = environment_of(&world);
    assert!(environment["host"]["cpu_percent"].is_null(), "nothing is known of its host: {environment}");
}

fn uses_what_docker_stats_says(world: &World) {
    uses_what_docker_stats_says_to_containers(world);
    let host = environment_of(world)["host"].take();
    let total = host["memory_total_bytes"].as_u64().unwrap();
    assert!((1..total).contains(&host["memory_bytes"].as_u64().unwrap()), "{host}");
    assert!(host["cpu_percent"].as_f64().is_some_and(|cpu| (0.0..=100.0).contains(&cpu)), "{host}");
    let history = history(&world.hub, &format!("{}/metrics", base(world)));
    for name in ["cpu_percent", "load_1", "memory_bytes", "network_received_bytes"] {
        assert!(column(&history, name).iter().any(Option::is_some), "{name}: {history}");
    }
}

fn uses_what_docker_stats_says_to_containers(world: &World) {
    let limited = ["run", "--detach", "--name", "busy", "--cpus", "0.2", "--memory", "256m", "--network", "none"];
    let id = run(&world.docker, &[&limited[..], &[BUSYBOX, "sh", "-c", BUSY]].concat());
    known(&world.hub, &base(world), "busy");
    let listed = || answer(&world.hub, &format!("{}/containers?search=busy&sort=-cpu", base(world)))["items"][0].take();
    wait::until_true("the container to be measured", MEASURED, || listed()["usage"]["cpu_percent"].is_f64());
    let history_path = format!("{}/containers/busy/metrics", base(world));
    let points = || column(&history(&world.hub, &history_path), "cpu_percent");

    // From one measurement to another two later, as close as a question can be.
    let known = points().iter().flatten().count();
    wait::until_true("the next measurement", MEASURED, || points().iter().flatten().count() > known);
    let before = stats(world, &id);
    wait::until_true("two measurements", MEASURED, || points().iter().flatten().count() > known + 2);
    let after = stats(world, &id);

    let measured: Vec<f64> = points().into_iter().flatten().skip(known + 1).take(2).collect();
    let measured = measured.iter().sum::<f64>() / 2.0;
    let said = share(&before, &after);
    println!("processor: {measured} % measured, {said} % said");
    assert!((measured - said).abs() <= said * CLOSE + 0.2, "{measured} % measured, {said} % said");

    let usage = listed()["usage"].take();
    let said = used(&after);
    println!("memory: {} measured, {said} said", usage["memory_bytes"]);
    let measured = usage["memory_bytes"].as_f64().unwrap();
    assert!((measured - said).abs() <= said * CLOSE, "{usage}: {after}");
    assert_eq!(usage["memory_limit_bytes"], 256 * 1024 * 1024);
    let history = history(&world.hub, &history_path);
    assert!(column(&history, "processes").iter().flatten().all(|count| *count >= 1.0), "{history}");
    let unknown = world.hub.request("GET", &format!("{}/containers/nobody/metrics", base(world)), "");
    assert_eq!(unknown.status, 404, "{}", unknown.body);
}

#[test]
fn a_local_engine_is_measured_more_often_while_somebody_looks() {
    let world = world(EngineVersion::V26_1, Way::Local);
    is_measured_more_often_while_somebody_looks(&world);
}

#[test]
fn an_edge_engine_is_measured_more_often_while_somebody_looks_also_in_its_next_session() {
    let mut world = world(EngineVersion::V20_10, Way::WebSocket);
    is_measured_more_often_while_somebody_looks(&world);

    let mut channel = looking(&world, None);
    channel.until("a measurement for who looks", MEASURED, is_glance);
    let agent = world.agent.as_mut().unwrap();
    agent.terminate();
    world.hub.wait_for_state(NAME, "offline", KNOWN);
    agent.run();
    let told = channel.until("a measurement of another time", KNOWN, |message| message["stored"] == true);
    let again = channel.until("a measurement for who still looks", MEASURED, is_glance);
    assert!(again["at"].as_i64() >= told["at"].as_i64(), "{told} {again}");
}

fn is_measured_more_often_while_somebody_looks(world: &World) {
    run(&world.docker, &["run", "--detach", "--name", "watched", "--network", "none", BUSYBOX, "sleep", "600"]);
    let listed = || answer(&world.hub, &format!("{}/containers?search=watched", base(world)))["total"] == 1;
    wait::until_true("the container to be listed", SOON, listed);
    for (container, value) in [(None, "load_1"), (Some("watched"), "processes")] {
        let mut channel = looking(world, container);
        let mut next = || channel.until("a measurement", MEASURED, |message| message["kind"] == "metrics");
        while next()["stored"] != true {}
        let mut between = 0;
        let stored = loop {
            let message = next();
            if message["stored"] == true {
                break message;
            }
            between += 1;
        };
        println!("{between} measurements between two that are stored");
        assert!(between > 1, "{between}");
        let names: Vec<&Value> = stored["values"].as_array().unwrap().iter().map(|value| &value["name"]).collect();
        assert!(names.contains(&&json!(value)) && names.contains(&&json!("cpu_percent")), "{stored}");
    }
    // Nobody looks any more. Between two measurements that are stored anyway,
    // the agent makes no other.
    let stored = || times(&history(&world.hub, &format!("{}/containers/watched/metrics", base(world)))).len();
    wait::until_true("the agent to measure no more often than it stores", MEASURED, || {
        let (glances, before) = (glances(&world.hub), stored());
        wait::until_true("the next measurement", MEASURED, || stored() > before);
        glances == self::glances(&world.hub)
    });
}

/// A channel of somebody who looks at a host, or at one of its containers.
fn looking(world: &World, container: Option<&str>) -> LiveChannel {
    let environment = environment_of(world)["id"].take();
    LiveChannel::open(&world.hub, &json!({ "metrics": { "environment": environment, "container": container } }))
}

fn is_glance(message: &Value) -> bool {
    message["kind"] == "metrics" && message["stored"] == false
}

/// How many measurements the hub was told of only since somebody looked.
fn glances(hub: &Hub) -> u64 {
    let numbers = hub.request("GET", "/metrics", "").body;
    let line = numbers.lines().find_map(|line| line.strip_prefix("windflow_metrics_glances_total "));
    line.expect("the hub counts them").parse().expect("a number")
}

#[test]
fn what_was_measured_while_the_link_was_cut_arrives_with_its_own_times_also_after_the_agent_was_started_again() {
    let engine = engine_with_image(EngineVersion::V26_1);
    let LinkWorld { relay, hub } = link(LinkOptions::default());
    let options = AgentOptions::new(&hub, &engine.address()).through(relay.url()).over("websocket");
    let mut agent = Agent::online(&hub, NAME, options);
    let docker = DockerCli::new(&hub, NAME);
    run(&docker, &["run", "--detach", "--name", "steady", "--network", "none", BUSYBOX, "sleep", "600"]);
    let base = format!("/api/v1/environments/{}", environment(&hub)["id"].as_str().unwrap());
    known(&hub, &base, "steady");
    let path = format!("{base}/containers/steady/metrics");
    let times = || times(&history(&hub, &path));
    wait::until_true("the first measurement", MEASURED, || !times().is_empty());

    relay.set_flows(Flow::Swallow);
    let cut = now();
    hub.wait_for_state(NAME, "offline", KNOWN);
    let told = times().last().copied().unwrap();
    assert!(told <= cut, "{told} was told after {cut}");
    let kept = agent.state_folder().join("metrics");
    let offline_until = now();
    assert_eq!(agent.terminate(), Some(0));
    let files = std::fs::read_dir(&kept).unwrap().count();
    assert!(files > 0, "nothing is kept in {}", kept.display());

    relay.set_flows(Flow::Pass);
    agent.run();
    hub.wait_for_state(NAME, "online", KNOWN);
    wait::until_true("what was measured meanwhile", MEASURED, || {
        times().iter().any(|at| (cut + 1..=offline_until).contains(at))
    });
    wait::until_true("the agent to forget it once it is written", MEASURED, || {
        std::fs::read_dir(&kept).unwrap().count() == 0
    });
}

/// Waits until the hub was told of a container: an engine answers that it runs
/// a moment before.
fn known(hub: &Hub, base: &str, name: &str) {
    let listed = || answer(hub, &format!("{base}/containers?search={name}"))["total"] == 1;
    wait::until_true(&format!("{name} to be known"), SOON, listed);
}

/// What `docker stats` shows of a processor between two answers of the engine,
/// in percent.
fn share(before: &Value, after: &Value) -> f64 {
    let grown = |path: &str| {
        after.pointer(path).and_then(Value::as_f64).unwrap() - before.pointer(path).and_then(Value::as_f64).unwrap()
    };
    let processors = after["cpu_stats"]["online_cpus"].as_f64().unwrap();
    grown("/cpu_stats/cpu_usage/total_usage") / grown("/cpu_stats/system_cpu_usage") * processors * 100.0
}

/// What it shows of memory, in bytes.
fn used(stats: &Value) -> f64 {
    let memory = &stats["memory_stats"];
    let inactive =
        memory["stats"]["total_inactive_file"].as_f64().or_else(|| memory["stats"]["inactive_file"].as_f64());
    memory["usage"].as_f64().unwrap() - inactive.unwrap_or_default()
}

fn stats(world: &World, id: &str) -> Value {
    answer(&world.hub, &format!("{}/engine/v1.41/containers/{id}/stats?stream=false&one-shot=true", base(world)))
}

fn history(hub: &Hub, path: &str) -> Value {
    answer(hub, &format!("{path}?step=2"))
}

fn times(history: &Value) -> Vec<i64> {
    let times: Vec<i64> = history["times"].as_array().unwrap().iter().map(|at| at.as_i64().unwrap()).collect();
    let known = column(history, "memory_bytes");
    times.into_iter().zip(known).filter_map(|(at, value)| value.map(|_| at)).collect()
}

fn column(history: &Value, name: &str) -> Vec<Option<f64>> {
    let series = history["series"].as_array().unwrap().iter().find(|series| series["name"] == name);
    series.map_or_else(Vec::new, |series| series["mean"].as_array().unwrap().iter().map(Value::as_f64).collect())
}

fn environment_of(world: &World) -> Value {
    answer(&world.hub, &base(world))
}

fn base(world: &World) -> String {
    let found = answer(&world.hub, &format!("/api/v1/environments?name={}", world.name));
    format!("/api/v1/environments/{}", found["items"][0]["id"].as_str().unwrap())
}

fn run(docker: &DockerCli, arguments: &[&str]) -> String {
    process::run(docker.command().args(arguments), SOON).succeeded()
}

/// Seconds since 1970.
fn now() -> i64 {
    windflow_agent::host::clock_micros() / 1_000_000
}
