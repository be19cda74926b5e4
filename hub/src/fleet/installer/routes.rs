//! The script and the agents over HTTP, for everyone: neither is a secret, and
//! a host that is not enrolled has no credential to show.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;
use utoipa_axum::routes;

use super::binaries::{Binary, Platform};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Path, Routes};

/// Read from a file at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// RFC 9530; says the same as the entity tag, in a form that programs check.
const REPR_DIGEST: &str = "repr-digest";

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Public, routes!(get_install_script)).add(Access::Public, routes!(get_agent_binary))
}

/// Gives the install script, with the digests of this hub's agents in it.
#[utoipa::path(get, path = "/install.sh", tag = "fleet", responses(
    (status = 200, description = "A POSIX shell script", body = String, content_type = "text/x-shellscript"),
    (status = 304, description = "It is the one named in If-None-Match"),
))]
async fn get_install_script(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let script = app.installer.script().await;
    let tag = entity_tag(&script.sha256);
    if is_known(&headers, &tag) {
        return not_modified(tag);
    }
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/x-shellscript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, tag),
    ];
    (head, script.text).into_response()
}

/// Gives the agent for a platform such as `linux-x86_64`.
#[utoipa::path(get, path = "/download/agent/{platform}", tag = "fleet", params(("platform" = String, Path)), responses(
    (status = 200, description = "The program; ETag and Repr-Digest have its SHA-256",
        body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 304, description = "It is the one named in If-None-Match"),
    (status = 404, description = "This hub has no agent for that platform"),
))]
async fn get_agent_binary(
    State(app): State<AppState>,
    Path(platform): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let platform = platform.parse::<Platform>().map_err(|unknown| missing(format!("{unknown}.")))?;
    let binary = app.installer.shelf.find(platform).await.ok_or_else(|| not_on_the_shelf(platform))?;
    let tag = entity_tag(&binary.hex());
    if is_known(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let file = tokio::fs::File::open(&binary.path).await.map_err(ApiError::internal)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK));
    Ok((head_of(&binary, tag), body).into_response())
}

fn head_of(binary: &Binary, tag: HeaderValue) -> HeaderMap {
    let digest = format!("sha-256=:{}:", data_encoding::BASE64.encode(&binary.digest));
    let text = |text: &str| HeaderValue::from_str(text).expect("digits, base64 and names of ours");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"windflow-agent\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_LENGTH, HeaderValue::from(binary.size)),
        (header::HeaderName::from_static(REPR_DIGEST), text(&digest)),
        (header::ETAG, tag),
    ])
}

fn entity_tag(hex: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal")
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().expect("hexadecimal");
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
}

fn not_modified(tag: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()
}

fn not_on_the_shelf(platform: Platform) -> ApiError {
    missing(format!(
        "This hub has no agent for {0}. Put one at {0}/windflow-agent in the folder that --agent-dir names, or in \
         agents/ beside windflow-hub.",
        platform.as_str()
    ))
}

fn missing(message: String) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_agent_binary", message)
}
