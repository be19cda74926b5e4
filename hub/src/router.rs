//! Every route of the hub, on one page.

mod openapi;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use self::openapi::ApiDocument;
use crate::app::AppState;
use crate::error::ApiError;
use crate::fleet;
use crate::http::{Authenticate, JSON_BODY_MAX, Places, RouteRecord, Routes, frame, ration};
use crate::{identity, ops, telemetry, workloads};

/// The router that serves all doors of the hub.
pub fn build(app: AppState) -> Router {
    let document = Arc::new(OnceLock::new());
    let (router, openapi, _) = collect(app.identity.clone(), app.fleet.clone(), &document).finish();
    document.get_or_init(|| openapi.to_json().expect("an OpenAPI document is JSON").into());
    router
        .fallback(|| async { ApiError::not_found("resource") })
        .method_not_allowed_fallback(|| async { method_not_allowed() })
        .layer(DefaultBodyLimit::max(JSON_BODY_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.rationing.clone(), ration))
        .layer(from_fn_with_state(app.clone(), ops::metrics::observe))
        .layer(from_fn_with_state(app.clone(), identity::audit::note_denials))
        .layer(from_fn(frame))
        .with_state(app)
}

/// The list of all routes with who may call them.
pub fn records(app: &AppState) -> Vec<RouteRecord> {
    collect(app.identity.clone(), app.fleet.clone(), &Arc::default()).finish().2
}

/// What the OpenAPI document says of all routes. It needs no hub that runs.
pub fn document() -> OpenApi {
    collect(Arc::new(openapi::Unasked), Arc::new(openapi::Unasked), &Arc::default()).finish().1
}

fn collect(
    authenticate: Arc<dyn Authenticate>,
    places: Arc<dyn Places>,
    document: &Arc<OnceLock<Bytes>>,
) -> Routes<AppState> {
    let routes = Routes::new(ApiDocument::openapi(), authenticate, places);

    // Who may come in.
    let routes = identity::routes(routes);

    // Environments, agents and enrollment; where Docker clients and agents arrive.
    let routes = fleet::routes(routes);

    // What agents tell by themselves, and who hears of it.
    let routes = telemetry::routes(routes);

    // What runs on the engines, and what is done with it.
    let routes = workloads::routes(routes);

    // The hub itself.
    let routes = ops::health::routes(routes);
    let routes = ops::backup::routes(routes);
    let routes = ops::keys::routes(routes);
    let routes = ops::metrics::routes(routes);
    let routes = ops::jobs::routes(routes);
    let routes = ops::mail::routes(routes);
    let routes = openapi::routes(routes, document.clone());

    // Whatever no other route takes.
    ops::console::routes(routes)
}

fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not know the method.")
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    ApiError::internal(anyhow::anyhow!("panic: {}", text.unwrap_or_default())).into_response()
}

#[cfg(test)]
mod tests;
