//! Files in real containers: those that run, those that do not, and those that
//! have nothing but one program.

use std::time::Duration;

use serde_json::{Value, json};
use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::process::run;
use windflow_tests::product::Answer;

use super::super::SOON;
use super::super::worlds::{Way, World, world};

/// How long a few dozen megabytes may take on a machine that does other things
/// too.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the hub may grow by while a large file goes through it, in bytes.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;

#[test]
fn files_are_browsed_written_read_moved_and_deleted_on_the_hubs_own_engine_20_10() {
    files_are_worked_with(&world(EngineVersion::V20_10, Way::Local));
}

#[test]
fn files_are_browsed_written_read_moved_and_deleted_through_an_agent_26_1() {
    files_are_worked_with(&world(EngineVersion::V26_1, Way::WebSocket));
}

#[test]
fn files_of_what_does_not_run_or_has_no_programs_are_reached_on_the_hubs_own_engine_26_1() {
    files_without_programs(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn files_of_what_does_not_run_or_has_no_programs_are_reached_through_an_agent_20_10() {
    files_without_programs(&world(EngineVersion::V20_10, Way::Quic));
}

#[test]
fn paths_that_play_tricks_lead_nowhere_on_the_hubs_own_engine() {
    tricks_lead_nowhere(&world(EngineVersion::V26_1, Way::Local));
}

#[test]
fn paths_that_play_tricks_lead_nowhere_through_an_agent() {
    tricks_lead_nowhere(&world(EngineVersion::V20_10, Way::WebSocket));
}

#[test]
fn a_large_file_goes_both_ways_and_is_never_held() {
    let world = world(EngineVersion::V26_1, Way::Quic);
    let place = Place::running(&world);
    world.engine.docker(["exec", "worker", "dd", "if=/dev/urandom", "of=/large", "bs=1M", "count=96"]).succeeded();
    let before = world.hub.resident_bytes();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let base = format!("{}{}", world.hub.url(), place.base);
    let bearer = format!("authorization: Bearer {}", world.hub.api_token());
    let curl = |arguments: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--insecure", "--header", &bearer]).args(arguments);
        run(&mut command, PATIENCE).succeeded()
    };
    let copied = copy.to_str().unwrap();
    curl(&["--output", copied, &format!("{base}/content?path=/large")]);
    curl(&["--upload-file", copied, &format!("{base}/content?path=/back/again")]);
    let sums = world.engine.docker(["exec", "worker", "sha256sum", "/large", "/back/again"]).succeeded();
    let sums: Vec<_> = sums.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(sums.len() == 2 && sums[0] == sums[1], "{sums:?}");
    let archive = folder.path().join("back.tar.gz");
    curl(&["--output", archive.to_str().unwrap(), &format!("{base}/content?path=/back&as=tar.gz")]);
    let mut list = std::process::Command::new("tar");
    let listed = run(list.args(["-tzf"]).arg(&archive), PATIENCE).succeeded();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["back/", "back/again"]);
    let grown = world.hub.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the hub grew by {grown} bytes");
    assert_eq!(place.outcomes("container.file_download"), ["done", "begun", "done", "begun"]);
}

fn files_are_worked_with(world: &World) {
    let place = Place::running(world);
    // A file in a folder that is made for it, then looked at by the container itself.
    assert_eq!(place.put("content?path=/srv/site/a%20b.txt", "hello\n").status, 204);
    assert_eq!(world.engine.docker(["exec", "worker", "cat", "/srv/site/a b.txt"]).succeeded(), "hello");
    let folder = place.list("/srv/site");
    assert_eq!((&folder["seen_by"], &folder["is_cut"]), (&json!("program"), &json!(false)));
    let entry = &folder["entries"][0];
    assert_eq!((&entry["name"], &entry["kind"], &entry["size"]), (&json!("a b.txt"), &json!("file"), &json!(6)));
    assert_eq!((&entry["mode"], &entry["owner"]), (&json!("0644"), &json!(0)));
    assert_eq!(place.get("content?path=/srv/site/a%20b.txt").body, "hello\n");
    assert_eq!(place.put("content?path=/srv/site/a%20b.txt", "other").code(), "file_exists");
    assert_eq!(place.put("content?path=/srv/site/a%20b.txt&replace=true", "other").status, 204);
    assert_eq!(place.put("content?path=/srv/site&replace=true", "other").code(), "not_a_file");

    // A text, which keeps its owner and permissions, and what somebody else wrote.
    world.engine.docker(["exec", "worker", "chown", "70:7", "/srv/site/a b.txt"]).succeeded();
    world.engine.docker(["exec", "worker", "chmod", "4751", "/srv/site/a b.txt"]).succeeded();
    let read = place.read("text?path=/srv/site/a%20b.txt");
    assert_eq!((&read["text"], &read["entry"]["mode"]), (&json!("other"), &json!("4751")));
    let version = read["version"].as_str().unwrap();
    let written = place.put(&format!("text?path=/srv/site/a%20b.txt&version={version}"), "grün\n");
    assert_eq!(written.status, 200, "{}", written.body);
    let stat = world.engine.docker(["exec", "worker", "stat", "-c", "%a %u %g %s", "/srv/site/a b.txt"]).succeeded();
    assert_eq!(stat, "4751 70 7 6");
    let late = place.put(&format!("text?path=/srv/site/a%20b.txt&version={version}"), "late");
    assert_eq!(late.code(), "file_changed");
    assert_eq!(place.put("text?path=/srv/site/new", "").status, 200);
    assert_eq!(place.put("text?path=/srv/site/new", "").code(), "file_exists");
    assert_eq!(place.get("text?path=/bin/busybox").code(), "file_too_large");

    // Folders, other names, other permissions, and the end.
    assert_eq!(place.post("folders", json!({ "path": "/srv/one/two" })).status, 201);
    assert_eq!(place.post("folders", json!({ "path": "/srv/one/two" })).code(), "file_exists");
    let renamed = place.post("rename", json!({ "path": "/srv/site/new", "to": "/srv/one/two/-rf" }));
    assert_eq!(renamed.status, 204, "{}", renamed.body);
    assert_eq!(place.post("rename", json!({ "path": "/srv/one", "to": "/srv/site" })).code(), "file_exists");
    let gone = place.post("rename", json!({ "path": "/srv/none", "to": "/srv/some" }));
    assert_eq!((gone.status, gone.code().as_str()), (404, "no_such_file"), "{}", gone.body);
    assert_eq!(place.post("permissions", json!({ "path": "/srv/one/two/-rf", "mode": "0600" })).status, 204);
    assert_eq!(place.list("/srv/one/two")["entries"][0]["mode"], "0600");
    assert_eq!(place.delete("/srv/one").status, 204);
    assert_eq!(place.delete("/srv/one").code(), "no_such_file");
    assert_eq!(place.names("/srv"), ["site"]);
    assert_eq!(place.delete("/").code(), "file_is_root");
    assert_eq!(place.outcomes("container.file_delete"), ["failed", "begun", "failed", "begun", "done", "begun"]);
    assert!(place.names("/").contains(&"proc".to_owned()) && !place.names("/proc").is_empty());
    let only_in_memory = place.get("text?path=/proc/self/status");
    assert_eq!((only_in_memory.status, only_in_memory.code().as_str()), (404, "no_such_file"));
}

fn files_without_programs(world: &World) {
    world.engine.import_without_shell("bare:latest");
    for (name, image) in [("bare", "bare:latest"), ("stopped", BUSYBOX)] {
        let command: &[&str] = if name == "bare" { &["/busybox", "sleep", "600"] } else { &["sleep", "600"] };
        let mut create = world.engine.docker_command();
        create.args(["create", "--name", name, "--network", "none", "--volume", "/data", image]).args(command);
        run(&mut create, SOON).succeeded();
    }
    world.engine.docker(["start", "bare"]).succeeded();
    for (name, refused) in [("bare", "needs_program"), ("stopped", "needs_running")] {
        let place = Place::of(world, name);
        assert_eq!(place.put("content?path=/data/in/one.txt", "one").status, 204, "in a volume of {name}");
        assert_eq!(place.put("text?path=/conf", "a = 1\n").status, 200);
        let top = place.list("/");
        assert_eq!((&top["seen_by"], &top["is_cut"]), (&json!("archive"), &json!(false)), "{name}");
        let names = place.names("/");
        assert!(names.contains(&"conf".to_owned()) && names.contains(&"data".to_owned()), "{names:?}");
        assert_eq!(place.names("/data"), ["in"]);
        assert_eq!(place.get("content?path=/data/in/one.txt").body, "one");
        let text = place.read("text?path=/conf");
        let version = text["version"].as_str().unwrap();
        assert_eq!(place.put(&format!("text?path=/conf&version={version}"), "a = 2\n").status, 200);
        assert_eq!(place.get("content?path=/conf").body, "a = 2\n");
        assert_eq!(place.post("folders", json!({ "path": "/data/more" })).status, 201);
        for path in ["/conf", "/data/in"] {
            let changed = place.post("permissions", json!({ "path": path, "mode": "0750" }));
            assert_eq!(changed.status, 204, "{}", changed.body);
            assert_eq!(place.read(&format!("entry?path={path}"))["mode"], "0750");
        }
        assert_eq!(place.get("content?path=/conf").body, "a = 2\n");
        assert_eq!(place.names("/data/in"), ["one.txt"]);
        let kept = [place.delete("/conf"), place.post("rename", json!({ "path": "/conf", "to": "/conf2" }))];
        for answer in kept {
            assert_eq!((answer.status, answer.code().as_str()), (409, refused), "{name}: {}", answer.body);
        }
        assert_eq!(place.get("entry?path=/none").code(), "no_such_file");
        assert_eq!(place.get("?path=/none").code(), "no_such_file");
        assert_eq!(place.get("?path=/conf").code(), "not_a_folder");
    }
}

fn tricks_lead_nowhere(world: &World) {
    let place = Place::running(world);
    for path in ["", "etc", "..", "/..", "/etc/..%2f..", "/etc/%2e%2e/x", "/a%00b", "//etc", "%2f%2fetc", "/etc/"] {
        for call in ["", "entry", "content", "text"] {
            let answer = place.get(&format!("{call}?path={path}"));
            assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_query"), "{call} {path:?}");
        }
        assert_eq!(place.put(&format!("content?path={path}"), "x").status, 400);
        assert_eq!(
            place
                .post("folders", json!({ "path": path.replace("%2f", "/").replace("%2e", ".").replace("%00", "\0") }))
                .status,
            422
        );
    }
    // An escape of an escape is a name as any other, and `%2f` a slash as any other.
    assert_eq!(place.put("content?path=%2ftmp%2f%252f..%252fx", "odd").status, 204);
    assert_eq!(place.names("/tmp"), ["%2f..%2fx"]);

    // A link is shown, told of, and never followed by itself.
    std::fs::write(world.engine.folder().join("outside"), "of the host").unwrap();
    let outside = world.engine.folder().join("outside");
    let outside = outside.to_str().unwrap();
    let up = format!("/../../../../..{outside}");
    for (target, link) in [(outside, "/tmp/out"), (up.as_str(), "/tmp/up"), ("/etc", "/tmp/etc"), ("/bin", "/tmp/bin")]
    {
        world.engine.docker(["exec", "worker", "ln", "-s", target, link]).succeeded();
    }
    for link in ["/tmp/out", "/tmp/up", "/tmp/etc"] {
        assert_eq!(place.read(&format!("entry?path={link}"))["kind"], "link");
        for call in ["text", "content"] {
            assert_eq!(place.get(&format!("{call}?path={link}")).code(), "file_is_link", "{call} {link}");
        }
        assert_eq!(place.get(&format!("?path={link}")).code(), "file_is_link");
        assert_eq!(place.put(&format!("content?path={link}&replace=true"), "x").code(), "file_is_link");
        let changed = place.post("permissions", json!({ "path": link, "mode": "0777" }));
        assert_eq!(changed.code(), "file_is_link", "{}", changed.body);
    }
    assert_eq!(place.read("entry?path=/tmp/etc")["target"], "/etc");
    // On the way to something it leads where it leads in the container.
    let through = place.put("content?path=/tmp/etc/made", "x");
    assert_eq!(through.status, 204, "{}", through.body);
    assert!(place.names("/etc").contains(&"made".to_owned()));
    assert_eq!(place.put(&format!("content?path=/tmp/up/{}", "made"), "x").status, 404);
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "of the host");
    assert_eq!(place.delete("/tmp/etc").status, 204);
    assert!(place.names("/etc").contains(&"passwd".to_owned()), "the link is gone, and not what it led to");

    let nowhere = format!("/api/v1/environments/{}/containers/worker/files?path=/", uuid::Uuid::nil());
    assert_eq!(world.hub.request("GET", &nowhere, "").status, 404);
    let unknown = format!("/api/v1/environments/{}/containers/nobody/files?path=/", place.environment);
    assert_eq!(world.hub.request("GET", &unknown, "").status, 404);
}

/// The files of one container.
struct Place<'a> {
    world: &'a World,
    environment: String,
    base: String,
    container: String,
}

impl<'a> Place<'a> {
    fn running(world: &'a World) -> Self {
        let mut command = world.docker.command();
        command.args(["run", "--detach", "--name", "worker", "--network", "none", BUSYBOX, "sleep", "600"]);
        run(&mut command, SOON).succeeded();
        Self::of(world, "worker")
    }

    fn of(world: &'a World, container: &str) -> Self {
        let environment = world.hub.environment(&world.name).unwrap().id;
        let base = format!("/api/v1/environments/{environment}/containers/{container}/files");
        Self { world, environment, base, container: container.to_owned() }
    }

    fn ask(&self, method: &str, what: &str, body: &str) -> Answer {
        let separator = if what.is_empty() || what.starts_with('?') { "" } else { "/" };
        self.world.hub.request(method, &format!("{}{separator}{what}", self.base), body)
    }

    fn get(&self, what: &str) -> Answer {
        self.ask("GET", what, "")
    }

    fn put(&self, what: &str, body: &str) -> Answer {
        self.ask("PUT", what, body)
    }

    fn post(&self, what: &str, body: Value) -> Answer {
        self.ask("POST", what, &body.to_string())
    }

    fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", &format!("?path={path}"), "")
    }

    fn read(&self, what: &str) -> Value {
        let answer = self.get(what);
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    fn list(&self, path: &str) -> Value {
        self.read(&format!("?path={path}"))
    }

    fn names(&self, path: &str) -> Vec<String> {
        let folder = self.list(path);
        let entries = folder["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    /// How what was done ended, the last first.
    fn outcomes(&self, action: &str) -> Vec<String> {
        let path = format!("/api/v1/audit?action={action}&target_id={}", self.container);
        let records = self.world.hub.read(&path);
        let items = records["items"].as_array().unwrap();
        items.iter().map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
    }
}
