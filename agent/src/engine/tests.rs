//! What an engine is asked, and how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testing::FakeEngine;

/// An engine that answers what it is told to and nothing else, and remembers
/// what it was asked.
struct Scripted {
    engine: FakeEngine,
    answers: Arc<Mutex<HashMap<&'static str, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn new<const N: usize>(answers: [(&'static str, &str, &str); N]) -> Self {
        let scripted: Arc<Mutex<HashMap<&'static str, String>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, noted) = (Arc::clone(&scripted), Arc::clone(&asked));
        let engine = FakeEngine::new(move |mut stream| {
            let (known, noted) = (Arc::clone(&known), Arc::clone(&noted));
            async move {
                let mut request = [0; 4096];
                while let Some(read) = stream.read(&mut request).await.ok().filter(|read| *read > 0) {
                    let text = String::from_utf8_lossy(&request[..read]).into_owned();
                    let path = text.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
                    noted.lock().unwrap().push(path.clone());
                    let answer = known.lock().unwrap().get(path.as_str()).cloned();
                    // What is not answered is waited for in vain.
                    let Some(answer) = answer else { return std::future::pending().await };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        let scripted = Self { engine, answers: scripted, asked };
        for (path, headers, body) in answers {
            scripted.answers(path, headers, body);
        }
        scripted
    }

    fn answers(&self, path: &'static str, headers: &str, body: &str) {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
        self.answers.lock().unwrap().insert(path, answer);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const DOCKER: &str = "Server: Docker/26.1.5 (linux)\r\nApi-Version: 1.45\r\n";
const DOCKER_VERSION: &str = r#"{"Version":"26.1.5","ApiVersion":"1.45"}"#;
const PODMAN: &str = "Server: Libpod/4.3.1 (linux)\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\n";

#[tokio::test]
async fn an_engine_that_is_known_is_pinged_and_asked_for_more_only_when_it_is_another() {
    let info = ("/info", "", r#"{"ID":"one","Containers":0,"ContainersRunning":0}"#);
    let fake = Scripted::new([("/_ping", DOCKER, "OK"), ("/version", "", DOCKER_VERSION), info]);
    let engine = fake.engine.engine();
    let first = engine.ask().await;
    assert_eq!(fake.asked(), ["/_ping", "/version", "/info"]);
    assert_eq!(engine.ask().await, first);
    assert_eq!(fake.asked(), ["/_ping"]);

    fake.answers("/_ping", "Server: Docker/20.10.24 (linux)\r\nApi-Version: 1.41\r\n", "OK");
    fake.answers("/version", "", r#"{"Version":"20.10.24","ApiVersion":"1.41"}"#);
    let EngineStatus::Running(facts) = engine.ask().await else { panic!("it runs") };
    assert_eq!(facts.version, "20.10.24");
}

#[tokio::test]
async fn c47_where_an_engine_is_open_to_the_network_is_asked_with_all_else_and_told() {
    let open = r#"{"ID":"one","Warnings":["WARNING: API is accessible on http://0.0.0.0:2375 without encryption."]}"#;
    let fake = Scripted::new([("/_ping", DOCKER, "OK"), ("/version", "", DOCKER_VERSION), ("/info", "", open)]);
    let engine = fake.engine.engine();
    let mut exposed = engine.exposed();
    assert_eq!(*exposed.borrow_and_update(), [""; 0]);
    engine.ask().await;
    assert_eq!(*exposed.borrow_and_update(), ["http://0.0.0.0:2375"]);
    engine.ask().await;
    assert!(!exposed.has_changed().unwrap(), "a ping says nothing of it");

    fake.answers("/_ping", "Server: Docker/26.1.6 (linux)\r\nApi-Version: 1.45\r\n", "OK");
    fake.answers("/version", "", r#"{"Version":"26.1.6","ApiVersion":"1.45"}"#);
    fake.answers("/info", "", r#"{"ID":"one","Warnings":null}"#);
    engine.ask().await;
    assert_eq!(*exposed.borrow_and_update(), [""; 0]);
}

#[tokio::test]
async fn podman_is_never_asked_for_its_id_which_it_has_to_run_programs_for() {
    let version = r#"{"Version":"4.3.1","ApiVersion":"1.41"}"#;
    let fake = Scripted::new([("/_ping", PODMAN, "OK"), ("/version", "", version)]);
    let engine = fake.engine.engine();
    assert!(matches!(engine.ask().await, EngineStatus::Running(_)));
    assert_eq!(fake.asked(), ["/_ping", "/version"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_accepts_and_says_nothing_is_unresponsive_after_the_deadline() {
    let fake = Scripted::new([]);
    let begun = tokio::time::Instant::now();
    assert_eq!(fake.engine.engine().ask().await, EngineStatus::Unresponsive);
    assert_eq!(begun.elapsed().as_secs(), PROBE_DEADLINE.as_secs());
}
