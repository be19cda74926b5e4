//! The web console: the files of `web/dist`, which are part of the program.
//! Nothing here knows a user or a secret; what the console shows it asks of the
//! API.

mod files;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub use self::files::Files;
use self::files::{Content, File, Form, stand_in};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Routes};

/// The page that every address of the console begins with.
const INDEX: &str = "index.html";
/// Where the files are whose names change with their content.
const HASHED: &str = "assets/";
/// What is below these paths is never a page of the console.
const NOT_PAGES: [&str; 5] = ["api", "agent", "assets", "download", "healthz"];

/// What a file whose name changes with its content is kept for: a year.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What any other file is kept for: until it is asked for again.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// What every answer of the console tells the browser. Scripts and styles come
/// from the hub's own files only, and nothing is put into a frame.
const GUARDS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
             microphone=(), midi=(), payment=(), serial=(), usb=()",
        ),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds the routes of this module: whatever no other route takes.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let page = any(|State(app): State<AppState>, request: Request| async move { answer(app.console, &request) });
    routes.add_raw(Access::Public, "GET", "/", page.clone()).add_raw(Access::Public, "GET", "/{*page}", page)
}

/// Whether this program was built with a console.
pub fn is_built(files: Files) -> bool {
    files.find(INDEX).is_some()
}

/// Answers with a file, or with the first page where a browser asks for one of
/// the console's own addresses.
fn answer(files: Files, request: &Request) -> ApiResult<Response> {
    let path = request.uri().path().trim_start_matches('/');
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(unknown());
    }
    let file = match files.find(path) {
        Some(file) => file,
        None if is_page(path, request.headers()) => files.find(INDEX).unwrap_or_else(stand_in),
        None => return Err(unknown()),
    };
    let lasting = if path.starts_with(HASHED) { FOR_GOOD } else { ASK_AGAIN };
    let (form, content) = choose(files, &file, request.headers());
    let mut response = if knows(request.headers(), &content.tag()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        send(&file, form, &content, request.method())
    };
    let headers = response.headers_mut();
    headers.extend(GUARDS);
    headers.insert(header::CACHE_CONTROL, lasting);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, HeaderValue::from_str(&content.tag()).expect("a tag is hexadecimal"));
    Ok(response)
}

/// Whether a browser asks for a page, and not a program for what is not there.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    path.is_empty() || !NOT_PAGES.contains(&first) && accept.contains("text/html")
}

/// The smallest form that the browser takes.
fn choose(files: Files, file: &File, headers: &HeaderMap) -> (Form, Content) {
    let taken = Form::COMPRESSED.into_iter().filter(|form| form.encoding().is_some_and(|name| takes(headers, name)));
    let found = { taken }.find_map(|form| Some((form, files.in_form(file, form)?)));
    found.unwrap_or_else(|| (Form::Plain, file.plain.clone()))
}

/// Whether `Accept-Encoding` names this encoding, and not to refuse it.
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(encoding) && weight != Some(0.0)
    })
}

fn send(file: &File, form: Form, content: &Content, method: &Method) -> Response {
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(content.bytes.clone()) };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.bytes.len()));
    if let Some(encoding) = form.encoding() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// Whether the browser has this very content (RFC 9110 §13.1.2).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    { known }.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

fn unknown() -> ApiError {
    ApiError::not_found("resource")
}

#[cfg(test)]
mod tests;
