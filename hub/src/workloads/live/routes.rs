//! The live channel's route, and the upgrade to a WebSocket (RFC 6455 §4.2).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::viewer::{self, MESSAGE_MAX};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Lease, Principal, Routes};

/// The browser must be ready for the first message within this.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(15);

/// Adds the routes of this module. The gate has checked who calls, and that a
/// browser's page is the hub's own.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add_raw(Access::SignedIn, "GET", "/api/v1/live", get(open_live_channel))
}

async fn open_live_channel(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    mut request: Request,
) -> ApiResult<Response> {
    let headers = accept(request.headers())?;
    let user = caller.principal.as_ref().and_then(Principal::user).map(|user| user.id);
    let place = app.live.places.take(user).ok_or_else(|| {
        ApiError::unavailable("too_many_viewers", "Too many live channels are open. Close some of your windows.")
    })?;
    let upgraded = hyper::upgrade::on(&mut request);
    let shared = Arc::clone(&app);
    app.lifecycle.tasks.spawn(async move {
        let _place = place;
        match tokio::time::timeout(UPGRADE_DEADLINE, upgraded).await {
            Ok(Ok(io)) => {
                let io = TokioIo::new(io);
                let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(settings())).await;
                viewer::serve(&shared, lease, socket).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a live channel was not upgraded"),
            Err(_) => tracing::debug!("a live channel was not upgraded in time"),
        }
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn settings() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX))
}

/// The headers that accept the upgrade.
fn accept(headers: &HeaderMap) -> ApiResult<[(HeaderName, HeaderValue); 3]> {
    let is = |name: HeaderName, value: &str| {
        let found = headers.get_all(name).into_iter().filter_map(|found| found.to_str().ok());
        { found }.flat_map(|found| found.split(',')).any(|found| found.trim().eq_ignore_ascii_case(value))
    };
    let upgrades = is(header::CONNECTION, "upgrade") && is(header::UPGRADE, "websocket");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is(header::SEC_WEBSOCKET_VERSION, "13"));
    let Some(key) = key.filter(|_| upgrades) else {
        let message = "This path is a WebSocket: connect to it as one. A proxy in between must pass upgrades on.";
        return Err(ApiError::bad_request("not_a_websocket", message));
    };
    let answer = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    Ok([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, answer),
    ])
}
