//! The raw gateway: any Docker client's request, body, trailers and upgrade,
//! passed to an engine and back as they are. Nothing is buffered, so a slow end
//! slows the other.

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_util::task::TaskTracker;
use windflow_protocol::transport::Priority;

use super::engines::{EngineError, Engines};
use crate::tunnel::Session;

/// Buffer of an upgraded connection, per direction, in bytes.
const PIPE_BUFFER: usize = 64 * 1024;

/// Headers that concern one connection (RFC 9110 §7.6.1) and are set anew for
/// the next; `TE` and `Trailer` pass, since trailers do.
const PER_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::EXPECT,
];

/// Headers that are the hub's own business and never reach an engine.
const HUBS_OWN: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::REFERER,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-request-id"),
];

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
    let upgrade = upgrade_of(request.headers());
    let client_side = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let outbound = outbound(request, target, upgrade.as_ref());
    let priority = if upgrade.is_some() { Priority::Interactive } else { Priority::Normal };
    let mut answer = engines.send(session, priority, outbound).await?;

    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if let (true, Some(client_side)) = (switched, client_side) {
        let engine_side = hyper::upgrade::on(&mut answer);
        tracker.spawn(join(client_side, engine_side));
    }
    Ok(inbound(answer.map(Body::new), switched))
}

fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get(header::CONNECTION)?.to_str().ok()?;
    let asked = asks.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    asked.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

fn outbound(request: Request<Body>, target: PathAndQuery, upgrade: Option<&HeaderValue>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    strip_connection(&mut parts.headers);
    for name in &HUBS_OWN {
        parts.headers.remove(name);
    }
    parts.headers.insert(header::HOST, HeaderValue::from_static("docker"));
    if let Some(protocol) = upgrade {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(header::UPGRADE, protocol.clone());
    }
    let mut outbound = Request::new(body);
    *outbound.method_mut() = parts.method;
    *outbound.uri_mut() = target.into();
    *outbound.headers_mut() = parts.headers;
    outbound
}

fn inbound(mut answer: Response, switched: bool) -> Response {
    let protocol = answer.headers().get(header::UPGRADE).cloned();
    strip_connection(answer.headers_mut());
    if switched {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.headers_mut().extend(protocol.map(|protocol| (header::UPGRADE, protocol)));
    }
    for name in &ACT_ON_ORIGIN {
        answer.headers_mut().remove(name);
    }
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, AS_A_STRANGER);
    answer.extensions_mut().clear();
    answer
}

/// Removes what concerns one connection only, and what its `Connection` header
/// lists besides.
fn strip_connection(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != header::TE)
        .collect();
    for name in PER_CONNECTION.iter().chain(&listed) {
        headers.remove(name);
    }
}

async fn join(client_side: OnUpgrade, engine_side: OnUpgrade) {
    let (client, engine) = match tokio::try_join!(client_side, engine_side) {
        Ok(both) => both,
        Err(error) => return tracing::debug!(%error, "an upgrade was not carried through"),
    };
    if let Err(error) = pipe(client, engine).await {
        tracing::debug!(%error, "an upgraded connection was cut");
    }
}

async fn pipe(client: Upgraded, engine: Upgraded) -> std::io::Result<()> {
    let (mut client, mut engine) = (TokioIo::new(client), TokioIo::new(engine));
    tokio::io::copy_bidirectional_with_sizes(&mut client, &mut engine, PIPE_BUFFER, PIPE_BUFFER).await?;
    Ok(())
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
        let passed = inbound(answer.body(Body::from("<script>")).unwrap(), false);
        let mut names: Vec<&str> = passed.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["api-version", "content-security-policy", "content-type"]);
        assert_eq!(passed.headers()["content-security-policy"], AS_A_STRANGER);
    }

    #[test]
    fn no_credential_of_the_hub_reaches_an_engine() {
        let request = Request::get("/x")
            .header("connection", "keep-alive, X-Secret")
            .header("x-secret", "listed")
            .header("authorization", "Bearer wfa1_x")
            .header("cookie", "__Host-windflow=x")
            .header("x-registry-auth", "kept");
        let target = PathAndQuery::from_static("/containers/json");
        let passed = outbound(request.body(Body::empty()).unwrap(), target, None);
        let names: Vec<&str> = passed.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-registry-auth", "host"]);
    }
}
