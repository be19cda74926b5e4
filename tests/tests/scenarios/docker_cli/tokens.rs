//! What an API token may do with a real engine that is limited, by what it is
//! for or to some environments; to `docker` as well.

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::product::{ADMINISTRATOR, Answer, DockerCli, Hub};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{Way, World, world};

#[test]
fn c36_a_token_does_what_it_is_for_where_it_is_for_it_on_the_hubs_own_engine_26_1() {
    tokens_are_limited(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn c36_a_token_does_what_it_is_for_where_it_is_for_it_through_an_agent_20_10() {
    tokens_are_limited(&world(EngineVersion::V20_10, Way::WebSocket));
}

/// One who asks with a token of their own.
struct Program<'a> {
    hub: &'a Hub,
    token: String,
}

impl<'a> Program<'a> {
    fn with<const N: usize>(hub: &'a Hub, limits: [&str; N]) -> Self {
        let mut create = hub.command();
        create.args(["api-token", "create", "--user", ADMINISTRATOR, "--print", "token"]).args(limits);
        let token = windflow_tests::process::run(&mut create, SOON).succeeded().trim().to_owned();
        Self { hub, token }
    }

    fn asks(&self, method: &str, path: &str) -> Answer {
        self.hub.request_with(method, path, &[("authorization", format!("Bearer {}", self.token))])
    }

    fn reads(&self, path: &str) -> Value {
        let answer = self.asks("GET", path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    }

    fn docker(&self, environment: &str) -> DockerCli {
        DockerCli::for_address(self.hub.address(), environment, &self.token)
    }
}

fn tokens_are_limited(world: &World) {
    let hub = &world.hub;
    let here = hub.environment(&world.name).expect("the environment").id;
    hub.cli(["environment", "add", "elsewhere", "--tcp", "tcp://127.0.0.1:1"]).succeeded();
    let elsewhere = hub.environment("elsewhere").expect("the other").id;
    world.docker.run(["run", "--detach", "--name", "worker", BUSYBOX, "sleep", "600"]).succeeded();
    let base = format!("/api/v1/environments/{here}");
    wait::until_true("the container", SOON, || hub.read(&format!("{base}/containers"))["total"] == 1);
    looks_only(&Program::with(hub, ["--scope", "read"]), world, &here);
    let placed = Program::with(hub, ["--environment", &world.name]);
    is_elsewhere_nowhere(&placed, &here, &elsewhere);
    let other = Program::with(hub, ["--environment", "elsewhere", "--scope", "read,operate,deploy"]);
    is_elsewhere_nowhere(&other, &elsewhere, &here);
    let refused = other.docker(&here).run(["ps"]);
    assert!(!refused.status.success() && refused.stderr.contains("no such environment"), "{refused:?}");
    let listed = placed.docker(&here).run(["ps", "--format", "{{.Names}}"]).succeeded();
    assert_eq!(listed.trim(), "worker");
    placed.docker(&here).run(["stop", "--time", "0", "worker"]).succeeded();

    // One without limits is as good as its owner.
    let all = Program::with(hub, []);
    assert_eq!(all.reads("/api/v1/environments")["total"], 2);
    all.docker(&here).run(["rm", "worker"]).succeeded();
}

/// Lists and inspects, and neither stops anything nor gets to the engine.
fn looks_only(program: &Program<'_>, world: &World, here: &str) {
    let base = format!("/api/v1/environments/{here}");
    assert_eq!(program.reads(&format!("{base}/containers"))["items"][0]["name"], "worker");
    let details = program.reads(&format!("{base}/containers/worker/inspect"));
    assert!(details.to_string().contains("worker"), "{details}");
    for (method, path) in [
        ("POST", format!("{base}/containers/worker/stop")),
        ("DELETE", format!("{base}/containers/worker?force=true")),
        ("GET", format!("{base}/containers/worker/files?path=/etc")),
        ("GET", format!("{base}/containers/worker/inspect?reveal=true")),
        ("GET", format!("{base}/engine/v1.41/containers/json")),
        ("POST", format!("{base}/engine/v1.41/containers/worker/stop")),
        ("GET", "/api/v1/users".to_owned()),
    ] {
        let answer = program.asks(method, &path);
        assert_eq!((answer.status, answer.code().as_str()), (403, "not_permitted"), "{method} {path}: {}", answer.body);
    }
    let docker = program.docker(here).run(["stop", "worker"]);
    assert!(!docker.status.success() && docker.stderr.contains("engine.raw"), "{docker:?}");
    let running = world.docker.run(["inspect", "--format", "{{.State.Running}}", "worker"]).succeeded();
    assert_eq!(running.trim(), "true");
}

/// What a token is not for does not exist for it: by id, in lists, to `docker`.
fn is_elsewhere_nowhere(program: &Program<'_>, its: &str, not_its: &str) {
    let base = format!("/api/v1/environments/{not_its}");
    for (method, path) in [
        ("GET", base.clone()),
        ("GET", format!("{base}/containers")),
        ("GET", format!("{base}/metrics")),
        ("GET", format!("{base}/containers/worker/logs")),
        ("POST", format!("{base}/containers/worker/stop")),
        ("GET", format!("{base}/engine/v1.41/containers/json")),
        ("POST", format!("{base}/engine/v1.41/containers/worker/stop")),
    ] {
        let answer = program.asks(method, &path);
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}: {}", answer.body);
    }
    let names = program.reads("/api/v1/environments");
    assert_eq!((&names["total"], &names["items"][0]["id"]), (&json!(1), &json!(its)), "{names}");
    for list in ["containers", "images", "activity"] {
        let items = program.reads(&format!("/api/v1/{list}"))["items"].clone();
        let foreign = items.as_array().expect("a list").iter().filter(|item| item["environment_id"] == not_its).count();
        assert_eq!(foreign, 0, "{list}: {items}");
    }
    assert_eq!(program.asks("GET", "/api/v1/audit").status, 403, "it is about the whole hub");
}
