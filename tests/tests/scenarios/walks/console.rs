//! A person at the console: the specs of `web/e2e` in a real Chromium, against
//! a real hub, engine and agent. What a spec wishes to happen outside the
//! browser is done here; what came of it is seen in the browser.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::network::Netns;
use windflow_tests::places::{installed, workspace};
use windflow_tests::process::Process;
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::wait;

/// How long the whole walk may take.
const WALK: Duration = Duration::from_secs(15 * 60);
/// The name the specs know the agent by.
const EDGE: &str = "attic";
/// What the specs may wish, in the order in which they do.
const WISHES: [&str; 4] = ["enroll", "start-container", "stop-agent", "start-agent"];

#[test]
fn a_person_walks_through_the_console() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.import_busybox();
    start_container(&engine, "web");
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let hub = Hub::start_untouched(HubOptions { listen, engine: engine.address(), ..HubOptions::default() });
    let mut agent = Agent::new(EDGE, AgentOptions::new(&hub, &engine.address()));

    let folder = results_folder();
    // A browser drops what it loads when its network changes, as other tests change this machine's.
    let desk = Netns::new();
    let playwright = playwright(&hub.url_at(desk.outside().into()), &hub.setup_code(), &folder);
    let mut walk = Process::start("the walk", &desk.wrap(&playwright), &folder.join("walk.log"));
    for wish in WISHES {
        let Some(content) = wait_for_wish(&mut walk, &folder, wish) else { break };
        match wish {
            "enroll" => {
                agent.enroll(&content).succeeded();
                agent.run();
            }
            "start-container" => start_container(&engine, "newcomer"),
            "stop-agent" => agent.kill(),
            "start-agent" => agent.run(),
            unknown => panic!("nobody knows how to {unknown}"),
        }
    }
    let status = walk.wait_for_end(WALK);
    assert!(status.success(), "{}", walk.log());
}

/// It ends at once when it is told to, so that stopping it takes no grace.
fn start_container(engine: &TestEngine, name: &str) {
    let script = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    engine.docker(["run", "--detach", "--name", name, BUSYBOX, "sh", "-c", script]).succeeded();
}

/// What the spec wrote with its wish; `None` when the walk ended before.
fn wait_for_wish(walk: &mut Process, folder: &Path, wish: &str) -> Option<String> {
    let file = folder.join(format!("wish-{wish}"));
    wait::until(&format!("the wish to {wish}"), WALK, || {
        let content = fs::read_to_string(&file).ok();
        if content.is_none() && walk.ended().is_none() { None } else { Some(content) }
    })
}

/// Screenshots and traces stay below `target` until the next walk.
fn results_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    let _none_the_first_time = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build folder is writable");
    folder
}

fn playwright(url: &str, setup_code: &str, folder: &Path) -> Command {
    let web = workspace().join("web");
    let runner = web.join("node_modules/@playwright/test/cli.js");
    assert!(runner.exists(), "{} is not there: run `make web` first", runner.display());
    let mut command = Command::new(installed("node"));
    command.arg(runner).arg("test").current_dir(web);
    command.env("WINDFLOW_URL", url).env("WINDFLOW_SETUP_CODE", setup_code);
    command.env("WINDFLOW_E2E_FOLDER", folder).env("CHROMIUM", installed("chromium"));
    command
}
