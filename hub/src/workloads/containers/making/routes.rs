//! The routes of making containers.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::conflicts::{Conflicts, Wanted};
use super::create::NewContainer;
use super::edit::{ContainerEdit, ShownSpec};
use super::update::{LiveChange, LiveChanged};
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Path, Permission, Query, Reach, Routes};
use crate::jobs::Job;
use crate::workloads::containers::details::Looking;
use crate::workloads::containers::spec::{DockerRun, ParsedRun};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::ContainersDeploy), routes!(create_container))
        .add(Access::At(Permission::ContainersDeploy), routes!(check_container))
        .add(Access::At(Permission::ContainersView).confirmed_for("reveal"), routes!(get_container_spec))
        .add(Access::At(Permission::ContainersDeploy), routes!(recreate_container))
        .add(Access::At(Permission::ContainersDeploy), routes!(update_container))
        .add(Access::SignedIn, routes!(parse_docker_run))
}

/// Makes a container, as a job: its image is pulled where the policy says so,
/// it is made, put into its networks and started. What was made is removed
/// again where a later step fails.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers", tag = "workloads",
    params(("id" = Uuid, Path)), request_body = NewContainer, responses(
    (status = 202, description = "The job that makes it", body = Job),
    (status = 400, description = "It cannot be so; details name the field"),
    (status = 404, description = "There is no such environment"),
    (status = 503, description = "The environment is offline, or too many jobs wait"),
))]
async fn create_container(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(new): Json<NewContainer>,
) -> ApiResult<(StatusCode, Json<Job>)> {
    let job = app.start_create(EnvironmentId(id), new, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Says what would be in a container's way: names and ports that other
/// containers have.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/check", tag = "workloads",
    params(("id" = Uuid, Path)), request_body = Wanted, responses(
    (status = 200, description = "What is in the way", body = Conflicts),
    (status = 404, description = "There is no such environment"),
))]
async fn check_container(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Json(wanted): Json<Wanted>,
) -> ApiResult<Json<Conflicts>> {
    let environment = EnvironmentId(id);
    if app.inventories.of(environment).is_none() && app.fleet.find_environment(environment).await?.is_none() {
        return Err(ApiError::not_found("environment"));
    }
    Ok(Json(app.find_conflicts(environment, &wanted)))
}

/// Tells how a container was made, what its image brings left out. Values that
/// look like secrets are masked, also for those who may see them unless they ask.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/spec", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Looking), responses(
    (status = 200, description = "How it was made", body = ShownSpec),
    (status = 403, description = "Secrets need the permission secrets.read"),
    (status = 404, description = "There is no such environment or container"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn get_container_spec(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path((id, container)): Path<(Uuid, String)>,
    Query(looking): Query<Looking>,
) -> ApiResult<Json<ShownSpec>> {
    let looking = looking.check(&reach, EnvironmentId(id)).await?;
    Ok(Json(app.container_spec(EnvironmentId(id), &named(&container)?, looking, &caller).await?))
}

/// Makes a container anew with something changed in it, as a job. What is not
/// changed stays, its volumes without a name included; what was written in it
/// elsewhere does not. The container before is kept until the new one runs and
/// is healthy, and has its place again where it does not.
#[utoipa::path(put, path = "/api/v1/environments/{id}/containers/{container}", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = ContainerEdit, responses(
    (status = 202, description = "The job that replaces it", body = Job),
    (status = 400, description = "A change cannot be so; details name the field"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "This container cannot be replaced, or another has its new name"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline, or too many jobs wait"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn recreate_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Json(edit): Json<ContainerEdit>,
) -> ApiResult<(StatusCode, Json<Job>)> {
    let job = app.start_recreate(EnvironmentId(id), &named(&container)?, edit, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Changes what an engine changes while a container runs.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/update", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = LiveChange, responses(
    (status = 200, description = "It is so now", body = LiveChanged),
    (status = 400, description = "It cannot be so"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn update_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Json(change): Json<LiveChange>,
) -> ApiResult<Json<LiveChanged>> {
    Ok(Json(app.update_container(EnvironmentId(id), named(&container)?, change, &caller).await?))
}

/// Reads a `docker run` line as a specification. Nothing is done with it.
#[utoipa::path(post, path = "/api/v1/docker-run", tag = "workloads", request_body = DockerRun, responses(
    (status = 200, description = "What it asks for, and what to know of it", body = ParsedRun),
    (status = 400, description = "It cannot be read, and why"),
))]
async fn parse_docker_run(Json(line): Json<DockerRun>) -> ApiResult<Json<ParsedRun>> {
    Ok(Json(line.parse()?))
}

/// What cannot be a container's name is the name of none.
fn named(container: &str) -> ApiResult<ContainerId> {
    ContainerId::parse(container).ok_or_else(|| ApiError::not_found("container"))
}
