//! The routes of images.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::prune::{PruneOptions, PrunePreview, PruneRequest};
use super::pull::PullRequest;
use crate::app::AppState;
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, Path, Permission, Query, Routes};
use crate::jobs::Job;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::ImagesPull), routes!(pull_image))
        .add(Access::At(Permission::EnginePrune), routes!(preview_prune))
        .add(Access::At(Permission::EnginePrune), routes!(prune_environment))
}

/// Pulls an image from its registry, as a job.
#[utoipa::path(post, path = "/api/v1/environments/{id}/images/pull", tag = "workloads", params(("id" = Uuid, Path)),
    request_body = PullRequest, responses(
    (status = 202, description = "The job that pulls it", body = Job),
    (status = 404, description = "There is no such environment"),
    (status = 422, description = "The name, the platform or the registry's login is none"),
    (status = 503, description = "The environment is offline, or too many jobs wait"),
))]
async fn pull_image(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<PullRequest>,
) -> ApiResult<(StatusCode, Json<Job>)> {
    let job = app.start_pull(EnvironmentId(id), request, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Shows what a clean-up would remove: every thing that nothing uses. Nothing
/// is changed. It may take minutes, since the engine adds up its volumes.
#[utoipa::path(get, path = "/api/v1/environments/{id}/prune/preview", tag = "workloads",
    params(("id" = Uuid, Path), PruneOptions), responses(
    (status = 200, description = "What would go, and how much it frees", body = PrunePreview),
    (status = 400, description = "Nothing is chosen"),
    (status = 404, description = "There is no such environment"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn preview_prune(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Query(options): Query<PruneOptions>,
) -> ApiResult<Json<PrunePreview>> {
    Ok(Json(app.preview_prune(EnvironmentId(id), options).await?))
}

/// Removes what a preview showed, as a job. What is used or changed by now
/// stays, and nothing goes that was not shown; only the build cache goes as a
/// whole.
#[utoipa::path(post, path = "/api/v1/environments/{id}/prune", tag = "workloads", params(("id" = Uuid, Path)),
    request_body = PruneRequest, responses(
    (status = 202, description = "The job that removes it", body = Job),
    (status = 400, description = "Nothing is chosen"),
    (status = 404, description = "There is no such environment"),
    (status = 503, description = "The environment is offline, or too many jobs wait"),
))]
async fn prune_environment(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<PruneRequest>,
) -> ApiResult<(StatusCode, Json<Job>)> {
    Ok((StatusCode::ACCEPTED, Json(app.start_prune(EnvironmentId(id), request, &caller).await?)))
}
