//! The search for secrets at the end of each scenario finds them, wherever they
//! stand, and does not tell them.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::secrets;

use super::super::worlds::{NAME, NO_ENGINE};

/// What the end of something says where a secret is found.
fn end_of<T>(of: T) -> String {
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(of))).expect_err("a secret was planted");
    *panicked.downcast::<String>().expect("it says where")
}

fn append(file: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn c43_a_secret_in_what_a_hub_leaves_fails_its_scenario() {
    let hub = Hub::start();
    let logged = secrets::fresh("what is logged");
    let kept = secrets::fresh("what is kept");
    append(&hub.log_file(), &format!("{{\"message\":\"sign in as {logged}\"}}\n"));
    append(&hub.data_folder().join("kept.backup"), &format!("x{kept}y"));
    append(&hub.log_file(), &format!("and with {}\n", hub.api_token()));
    let token = hub.api_token().split('_').nth(2).unwrap().to_owned();

    let said = end_of(hub);
    for found in [
        "what is logged, as it is, stands in the hub's log",
        "what is kept, as it is, stands in kept.backup of the hub's data folder",
        "something that looks like a token stands in the hub's log",
        "a token wfa1_… that windflow-hub api-token has, as it is, stands in the hub's log",
    ] {
        assert!(said.contains(found), "{found}: {said}");
    }
    for secret in [logged, kept, token] {
        assert!(!said.contains(&secret), "it is not told: {said}");
    }
}

#[test]
fn c43_a_secret_in_a_row_of_the_database_fails_its_scenario() {
    let hub = Hub::start();
    let name = secrets::fresh("what stands in a row");
    let made = hub.request("POST", "/api/v1/teams", &serde_json::json!({ "name": name }).to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let said = end_of(hub);
    assert!(said.contains("what stands in a row, as it is, stands in windflow.db"), "{said}");
}

#[test]
fn c43_a_secret_in_an_error_or_in_what_an_agent_leaves_fails_its_scenario() {
    let hub = Hub::start();
    let agent = Agent::enrolled(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let stored = secrets::fresh("what an agent stores");
    append(&agent.state_folder().join("notes"), &stored);
    let said = end_of(agent);
    assert!(said.contains("what an agent stores, as it is, stands in notes of the agent's state"), "{said}");

    let taken = secrets::fresh("the name of a user");
    let add = || {
        let body = serde_json::json!({ "name": taken, "role": "viewer", "password": "five cheerful herons" });
        hub.request("POST", "/api/v1/users", &body.to_string())
    };
    assert_eq!(add().status, 201);
    let said = catch_unwind(AssertUnwindSafe(add)).map(|answer| answer.body);
    let told = said.map_err(|panic| panic.downcast::<String>().map(|said| *said).unwrap_or_default());
    match told {
        Err(said) => assert!(said.contains("the name of a user, as it is, stands in the answer 409"), "{said}"),
        Ok(body) => assert!(!body.contains(&taken), "the answer does not say the name"),
    }
    // The name of a user is no secret: it stands where it should.
    drop(end_of(hub));
}
