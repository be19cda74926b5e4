//! The routes of measurements.

use axum::extract::State;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{History, Range};
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Json, Path, Permission, Query, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::MetricsView), routes!(get_environment_metrics))
        .add(Access::At(Permission::MetricsView), routes!(get_container_metrics))
}

/// Tells what an environment's host used over a time, also while it was
/// offline: its agent tells that when it is back.
#[utoipa::path(get, path = "/api/v1/environments/{id}/metrics", tag = "workloads",
    params(("id" = Uuid, Path), Range), responses(
    (status = 200, description = "What was measured; nothing where nothing was", body = History),
    (status = 400, description = "The end is before the beginning, or too far from it"),
    (status = 404, description = "There is no such environment"),
))]
async fn get_environment_metrics(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Query(range): Query<Range>,
) -> ApiResult<Json<History>> {
    Ok(Json(app.host_history(EnvironmentId(id), &range).await?))
}

/// Tells what a container used over a time. One that is gone is found by its
/// full id.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/metrics", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Range), responses(
    (status = 200, description = "What was measured; nothing where nothing was", body = History),
    (status = 400, description = "The end is before the beginning, or too far from it"),
    (status = 404, description = "There is no such environment or container"),
))]
async fn get_container_metrics(
    State(app): State<AppState>,
    Path((id, container)): Path<(Uuid, String)>,
    Query(range): Query<Range>,
) -> ApiResult<Json<History>> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    Ok(Json(app.container_history(EnvironmentId(id), &container, &range).await?))
}
