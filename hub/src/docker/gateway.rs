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

/// What the engine's build endpoints are upgraded to.
const BUILD_PROTOCOL: &str = "h2c";

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
    let mut answer = engines.send(session, priority(&hop), request).await?;
    if let Some(upgrades) = hop.finish(&mut answer) {
        tracker.spawn(upgrades.join());
    }
    Ok(answer.map(Body::new))
}

/// An upgrade is a terminal that somebody types at, except for a build's: that
/// one is HTTP/2 and carries files.
fn priority(hop: &Hop) -> Priority {
    match hop.wished_protocol() {
        Some(protocol) if protocol != BUILD_PROTOCOL => Priority::Interactive,
        Some(_) | None => Priority::Normal,
    }
}
