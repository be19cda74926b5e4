//! The routes of logs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::logs::LogPace;

use super::channel::{self, MESSAGE_MAX};
use super::download::{self, Times};
use super::model::Selection;
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Lease, Path, Permission, Principal, Query, Reach, Routes, UserId, websocket};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes =
        routes.add_raw(Access::Somewhere(Permission::ContainersLogs), "GET", "/api/v1/logs", get(open_logs_channel));
    routes.add(Access::At(Permission::ContainersLogs), routes!(download_container_logs))
}

/// A WebSocket with the logs of several containers as one. What is said on it
/// stands in docs/API.md.
async fn open_logs_channel(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    reach: Reach,
    mut request: Request,
) -> ApiResult<Response> {
    let (answer, opening) = websocket::accept(&mut request, MESSAGE_MAX)?;
    let place = app.logs.readers.take(user_of(&caller)).ok_or_else(|| {
        ApiError::unavailable("too_many_logs", "Too many logs are read at once. Close some of your windows.")
    })?;
    let shared = Arc::clone(&app);
    app.lifecycle.tasks.spawn(async move {
        let _place = place;
        if let Some(socket) = opening.open().await {
            channel::serve(&shared, lease, &reach, socket).await;
        }
    });
    Ok(answer)
}

/// Gives a container's log as text, as it is at this moment.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/logs", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Selection), responses(
    (status = 200, description = "The lines, both streams in the order of their times", body = String, content_type = "text/plain"),
    (status = 400, description = "The filter is none; it says where"),
    (status = 404, description = "There is no such environment or container"),
    (status = 409, description = "The engine keeps no log of this container, or the agent is too old"),
    (status = 502, description = "The engine is not there, or its answer was cut off"),
    (status = 503, description = "The environment is offline, or too many logs are read"),
    (status = 504, description = "The engine does not answer"),
))]
async fn download_container_logs(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    Path((id, container)): Path<(Uuid, String)>,
    Query(selection): Query<Selection>,
) -> ApiResult<Response> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    let request = selection.request(&container, LogPace::Whole)?;
    let times = if selection.timestamps { Times::Written } else { Times::LeftOut };
    let text = download::begin(&app, user_of(&caller), EnvironmentId(id), request, times).await?;
    let name = format!("attachment; filename=\"{}.log\"", container.as_str());
    let name = HeaderValue::from_str(&name).map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, lease.limit(text)).into_response())
}

fn user_of(caller: &Caller) -> Option<UserId> {
    caller.principal.as_ref().and_then(Principal::user).map(|user| user.id)
}
