//! The routes of terminals.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::channel::{self, MESSAGE_MAX};
use super::model::{NewTerminal, Plan, Terminal, TerminalId, Why};
use super::service::owner;
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Lease, List, Listing, Page, Path, Permission, Reach, Routes, websocket};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::ContainersExec), routes!(create_terminal))
        .add(Access::Somewhere(Permission::ContainersExec), routes!(list_terminals))
        .add(Access::Somewhere(Permission::ContainersExec), routes!(delete_terminal))
        .add_raw(
            Access::Somewhere(Permission::ContainersExec),
            "GET",
            "/api/v1/terminals/{id}/channel",
            get(open_terminal_channel),
        )
}

/// Opens a terminal in a container: a shell, another command, or the main
/// process. It ends when nobody looks at it for a minute.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/terminals", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = NewTerminal, responses(
    (status = 201, description = "It is open; `/api/v1/terminals/{id}/channel` is the WebSocket to it", body = Terminal),
    (status = 400, description = "There can be no such terminal"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The container does not run, or has no shell"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline, or too many terminals are open"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn create_terminal(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Json(asked): Json<NewTerminal>,
) -> ApiResult<(StatusCode, Json<Terminal>)> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    let plan = Plan::try_from(asked)?;
    let opened = app.open_terminal(EnvironmentId(id), container, plan, &caller).await?;
    Ok((StatusCode::CREATED, Json(opened)))
}

/// Lists the caller's own terminals where they may have some, the oldest first.
#[utoipa::path(get, path = "/api/v1/terminals", tag = "workloads", params(Page), responses(
    (status = 200, description = "One page of terminals", body = List<Terminal>),
))]
async fn list_terminals(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Listing { page, filter: NoFilter {} }: Listing<NoFilter>,
) -> ApiResult<Json<List<Terminal>>> {
    let visible = reach.visible(Permission::ContainersExec).await?;
    let mut own = app.terminals.of(owner(&caller));
    own.retain(|terminal| visible.has(Some(terminal.host.session.environment)));
    Ok(Json(page.of(own.iter().map(|terminal| terminal.view()).collect())))
}

/// All of them.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}

/// Closes a terminal and ends its program; a main process runs on.
#[utoipa::path(delete, path = "/api/v1/terminals/{id}", tag = "workloads", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is being closed"),
    (status = 404, description = "The caller has no such terminal"),
))]
async fn delete_terminal(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    app.terminal(TerminalId(id), &caller, &reach).await?.tell_to_end(Why::Closed);
    Ok(StatusCode::NO_CONTENT)
}

async fn open_terminal_channel(
    State(app): State<AppState>,
    caller: Caller,
    (lease, reach): (Lease, Reach),
    Path(id): Path<Uuid>,
    mut request: Request,
) -> ApiResult<Response> {
    let terminal = app.terminal(TerminalId(id), &caller, &reach).await?;
    let (answer, opening) = websocket::accept(&mut request, MESSAGE_MAX)?;
    let shared = Arc::clone(&app);
    app.lifecycle.tasks.spawn(async move {
        if let Some(socket) = opening.open().await {
            let lease = lease.with(Permission::ContainersExec, terminal.host.session.environment);
            channel::serve(&shared, lease, &terminal, socket).await;
        }
    });
    Ok(answer)
}
