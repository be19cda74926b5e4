//! What a hub may try that was taken over, against a host with a policy of its
//! own: through the hub, the agent and a real engine. What is judged is what the
//! engine has afterwards, not what anybody says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub, TerminalChannel};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, engine_with_image};

const DEPLOY_SAFE: &str = "version = 1\nprofile = \"deploy-safe\"\n[exec]\nenabled = true\nusers_deny = [\"root\"]\n\
                           [images]\nallow = [\"docker.io/windflow/**\"]\n";

/// A host with a policy, behind a hub.
struct Place {
    docker: DockerCli,
    agent: Agent,
    hub: Hub,
    engine: TestEngine,
}

fn place(version: EngineVersion, policy: &str) -> Place {
    let engine = engine_with_image(version);
    let hub = Hub::start();
    let options = AgentOptions::new(&hub, &engine.address()).over("websocket").under_policy(policy);
    let agent = Agent::online(&hub, NAME, options);
    Place { docker: DockerCli::new(&hub, NAME), agent, hub, engine }
}

impl Place {
    fn policy(&self) -> Value {
        let id = self.hub.environment(NAME).unwrap().id;
        self.hub.read(&format!("/api/v1/environments/{id}"))["policy"].clone()
    }

    /// Waits until the hub knows this profile of the host.
    fn wait_for_profile(&self, profile: &str) -> Value {
        wait::until("the hub to know the host's policy", SOON, || {
            let policy = self.policy();
            (policy["profile"] == profile).then_some(policy)
        })
    }
}

/// One thing to try.
#[derive(Debug, Deserialize)]
struct Attempt {
    name: String,
    method: String,
    target: String,
    /// `allow`, `refuse`, or the rule that refuses it.
    expect: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

fn attempts() -> Vec<Attempt> {
    // The corpus names an image of every engine.
    let text = include_str!("policy/corpus.jsonl").replace("BUSYBOX", BUSYBOX);
    let attempts: Vec<Attempt> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(attempts.len() > 140, "{}", attempts.len());
    attempts
}

/// Sends an attempt as it is written, and returns status and body.
fn send(place: &Place, id: &str, attempt: &Attempt) -> (u16, String) {
    let mut head =
        format!("{} /api/v1/environments/{id}/engine{} HTTP/1.1\r\nHost: hub\r\n", attempt.method, attempt.target);
    head += &format!("Authorization: Bearer {}\r\n", place.hub.api_token());
    let given = |name: &str| attempt.headers.keys().any(|given| given.eq_ignore_ascii_case(name));
    if !given("connection") {
        head += "Connection: close\r\n";
    }
    if let Some(body) = &attempt.body {
        head += &format!("Content-Length: {}\r\n", body.len());
        if !given("content-type") {
            head += "Content-Type: application/json\r\n";
        }
    } else if attempt.method != "GET" {
        head += "Content-Length: 0\r\n";
    }
    for (name, value) in &attempt.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(place.hub.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("{head}\r\n{}", attempt.body.as_deref().unwrap_or_default()).as_bytes()).unwrap();
    answer(&mut stream)
}

/// Reads one answer, which may keep its connection open.
fn answer(stream: &mut impl Read) -> (u16, String) {
    let mut read = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) || head.starts_with("HTTP/1.1 101") {
                return (text[9..12].parse().unwrap(), body.to_owned());
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => {
                let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
                return (status, text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()));
            }
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Asks the engine itself, past hub and agent.
fn engine_tells(socket: &Path, target: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes()).unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).unwrap();
    serde_json::from_str(read.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// What is dangerous of all that the engine has, but for what the test put there.
fn dangers(socket: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for listed in engine_tells(socket, "/containers/json?all=1").as_array().unwrap() {
        let told = engine_tells(socket, &format!("/containers/{}/json", listed["Id"].as_str().unwrap()));
        if !["/mighty", "/laden", "/shown"].contains(&told["Name"].as_str().unwrap_or_default()) {
            found.extend(dangers_in(&told));
        }
    }
    for volume in engine_tells(socket, "/volumes")["Volumes"].as_array().into_iter().flatten() {
        let has_options = volume["Options"].as_object().is_some_and(|options| !options.is_empty());
        if volume["Name"] != "trap" && (has_options || volume["Driver"] != "local") {
            found.push(format!("volume {volume}"));
        }
    }
    for network in engine_tells(socket, "/networks").as_array().unwrap() {
        let is_plain = matches!(network["Driver"].as_str(), Some("bridge" | "host" | "null" | "overlay"));
        if !is_plain
            || network["Options"]["com.docker.network.bridge.name"].as_str().is_some_and(|name| name != "docker0")
        {
            found.push(format!("network {network}"));
        }
    }
    if engine_tells(socket, "/info")["Swarm"]["LocalNodeState"] != "inactive" {
        found.push("a swarm".to_owned());
    }
    found
}

fn dangers_in(told: &Value) -> Vec<String> {
    let host = &told["HostConfig"];
    let empty = |value: &Value| {
        value.is_null() || value == &serde_json::json!([]) || value == &serde_json::json!({}) || value == ""
    };
    let mut found: Vec<String> =
        ["CapAdd", "Devices", "DeviceCgroupRules", "DeviceRequests", "Sysctls", "VolumesFrom", "Links", "Annotations"]
            .into_iter()
            .filter(|name| !empty(&host[*name]))
            .map(|name| format!("{name}: {}", host[name]))
            .collect();
    let modes = ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode"];
    let foreign = |mode: &&str| host[*mode].as_str().is_some_and(|mode| mode == "host" || mode.contains(':'));
    found.extend(modes.into_iter().filter(foreign).map(str::to_owned));
    let security = host["SecurityOpt"].to_string();
    if host["Privileged"] == true || security.contains("unconfined") || host["OomKillDisable"] == true {
        found.push(format!("rights: {} {security}", host["Privileged"]));
    }
    if host["MaskedPaths"].as_array().is_none_or(Vec::is_empty) {
        found.push("unmasked paths".to_owned());
    }
    if host["CgroupParent"].as_str().is_some_and(|parent| !parent.is_empty()) {
        found.push("a control group".to_owned());
    }
    if !matches!(host["LogConfig"]["Type"].as_str(), Some("json-file" | "local" | "none")) {
        found.push("a log driver".to_owned());
    }
    // An engine that was told of none may leave it out.
    if !matches!(host["Runtime"].as_str(), None | Some("" | "runc")) {
        found.push(format!("a runtime: {}", host["Runtime"]));
    }
    for mount in told["Mounts"].as_array().into_iter().flatten() {
        if mount["Type"] == "bind" || mount["Name"] == "trap" {
            found.push(format!("mount {mount}"));
        }
    }
    found
}

/// The corpus against one engine.
fn holds_against_the_corpus(version: EngineVersion) {
    let place = place(version, DEPLOY_SAFE);
    let direct = |arguments: &[&str]| {
        let mut command = place.engine.docker_command();
        windflow_tests::process::run(command.args(arguments), SOON).succeeded()
    };
    direct(&["run", "--detach", "--name", "victim", BUSYBOX, "sleep", "600"]);
    direct(&["create", "--privileged", "--name", "mighty", BUSYBOX, "sleep", "600"]);
    direct(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc", "trap"]);
    direct(&["create", "--volume", "trap:/h", "--name", "laden", BUSYBOX, "sleep", "600"]);
    direct(&["create", "--security-opt", "systempaths=unconfined", "--name", "shown", BUSYBOX, "sleep", "600"]);
    let socket = place.engine.socket();
    assert_eq!(dangers(&socket), Vec::<String>::new(), "before anything was tried");
    let id = place.hub.environment(NAME).unwrap().id;
    let mut wrong = Vec::new();
    for attempt in attempts() {
        let (status, body) = send(&place, &id, &attempt);
        let told: Value = serde_json::from_str(&body).unwrap_or_default();
        let is_as_expected = match attempt.expect.as_str() {
            "allow" => (200..400).contains(&status),
            "refuse" => (400..500).contains(&status),
            rule => (400..500).contains(&status) && told["rule"] == rule,
        };
        if !is_as_expected {
            wrong.push(format!("{}: wanted {}, got {status} {body}", attempt.name, attempt.expect));
        }
        for danger in dangers(&socket) {
            wrong.push(format!("{}: the engine has {danger}", attempt.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(engine_tells(&socket, "/containers/victim/json")["State"]["Running"], true);
}

#[test]
fn c03_what_passes_the_policy_is_harmless_on_docker_20_10() {
    holds_against_the_corpus(EngineVersion::V20_10);
}

#[test]
fn c03_what_passes_the_policy_is_harmless_on_docker_26_1() {
    holds_against_the_corpus(EngineVersion::V26_1);
}

#[test]
fn c48_a_large_body_is_refused_whole_by_a_host_with_a_policy() {
    let place = place(EngineVersion::V26_1, "version = 1\nprofile = \"deploy-safe\"\nlimits.body_max = \"1m\"\n");
    let id = place.hub.environment(NAME).unwrap().id;
    let body =
        serde_json::json!({ "Image": BUSYBOX, "Env": ["x".repeat(3 << 20)], "HostConfig": { "Privileged": true } });
    let answer =
        place.hub.request("POST", &format!("/api/v1/environments/{id}/engine/containers/create"), &body.to_string());
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(answer.body.contains("body.size"), "{}", answer.body);
    assert_eq!(engine_tells(&place.engine.socket(), "/containers/json?all=1"), serde_json::json!([]));
}

/// The ordinary command where a host lets plain containers be made.
fn deploys_plain_containers_only(version: EngineVersion) {
    let place = place(version, "version = 1\nprofile = \"deploy-safe\"\n");
    let docker = &place.docker;
    let said = docker.run(["run", "--rm", "--memory", "64m", "--volume", "data:/data", BUSYBOX, "echo", "it runs"]);
    assert_eq!(said.succeeded(), "it runs");
    let counted = docker.run_with_input(["run", "--rm", "-i", BUSYBOX, "wc", "-c"], b"12345");
    assert_eq!(counted.succeeded(), "5");
    for (arguments, rule) in [
        (["run", "--rm", "--privileged", BUSYBOX, "id"], "container.privileged"),
        (["run", "--rm", "--pid=host", BUSYBOX, "id"], "container.pid_mode"),
        (["run", "--rm", "--volume=/etc:/h", BUSYBOX, "id"], "mount.bind"),
    ] {
        let refused = docker.run(arguments).failed();
        let words = format!("this host refuses this: rule {rule} (profile deploy-safe)");
        assert!(refused.contains(&words), "{refused}");
    }
    docker.run(["run", "--detach", "--name", "web", BUSYBOX, "sleep", "600"]).succeeded();
    assert!(docker.run(["exec", "web", "id"]).failed().contains("rule exec "));
    docker.run(["rm", "--force", "web"]).succeeded();
}

#[test]
fn docker_runs_a_plain_container_on_a_deploy_safe_host_and_no_privileged_one_20_10() {
    deploys_plain_containers_only(EngineVersion::V20_10);
}

#[test]
fn docker_runs_a_plain_container_on_a_deploy_safe_host_and_no_privileged_one_26_1() {
    deploys_plain_containers_only(EngineVersion::V26_1);
}

/// What one may who may only look, and what one may who may also start and stop.
fn looks_and_operates(version: EngineVersion) {
    let mut place = place(version, "version = 1\nprofile = \"monitor\"\n");
    let mut make = place.engine.docker_command();
    make.args(["run", "--detach", "--name", "web", "--env", "TOKEN=s3cret", BUSYBOX, "sleep", "600"]);
    windflow_tests::process::run(&mut make, SOON).succeeded();
    assert!(place.docker.run(["exec", "web", "id"]).failed().contains("rule exec (profile monitor)"));
    assert!(place.docker.run(["stop", "web"]).failed().contains("rule operate (profile monitor)"));
    let told = place.docker.run(["inspect", "web"]).succeeded();
    assert!(told.contains("TOKEN=") && !told.contains("s3cret"), "{told}");
    assert_eq!(place.docker.run(["ps", "--format", "{{.Names}}"]).succeeded(), "web");
    let monitor = place.wait_for_profile("monitor");
    assert!(monitor["refuses"].as_array().unwrap().contains(&"operate".into()), "{monitor}");

    place.agent.change_policy(Some("version = 1\nprofile = \"operate\"\n"));
    let operate = place.wait_for_profile("operate");
    assert_ne!(operate["digest"], monitor["digest"]);
    place.docker.run(["stop", "--time", "1", "web"]).succeeded();
    place.docker.run(["start", "web"]).succeeded();
    assert!(place.docker.run(["create", BUSYBOX]).failed().contains("rule deploy (profile operate)"));
    let id = place.hub.environment(NAME).unwrap().id;
    let body = serde_json::json!({ "spec": { "image": BUSYBOX, "name": "new" } }).to_string();
    let _started_as_a_job = place.hub.request("POST", &format!("/api/v1/environments/{id}/containers"), &body);
    let removal = place.hub.request("DELETE", &format!("/api/v1/environments/{id}/containers/web?force=true"), "");
    assert_eq!((removal.status, removal.code().as_str()), (403, "host_refuses"), "{}", removal.body);
    assert!(removal.body.contains(r#""rule":"deploy""#), "{}", removal.body);

    place.agent.change_policy(Some("version = 1\nprofile = \"all\"\n"));
    let invalid = place.wait_for_profile("monitor");
    assert_eq!(invalid["invalid"], true, "{invalid}");
    place.agent.change_policy(None);
    assert_eq!(place.wait_for_profile("full")["digest"], Value::Null);
    place.docker.run(["rm", "--force", "web"]).succeeded();
    let records = place.hub.read("/api/v1/audit?action=environment.policy");
    assert_eq!(records["items"].as_array().unwrap().len(), 4, "{records}");
    let refused = place.hub.read("/api/v1/audit?action=environment.host_refuses");
    let rules = refused["items"].as_array().unwrap().iter().map(|record| record["details"]["rule"].as_str().unwrap());
    assert_eq!(rules.collect::<BTreeSet<_>>(), BTreeSet::from(["deploy", "exec", "operate"]), "{refused}");
}

#[test]
fn a_host_is_only_looked_at_or_operated_as_its_policy_says_on_docker_20_10() {
    looks_and_operates(EngineVersion::V20_10);
}

#[test]
fn a_host_is_only_looked_at_or_operated_as_its_policy_says_on_docker_26_1() {
    looks_and_operates(EngineVersion::V26_1);
}

/// What a host writes down of what a hub runs there, and what it does not run.
fn records(version: EngineVersion) {
    let place = place(
        version,
        "version = 1\nprofile = \"deploy-safe\"\n[exec]\nenabled = true\nrecord = true\n[files]\nread = true\n",
    );
    let mut make = place.engine.docker_command();
    make.args(["run", "--detach", "-it", "--name", "main", "--network", "none", BUSYBOX, "sh"]);
    windflow_tests::process::run(&mut make, SOON).succeeded();
    assert_eq!(place.docker.run(["exec", "main", "echo", "seen by the host"]).succeeded(), "seen by the host");
    let mut shell = place.docker.start_on_terminal(["exec", "-it", "main", "sh"]);
    shell.wait_for("#", SOON);
    shell.write(b"echo product $((6 * 7)); exit 3\n");
    assert_eq!(shell.finish(SOON).status.code(), Some(3));
    let mut attached = place.docker.start_on_terminal(["attach", "main"]);
    attached.write(b"echo sum $((40 + 4)); exit\n");
    attached.finish(SOON);
    let start = ["run", "--detach", "--name", "other", "--network", "none", BUSYBOX, "sleep", "600"];
    windflow_tests::process::run(place.engine.docker_command().args(start), SOON).succeeded();
    place.docker.run(["exec", "--detach", "other", "touch", "/unseen"]).succeeded();
    let environment = place.hub.environment(NAME).unwrap().id;
    let listed = place.hub.read(&format!("/api/v1/environments/{environment}/containers/other/files?path=/"));
    assert_eq!(listed["seen_by"], "program", "{listed}");
    let mut console = TerminalChannel::open(&place.hub, &environment, "other", json!({}));
    console.type_in("echo quotient $((84 / 2)); exit\r");
    console.until_ended(SOON);

    let folder = place.agent.state_folder().join("recordings");
    let written = wait::until("all recordings", SOON, || {
        let files = std::fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path());
        let written: BTreeMap<_, _> = files.map(|file| shown_in(&std::fs::read_to_string(file).unwrap())).collect();
        written.values().any(|shown| shown.contains("quotient 42")).then_some(written)
    });
    assert_eq!(written["echo seen by the host in main"], "seen by the host\n");
    assert!(written["main"].contains("sum 44"), "{written:?}");
    assert!(written["sh in main"].contains("product 42"), "{written:?}");
    assert_eq!(written["touch /unseen in other"], "");
    let (list, shown) = written.iter().find(|(title, _)| title.starts_with("find / ")).unwrap();
    assert!(list.ends_with(" in other") && shown.contains("/unseen"), "{list}: {shown}");
}

/// The title of an asciicast, and all that it shows.
fn shown_in(cast: &str) -> (String, String) {
    let mut lines = cast.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let title = lines.next().unwrap()["title"].as_str().unwrap().to_owned();
    let shown = lines.filter(|line| line[1] == "o").map(|line| line[2].as_str().unwrap().to_owned()).collect();
    (title, shown)
}

#[test]
fn what_a_hub_runs_is_written_down_where_the_hosts_policy_asks_for_it_on_docker_20_10() {
    records(EngineVersion::V20_10);
}

#[test]
fn what_a_hub_runs_is_written_down_where_the_hosts_policy_asks_for_it_on_docker_26_1() {
    records(EngineVersion::V26_1);
}
