//! What a host that is not enrolled gets from the hub, and what an
//! administrator gets to paste there.

use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::testing::{Client, TestHub};

const AGENT: &[u8] = b"the agent of this test";

async fn hub_with_an_agent() -> TestHub {
    let hub = TestHub::with_users().await;
    let folder = hub.agents.path().join("linux-x86_64");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("windflow-agent"), AGENT).unwrap();
    hub
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[tokio::test]
async fn everyone_gets_the_agent_with_its_digest_and_length() {
    let hub = hub_with_an_agent().await;
    let answer = hub.get(&Client::browser(), "/download/agent/linux-x86_64").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, String::from_utf8_lossy(AGENT).as_ref());
    assert_eq!(answer.headers["content-length"], AGENT.len().to_string());
    assert_eq!(answer.headers["etag"], format!("\"{}\"", hex(AGENT)));
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let known = hub.get(&Client::browser().with("if-none-match", &tag), "/download/agent/linux-x86_64").await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_a_404_that_says_what_to_do() {
    let hub = hub_with_an_agent().await;
    let missing = hub.get(&Client::browser(), "/download/agent/linux-aarch64").await;
    assert_eq!((missing.status, missing.code()), (StatusCode::NOT_FOUND, "no_such_agent_binary"));
    assert!(missing.body["error"]["message"].as_str().unwrap().contains("--agent-dir"));
    for path in ["plan9-mips", "..%2f..%2fetc", "linux-x86_64%00"] {
        let answer = hub.get(&Client::browser(), &format!("/download/agent/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn the_script_knows_the_digest_of_the_agent_that_is_served_now() {
    let hub = hub_with_an_agent().await;
    let script = hub.get(&Client::browser(), "/install.sh").await;
    assert_eq!(script.status, StatusCode::OK);
    let text = script.body.as_str().unwrap();
    assert!(text.contains(&format!("linux-x86_64 {} {}", hex(AGENT), AGENT.len())));
    assert_eq!(script.headers["etag"], format!("\"{}\"", hex(text.as_bytes())));
    let tag = script.headers["etag"].to_str().unwrap().to_owned();
    let known = Client::browser().with("if-none-match", &tag);
    assert_eq!(hub.get(&known, "/install.sh").await.status, StatusCode::NOT_MODIFIED);
    std::fs::write(hub.agents.path().join("linux-x86_64/windflow-agent"), b"a newer one").unwrap();
    assert_eq!(hub.get(&known, "/install.sh").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_new_token_comes_with_the_command_for_the_script_that_is_served() {
    let hub = hub_with_an_agent().await;
    let script = hub.get(&Client::browser(), "/install.sh").await;
    let digest = hex(script.body.as_str().unwrap().as_bytes());
    let new = || json!({ "name": "web" });
    let answer = hub.post(&Client::local(), "/api/v1/enrollment-tokens?hub_url=https://hub.example:1", new()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let command = answer.body["install_command"].as_str().unwrap();
    for part in ["https://hub.example:1/install.sh", &digest, answer.body["token"].as_str().unwrap()] {
        assert!(command.contains(part), "{part} is missing in {command}");
    }
    assert_eq!(answer.body["platforms"], json!(["linux-x86_64"]));
    let refused = hub.post(&Client::local(), "/api/v1/enrollment-tokens?hub_url=https://x/$(id)", new()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_hub_url"));
}
