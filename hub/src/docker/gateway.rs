//! The raw gateway: any Docker client's request, body, trailers and upgrade,
//! passed to an engine and back as they are. Nothing is buffered, so a slow end
//! slows the other.

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use tokio_util::task::TaskTracker;
use windflow_protocol::transport::Priority;

use super::engines::{EngineError, Engines};
use crate::http::hop::Hop;
use crate::tunnel::Session;

/// Passes one request to the engine behind `session`, where `target` is the
/// path and query that the engine is to see. An upgrade goes on in `tracker`
/// until either end closes or the session ends.
///
/// # Errors
/// [`EngineError`] when no answer came.
pub async fn pass(
    engines: &Engines,
    session: &Session,
    tracker: &TaskTracker,
    target: PathAndQuery,
    mut request: Request<Body>,
) -> Result<Response, EngineError> {
    let hop = Hop::begin(&mut request);
    *request.uri_mut() = target.into();
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    let priority = if hop.wishes_upgrade() { Priority::Interactive } else { Priority::Normal };
    let mut answer = engines.send(session, priority, request).await?;
    if let Some(upgrades) = hop.finish(&mut answer) {
        tracker.spawn(upgrades.join());
    }
    Ok(answer.map(Body::new))
}
