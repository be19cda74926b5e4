//! The raw gateway: any Docker client's request, body, trailers and upgrade,
//! passed to an engine and back as they are. Nothing is buffered, so a slow end
//! slows the other.

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use tokio_util::task::TaskTracker;
use windflow_protocol::transport::Priority;

use super::engines::{EngineError, Engines};
use crate::http::Lease;
use crate::http::hop::Hop;
use crate::tunnel::Session;

/// What the engine's build endpoints are upgraded to.
const BUILD_PROTOCOL: &str = "h2c";

/// Headers with which an answer would act on the hub's own origin. A hostile
/// engine must not set a browser's cookies there, nor loosen its rules.
const ACT_ON_ORIGIN: [HeaderName; 15] = [
    header::SET_COOKIE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
    header::STRICT_TRANSPORT_SECURITY,
    header::X_CONTENT_TYPE_OPTIONS,
    header::REFERRER_POLICY,
    header::REFRESH,
    header::ALT_SVC,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("nel"),
];

/// What a browser may do with an answer: show it, in an origin of its own.
const AS_A_STRANGER: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// The way of one request.
#[derive(Debug)]
pub struct Passage<'a> {
    /// What sends it.
    pub engines: &'a Engines,
    /// The session of the engine it is for.
    pub session: &'a Session,
    /// The path and query that the engine is to see.
    pub target: PathAndQuery,
    /// How long the caller may stay.
    pub lease: Lease,
    /// Where an upgrade goes on until either end closes or the lease ends.
    pub tracker: &'a TaskTracker,
}

/// Passes one request to an engine.
///
/// # Errors
/// [`EngineError`] when no answer came.
pub async fn pass(passage: Passage<'_>, mut request: Request<Body>) -> Result<Response, EngineError> {
    let Passage { engines, session, target, lease, tracker } = passage;
    let hop = Hop::begin(&mut request);
    *request.uri_mut() = target.into();
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    let mut answer = engines.send(session, priority(&hop), request).await?;
    if let Some(upgrades) = hop.finish(&mut answer) {
        let lease = lease.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = upgrades.join() => {}
                () = lease.ended() => {}
            }
        });
    }
    estrange(answer.headers_mut());
    Ok(answer.map(|body| lease.limit(body)))
}

/// An upgrade is a terminal that somebody types at, except for a build's: that
/// one is HTTP/2 and carries files.
fn priority(hop: &Hop) -> Priority {
    match hop.wished_protocol() {
        Some(protocol) if protocol != BUILD_PROTOCOL => Priority::Interactive,
        Some(_) | None => Priority::Normal,
    }
}

/// Takes from an engine's answer what would act on the hub's own origin.
fn estrange(headers: &mut HeaderMap) {
    for name in &ACT_ON_ORIGIN {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, AS_A_STRANGER);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_answer_cannot_act_on_the_hubs_origin() {
        let answer = http::Response::builder()
            .header("set-cookie", "__Host-windflow=planted; Path=/; Secure")
            .header("content-security-policy", "script-src *")
            .header("access-control-allow-origin", "https://evil.example")
            .header("clear-site-data", "\"*\"")
            .header("content-type", "text/html")
            .header("api-version", "1.45");
        let mut answer = answer.body(()).unwrap();
        estrange(answer.headers_mut());
        let mut names: Vec<&str> = answer.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["api-version", "content-security-policy", "content-type"]);
        assert_eq!(answer.headers()["content-security-policy"], AS_A_STRANGER);
    }
}
