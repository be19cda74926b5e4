//! Asks an engine how it is: `GET /version`, as any Docker client would; and how
//! many containers it has: `GET /info`.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use windflow_protocol::message::control::{ContainerCounts, EngineFacts, EngineStatus};
use windflow_protocol::text::sanitize;

use super::connect::{self, EngineStream};
use super::{CONNECT_DEADLINE, EngineAddress, PROBE_DEADLINE};

/// Largest answer of an engine to a probe, in bytes. `/info` of a busy engine
/// takes a few kilobytes.
const ANSWER_MAX: usize = 1024 * 1024;

/// How the engine is now. `before` saves the question for its id, which is
/// dear, where it is known already.
pub(super) async fn probe(address: &EngineAddress, before: &EngineStatus) -> EngineStatus {
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, connect::connect(address));
    let stream = match connecting.await {
        Ok(Ok(stream)) => stream,
        // A Unix socket says so when nobody takes from its queue any more.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return EngineStatus::Unresponsive,
        Ok(Err(error)) => {
            tracing::debug!(engine.address = %address, %error, "engine cannot be reached");
            return EngineStatus::Absent;
        }
        Err(_) => return EngineStatus::Unresponsive,
    };
    match tokio::time::timeout(PROBE_DEADLINE, ask(stream, before)).await {
        Ok(Ok(facts)) => EngineStatus::Running(facts),
        Ok(Err(error)) => {
            tracing::debug!(engine.address = %address, %error, "engine does not answer as an engine does");
            EngineStatus::Unresponsive
        }
        Err(_) => EngineStatus::Unresponsive,
    }
}

/// How many containers the engine has now.
pub(super) async fn count(address: &EngineAddress) -> anyhow::Result<ContainerCounts> {
    let stream = tokio::time::timeout(CONNECT_DEADLINE, connect::connect(address)).await??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async { get::<Census>(&mut sender, "/info").await };
    tokio::pin!(asking);
    let census = tokio::select! {
        biased;
        census = &mut asking => census,
        _ = connection => asking.await,
    }?;
    Ok(ContainerCounts { running: census.running, total: census.total })
}

async fn ask(stream: EngineStream, before: &EngineStatus) -> anyhow::Result<EngineFacts> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async {
        let version: Version = get(&mut sender, "/version").await?;
        let mut facts = version.into_facts();
        facts.id = match before {
            EngineStatus::Running(known) if known.version == facts.version => known.id.clone(),
            EngineStatus::Running(_) | EngineStatus::Unknown | EngineStatus::Absent | EngineStatus::Unresponsive => {
                // An engine may withhold its id and run all the same.
                get(&mut sender, "/info").await.map_or_else(|_| String::new(), |info: Info| sanitize(&info.id))
            }
        };
        Ok(facts)
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        facts = &mut asking => facts,
        // What had arrived before the connection ended can still be read.
        _ = connection => asking.await,
    }
}

async fn get<T: DeserializeOwned>(sender: &mut http1::SendRequest<Empty<Bytes>>, path: &str) -> anyhow::Result<T> {
    sender.ready().await?;
    let request = Request::get(path).header(http::header::HOST, "docker").body(Empty::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status().is_success(), "The engine answered {} to {path}", response.status());
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("Failed to read the engine's answer: {error}"))?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
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

#[derive(Deserialize)]
struct Info {
    #[serde(default, rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
struct Census {
    #[serde(rename = "ContainersRunning")]
    running: u32,
    #[serde(rename = "Containers")]
    total: u32,
}
