//! The routes of containers.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Container, ContainerFilter, ContainerId, FleetFilter};
use super::service::Change;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::SignedIn, routes!(list_containers))
        .add(Access::SignedIn, routes!(list_all_containers))
        .add(Access::Administrator, routes!(start_container))
        .add(Access::Administrator, routes!(stop_container))
        .add(Access::Administrator, routes!(restart_container))
}

/// Lists the containers of all environments, those that do not run and those
/// of hosts that are away included.
#[utoipa::path(get, path = "/api/v1/containers", tag = "workloads", params(Page, FleetFilter), responses(
    (status = 200, description = "One page of containers", body = List<Container>),
))]
async fn list_all_containers(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<FleetFilter>,
) -> Json<List<Container>> {
    let (environment, filter) = filter.into();
    Json(app.list_all_containers(environment.map(EnvironmentId), &filter, page))
}

/// Lists an environment's containers, those that do not run included. Those of
/// a host that is away are shown as they were.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers", tag = "workloads",
    params(("id" = Uuid, Path), Page, ContainerFilter), responses(
    (status = 200, description = "One page of containers", body = List<Container>),
    (status = 404, description = "There is no such environment"),
    (status = 502, description = "The engine is not there and was never seen"),
    (status = 503, description = "The environment is offline and was never seen"),
    (status = 504, description = "The engine does not answer and was never seen"),
))]
async fn list_containers(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Listing { page, filter }: Listing<ContainerFilter>,
) -> ApiResult<Json<List<Container>>> {
    Ok(Json(app.list_containers(EnvironmentId(id), &filter, page).await?))
}

/// Starts a container. One that runs stays as it is.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/start", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "It runs"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn start_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Start).await
}

/// Stops a container: tells it to end, and kills it after its grace. One that
/// does not run stays as it is.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/stop", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "It does not run"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn stop_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Stop).await
}

/// Stops a container and starts it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/restart", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "It runs"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn restart_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Restart).await
}

async fn change(
    app: &AppState,
    caller: &Caller,
    (id, container): (Uuid, String),
    change: Change,
) -> ApiResult<StatusCode> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    app.change_container(EnvironmentId(id), container, change, caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
