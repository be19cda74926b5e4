//! The engine, as the gate asks it: each question on a connection of its own,
//! with a head that is written here.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::Engine;

/// How long the engine may take to tell what something is.
const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// Largest answer to such a question.
const ASKED_MAX: usize = 4 * 1024 * 1024;

/// A body on its way to the engine.
pub(super) type ToEngine = BoxBody<Bytes, hyper::Error>;

/// What is sent.
pub(super) struct Sending {
    pub(super) method: Method,
    /// Path and query, version included.
    pub(super) target: String,
    /// Beside those that every request has.
    pub(super) headers: HeaderMap,
    pub(super) body: ToEngine,
}

/// What the engine answered to a question.
pub(super) enum Asked {
    Told(Value),
    /// There is no such thing, in the engine's words.
    Nothing(Value),
}

pub(super) fn nothing() -> ToEngine {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(super) fn whole(bytes: Vec<u8>) -> ToEngine {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}

/// Sends a request; what carries the answer lives as long as the set.
pub(super) async fn send(engine: &Engine, sending: Sending) -> anyhow::Result<(Response<Incoming>, JoinSet<()>)> {
    let stream = engine.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the engine broke");
        }
    });
    let mut request = Request::builder().method(sending.method).uri(sending.target).body(sending.body)?;
    *request.headers_mut() = sending.headers;
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    Ok((sender.send_request(request).await?, carrier))
}

/// Asks what stands at `target`.
pub(super) async fn ask(engine: &Engine, target: String) -> anyhow::Result<Asked> {
    let asking = async {
        let sending = Sending { method: Method::GET, target, headers: HeaderMap::new(), body: nothing() };
        let (answer, _carrier) = send(engine, sending).await?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), ASKED_MAX).collect().await;
        let read = read.map_err(|error| anyhow::anyhow!("The engine's answer cannot be read: {error}"))?.to_bytes();
        match status {
            status if status.is_success() => Ok(Asked::Told(serde_json::from_slice(&read)?)),
            StatusCode::NOT_FOUND => Ok(Asked::Nothing(serde_json::from_slice(&read).unwrap_or_default())),
            other => anyhow::bail!("The engine answered {other}"),
        }
    };
    timeout(ASK_DEADLINE, asking).await?
}
