//! A person at the console: the specs of `web/e2e` in a real Chromium, against
//! a real hub, and a machine with an engine on which they paste what the console
//! shows. What a spec wishes to happen outside the browser is done here; what
//! came of it is seen in the browser.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::machine::{Init, Machine};
use windflow_tests::network::Netns;
use windflow_tests::places::{installed, workspace};
use windflow_tests::process::{self, Process};
use windflow_tests::product::{Hub, HubOptions};
use windflow_tests::wait;

/// How long the whole walk may take.
const WALK: Duration = Duration::from_secs(30 * 60);
/// How long a container may take to start.
const START: Duration = Duration::from_secs(60);
/// The name the specs know the machine by.
const EDGE: &str = "attic";
/// What the specs may wish, in the order in which they do.
const WISHES: [&str; 5] = ["install", "start-container", "stop-agent", "start-agent", "start-hostile"];
/// What would be done in a page that takes a text for more than a text.
const MARK: &str = "<img src=x onerror=alert(1)>";
/// What would be done by a page or a terminal that does what its content says:
/// another title, another clipboard (OSC 52), a link to a script (OSC 8).
const SAID: &str = r"<img src=x onerror=alert(1)>\n\033]0;taken\007\033]52;c;dGFrZW4=\007\033]8;;javascript:alert(1)\033\\press\033]8;;\033\\\n\033[31m<script>alert(1)</script>\033[0m\n\0342\0200\0256the wrong way round\nthe end of it\n";

#[test]
fn a_person_walks_through_the_console() {
    let engine = TestEngine::start(EngineVersion::V26_1);
    engine.import_busybox();
    for name in ["web", "worker"] {
        start_container(&engine, name);
    }
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let hub = Hub::start_untouched(HubOptions {
        listen,
        engine: engine.address(),
        environment: Vec::new(),
        ..HubOptions::default()
    });
    let machine = machine_with(&engine);

    let folder = results_folder();
    // A browser drops what it loads when its network changes, as other tests change this machine's.
    let desk = Netns::new();
    let playwright = playwright(&hub.url_at(desk.outside().into()), &hub.setup_code(), &folder);
    let mut walk = Process::start("the walk", &desk.wrap(&playwright), &folder.join("walk.log"));
    for wish in WISHES {
        let Some(content) = wait_for_wish(&mut walk, &folder, wish) else { break };
        let said = match wish {
            "install" => type_in(&machine, &content),
            "start-container" => start_container(&engine, "newcomer"),
            "start-hostile" => start_hostile(&engine),
            "stop-agent" => machine.shell("systemctl stop windflow-agent"),
            "start-agent" => machine.shell("systemctl start windflow-agent"),
            unknown => panic!("nobody knows how to {unknown}"),
        };
        fulfil(&folder, wish, &said);
    }
    let status = walk.wait_for_end(WALK);
    assert!(status.success(), "{}", walk.log());
    super::hear_browser(&folder);
}

/// A host as any other, but that it has this engine.
fn machine_with(engine: &TestEngine) -> Machine {
    let machine = Machine::boot(Init::Systemd);
    machine.shell(&format!("hostname {EDGE}"));
    machine.lend(&engine.socket(), "/run/docker.sock");
    machine
}

/// Runs what somebody pasted into the machine's shell. Returns all that was
/// printed.
fn type_in(machine: &Machine, command: &str) -> String {
    let output = machine.try_shell(command);
    let said = output.stdout.clone() + &output.stderr;
    assert!(output.status.success(), "{said}");
    said
}

/// It says something every second, and ends at once when it is told to, so that
/// stopping it takes no grace.
fn start_container(engine: &TestEngine, name: &str) -> String {
    let script = "trap 'exit 0' TERM; printf '\\033[32mlet us begin\\033[0m\\n'; n=0; while :; do n=$((n+1)); echo beat $n; \
                  sleep 1 & wait $!; done";
    engine.docker(["run", "--detach", "--name", name, BUSYBOX, "sh", "-c", script]).succeeded()
}

/// It would break out of the console wherever one of its texts is shown.
fn start_hostile(engine: &TestEngine) -> String {
    let mut run = engine.docker_command();
    run.args(["run", "--detach", "--name", "hostile", "--health-interval", "1s"]);
    run.args([
        "--health-cmd",
        r#"printf "%b" "$SAID""#,
        "--env",
        &format!("SAID={SAID}"),
        "--workdir",
        &format!("/in {MARK}"),
    ]);
    run.args(["--label", &format!("<b>label</b>={MARK}"), "--label", &format!("com.docker.compose.project={MARK}")]);
    let script = r#"printf "%b" "$SAID" | tee "/$MARK"; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"#;
    run.args(["--env", &format!("MARK={MARK}"), BUSYBOX, "sh", "-c", script]);
    process::run(&mut run, START).succeeded()
}

/// What the spec wrote with its wish; `None` when the walk ended before.
fn wait_for_wish(walk: &mut Process, folder: &Path, wish: &str) -> Option<String> {
    let file = folder.join(format!("wish-{wish}"));
    wait::until(&format!("the wish to {wish}"), WALK, || {
        let content = fs::read_to_string(&file).ok();
        if content.is_none() && walk.ended().is_none() { None } else { Some(content) }
    })
}

/// Lets the spec go on that waits for it.
fn fulfil(folder: &Path, wish: &str, said: &str) {
    let (file, half) = (folder.join(format!("said-{wish}")), folder.join(format!("said-{wish}.new")));
    fs::write(&half, said).and_then(|()| fs::rename(half, file)).expect("the build folder is writable");
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
