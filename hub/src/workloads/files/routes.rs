//! The routes of files in containers. Whoever may write a container's files may
//! do whatever its processes may: all of them are as strong as a terminal.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{
    At, Download, FileEntry, FileError, Folder, NewFolder, NewMode, NewPath, TEXT_MAX, TextFile, Upload, Writing,
    Written,
};
use super::service::Target;
use super::transfer::Replaces;
use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Lease, Path, Permission, Query, Routes};
use crate::identity::audit::Action;

/// A text must have arrived within this.
const TEXT_DEADLINE: Duration = Duration::from_secs(60);

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::FilesRead), routes!(list_container_files))
        .add(Access::At(Permission::FilesWrite), routes!(delete_container_file))
        .add(Access::At(Permission::FilesRead), routes!(get_container_file))
        .add(Access::At(Permission::FilesRead), routes!(download_container_file))
        .add(Access::At(Permission::FilesWrite), routes!(upload_container_file))
        .add(Access::At(Permission::FilesRead), routes!(read_container_text))
        .add(Access::At(Permission::FilesWrite), routes!(write_container_text))
        .add(Access::At(Permission::FilesWrite), routes!(create_container_folder))
        .add(Access::At(Permission::FilesWrite), routes!(rename_container_file))
        .add(Access::At(Permission::FilesWrite), routes!(permit_container_file))
}

/// Lists what is in a folder of a container. A container that runs is asked by
/// its own programs; the files of another are read from its archive, and of a
/// very large folder only a part is shown.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/files", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), At), responses(
    (status = 200, description = "The folder", body = Folder),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn list_container_files(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Query(At { path }): Query<At>,
) -> ApiResult<Json<Folder>> {
    let host = app.files_of(&target(of, caller)?).await?;
    Ok(Json(host.list(&path).await?))
}

/// Deletes a file, or a folder with all that is in it. The container must run
/// and have `rm`: no engine can do it otherwise.
#[utoipa::path(delete, path = "/api/v1/environments/{id}/containers/{container}/files", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), At), responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn delete_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Query(At { path }): Query<At>,
) -> ApiResult<StatusCode> {
    let target = target(of, caller)?;
    let host = app.files_of(&target).await?;
    let entry = app.file_entry(&target, Action::FileDelete, &path);
    app.recorded(entry, async move { host.delete(&path).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells of one file, folder or link, and where a link leads.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/files/entry", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), At), responses(
    (status = 200, description = "What it is", body = FileEntry),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn get_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Query(At { path }): Query<At>,
) -> ApiResult<Json<FileEntry>> {
    let opened = app.files_of(&target(of, caller)?).await?.open(&path).await.map_err(ApiError::from)?;
    let entry = FileEntry::of(path.name().unwrap_or("/"), &opened.header);
    Ok(Json(FileEntry { target: opened.target, ..entry }))
}

/// Downloads a file as it is, or a file or folder as an archive.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/files/content", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Download), responses(
    (status = 200, description = "The bytes", body = String, content_type = "application/octet-stream"),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn download_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    lease: Lease,
    Query(asked): Query<Download>,
) -> ApiResult<Response> {
    let sent = app.download_file(&target(of, caller)?, asked).await?;
    let mut response = lease.limit(sent.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sent.content_type));
    headers.insert(header::CONTENT_DISPOSITION, attachment(&sent.name));
    if let Some(length) = sent.length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// Uploads a file of up to 4 GiB; the folders above it are made. The length must
/// be known before.
#[utoipa::path(put, path = "/api/v1/environments/{id}/containers/{container}/files/content", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Upload), request_body(content = String, content_type = "application/octet-stream"), responses(
    (status = 204, description = "It is there"),
    (status = 400, description = "The path is none, or the file did not arrive whole"),
    (status = 413, description = "It is too large, or its length is not known"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn upload_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    lease: Lease,
    Query(Upload { path, replace }): Query<Upload>,
    body: Body,
) -> ApiResult<StatusCode> {
    let replaces = if replace { Replaces::File } else { Replaces::Nothing };
    app.upload_file(&target(of, caller)?, path, replaces, (body, lease)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a file of up to 1 MiB as a text.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/files/text", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), At), responses(
    (status = 200, description = "The text", body = TextFile),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn read_container_text(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Query(At { path }): Query<At>,
) -> ApiResult<Json<TextFile>> {
    let target = target(of, caller)?;
    let host = app.files_of(&target).await?;
    let entry = app.file_entry(&target, Action::FileDownload, &path);
    Ok(Json(app.recorded(entry, async move { host.read_text(&path).await }).await?))
}

/// Writes a text of up to 1 MiB: in the place of the version that was read, or as
/// a new file. What somebody else wrote in between stays.
#[utoipa::path(put, path = "/api/v1/environments/{id}/containers/{container}/files/text", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path), Writing), request_body(content = String, content_type = "text/plain"), responses(
    (status = 200, description = "It is written", body = Written),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn write_container_text(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Query(Writing { path, version }): Query<Writing>,
    body: Body,
) -> ApiResult<Json<Written>> {
    let target = target(of, caller)?;
    let text = text_of(body).await?;
    let host = app.files_of(&target).await?;
    let entry = app.file_entry(&target, Action::FileWrite, &path).fact("bytes", json!(text.len()));
    let now = app.clock.now();
    let writing = async move { host.write_text(&path, version.as_deref(), text.into(), now).await };
    Ok(Json(Written { version: app.recorded(entry, writing).await? }))
}

/// Makes a folder, and those above it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/files/folders", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = NewFolder, responses(
    (status = 201, description = "It is there"),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn create_container_folder(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Json(NewFolder { path }): Json<NewFolder>,
) -> ApiResult<StatusCode> {
    let target = target(of, caller)?;
    let host = app.files_of(&target).await?;
    let (entry, now) = (app.file_entry(&target, Action::FolderCreate, &path), app.clock.now());
    app.recorded(entry, async move { host.make_folder(&path, now).await }).await?;
    Ok(StatusCode::CREATED)
}

/// Gives a file or folder another path. The container must run and have `mv`: no
/// engine can do it otherwise.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/files/rename", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = NewPath, responses(
    (status = 204, description = "It is there now"),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn rename_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Json(NewPath { path, to }): Json<NewPath>,
) -> ApiResult<StatusCode> {
    let target = target(of, caller)?;
    let host = app.files_of(&target).await?;
    let entry = app.file_entry(&target, Action::FileRename, &path).fact("to", json!(to.as_str()));
    app.recorded(entry, async move { host.rename(&path, &to).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a file or folder other permissions. Where the container does not run, or
/// has no `chmod`, it works for folders and for files of up to 1 MiB.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/files/permissions", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = NewMode, responses(
    (status = 204, description = "It has them"),
    (status = 400, description = "The path is none"),
    (status = 404, description = "There is no such environment, container or file"),
    (status = 409, description = "It is not possible with what is there, or while the container does not run; the code says which"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer, or has not done it in time"),
))]
async fn permit_container_file(
    State(app): State<AppState>,
    caller: Caller,
    Path(of): Path<(Uuid, String)>,
    Json(NewMode { path, mode }): Json<NewMode>,
) -> ApiResult<StatusCode> {
    let target = target(of, caller)?;
    let host = app.files_of(&target).await?;
    let entry = app.file_entry(&target, Action::FilePermit, &path).fact("mode", json!(mode.to_string()));
    app.recorded(entry, async move { host.permit(&path, mode).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn target((id, container): (Uuid, String), caller: Caller) -> ApiResult<Target> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    Ok(Target { environment: EnvironmentId(id), container, caller })
}

async fn text_of(body: Body) -> ApiResult<Bytes> {
    let collected = tokio::time::timeout(TEXT_DEADLINE, Limited::new(body, TEXT_MAX).collect()).await;
    let collected = collected
        .map_err(|_| FileError::Incomplete)?
        .map_err(|error| if error.is::<LengthLimitError>() { FileError::TooLarge } else { FileError::Incomplete })?;
    Ok(collected.to_bytes())
}

/// What a browser is to call what it downloads. Names have any letters, so they
/// are written in a form that has none of its own meaning.
fn attachment(name: &str) -> HeaderValue {
    let mut value = String::from("attachment; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-20, ASVS 5.4.1 and 5.4.2.
    #[test]
    fn c20_whatever_a_file_is_called_the_header_says_one_name() {
        for (name, written) in [
            ("a.tar", "a.tar"),
            ("a b\"; filename=\"x", "a%20b%22%3B%20filename%3D%22x"),
            ("a\r\nSet-Cookie: x=y", "a%0D%0ASet-Cookie%3A%20x%3Dy"),
            ("\0\u{1b}/../é", "%00%1B%2F..%2F%C3%A9"),
            ("", ""),
        ] {
            assert_eq!(attachment(name), format!("attachment; filename*=UTF-8''{written}"));
        }
    }
}
