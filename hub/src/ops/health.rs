//! Whether the hub lives, and whether all its parts do.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::http::{Access, Json, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Public, routes!(get_liveness)).add(Access::Public, routes!(get_readiness))
}

/// Whether all parts of the hub work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReadinessResponse {
    /// `ready` or `degraded`.
    status: &'static str,
    /// Each part.
    components: Vec<ComponentResponse>,
}

/// One part of the hub.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ComponentResponse {
    /// Which part.
    name: &'static str,
    /// `ready` or `degraded`.
    status: &'static str,
}

/// Says that the process answers requests, and nothing about its parts.
#[utoipa::path(get, path = "/healthz", tag = "ops", responses((status = 200, description = "The hub runs")))]
async fn get_liveness() -> &'static str {
    "ok\n"
}

/// Says whether the hub can do its work.
#[utoipa::path(get, path = "/readyz", tag = "ops", responses(
    (status = 200, description = "Every component is ready", body = ReadinessResponse),
    (status = 503, description = "A component is degraded", body = ReadinessResponse),
))]
async fn get_readiness(State(app): State<AppState>) -> Response {
    let database = app.db.ping().await;
    if let Err(error) = &database {
        tracing::warn!(%error, "the database does not answer");
    }
    let components = vec![component("database", database.is_ok())];
    let ready = components.iter().all(|component| component.status == READY);
    let (code, status) = if ready { (StatusCode::OK, READY) } else { (StatusCode::SERVICE_UNAVAILABLE, DEGRADED) };
    (code, Json(ReadinessResponse { status, components })).into_response()
}

const READY: &str = "ready";
const DEGRADED: &str = "degraded";

fn component(name: &'static str, ready: bool) -> ComponentResponse {
    ComponentResponse { name, status: if ready { READY } else { DEGRADED } }
}
