//! Containers that are made, and made anew with something changed, on real
//! engines.

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion, free_port};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{Way, World, world};

#[test]
fn a_container_is_made_and_made_anew_on_the_hubs_own_engine_20_10() {
    a_container_is_made_and_replaced(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn a_container_is_made_and_made_anew_through_an_agent_26_1() {
    a_container_is_made_and_replaced(&world(EngineVersion::V26_1, Way::WebSocket));
}

#[test]
fn a_container_that_does_not_do_well_gives_its_place_back_on_the_hubs_own_engine_26_1() {
    a_container_gets_its_place_back(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn a_container_that_does_not_do_well_gives_its_place_back_through_an_agent_20_10() {
    a_container_gets_its_place_back(&world(EngineVersion::V20_10, Way::Quic));
}

#[test]
fn a_replacement_that_was_cut_off_is_ended_when_the_hub_is_back() {
    let mut world = world(EngineVersion::V26_1, Way::WebSocket);
    let run = |name: &str| {
        let options = ["run", "--detach", "--name", name, "--network", "none", BUSYBOX, "sleep", "600"];
        world.engine.docker(options).succeeded()
    };
    // As a hub leaves them that is killed before, and after, the new one runs.
    let (undone, done) = (run("undone"), run("done"));
    let create = |name: &str| world.engine.docker(["create", "--name", name, BUSYBOX, "sleep", "600"]).succeeded();
    let next = create(&format!("undone_windflow-next-{}", &undone[..12]));
    world.engine.docker(["rename", "undone", &format!("undone_windflow-previous-r-{}", &next[..12])]).succeeded();
    world.engine.docker(["stop", "--time", "0", &undone]).succeeded();
    let left = create(&format!("idle_windflow-next-{}", &"ab".repeat(6)));
    world.engine.docker(["stop", "--time", "0", &done]).succeeded();
    world.engine.docker(["rename", "done", "moving"]).succeeded();
    let successor = run("done");
    world.engine.docker(["rename", "moving", &format!("done_windflow-previous-r-{}", &successor[..12])]).succeeded();

    world.hub.restart();
    wait::until_true("what was left to be ended", SOON, || {
        let names = world.engine.docker(["ps", "--all", "--format", "{{.Names}}"]).succeeded();
        !names.contains("windflow")
    });
    let state = |id: &str| world.engine.docker(["inspect", "--format", "{{.Name}} {{.State.Status}}", id]);
    assert_eq!(state(&undone).succeeded(), "/undone running");
    assert_eq!(state(&successor).succeeded(), "/done running");
    for gone in [&next, &left, &done] {
        assert!(!state(gone).status.success(), "{gone}");
    }
}

fn a_container_is_made_and_replaced(world: &World) {
    let place = Place::of(world);
    for network in ["front", "back"] {
        let subnet = if network == "front" { "172.31.77.0/24" } else { "172.31.78.0/24" };
        world.engine.docker(["network", "create", "--subnet", subnet, network]).succeeded();
    }
    let port = free_port();
    let made = place.succeeds("POST", "", &json!({ "spec": everything(port) }));
    let id = made["container_id"].as_str().unwrap();
    let before = place.inspect(id);
    assert_eq!(before["State"]["Running"], true, "{before}");
    assert_eq!(before["NetworkSettings"]["Networks"]["front"]["IPAddress"], "172.31.77.9");
    assert!(before["NetworkSettings"]["Networks"]["back"].is_object());
    world.engine.docker(["exec", "shop", "sh", "-c", "echo kept > /own/file"]).succeeded();

    place.knows(id);
    let wanted = json!({ "name": "shop", "ports": [{ "host_port": port, "container_port": 80 }] });
    let conflicts = place.post("/check", &wanted);
    let fields: Vec<_> = { conflicts["conflicts"].as_array().unwrap().iter() }.map(|one| &one["field"]).collect();
    assert_eq!(fields, ["name", "ports[0]"], "{conflicts}");

    let shown = world.hub.read(&format!("{}/shop/spec", place.base));
    assert_eq!(shown["spec"]["env"], json!({ "GREETING": "hello", "DB_PASSWORD": "********" }));
    let env = json!({ "GREETING": "good day", "DB_PASSWORD": "********" });
    let done = place.succeeds("PUT", "/shop", &json!({ "changes": { "env": env } }));
    let after = place.inspect(done["container_id"].as_str().unwrap());
    assert_ne!(after["Id"], before["Id"]);
    same_but_for_its_greeting(before, after);
    assert_eq!(world.engine.docker(["exec", "shop", "cat", "/own/file"]).succeeded(), "kept");
    assert_eq!(place.names(), ["shop"]);

    let changed = place.post("/shop/update", &json!({ "memory": 48 << 20, "restart": { "when": "always" } }));
    assert!(changed["warnings"].is_array(), "{changed}");
    let told = place.inspect("shop");
    assert_eq!((&told["HostConfig"]["Memory"], &told["Id"]), (&json!(48 << 20), &done["container_id"]));
}

/// Field by field, what nobody touched is as before.
fn same_but_for_its_greeting(mut before: Value, mut after: Value) {
    let env = |told: &Value| {
        let mut env: Vec<_> = told["Config"]["Env"].as_array().unwrap().iter().map(Value::to_string).collect();
        env.sort();
        env
    };
    let expected: Vec<_> =
        env(&before).iter().map(|line| line.replace("GREETING=hello", "GREETING=good day")).collect();
    assert_eq!(env(&after), expected);
    let volume = |told: &Value| {
        let mounts = told["Mounts"].as_array().unwrap();
        mounts.iter().find(|mount| mount["Destination"] == "/own").unwrap()["Name"].clone()
    };
    assert_eq!(volume(&before), volume(&after));
    for told in [&mut before, &mut after] {
        for derived in ["Env", "Hostname", "Volumes"] {
            told["Config"].as_object_mut().unwrap().remove(derived);
        }
        // Its nameless volume is named there from now on.
        told["HostConfig"].as_object_mut().unwrap().remove("Mounts");
    }
    for field in ["Config", "HostConfig", "Name", "Image", "Path", "Args"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    for network in ["front", "back"] {
        let asked = |told: &Value| told["NetworkSettings"]["Networks"][network]["IPAMConfig"].clone();
        assert_eq!(asked(&before), asked(&after), "{network}");
        let aliases = after["NetworkSettings"]["Networks"][network].to_string();
        assert!(!aliases.contains("_windflow"), "{aliases}");
    }
}

fn a_container_gets_its_place_back(world: &World) {
    let place = Place::of(world);
    let engine = &world.engine;
    let id =
        engine.docker(["run", "--detach", "--name", "web", "--volume", "/own", BUSYBOX, "sleep", "600"]).succeeded();
    for (changes, code) in [
        (json!({ "command": ["sh", "-c", "exit 3"] }), "not_well"),
        (json!({ "command": ["/no/such/program"] }), "engine_refused"),
        (json!({ "image": "nobody/has:this", "pull": "never" }), "image_missing"),
        (json!({ "health": { "test": ["CMD-SHELL", "exit 1"], "interval_ms": 200, "retries": 1 } }), "not_well"),
        (json!({ "networks": [{ "name": "nowhere" }] }), "not_found"),
    ] {
        let job = place.job("PUT", "/web", &json!({ "changes": changes }));
        assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!(code)), "{job}");
        let told = place.inspect("web");
        assert_eq!((&told["Id"], &told["State"]["Running"]), (&json!(id), &json!(true)), "{changes}");
        assert_eq!(place.names(), ["web"], "{changes}");
    }
    let volumes = world.engine.docker(["volume", "ls", "--quiet"]).succeeded();
    assert_eq!(volumes.lines().count(), 1, "{volumes}");

    let made = place.job("POST", "", &json!({ "spec": { "name": "lost", "image": BUSYBOX, "command": ["/none"] } }));
    assert_eq!(made["state"], "failed", "{made}");
    assert_eq!(place.names(), ["web"]);

    world.engine.docker(["run", "--detach", "--rm", "--name", "brief", BUSYBOX, "sleep", "600"]).succeeded();
    place.refuses("PUT", "/brief", &json!({ "changes": { "init": true } }), "auto_remove");
    world
        .engine
        .docker(["run", "--detach", "--name", "guest", "--network", "container:web", BUSYBOX, "sleep", "600"])
        .succeeded();
    place.refuses("PUT", "/web", &json!({ "changes": { "init": true } }), "network_shared");
    let done = place.succeeds("PUT", "/guest", &json!({ "changes": { "env": { "A": "1" } } }));
    assert_eq!(place.inspect("guest")["Id"], done["container_id"]);
    place.refuses("POST", "", &json!({ "spec": { "image": "Not An Image" } }), "invalid_spec");
    place.refuses(
        "POST",
        "",
        &json!({ "spec": { "image": "x", "env": { "A": "x".repeat(300 << 10) } } }),
        "invalid_spec",
    );
}

fn everything(port: u16) -> Value {
    json!({
        "name": "shop", "image": BUSYBOX, "command": ["sleep", "600"],
        "env": { "GREETING": "hello", "DB_PASSWORD": "hush-says-the-hermit" },
        "ports": [{ "host_ip": "127.0.0.1", "host_port": port, "container_port": 80 }],
        "mounts": [{ "kind": "volume", "target": "/own" }, { "kind": "volume", "source": "store", "target": "/store" },
            { "kind": "tmpfs", "target": "/scratch", "options": ["size=1m"] },
            { "kind": "bind", "source": "/etc", "target": "/host", "read_only": true }],
        "networks": [{ "name": "front", "aliases": ["www"], "ipv4": "172.31.77.9" }, { "name": "back" }],
        "restart": { "when": "unless-stopped" },
        "resources": { "cpus": 0.5, "memory": 64 << 20, "pids": 64, "ulimits": [{ "name": "nofile", "soft": 64, "hard": 128 }] },
        "cap_drop": ["NET_RAW"], "security_opt": ["no-new-privileges"], "init": true, "user": "0:0", "hostname": "counter",
        "health": { "test": ["CMD", "true"], "interval_ms": 500 }, "labels": { "tier": "front" },
        "dns": ["192.0.2.53"], "extra_hosts": ["db:192.0.2.7"],
        "log": { "driver": "json-file", "options": { "max-size": "1m" } }, "stop_signal": "SIGKILL", "stop_timeout": 3,
    })
}

/// The containers of a world's environment.
struct Place<'a> {
    world: &'a World,
    base: String,
}

impl<'a> Place<'a> {
    fn of(world: &'a World) -> Self {
        let environment = world.hub.environment(&world.name).unwrap().id;
        Self { world, base: format!("/api/v1/environments/{environment}/containers") }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.world.hub.request("POST", &format!("{}{path}", self.base), &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    fn refuses(&self, method: &str, path: &str, body: &Value, code: &str) {
        let answer = self.world.hub.request(method, &format!("{}{path}", self.base), &body.to_string());
        assert_eq!(answer.code(), code, "{}", answer.body);
    }

    /// The job, once it is over.
    fn job(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.world.hub.request(method, &format!("{}{path}", self.base), &body.to_string());
        assert_eq!(answer.status, 202, "{}", answer.body);
        let begun: Value = serde_json::from_str(&answer.body).unwrap();
        let path = format!("/api/v1/jobs/{}", begun["id"].as_str().unwrap());
        wait::until("the job to be over", SOON, || {
            let job = self.world.hub.read(&path);
            (!job["ended_at"].is_null()).then_some(job)
        })
    }

    fn succeeds(&self, method: &str, path: &str, body: &Value) -> Value {
        let job = self.job(method, path, body);
        assert_eq!(job["state"], "succeeded", "{job}");
        job["result"].clone()
    }

    fn inspect(&self, container: &str) -> Value {
        let told = self.world.engine.docker(["inspect", container]).succeeded();
        serde_json::from_str::<Value>(&told).unwrap()[0].take()
    }

    /// Waits until the inventory has it.
    fn knows(&self, id: &str) {
        wait::until_true("the inventory to have it with its port", SOON, || {
            let listed = self.world.hub.read(&format!("{}?search={id}", self.base));
            listed["items"][0]["name"] == "shop" && listed["items"][0]["ports"].to_string().contains("public")
        });
    }

    fn names(&self) -> Vec<String> {
        let names = self.world.engine.docker(["ps", "--all", "--format", "{{.Names}}"]).succeeded();
        names.lines().map(str::to_owned).collect()
    }
}
