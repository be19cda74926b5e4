//! The OpenAPI document: its head is here, its paths come from the handlers.

use std::sync::{Arc, OnceLock};

use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use utoipa::OpenApi;
use uuid::Uuid;

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Authenticate, Credential, Place, Places, Routes, SignedInUser};
use crate::peers::Endings;

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

/// Stands where users are recognised while routes are only described, not
/// served.
#[derive(Clone, Copy, Debug)]
pub struct Unasked;

impl Authenticate for Unasked {
    fn authenticate<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Option<SignedInUser>, ApiError>> {
        Box::pin(async { Ok(None) })
    }

    fn stands<'a>(&'a self, _: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(async { Ok(false) })
    }

    fn is_confirmed<'a>(&'a self, _: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>> {
        Box::pin(async { Ok(false) })
    }

    fn endings(&self) -> watch::Receiver<Endings> {
        watch::Sender::default().subscribe()
    }

    fn setup_is_open(&self) -> bool {
        false
    }
}

impl Places for Unasked {
    fn find(&self, _: Uuid) -> BoxFuture<'_, ApiResult<Option<Place>>> {
        Box::pin(async { Ok(None) })
    }

    fn list(&self) -> BoxFuture<'_, ApiResult<Vec<Place>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[cfg(test)]
mod tests {
    /// The document that the console is built from.
    const COMMITTED: &str = include_str!("../../../web/openapi.json");

    #[test]
    fn the_committed_document_is_that_of_the_handlers() {
        let current = crate::router::document().to_pretty_json().unwrap() + "\n";
        let stale = "web/openapi.json is stale: cargo run --package windflow-hub -- openapi > web/openapi.json";
        assert!(current == COMMITTED, "{stale}");
    }
}
