//! The outermost layer of every request: its id, its log span, the headers of
//! every response, and the one form of every error.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use super::peer::LastingTls;
use crate::error::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Paths below which Docker clients call. They read errors from `message`.
const GATEWAY_MARK: &str = "/engine/";

/// Names one request in logs, audit rows and error bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the request an id and a log span, and the response its headers and,
/// if it is an error, its body.
pub async fn frame(mut request: Request, next: Next) -> Response {
    let id = RequestId(Uuid::now_v7().simple().to_string());
    request.extensions_mut().insert(id.clone());
    let context = Context::of(&request);
    let span = tracing::info_span!("request", request.id = %id, method = %request.method(), route = %context.route);
    let response = next.run(request).instrument(span.clone()).await;
    let _entered = span.entered();
    finish(response, &id, &context)
}

/// What the response depends on, taken before the request is given away.
struct Context {
    route: String,
    is_api: bool,
    is_gateway: bool,
    wants_hsts: bool,
}

impl Context {
    fn of(request: &Request) -> Self {
        let path = request.uri().path();
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
        let lasting = request.extensions().get::<LastingTls>().is_some();
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Self {
            route,
            is_api: path.starts_with("/api/"),
            is_gateway: path.contains(GATEWAY_MARK),
            // Strict transport security on "localhost" would break every other
            // plain server on this machine.
            wants_hsts: lasting && !host.starts_with("localhost"),
        }
    }
}

fn finish(mut response: Response, id: &RequestId, context: &Context) -> Response {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        log(&error);
        response = render(&error, id, context);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id.0).expect("a request id is hexadecimal"));
    set_default(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(headers, header::REFERRER_POLICY, "no-referrer");
    set_default(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set_default(headers, CROSS_ORIGIN_OPENER_POLICY, "same-origin");
    set_default(headers, CROSS_ORIGIN_RESOURCE_POLICY, "same-origin");
    if context.is_api {
        set_default(headers, header::CACHE_CONTROL, "no-store");
    }
    if context.wants_hsts {
        set_default(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

fn set_default(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

fn log(error: &ApiError) {
    let cause = error.cause.as_deref().map(|cause| format!("{cause:#}"));
    let cause = cause.as_deref().unwrap_or_default();
    let status = error.status.as_u16();
    if error.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(status, error.code, cause, "request failed");
    } else if error.status.is_server_error() {
        tracing::warn!(status, error.code, cause, "request could not be served");
    } else {
        tracing::debug!(status, error.code, cause, "request refused");
    }
}

fn render(error: &ApiError, id: &RequestId, context: &Context) -> Response {
    let mut body = json!({
        "error": {
            "code": error.code,
            "message": error.message,
            "request_id": id.0,
            "details": error.details,
        }
    });
    if context.is_gateway {
        body["message"] = json!(error.message);
    }
    let mut response = (error.status, Body::from(body.to_string())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    response
}
