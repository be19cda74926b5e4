//! The OpenAPI document: its head is here, its paths come from the handlers.

use std::sync::{Arc, OnceLock};

use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use utoipa::OpenApi;

use crate::app::AppState;
use crate::http::{Access, Routes};

/// Adds the route that serves `document`, which is filled once all routes are
/// known.
pub fn routes(routes: Routes<AppState>, document: Arc<OnceLock<Bytes>>) -> Routes<AppState> {
    let serve = move || async move {
        ([(header::CONTENT_TYPE, "application/json")], document.get().cloned().unwrap_or_default())
    };
    routes.add_raw(Access::Public, "GET", "/api/v1/openapi.json", get(serve))
}

/// The document before any path is added.
#[derive(Debug, OpenApi)]
#[openapi(info(
    title = "Windflow hub",
    description = "Manages Docker engines wherever they are. Programs send `Authorization: Bearer wfa1_…`.",
))]
pub struct ApiDocument;
