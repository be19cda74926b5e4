//! The routes of containers.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::change::{Change, NewName, Removal, Stopping};
use super::details::{FileChanges, Inspection, Looking, Processes};
use super::model::{Container, ContainerFilter, FleetContainer, FleetFilter};
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Query, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    super::capture::routes(routes)
        .add(Access::At(Permission::ContainersView), routes!(list_containers))
        .add(Access::Somewhere(Permission::ContainersView), routes!(list_all_containers))
        .add(Access::At(Permission::ContainersView).confirmed_for("reveal"), routes!(inspect_container))
        .add(Access::At(Permission::ContainersView), routes!(list_container_processes))
        .add(Access::At(Permission::ContainersView), routes!(list_container_changes))
        .add(Access::At(Permission::ContainersOperate), routes!(start_container))
        .add(Access::At(Permission::ContainersOperate), routes!(stop_container))
        .add(Access::At(Permission::ContainersOperate), routes!(restart_container))
        .add(Access::At(Permission::ContainersOperate), routes!(kill_container))
        .add(Access::At(Permission::ContainersOperate), routes!(pause_container))
        .add(Access::At(Permission::ContainersOperate), routes!(unpause_container))
        .add(Access::At(Permission::ContainersDeploy), routes!(rename_container))
        .add(Access::At(Permission::ContainersRemove), routes!(delete_container))
}

/// Lists the containers of all environments, those that do not run and those
/// of hosts that are away included.
#[utoipa::path(get, path = "/api/v1/containers", tag = "workloads", params(Page, FleetFilter), responses(
    (status = 200, description = "One page of containers", body = List<FleetContainer>),
))]
async fn list_all_containers(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<FleetFilter>,
) -> ApiResult<Json<List<FleetContainer>>> {
    let visible = reach.visible(Permission::ContainersView).await?;
    Ok(Json(app.list_all_containers(filter, &visible, page).await?))
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

/// Tells all that the engine knows of a container. Values that look like
/// secrets are masked, also for those who may see them unless they ask for them.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/inspect", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Looking), responses(
    (status = 200, description = "All that the engine knows of it", body = Inspection),
    (status = 403, description = "Secrets need the permission secrets.read"),
    (status = 404, description = "There is no such environment or container"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn inspect_container(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path((id, container)): Path<(Uuid, String)>,
    Query(looking): Query<Looking>,
) -> ApiResult<Json<Inspection>> {
    let looking = looking.check(&reach, EnvironmentId(id)).await?;
    Ok(Json(app.inspect_container(EnvironmentId(id), &named(&container)?, looking, &caller).await?))
}

/// Lists the processes of a container; words of their commands that look like
/// secrets are masked.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/processes", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 200, description = "Its processes", body = Processes),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "It does not run"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn list_container_processes(
    State(app): State<AppState>,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<Json<Processes>> {
    Ok(Json(app.container_processes(EnvironmentId(id), &named(&container)?).await?))
}

/// Lists what was changed in a container's files since it was made.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/changes", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 200, description = "What is not as in its image", body = FileChanges),
    (status = 404, description = "There is no such environment or container"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn list_container_changes(
    State(app): State<AppState>,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<Json<FileChanges>> {
    Ok(Json(app.container_changes(EnvironmentId(id), &named(&container)?).await?))
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
    params(("id" = Uuid, Path), ("container" = String, Path), Stopping), responses(
    (status = 204, description = "It does not run"),
    (status = 400, description = "The grace is none"),
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
    Query(Stopping { timeout }): Query<Stopping>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Stop(timeout)).await
}

/// Stops a container and starts it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/restart", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Stopping), responses(
    (status = 204, description = "It runs"),
    (status = 400, description = "The grace is none"),
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
    Query(Stopping { timeout }): Query<Stopping>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Restart(timeout)).await
}

/// Ends a container's main process at once, without a grace.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/kill", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "It does not run"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn kill_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Kill).await
}

/// Lets a container's processes stand still.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/pause", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "They stand still"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn pause_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Pause).await
}

/// Lets the processes of a paused container go on.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/unpause", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 204, description = "They run"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine will not in its present state"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn unpause_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Unpause).await
}

/// Gives a container another name.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/rename", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = NewName, responses(
    (status = 204, description = "It is called so"),
    (status = 400, description = "It cannot be called so"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "Another container is called so"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn rename_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Json(asked): Json<NewName>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::try_from(asked)?).await
}

/// Removes a container with all that was written in it.
#[utoipa::path(delete, path = "/api/v1/environments/{id}/containers/{container}", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Removal), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "It runs, and was to be removed without force"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn delete_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Query(removal): Query<Removal>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, (id, container), Change::Remove(removal)).await
}

async fn change(
    app: &AppState,
    caller: &Caller,
    (id, container): (Uuid, String),
    change: Change,
) -> ApiResult<StatusCode> {
    app.change_container(EnvironmentId(id), named(&container)?, change, caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What cannot be a container's name is the name of none.
fn named(container: &str) -> ApiResult<ContainerId> {
    ContainerId::parse(container).ok_or_else(|| ApiError::not_found("container"))
}
