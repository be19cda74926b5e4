//! What `make demo` promises to somebody who has just cloned the project.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use windflow_tests::engine::free_port;
use windflow_tests::places;
use windflow_tests::process::{Running, processes_that_mention, run, signal_process};

use crate::scenarios::SOON;

/// Everything is built already, so this is the time of the starts alone.
const UP: Duration = Duration::from_secs(120);

#[test]
fn the_demo_prints_commands_that_work_and_leaves_nothing_behind() {
    let mut command = Command::new(places::workspace().join("tests/demo.sh"));
    command.env("WINDFLOW_DEMO_PORT", free_port().to_string());
    as_from_a_terminal(&mut command);
    let demo = Running::start(&command);
    demo.wait_for("Ctrl-C takes everything down again.", UP);
    let said = demo.stdout();
    let (configuration, host) = (exported(&said, "DOCKER_CONFIG"), exported(&said, "DOCKER_HOST"));
    assert!(said.contains("online"), "{said}");

    let mut docker = Command::new(places::newer_engine().join("bin/docker"));
    docker.env("DOCKER_CONFIG", &configuration).env("DOCKER_HOST", host).arg("ps");
    run(&mut docker, SOON).succeeded();

    let folder = Path::new(&configuration).parent().unwrap().to_owned();
    assert!(folder.exists());
    signal_process(demo.id(), Signal::INT);
    demo.finish(Duration::from_secs(30)).succeeded();
    assert!(!folder.exists());
    assert_eq!(processes_that_mention(&folder), Vec::<String>::new());
}

/// Takes what cargo tells its tests out of the environment: build scripts
/// watch some of it, and would make the demo compile everything once more.
fn as_from_a_terminal(command: &mut Command) {
    let of_cargo = |name: &str| name.starts_with("CARGO_") && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR";
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_cargo) {
            command.env_remove(name);
        }
    }
}

fn exported(said: &str, name: &str) -> String {
    let start = format!("export {name}=");
    let line = said.lines().find_map(|line| line.trim_start().strip_prefix(&start));
    line.unwrap_or_else(|| panic!("the demo does not say {start}: {said}")).to_owned()
}
