//! The routes of recordings. They show what others saw, so that of the roles
//! that come with the hub administrators alone have them.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Recording, RecordingFilter};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Lease, List, Listing, Page, Path, Permission, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Somewhere(Permission::RecordingsView), routes!(list_recordings))
        .add(Access::Somewhere(Permission::RecordingsView), routes!(get_recording))
        .add(Access::Somewhere(Permission::RecordingsView), routes!(get_cast))
        .add(Access::Somewhere(Permission::RecordingsDelete), routes!(delete_recording))
}

/// Lists the recordings of terminals, the newest first.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "workloads", params(Page, RecordingFilter), responses(
    (status = 200, description = "One page of recordings", body = List<Recording>),
))]
async fn list_recordings(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<RecordingFilter>,
) -> ApiResult<Json<List<Recording>>> {
    let visible = reach.visible(Permission::RecordingsView).await?;
    Ok(Json(app.list_recordings(&filter, &visible, page).await?))
}

/// Tells of one recording: who, where, when and how long.
#[utoipa::path(get, path = "/api/v1/recordings/{id}", tag = "workloads", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The recording", body = Recording),
    (status = 404, description = "There is no such recording"),
))]
async fn get_recording(State(app): State<AppState>, reach: Reach, Path(id): Path<Uuid>) -> ApiResult<Json<Recording>> {
    recording_for(&app, &reach, Permission::RecordingsView, id).await.map(Json)
}

/// Gives a recording as asciicast v2, as far as it is written. It is recorded
/// that it was given.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/cast", tag = "workloads", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "Its lines; an answer that breaks off is not all of them", body = String,
        content_type = "application/x-asciicast"),
    (status = 404, description = "There is no such recording"),
))]
async fn get_cast(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<Response> {
    recording_for(&app, &reach, Permission::RecordingsView, id).await?;
    let cast = app.cast(id, &caller).await?;
    let name = format!("attachment; filename=\"{id}.cast\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-asciicast")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(ApiError::internal)?),
    ];
    Ok((headers, lease.limit(cast)).into_response())
}

/// Deletes a recording whose terminal is closed.
#[utoipa::path(delete, path = "/api/v1/recordings/{id}", tag = "workloads", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is no such recording"),
    (status = 409, description = "Its terminal is open"),
))]
async fn delete_recording(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    recording_for(&app, &reach, Permission::RecordingsDelete, id).await?;
    app.delete_recording(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A recording from an environment in which the caller may do this.
async fn recording_for(app: &AppState, reach: &Reach, permission: Permission, id: Uuid) -> ApiResult<Recording> {
    let recording = app.recording(id).await?;
    reach.require_of(permission, Some(EnvironmentId(recording.environment_id)), "recording").await?;
    Ok(recording)
}
