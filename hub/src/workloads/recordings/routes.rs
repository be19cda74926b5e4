//! The routes of recordings: for administrators alone, as they show what
//! others saw.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{Recording, RecordingFilter};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Lease, List, Listing, Page, Path, Permission, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::RecordingsView), routes!(list_recordings))
        .add(Access::Needs(Permission::RecordingsView), routes!(get_recording))
        .add(Access::Needs(Permission::RecordingsView), routes!(get_cast))
        .add(Access::Needs(Permission::RecordingsDelete), routes!(delete_recording))
}

/// Lists the recordings of terminals, the newest first.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "workloads", params(Page, RecordingFilter), responses(
    (status = 200, description = "One page of recordings", body = List<Recording>),
))]
async fn list_recordings(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<RecordingFilter>,
) -> ApiResult<Json<List<Recording>>> {
    Ok(Json(app.list_recordings(&filter, page).await?))
}

/// Tells of one recording: who, where, when and how long.
#[utoipa::path(get, path = "/api/v1/recordings/{id}", tag = "workloads", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The recording", body = Recording),
    (status = 404, description = "There is no such recording"),
))]
async fn get_recording(State(app): State<AppState>, Path(id): Path<Uuid>) -> ApiResult<Json<Recording>> {
    app.recording(id).await.map(Json)
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
    Path(id): Path<Uuid>,
) -> ApiResult<Response> {
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
async fn delete_recording(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.delete_recording(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
