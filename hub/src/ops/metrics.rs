//! Numbers about the hub itself, in the text form that Prometheus reads.

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use utoipa_axum::routes;

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Routes};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the buckets of request times, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// The hub's numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    resident_bytes: Gauge,
}

/// What requests are counted by. Each label has few values, whatever is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("windflow");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        let request_seconds = Histogram::new(BUCKETS);
        let help = "Time from the head of a request to the head of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, request_seconds.clone());
        let resident_bytes = Gauge::default();
        registry.register_with_unit("resident_memory", "Memory of the process", Unit::Bytes, resident_bytes.clone());
        let version = vec![("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        registry.register("build", "The running hub", prometheus_client::metrics::info::Info::new(version));
        Self { registry: Mutex::new(registry), requests, request_seconds, resident_bytes }
    }
}

impl Metrics {
    /// Where other parts register what they count. The lock is held while it is
    /// used, so it must not be kept.
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().expect("no code panics while it registers a number")
    }

    fn render(&self) -> Result<String, std::fmt::Error> {
        self.resident_bytes.set(resident_bytes());
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }
}

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::LoopbackOrSignedIn, routes!(get_metrics))
}

/// Counts and times every request.
pub async fn observe(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let labels = RequestLabels { method, route, status: response.status().as_u16() };
    app.metrics.requests.get_or_create(&labels).inc();
    app.metrics.request_seconds.observe(started.elapsed().as_secs_f64());
    response
}

/// Numbers about the hub, for Prometheus. Programs on the hub's machine need no
/// credential.
#[utoipa::path(get, path = "/metrics", tag = "ops",
    responses((status = 200, description = "The numbers in OpenMetrics text", content_type = "application/openmetrics-text", body = String)))]
async fn get_metrics(State(app): State<AppState>) -> ApiResult<Response> {
    let text = app.metrics.render().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// The resident set of this process; zero where the system does not tell.
fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * i64::try_from(rustix::param::page_size()).unwrap_or_default()
}
