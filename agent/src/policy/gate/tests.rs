//! The gate from the hub's end and from the engine's: what goes through, as
//! what, and what never reaches the engine.

use std::path::Path;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use windflow_protocol::message::policy::REFUSED_HEADER;
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::message::report::ObjectId;

use super::super::tests::policy_of;
use super::super::{Policy, Rails};
use super::routes;
use crate::engine::EngineAddress;
use crate::serve::HostPolicy;
use crate::testing::{FakeEngine, Hub};

const ID: &str = "abababababababababababababababababababababababababababababababab";

/// The container of the agent, where it is in one.
const OWN: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

/// A host with a policy, and an engine that notes what it is asked.
struct Host {
    hub: Hub,
    heard: Arc<Mutex<Vec<String>>>,
    _engine: FakeEngine,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn rule(&self) -> &str {
        self.body["rule"].as_str().unwrap_or_default()
    }
}

impl Host {
    async fn new(policy: &str) -> Self {
        Self::with(policy_of(policy)).await
    }

    /// One whose agent is in a container.
    async fn in_a_container(policy: &str) -> Self {
        let mut policy = policy_of(policy);
        let (state, file) = (Path::new("/var/lib/windflow-agent"), Path::new("/etc/windflow/policy.toml"));
        let engine = EngineAddress::Unix("/run/docker.sock".into());
        policy.rails = Rails::new(state, file, &engine, ObjectId::parse(OWN));
        Self::with(policy).await
    }

    async fn with(policy: Policy) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let engine = FakeEngine::new(move |stream| answer_as_an_engine(stream, Arc::clone(&noted)));
        assert_eq!(policy.invalidity(), None);
        let hub = Hub::welcome_under(HostPolicy::Written(Arc::new(policy)), engine.engine()).await;
        Self { hub, heard, _engine: engine }
    }

    async fn deploy_safe(more: &str) -> Self {
        Self::new(&format!("version = 1\nprofile = \"deploy-safe\"\n{more}")).await
    }

    async fn send(&self, request: &str) -> Answer {
        let mut stream = self.hub.open(StreamKind::Docker).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        // A refusal may close before it has read everything.
        stream.read_to_end(&mut read).await.ok();
        let text = String::from_utf8(read).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_lowercase(), body: serde_json::from_str(body).unwrap_or_default() }
    }

    async fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: docker\r\n\r\n")).await
    }

    async fn post(&self, target: &str, body: &Value) -> Answer {
        self.post_text(target, &body.to_string()).await
    }

    async fn post_text(&self, target: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json");
        self.send(&format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }

    /// What the engine was asked that changes something.
    fn changes(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|request| !request.starts_with("GET")).cloned().collect()
    }
}

async fn answer_as_an_engine(mut stream: UnixStream, heard: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&read) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8(read).unwrap();
    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
    heard.lock().unwrap().push(text.clone());
    let body = match target.as_str() {
        target if target.contains("/containers/absent/") => {
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\n\r\n{\"message\":\"not there\"}\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            return;
        }
        target if target.contains("/restart") => {
            let answer = format!(
                "HTTP/1.1 301 Moved Permanently\r\nLocation: /containers/{ID}/kill\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            return;
        }
        target if target.contains("/containers/json") => json!([{ "Id": ID, "Labels": { "auth": "s3cret" } }]),
        target if target.contains(OWN) => json!({ "Id": OWN, "Mounts": [
            { "Type": "volume", "Name": "state", "Source": "/srv/volumes/state", "Destination": "/var/lib/windflow-agent" },
            { "Type": "bind", "Source": "/opt/windflow", "Destination": "/etc/windflow" },
            { "Type": "bind", "Source": "/", "Destination": "/host" },
        ] }),
        target if target.contains("/containers/laden/") => {
            let mounts = json!([{ "Type": "volume", "Name": "trap", "Destination": "/h" }]);
            json!({ "Id": ID, "Config": { "User": "" }, "HostConfig": {}, "Mounts": mounts })
        }
        target if target.contains("/containers/") && target.ends_with("/json") => {
            let privileged = target.contains("/containers/mighty/");
            json!({ "Id": ID, "Config": { "Env": ["A=s3cret"], "User": "" }, "HostConfig": { "Privileged": privileged } })
        }
        target if target.contains("/images/") && target.ends_with("/json") => json!({ "RepoTags": ["busybox:latest"] }),
        target if target.contains("/networks/") => {
            json!({ "Driver": if target.contains("card") { "macvlan" } else { "bridge" } })
        }
        target if target.contains("/volumes/data") || target.contains("/volumes/state") => {
            json!({ "Driver": "local", "Options": null })
        }
        target if target.contains("/volumes/trap") => json!({ "Driver": "local", "Options": { "device": "/etc" } }),
        target if target.ends_with("/exec") => json!({ "Id": ID.replace('a', "c") }),
        _ => json!({ "fine": true }),
    };
    let status = if target.ends_with("/exec") { "201 Created" } else { "200 OK" };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\n{REFUSED_HEADER}: x");
    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok();
}

/// Whether a request is there with all of its body.
fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
    if head.contains("transfer-encoding") { body.contains("0\r\n\r\n") } else { body.len() >= length }
}

#[tokio::test]
async fn a_redirect_of_the_engine_is_an_answer_and_is_not_followed() {
    let host = Host::new("version = 1\nprofile = \"operate\"").await;
    let answer = host.ask("POST", &format!("/v1.45/containers/{ID}/restart")).await;
    assert_eq!(answer.status, 301, "{answer:?}");
    assert!(!answer.head.contains("location"), "where it leads is nobody's business: {answer:?}");
    let heard = host.heard.lock().unwrap().clone();
    assert!(heard.last().unwrap().contains(&format!("/containers/{ID}/restart ")), "{heard:?}");
    assert_eq!(host.changes().len(), 1, "{heard:?}");
}

#[test]
fn c01_every_request_of_the_engines_api_has_its_rule_and_a_new_one_is_refused() {
    let lines = include_str!("tests/engine_api.txt").lines().filter(|line| !line.starts_with('#'));
    let mut known = 0;
    for line in lines {
        let [method, path, rule] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let method: Method = method.parse().unwrap();
        let segments: Vec<&str> = path[1..].split('/').collect();
        let found = routes::find(&method, &segments);
        assert_eq!(found.as_ref().map_or("-", |found| found.route.class.rule()), rule, "{line}");
        known += 1;
        for (profile, permitted) in [
            ("monitor", ["look", "logs"].as_slice()),
            ("operate", &["look", "logs", "operate", "prune"]),
            ("deploy-safe", &["look", "logs", "operate", "prune", "deploy", "attach", "volumes", "networks"]),
        ] {
            let policy = policy_of(&format!("version = 1\nprofile = \"{profile}\""));
            let permits = found.as_ref().is_ok_and(|found| policy.permits(found.route.class));
            assert_eq!(permits, permitted.contains(&rule), "{profile}: {line}");
        }
    }
    assert!(known > 100, "{known}");
}

#[tokio::test]
async fn c01_what_is_refused_never_reaches_the_engine_and_says_by_which_rule() {
    let host = Host::new("version = 1\nprofile = \"monitor\"").await;
    for line in include_str!("tests/engine_api.txt").lines().filter(|line| !line.starts_with('#')) {
        let [method, path, rule] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if matches!(rule, "look" | "logs") || matches!(method, "CONNECT" | "HEAD") {
            continue;
        }
        for version in ["", "/v1.41", "/v1.45"] {
            let answer = host.ask(method, &format!("{version}{path}")).await;
            assert_eq!(answer.status, 403, "{line}: {answer:?}");
            assert!(rule == "-" || answer.rule() == rule, "{line}: {answer:?}");
            assert!(answer.head.contains(&format!("{REFUSED_HEADER}: {}", answer.rule())), "{answer:?}");
            let said = answer.body["message"].as_str().unwrap();
            assert!(said.starts_with("this host refuses this: rule ") && said.ends_with("(profile monitor)"), "{said}");
        }
    }
    assert_eq!(host.heard.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_hub_that_may_look_sees_everything_but_what_may_be_secret() {
    let host = Host::new("version = 1\nprofile = \"monitor\"").await;
    let told = host.ask("GET", "/v1.41/containers/web/json").await;
    assert_eq!((told.status, &told.body["Config"]["Env"]), (200, &json!(["A=***"])));
    let listed = host.ask("GET", "/containers/json?all=1").await;
    assert_eq!(listed.body[0]["Labels"]["auth"], "***");
    assert!(!listed.head.contains("set-cookie") && !listed.head.contains(REFUSED_HEADER), "{listed:?}");
    assert_eq!(host.ask("GET", "/events").await.rule(), "events.raw");
    assert_eq!(host.ask("GET", "/containers/web/top?ps_args=-o%20args").await.rule(), "query.key");
    let open = Host::new("version = 1\nprofile = \"operate\"").await;
    assert_eq!(open.ask("GET", "/containers/web/json").await.body["Config"]["Env"], json!(["A=s3cret"]));
}

#[tokio::test]
async fn what_passes_is_written_anew_with_the_id_in_the_place_of_the_name() {
    let host = Host::new("version = 1\nprofile = \"operate\"").await;
    let head = "POST /v1.45/containers/web/stop?t=5 HTTP/1.1\r\nHost: evil\r\nX-Registry-Auth: a\r\nCookie: b\r\n\
                X-HTTP-Method-Override: DELETE\r\nContent-Length: 4\r\nContent-Type: application/json\r\n\r\nnull";
    assert_eq!(host.send(head).await.status, 200);
    assert_eq!(host.changes(), [format!("POST /v1.41/containers/{ID}/stop?t=5 HTTP/1.1\r\nhost: docker\r\n\r\n")]);
    assert_eq!(host.ask("POST", "/containers/absent/stop").await.status, 404);
    assert_eq!(host.ask("POST", "/containers/create").await.rule(), "deploy");
    assert_eq!(host.changes().len(), 1);
}

#[tokio::test]
async fn a_plain_container_is_made_from_what_was_checked() {
    let host = Host::deploy_safe("").await;
    let host_config = json!({ "Binds": ["data:/data"], "NetworkMode": "front", "Privileged": false });
    let body = json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": host_config });
    let made = host.post("/v1.41/containers/create?name=web", &body).await;
    assert_eq!(made.status, 200, "{made:?}");
    let [sent] = &host.changes()[..] else { panic!("one was made") };
    assert!(sent.starts_with("POST /v1.41/containers/create?name=web HTTP/1.1\r\n"), "{sent}");
    let sent: Value = serde_json::from_str(sent.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&sent["Image"], &sent["HostConfig"]["Binds"]), (&json!("busybox"), &json!(["data:/data"])));
    assert_eq!(sent["Cmd"], json!(["true"]));
}

#[tokio::test]
async fn c02_what_is_dangerous_is_refused_wherever_it_stands() {
    let host = Host::deploy_safe("exec.enabled = true\nfiles.write = true").await;
    let create = |host_config: Value| json!({ "Image": "busybox", "HostConfig": host_config });
    for (target, body, rule) in [
        ("/containers/create", create(json!({ "Privileged": true })), "container.privileged"),
        ("/containers/web/update", json!({ "Privileged": true }), "container.privileged"),
        ("/containers/web/exec", json!({ "Privileged": true }), "exec.privileged"),
        ("/containers/mighty/exec", json!({ "Cmd": ["id"] }), "target.privileged"),
        ("/containers/create", create(json!({ "Binds": ["trap:/x"] })), "mount.volume_driver"),
        ("/containers/laden/exec", json!({ "Cmd": ["id"] }), "target.mounts"),
        (
            "/networks/create",
            json!({ "Name": "a", "IPAM": { "Config": [{ "Subnet": "8.8.8.0/24" }] } }),
            "network.subnet",
        ),
        ("/containers/create", create(json!({ "NetworkMode": "card" })), "network.driver"),
        ("/networks/card/connect", json!({ "Container": "web" }), "network.driver"),
        ("/volumes/create", json!({ "DriverOpts": { "device": "/etc" } }), "volume.driver"),
        ("/networks/create", json!({ "Name": "a", "Driver": "macvlan" }), "network.driver"),
        ("/services/create", json!({}), "swarm"),
        ("/services/a/update", json!({}), "swarm"),
        ("/exec/abab/start", json!({ "Detach": true }), "exec.foreign"),
    ] {
        let answer = host.post(target, &body).await;
        assert_eq!((answer.status, answer.rule()), (403, rule), "{target} {body}");
    }
    assert_eq!(host.ask("POST", "/containers/mighty/attach?stream=1").await.rule(), "target.privileged");
    assert_eq!(host.ask("PUT", "/containers/mighty/archive?path=/").await.rule(), "target.privileged");
    assert_eq!(host.ask("PUT", "/containers/laden/archive?path=/").await.rule(), "target.mounts");
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn c27_an_archive_goes_into_a_container_as_it_is_and_never_packed() {
    let host = Host::deploy_safe("files.write = true").await;
    let put = |body: &str| {
        let length = body.len();
        let head = "PUT /containers/web/archive?path=/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-tar";
        format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let packed = host.send(&put("BZh91AY&SY and more")).await;
    assert_eq!((packed.status, packed.rule()), (415, "body.type"));
    assert_eq!(host.changes(), Vec::<String>::new());
    for plain in ["", "a", "app/config.txt and what is in it"] {
        assert_eq!(host.send(&put(plain)).await.status, 200, "{plain}");
        let sent = host.changes().pop().unwrap();
        assert_eq!(sent.split_once("\r\n\r\n").unwrap().1, plain, "{sent}");
    }
}

#[tokio::test]
async fn what_a_container_said_is_a_log_also_where_it_is_attached_to() {
    let quiet = Host::deploy_safe("logs.enabled = false").await;
    assert_eq!(quiet.ask("POST", "/containers/web/attach?logs=1&stdout=1").await.rule(), "logs");
    assert_eq!(quiet.ask("POST", "/containers/web/attach?logs=TRUE&stdout=1").await.rule(), "logs");
    assert_eq!(quiet.ask("GET", "/containers/web/logs?stdout=1").await.rule(), "logs");
    assert_eq!(quiet.ask("POST", "/containers/web/attach?logs=0&stdout=1").await.status, 200);
}

#[tokio::test]
async fn c02_what_the_agent_keeps_is_mounted_by_nobody_wherever_it_runs() {
    let create = |bind: &str| json!({ "Image": "busybox", "HostConfig": { "Binds": [bind] } });
    let safe = Host::in_a_container("version = 1\nprofile = \"deploy-safe\"").await;
    assert_eq!(safe.post("/containers/create", &create("state:/x")).await.rule(), "rail.own_places");
    assert_eq!(safe.post("/containers/create", &create("data:/x")).await.status, 200);
    let full = Host::in_a_container("version = 1\nprofile = \"full\"").await;
    for own in ["state", "/srv/volumes/state/a", "/opt/windflow", "/opt/x/../windflow", "/nowhere/../run/docker.sock"] {
        assert_eq!(
            full.post("/containers/create", &create(&format!("{own}:/x"))).await.rule(),
            "rail.own_places",
            "{own}"
        );
    }
    assert_eq!(full.post("/containers/create", &create("/srv/data:/x")).await.status, 200);
}

#[tokio::test]
async fn c03_a_body_that_can_be_read_in_two_ways_is_refused() {
    let host = Host::deploy_safe("").await;
    for body in [
        r#"{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}"#,
        r#"{"Image":"a","HostConfig":{"Privileged":false,"Privileged":true}}"#,
        r#"{"Image":"a"} {"Image":"b"}"#,
        "\u{feff}{\"Image\":\"a\"}",
        "",
        "not json",
    ] {
        assert_eq!(host.post_text("/containers/create", body).await.rule(), "body.json", "{body}");
    }
    for body in [
        r#"{"Image":"a","hostconfig":{"Privileged":true}}"#,
        r#"{"Image":"a","Ho\u017ftConfig":{"Privileged":true}}"#,
        r#"{"Image":"a","HostConfig":{"Privileged":false,"privileged":true}}"#,
        r#"{"Image":"a","HostConfig":{"Privileged":"true"}}"#,
        r#"[]"#,
    ] {
        assert_eq!(host.post_text("/containers/create", body).await.rule(), "body.field", "{body}");
    }
    let escaped = r#"{"Image":"a","\u0048ostConfig":{"Privileged":true}}"#;
    assert_eq!(host.post_text("/containers/create", escaped).await.rule(), "container.privileged");
    for kind in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "text/plain",
        "application/json; charset=utf-8",
    ] {
        let head = format!("POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 13");
        let answer = host.send(&format!("{head}\r\n\r\n{{\"Image\":\"a\"}}")).await;
        assert_eq!((answer.status, answer.rule()), (415, "body.type"), "{kind}");
    }
    assert_eq!(host.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn c41_the_engine_fetches_images_that_the_file_covers_and_nothing_else() {
    let host = Host::deploy_safe("images.allow = [\"docker.io/library/*\"]").await;
    for target in [
        "/images/create?fromSrc=http%3A%2F%2Fx%2Fa.tar&repo=a",
        "/images/create?fromImage=busybox&tag=1&changes=USER%20root",
        "/images/create?fromSrc=-&fromImage=busybox",
    ] {
        assert_eq!(host.ask("POST", target).await.rule(), "image.fetch", "{target}");
    }
    assert_eq!(host.ask("POST", "/images/create?fromImage=evil.example%2Fa&tag=1").await.rule(), "image.allow");
    assert_eq!(host.ask("POST", "/images/create?fromImage=169.254.169.254%2Fa").await.rule(), "image.allow");
    assert_eq!(host.ask("POST", "/build?remote=http%3A%2F%2Fx").await.rule(), "build");
    assert_eq!(host.ask("POST", "/plugins/pull?remote=a").await.rule(), "plugins");
    assert_eq!(host.ask("GET", "/images/search?term=x").await.rule(), "route.unmapped");
    assert_eq!(host.changes(), Vec::<String>::new());
    assert_eq!(host.ask("POST", "/images/create?fromImage=busybox").await.status, 200);
    let sent = host.changes().remove(0);
    assert!(
        sent.starts_with("POST /v1.41/images/create?fromImage=docker.io%2Flibrary%2Fbusybox&tag=latest "),
        "{sent}"
    );
    let closed = Host::deploy_safe("").await;
    assert_eq!(closed.ask("POST", "/images/create?fromImage=busybox").await.rule(), "pull");
}

#[tokio::test]
async fn c48_a_body_beyond_the_limit_is_refused_whole_and_never_cut() {
    let host = Host::deploy_safe("limits.body_max = \"64k\"").await;
    let body = json!({ "Image": "a", "Env": ["x".repeat(70_000)], "HostConfig": { "Privileged": true } }).to_string();
    let told = host.post_text("/containers/create", &body).await;
    assert_eq!((told.status, told.rule()), (413, "body.size"));
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head =
        "POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
    let untold = host.send(&format!("{head}\r\n\r\n{chunked}")).await;
    assert_eq!((untold.status, untold.rule()), (413, "body.size"));
    assert_eq!(host.heard.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn c48_a_length_and_an_encoding_together_are_refused() {
    let host = Host::deploy_safe("").await;
    let (length, encoding) = ("Content-Length: 13", "Transfer-Encoding: chunked");
    for (one, other) in [(length, encoding), (encoding, length)] {
        let head = format!(
            "POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{one}\r\n{other}"
        );
        let answer = host.send(&format!("{head}\r\n\r\nd\r\n{{\"Image\":\"a\"}}\r\n0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.rule()), (400, "request.length"), "{one}, {other}");
    }
    assert_eq!(host.heard.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_program_goes_on_in_the_session_that_made_it_ready_and_in_no_other() {
    let host = Host::deploy_safe("exec.enabled = true").await;
    let made = host.post("/containers/web/exec", &json!({ "Cmd": ["id"] })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.body["Id"].as_str().unwrap().to_owned();
    let start = format!("/exec/{id}/start");
    assert_eq!(host.post(&start, &json!({ "Detach": true })).await.status, 200);
    let other = Host::deploy_safe("exec.enabled = true").await;
    assert_eq!(other.post(&start, &json!({ "Detach": true })).await.rule(), "exec.foreign");
}

#[tokio::test]
async fn a_full_policy_lets_through_what_no_other_knows_but_what_is_the_agents_own() {
    let host = Host::new("version = 1\nprofile = \"full\"").await;
    let body = json!({ "Image": "a", "HostConfig": { "Privileged": true, "Binds": ["/srv:/srv"] } });
    assert_eq!(host.post("/containers/create", &body).await.status, 200);
    assert_eq!(host.ask("GET", "/v1.41/services").await.status, 200);
    for (method, target, rule) in [
        ("GET", "/plugins", "plugins"),
        ("POST", "/v1.41/plugins/pull", "plugins"),
        ("GET", "/swarm/unlockkey", "rail.unlock_key"),
        ("GET", "/v01.45/plugins", "path.version"),
        ("GET", "/%70lugins", "path.form"),
        ("GET", "//plugins", "path.form"),
        ("POST", "/containers/%63reate", "path.form"),
    ] {
        assert_eq!(host.ask(method, target).await.rule(), rule, "{target}");
    }
}
