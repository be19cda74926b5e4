//! The ordinary `docker` command, pointed at the hub, works as if the engine
//! were local: on both engines, over every way to them.

mod tokens;

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, Registry};
use windflow_tests::process::run;
use windflow_tests::product::{Connection, DockerCli};

use super::SOON;
use super::worlds::{Way, World, world};

/// How long a small image may take to build.
const BUILD: Duration = Duration::from_secs(60);

/// Every test of this module on one combination of engine and way.
macro_rules! on {
    ($($name:ident: $version:ident, $way:ident;)*) => {$(
        mod $name {
            use super::*;

            fn here() -> World {
                world(EngineVersion::$version, Way::$way)
            }

            #[test]
            fn a_person_looks_runs_and_types() {
                lists_what_runs(&here());
            }

            #[test]
            fn output_input_and_exit_codes_pass() {
                let world = here();
                passes_exit_codes(&world.docker);
                passes_input_to_its_end(&world.docker);
                passes_a_large_output_unchanged(&world);
            }

            #[test]
            fn terminals_work() {
                let world = here();
                runs_on_a_terminal(&world);
                executes_on_a_terminal(&world.docker);
            }

            #[test]
            fn what_has_no_end_arrives_as_it_happens() {
                let world = here();
                follows_logs(&world);
                follows_events(&world);
                shows_statistics(&world);
            }

            #[test]
            fn files_and_images_pass_both_ways() {
                let world = here();
                copies_files(&world);
                saves_and_loads(&world);
                pushes_and_pulls(&world);
            }

            #[test]
            fn images_are_built_and_projects_composed() {
                let world = here();
                builds(&world);
                composes(&world);
            }

            #[test]
            fn programs_that_send_no_token_build_on_a_socket_of_this_machine() {
                let world = here();
                let connection = Connection::open(&world.hub, &world.name);
                builds_with_buildkit(&connection.docker);
                builds_and_composes(&connection.docker);
                passes_exit_codes(&connection.docker);
                passes_input_to_its_end(&connection.docker);
                executes_on_a_terminal(&connection.docker);
                ends_without_a_trace(connection);
            }
        }
    )*};
}

on! {
    local_20_10: V20_10, Local;
    local_26_1: V26_1, Local;
    tcp_20_10: V20_10, Tcp;
    tcp_26_1: V26_1, Tcp;
    websocket_20_10: V20_10, WebSocket;
    websocket_26_1: V26_1, WebSocket;
    quic_20_10: V20_10, Quic;
    quic_26_1: V26_1, Quic;
}

fn lists_what_runs(world: &World) {
    let id = world.docker.run(["run", "--detach", "--name", "seen", BUSYBOX, "sleep", "600"]).succeeded();
    let listed = world.docker.run(["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]).succeeded();
    assert_eq!(listed, format!("{id} seen"));
    let version = world.docker.run(["version", "--format", "{{.Server.Version}}"]).succeeded();
    assert!(version.starts_with(world.engine.version().prefix()), "{version}");
}

fn passes_exit_codes(docker: &DockerCli) {
    let output = docker.run(["run", "--rm", BUSYBOX, "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(output.status.code(), Some(3));
}

fn passes_input_to_its_end(docker: &DockerCli) {
    let input = "one line\n".repeat(20_000);
    let counted = docker.run_with_input(["run", "--rm", "-i", BUSYBOX, "wc", "-c"], input.as_bytes());
    assert_eq!(counted.succeeded(), input.len().to_string());
}

fn passes_a_large_output_unchanged(world: &World) {
    let script = "seq 1 400000 | tee /tmp/numbers; md5sum /tmp/numbers >&2";
    let output = world.docker.run(["run", "--rm", BUSYBOX, "sh", "-c", script]);
    let expected = (1..=400_000).map(|number| format!("{number}\n")).collect::<String>();
    assert!(output.stdout == expected, "{} of {} bytes", output.stdout.len(), expected.len());
    assert!(output.status.success());
}

fn runs_on_a_terminal(world: &World) {
    let mut shell = world.docker.start_on_terminal(["run", "--rm", "-it", BUSYBOX, "sh"]);
    shell.wait_for("#", SOON);
    shell.write(b"test -t 0 && echo product $((6 * 7))\n");
    shell.wait_for("product 42", SOON);
    shell.write(b"exit 5\n");
    assert_eq!(shell.finish(SOON).status.code(), Some(5));
}

fn executes_on_a_terminal(docker: &DockerCli) {
    docker.run(["run", "--detach", "--name", "host", BUSYBOX, "sleep", "600"]).succeeded();
    let mut shell = docker.start_on_terminal(["exec", "-it", "host", "sh"]);
    shell.wait_for("#", SOON);
    shell.write(b"hostname; echo product $((6 * 7))\n");
    shell.wait_for("product 42", SOON);
    shell.write(b"exit\n");
    assert!(shell.finish(SOON).status.success());
}

fn follows_logs(world: &World) {
    let script = "echo first; until test -e /tmp/go; do usleep 50000; done; echo last";
    world.docker.run(["run", "--detach", "--name", "logger", BUSYBOX, "sh", "-c", script]).succeeded();
    let logs = world.docker.start(["logs", "--follow", "logger"]);
    logs.wait_for("first", SOON);
    world.docker.run(["exec", "logger", "touch", "/tmp/go"]).succeeded();
    logs.wait_for("last", SOON);
    assert_eq!(logs.finish(SOON).succeeded(), "first\nlast");
}

fn follows_events(world: &World) {
    let events = world.docker.start(["events", "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"]);
    // The command says nothing until something happens, so things happen until
    // it has said so.
    let heard = || events.stdout().contains("happening");
    windflow_tests::wait::until_true("an event", Duration::from_secs(30), || {
        world.docker.run(["run", "--rm", "--name", "happening", BUSYBOX, "true"]).succeeded();
        heard()
    });
}

fn shows_statistics(world: &World) {
    world.docker.run(["run", "--detach", "--name", "measured", BUSYBOX, "sleep", "600"]).succeeded();
    let line = world.docker.run(["stats", "--no-stream", "--format", "{{.Name}}", "measured"]).succeeded();
    assert_eq!(line, "measured");
}

fn copies_files(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let content = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
    std::fs::write(&there, &content).unwrap();
    world.docker.run(["create", "--name", "box", BUSYBOX, "true"]).succeeded();
    world.docker.run(["cp", there.to_str().unwrap(), "box:/tmp/file"]).succeeded();
    world.docker.run(["cp", "box:/tmp/file", back.to_str().unwrap()]).succeeded();
    assert!(std::fs::read(&back).unwrap() == content, "the file came back changed");
}

fn saves_and_loads(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    world.docker.run(["tag", BUSYBOX, "windflow/copy:1"]).succeeded();
    world.docker.run(["save", "--output", archive.to_str().unwrap(), "windflow/copy:1"]).succeeded();
    world.docker.run(["image", "rm", "windflow/copy:1"]).succeeded();
    world.docker.run(["load", "--input", archive.to_str().unwrap()]).succeeded();
    world.docker.run(["image", "inspect", "windflow/copy:1"]).succeeded();
}

fn pushes_and_pulls(world: &World) {
    let registry = Registry::start(&world.engine);
    let name = registry.name_of("busybox:1");
    world.docker.run(["tag", BUSYBOX, &name]).succeeded();
    world.docker.run(["push", &name]).succeeded();
    world.docker.run(["image", "rm", &name]).succeeded();
    world.docker.run(["pull", &name]).succeeded();
    world.docker.run(["image", "inspect", &name]).succeeded();
}

/// With the engine's own builder: the other one, Buildx, sends none of the
/// headers that the command is configured with, and needs a socket.
fn builds(world: &World) {
    let folder = context("built through the hub\n");
    let context = folder.path().to_str().unwrap();
    let mut build = world.docker.command();
    build.env("DOCKER_BUILDKIT", "0").args(["build", "--network", "none", "--tag", "windflow/built", context]);
    run(&mut build, BUILD).succeeded();
    assert_eq!(world.docker.run(["run", "--rm", "windflow/built"]).succeeded(), "built through the hub");
}

fn composes(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "services:\n  page:\n    image: {BUSYBOX}\n    command: httpd -f -h /etc\n  reader:\n    image: {BUSYBOX}\n    \
         command: sh -c 'until wget -q -O - http://page/passwd; do usleep 100000; done; sleep 600'\n"
    );
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    world.docker.run(["compose", "--file", file, "--project-name", "pair", "up", "--detach"]).succeeded();
    windflow_tests::wait::until_true("one service to reach the other", SOON, || {
        let logs = world.docker.run(["compose", "--file", file, "--project-name", "pair", "logs", "reader"]);
        logs.succeeded().contains("root:x:0:0")
    });
    world.docker.run(["compose", "--file", file, "--project-name", "pair", "down", "--timeout", "1"]).succeeded();
    let left = world.docker.run(["ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=pair"]);
    assert_eq!(left.succeeded(), "");
}

/// A folder from which an image is built that prints `greeting`.
fn context(greeting: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("FROM {BUSYBOX}\nCOPY greeting /greeting\nRUN cat /greeting > /built\nCMD [\"cat\", \"/built\"]\n");
    std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
    std::fs::write(folder.path().join("greeting"), greeting).unwrap();
    folder
}

/// BuildKit upgrades `/session` and `/grpc` to HTTP/2 and calls back for the
/// files.
fn builds_with_buildkit(docker: &DockerCli) {
    let folder = context("built by Buildkit\n");
    let mut build = docker.command();
    build.env("DOCKER_BUILDKIT", "1").args(["build", "--network", "none", "--tag", "windflow/buildkit"]);
    run(build.arg(folder.path()), BUILD).succeeded();
    assert_eq!(docker.run(["run", "--rm", "windflow/buildkit"]).succeeded(), "built by Buildkit");
}

fn builds_and_composes(docker: &DockerCli) {
    let folder = context("built by Compose\n");
    let text = "services:\n  only:\n    image: windflow/composed\n    network_mode: none\n    build:\n      context: .\n      \
                network: none\n";
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, text).unwrap();
    let mut up = docker.command();
    up.args(["compose", "--project-name", "built", "--file"]).arg(&file).args(["up", "--build", "--no-color"]);
    let output = run(&mut up, BUILD).succeeded();
    assert!(output.contains("built by Compose"), "{output}");
    docker.run(["compose", "--project-name", "built", "--file", file.to_str().unwrap(), "down"]).succeeded();
}

fn ends_without_a_trace(connection: Connection) {
    let (output, folder) = connection.terminate();
    assert!(output.status.success(), "{}", output.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
