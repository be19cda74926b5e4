//! What `make demo` promises to somebody who has just cloned the project.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use windflow_tests::engine::free_port;
use windflow_tests::places::{built, installed, workspace};
use windflow_tests::process::{Running, processes_that_mention, run, signal_process};
use windflow_tests::secrets::{self, Findings};

use crate::scenarios::SOON;

/// Everything is built already, so this is the time of the starts alone.
const UP: Duration = Duration::from_secs(120);
/// How long taking everything down may take: each of its four programs has five seconds, more on a busy machine.
const DOWN: Duration = Duration::from_secs(90);

#[test]
fn the_demo_prints_what_works_in_the_browser_and_with_docker_and_leaves_nothing_behind() {
    let demo = start_demo();
    demo.wait_for("Ctrl-C takes everything down again.", UP);
    let said = demo.stdout();

    let console = word_after(&said, "  console ");
    let setup_code = word_after(&said, "  setup code ");
    let seen = set_up_and_look(&console, &setup_code, &secrets::fresh("the password in the demo"));
    assert!(seen.contains(r#""role":"administrator""#), "{seen}");
    assert_eq!(seen.matches(r#""state":"online""#).count(), 2, "{seen}");
    docker_commands_work(&said);

    let socket = word_after(&said, "  export DOCKER_HOST=unix://");
    let folder = Path::new(&socket).parent().unwrap().to_owned();
    assert!(folder.exists());
    let mut findings = Findings::none();
    findings.look_into("the demo's folder", &folder, |file| file.ends_with("master.key"));
    findings.assert_none();
    signal_process(demo.id(), Signal::INT);
    demo.finish(DOWN).succeeded();
    assert!(!folder.exists());
    assert_eq!(processes_that_mention(&folder), Vec::<String>::new());
}

#[test]
fn the_demo_says_what_to_do_when_nothing_is_built() {
    let empty = tempfile::tempdir().unwrap();
    let said = run(Command::new(script()).env("CARGO_TARGET_DIR", empty.path()), SOON).failed();
    assert!(said.contains("windflow-hub is not there: run `make demo`, which builds it first"), "{said}");
}

fn start_demo() -> Running {
    let hub = built("windflow-hub");
    let (profile, target) = (hub.parent().unwrap(), hub.ancestors().nth(2).unwrap());
    let mut command = Command::new(script());
    command.env("WINDFLOW_DEMO_PORT", free_port().to_string());
    command.env("WINDFLOW_DEMO_PROFILE", profile.file_name().unwrap()).env("CARGO_TARGET_DIR", target);
    Running::start(&command)
}

fn script() -> PathBuf {
    workspace().join("tests/demo.sh")
}

/// Makes the administrator as the console does, and asks as them for the
/// environments: the two answers in one text. The cookie is curl's to carry.
fn set_up_and_look(console: &str, setup_code: &str, password: &str) -> String {
    let body = format!(r#"{{"code":"{setup_code}","name":"ada","password":"{password}"}}"#);
    let mut curl = Command::new(installed("curl"));
    let quietly = ["--insecure", "--silent", "--show-error", "--fail-with-body", "--cookie", ""];
    curl.args(quietly).args(["--header", "content-type: application/json", "--data", &body]);
    curl.arg(format!("{console}api/v1/setup"));
    curl.arg("--next").args(quietly).arg(format!("{console}api/v1/environments"));
    run(&mut curl, SOON).succeeded()
}

/// Gives the printed commands as they stand, on a terminal as a person would.
fn docker_commands_work(said: &str) {
    let printed = |line: &&str| ["  export DOCKER_HOST", "  docker "].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = said.lines().filter(printed).collect();
    assert_eq!(lines.len(), 3, "{said}");
    let mut shell = Running::start_on_terminal(Command::new("sh").args(["-e", "-c", &lines.join("\n")]));
    shell.wait_for("CONTAINER ID", SOON);
    shell.wait_for("#", SOON);
    shell.write(b"echo product $((6 * 7)); exit\n");
    shell.wait_for("product 42", SOON);
    shell.finish(SOON).succeeded();
}

fn word_after(said: &str, start: &str) -> String {
    let rest = said.lines().find_map(|line| line.strip_prefix(start)).and_then(|rest| rest.split_whitespace().next());
    rest.unwrap_or_else(|| panic!("the demo does not say {start:?}: {said}")).to_owned()
}
