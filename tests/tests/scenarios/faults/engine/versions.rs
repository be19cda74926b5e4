//! An engine that becomes another while its agent runs.

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::wait;

use super::super::super::worlds::{NAME, edge};
use super::RECOVERY;

fn changes_under_a_running_agent(from: EngineVersion, to: EngineVersion) {
    let mut world = edge(from, "auto");
    let session = world.hub.connected_at(NAME);
    let id = world.hub.environment(NAME).unwrap().id;
    for version in [to, from] {
        world.engine.replace_with(version);
        world.engine.import_busybox();
        wait::until_true("the new version in the list", RECOVERY, || {
            world
                .hub
                .environment(NAME)
                .and_then(|site| site.engine_version)
                .is_some_and(|shown| shown.starts_with(version.prefix()))
        });
        let name = format!("on-{}", version.prefix());
        let run = ["run", "--detach", "--name", &name, "--stop-signal", "KILL", BUSYBOX, "sleep", "600"];
        world.docker.run(run).succeeded();
        assert_eq!(world.docker.run(["exec", &name, "echo", "spoken"]).succeeded(), "spoken");
        let list = format!("/api/v1/environments/{id}/containers?search={name}&state=running");
        let container = wait::until("the container to be told as running", RECOVERY, || {
            world.hub.read(&list)["items"][0]["id"].as_str().map(str::to_owned)
        });
        let restart = format!("/api/v1/environments/{id}/containers/{container}/restart");
        assert_eq!(world.hub.request("POST", &restart, "").status, 204);
    }
    assert_eq!(world.hub.connected_at(NAME), session);
}

#[test]
fn f38_an_engine_that_goes_from_20_10_to_26_1_and_back_is_spoken_to_without_a_new_session() {
    changes_under_a_running_agent(EngineVersion::V20_10, EngineVersion::V26_1);
}

#[test]
fn f38_an_engine_that_goes_from_26_1_to_20_10_and_back_is_spoken_to_without_a_new_session() {
    changes_under_a_running_agent(EngineVersion::V26_1, EngineVersion::V20_10);
}
