//! Asks an engine how it is, as any Docker client would: `GET /_ping` each time,
//! and `GET /version` where what answers is not known yet.
//!
//! Docker answers all of these at once. Podman runs other programs for its
//! `/version` and its `/info`, which takes seconds, and on a busy host half a
//! minute.

mod exposure;

use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, header};
use http_body_util::Empty;
use hyper::Request;
use serde::Deserialize;
use tokio::time::timeout;
use windflow_protocol::message::control::{EngineFacts, EngineStatus};
use windflow_protocol::text::sanitize;

use super::connect::{self, EngineStream};
use super::inquiry::{self, Sender, carried_by, get, read};
use super::{CONNECT_DEADLINE, EngineAddress, PROBE_DEADLINE};

/// Largest answer of an engine to a probe, in bytes. `/info` of a busy engine
/// takes a few kilobytes.
const ANSWER_MAX: usize = 1024 * 1024;
/// An engine that answered a ping must say what it is within this.
const FACTS_DEADLINE: Duration = Duration::from_secs(30);
/// Only Podman sends it.
const OF_PODMAN: &str = "libpod-api-version";

/// What a look at an engine found.
#[derive(Debug)]
pub(super) struct Found {
    /// How it is.
    pub(super) status: EngineStatus,
    /// Where it takes orders from whoever comes, over the network; none where it
    /// was not asked for that.
    pub(super) exposed: Option<Vec<String>>,
}

impl From<EngineStatus> for Found {
    fn from(status: EngineStatus) -> Self {
        Self { status, exposed: None }
    }
}

/// How the engine is now. `before` saves the questions that are dear, where their
/// answers are known already.
pub(super) async fn probe(address: &EngineAddress, before: &EngineStatus) -> Found {
    let connecting = timeout(CONNECT_DEADLINE, connect::connect(address));
    let stream = match connecting.await {
        Ok(Ok(stream)) => stream,
        // A Unix socket says so when nobody takes from its queue any more.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return EngineStatus::Unresponsive.into(),
        Ok(Err(error)) => {
            tracing::debug!(engine.address = %address, %error, "engine cannot be reached");
            return EngineStatus::Absent.into();
        }
        Err(_) => return EngineStatus::Unresponsive.into(),
    };
    match ask(stream, before).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(engine.address = %address, %error, "engine does not answer as an engine does");
            EngineStatus::Unresponsive.into()
        }
    }
}

async fn ask(stream: EngineStream, before: &EngineStatus) -> anyhow::Result<Found> {
    let (mut sender, connection) = inquiry::begin(stream).await?;
    let known = match before {
        EngineStatus::Running(known) => Some(known),
        EngineStatus::Unknown | EngineStatus::Absent | EngineStatus::Unresponsive => None,
    };
    carried_by(connection, async {
        let pinging = timeout(PROBE_DEADLINE, ping(&mut sender));
        let pong = pinging.await.context("The engine does not answer a ping in time")??;
        if let Some(known) = known.filter(|known| pong.is_of(known)) {
            return Ok(EngineStatus::Running(known.clone()).into());
        }
        let finding = timeout(FACTS_DEADLINE, find_facts(&mut sender, &pong, known));
        finding.await.context("The engine does not say what it is in time")?
    })
    .await
}

async fn find_facts(sender: &mut Sender, pong: &Pong, known: Option<&EngineFacts>) -> anyhow::Result<Found> {
    let version: Version = get(sender, "/version", ANSWER_MAX).await?;
    let mut facts = version.into_facts();
    let exposed = match known.filter(|known| known.version == facts.version) {
        Some(known) => {
            facts.id.clone_from(&known.id);
            None
        }
        // It makes up another id each time, and has no such warnings.
        None if pong.is_podman() => Some(Vec::new()),
        None => {
            // An engine may withhold this and run all the same.
            let info: Info = get(sender, "/info", ANSWER_MAX).await.unwrap_or_default();
            facts.id = sanitize(&info.id);
            Some(exposure::of(&info.warnings.unwrap_or_default()))
        }
    };
    Ok(Found { status: EngineStatus::Running(facts), exposed })
}

/// How an engine introduces itself on a ping.
struct Pong(HeaderMap);

impl Pong {
    fn is_podman(&self) -> bool {
        self.0.contains_key(OF_PODMAN)
    }

    /// Whether it is the engine that is known: `Docker/26.1.5 (linux)` and its
    /// API. An engine that keeps this to itself is never known.
    fn is_of(&self, known: &EngineFacts) -> bool {
        let server = self.text(header::SERVER.as_str()).and_then(|server| server.split(['/', ' ']).nth(1));
        server == Some(&known.version) && self.text("api-version") == Some(&known.api_version)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }
}

async fn ping(sender: &mut Sender) -> anyhow::Result<Pong> {
    sender.ready().await?;
    let request = Request::get("/_ping").header(header::HOST, "docker").body(Empty::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    read(body, ANSWER_MAX).await?;
    Ok(Pong(head.headers))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    arch: String,
}

impl Version {
    fn into_facts(self) -> EngineFacts {
        EngineFacts {
            version: sanitize(&self.version),
            api_version: sanitize(&self.api_version),
            min_api_version: sanitize(&self.min_api_version),
            id: String::new(),
            os: sanitize(&self.os),
            arch: sanitize(&self.arch),
        }
    }
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default, rename = "Warnings")]
    warnings: Option<Vec<String>>,
}
