//! Whether the hub lives, and whether all its parts do.

use std::sync::Mutex;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::http::{Access, Json, Routes};

/// How a part of the hub does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Ready,
    /// It does not, or not fully.
    Degraded,
}

type Check = Box<dyn Fn() -> Condition + Send + Sync>;

/// The parts that say themselves how they do. The database is asked by the
/// hub.
#[derive(Default)]
pub struct Health {
    checks: Mutex<Vec<Part>>,
}

struct Part {
    name: &'static str,
    is_needed: bool,
    check: Check,
}

impl Health {
    /// Adds a part. `check` must not block.
    pub fn watch(&self, part: &'static str, check: impl Fn() -> Condition + Send + Sync + 'static) {
        self.checks().push(Part { name: part, is_needed: true, check: Box::new(check) });
    }

    /// Adds a part that the hub works without.
    pub fn watch_dispensable(&self, part: &'static str, check: impl Fn() -> Condition + Send + Sync + 'static) {
        self.checks().push(Part { name: part, is_needed: false, check: Box::new(check) });
    }

    fn report(&self) -> Vec<ComponentResponse> {
        let report =
            |part: &Part| ComponentResponse { name: part.name, status: (part.check)(), is_needed: part.is_needed };
        self.checks().iter().map(report).collect()
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, Vec<Part>> {
        self.checks.lock().expect("no check panics")
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("parts", &self.checks().len()).finish()
    }
}

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Public, routes!(get_liveness)).add(Access::Public, routes!(get_readiness))
}

/// Whether all parts of the hub work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReadinessResponse {
    /// `degraded` as soon as one part is without which the hub does not work.
    status: Condition,
    /// Each part.
    components: Vec<ComponentResponse>,
}

/// One part of the hub.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ComponentResponse {
    /// Which part.
    name: &'static str,
    /// How it does.
    status: Condition,
    /// Whether the hub does not work without it.
    #[serde(rename = "needed")]
    is_needed: bool,
}

/// Says that the process answers requests, and nothing about its parts.
#[utoipa::path(get, path = "/healthz", tag = "ops", responses((status = 200, description = "The hub runs")))]
async fn get_liveness() -> &'static str {
    "ok\n"
}

/// Says whether the hub can do its work.
#[utoipa::path(get, path = "/readyz", tag = "ops", responses(
    (status = 200, description = "Every component is ready", body = ReadinessResponse),
    (status = 503, description = "A component that is needed is degraded", body = ReadinessResponse),
))]
async fn get_readiness(State(app): State<AppState>) -> Response {
    let mut components =
        vec![ComponentResponse { name: "database", status: ask_database(&app).await, is_needed: true }];
    components.extend(ask_disk(&app));
    components.extend(app.health.report());
    let degraded = components.iter().any(|component| component.is_needed && component.status == Condition::Degraded);
    let (code, status) = match degraded {
        false => (StatusCode::OK, Condition::Ready),
        true => (StatusCode::SERVICE_UNAVAILABLE, Condition::Degraded),
    };
    (code, Json(ReadinessResponse { status, components })).into_response()
}

/// A PostgreSQL server's disk is not the hub's to watch.
fn ask_disk(app: &AppState) -> Option<ComponentResponse> {
    let guard = app.db.guard()?;
    let status = if guard.is_full() { Condition::Degraded } else { Condition::Ready };
    Some(ComponentResponse { name: "disk", status, is_needed: true })
}

async fn ask_database(app: &AppState) -> Condition {
    match app.db.ping().await {
        Ok(()) => Condition::Ready,
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            Condition::Degraded
        }
    }
}
