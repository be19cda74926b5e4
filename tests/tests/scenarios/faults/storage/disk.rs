//! A full disk under the hub's database.

use std::time::Duration;

use windflow_tests::product::{Agent, AgentOptions, Answer, Hub, HubOptions};
use windflow_tests::wait;

use crate::scenarios::SOON;
use crate::scenarios::worlds::{NAME, NO_ENGINE};

const SIGN_IN: &str = r#"{"name":"ada","password":"seventeen quiet herons"}"#;

fn hub_on_a_small_disk() -> Hub {
    let hub = Hub::start_with(HubOptions { disk: Some(64), ..HubOptions::default() });
    let ballast = hub.data_folder().join("ballast");
    wait::until_true("the ballast", SOON, || ballast.exists());
    hub
}

fn write(hub: &Hub) -> Answer {
    hub.request("POST", "/api/v1/enrollment-tokens", r#"{"name":"t"}"#)
}

/// Fills the disk and writes until the hub says so.
fn fill(hub: &Hub) {
    hub.disk().fill();
    wait::until_true("a write to fail for lack of room", SOON, || write(hub).status == 507);
}

#[test]
fn f27_on_a_full_disk_the_hub_reads_lets_people_in_keeps_its_agents_and_recovers_by_itself() {
    let hub = hub_on_a_small_disk();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let ballast = hub.data_folder().join("ballast");
    fill(&hub);
    let refused = write(&hub);
    assert_eq!((refused.status, refused.code().as_str()), (507, "disk_full"), "{refused:?}");
    assert!(refused.retry_after.is_some(), "{refused:?}");
    assert!(!ballast.exists(), "the ballast is given up");
    let ready = hub.request_with("GET", "/readyz", &[]);
    assert_eq!(ready.status, 503);
    assert_eq!(ready.component("disk")["status"], "degraded");
    assert!(hub.request("GET", "/api/v1/storage", "").body.contains(r#""disk_full":true"#));

    assert_eq!(hub.state_of(NAME), "online", "the agent stays connected");
    assert_eq!(hub.request("GET", "/api/v1/audit", "").status, 200, "reading works");
    assert_eq!(hub.request("POST", "/api/v1/session", SIGN_IN).status, 200, "signing in works");
    agent.kill();
    hub.wait_for_state(NAME, "offline", SOON);
    agent.run();
    hub.wait_for_state(NAME, "online", Duration::from_secs(30));

    hub.disk().make_room();
    wait::until_true("writing to work again", SOON, || write(&hub).status == 201);
    assert!(ballast.exists(), "the ballast is made again");
    assert_eq!(hub.request_with("GET", "/readyz", &[]).status, 200);
}

#[test]
fn f27_with_the_ballast_used_up_too_an_agent_still_comes_back_and_a_restarted_hub_starts() {
    let mut hub = hub_on_a_small_disk();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    fill(&hub);
    hub.disk().fill();
    wait::until_true("even signing in to fail for lack of room", SOON, || {
        hub.request("POST", "/api/v1/session", SIGN_IN).status == 507
    });
    agent.kill();
    hub.wait_for_state(NAME, "offline", SOON);
    agent.run();
    hub.wait_for_state(NAME, "online", Duration::from_secs(30));

    hub.disk().make_room();
    wait::until_true("writing to work again", SOON, || write(&hub).status == 201);
    fill(&hub);
    hub.restart();
    hub.wait_for_state(NAME, "online", Duration::from_secs(60));
    assert_eq!(hub.request("GET", "/api/v1/audit", "").status, 200);
}
