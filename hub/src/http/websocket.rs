//! A request that becomes a WebSocket (RFC 6455 §4.2). The gate has checked who
//! calls, and that a browser's page is the hub's own.

mod places;

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub use self::places::{Place, Places};
use crate::error::{ApiError, ApiResult};

/// The other end must be ready for the first message within this.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(15);

/// An open WebSocket, the hub being its server.
pub type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// A WebSocket that opens once its answer has been sent.
#[derive(Debug)]
pub struct Opening {
    upgraded: OnUpgrade,
    message_max: usize,
}

/// Accepts a WebSocket whose messages have at most `message_max` bytes, and
/// gives the answer to send.
///
/// # Errors
/// When the request asks for none.
pub fn accept(request: &mut Request, message_max: usize) -> ApiResult<(Response, Opening)> {
    let headers = answer(request.headers())?;
    let opening = Opening { upgraded: hyper::upgrade::on(request), message_max };
    Ok(((StatusCode::SWITCHING_PROTOCOLS, headers).into_response(), opening))
}

impl Opening {
    /// Waits until it is open; `None` when the other end went away first.
    pub async fn open(self) -> Option<WebSocket> {
        match tokio::time::timeout(UPGRADE_DEADLINE, self.upgraded).await {
            Ok(Ok(io)) => {
                let settings = WebSocketConfig::default()
                    .max_message_size(Some(self.message_max))
                    .max_frame_size(Some(self.message_max));
                Some(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(settings)).await)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a WebSocket was not opened");
                None
            }
            Err(_) => {
                tracing::debug!("a WebSocket was not opened in time");
                None
            }
        }
    }
}

/// The headers that accept the upgrade.
fn answer(headers: &HeaderMap) -> ApiResult<[(HeaderName, HeaderValue); 3]> {
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
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    Ok([
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accepted),
    ])
}
