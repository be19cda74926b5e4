//! Questions to an engine, one after the other on one connection.

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::connect::EngineStream;

/// Asks.
pub(super) type Sender = http1::SendRequest<Empty<Bytes>>;
/// Carries what is asked and answered, for as long as it is polled.
pub(super) type Carrier = http1::Connection<TokioIo<EngineStream>, Empty<Bytes>>;

/// A connection on which nothing has been asked.
pub(super) async fn begin(stream: EngineStream) -> anyhow::Result<(Sender, Carrier)> {
    Ok(http1::handshake(TokioIo::new(stream)).await?)
}

/// The answer to what is asked on a connection.
pub(super) async fn carried_by<T>(
    carrier: Carrier,
    asking: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // What had arrived before the connection ended can still be read.
        _ = carrier => asking.await,
    }
}

/// What stands at `path`, of at most that many bytes.
pub(super) async fn get<T: DeserializeOwned>(sender: &mut Sender, path: &str, most: usize) -> anyhow::Result<T> {
    sender.ready().await?;
    let request = Request::get(path).header(header::HOST, "docker").body(Empty::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status().is_success(), "The engine answered {} to {path}", response.status());
    Ok(serde_json::from_slice(&read(response.into_body(), most).await?)?)
}

/// A whole body of at most that many bytes.
pub(super) async fn read(body: Incoming, most: usize) -> anyhow::Result<Bytes> {
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("Failed to read the engine's answer: {error}"))?;
    Ok(body.to_bytes())
}
