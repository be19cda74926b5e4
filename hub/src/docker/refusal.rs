//! What an HTTP caller is told when an engine could not be asked, or would not
//! do it: the same for the gateway and for the hub's own calls.

use axum::http::StatusCode;

use super::EngineError;
use crate::error::{ApiError, sentence};
use crate::tunnel::StreamError;

impl From<StreamError> for ApiError {
    fn from(error: StreamError) -> Self {
        let message = sentence(&error);
        match error {
            StreamError::Offline => Self::unavailable("environment_offline", message),
            StreamError::NotActive => Self::conflict("agent_not_active", message),
            StreamError::NotCapable => Self::conflict("agent_too_old", message),
            StreamError::Busy => Self::unavailable("environment_busy", message),
            StreamError::Ended(_) => Self::unavailable("session_ended", message),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = sentence(&error);
        match error {
            EngineError::Stream(error) => error.into(),
            EngineError::Absent => Self::new(StatusCode::BAD_GATEWAY, "engine_absent", message),
            EngineError::Unresponsive => Self::new(StatusCode::GATEWAY_TIMEOUT, "engine_unresponsive", message),
            EngineError::Slow => Self::new(StatusCode::GATEWAY_TIMEOUT, "engine_slow", message),
            EngineError::Cut(_) => Self::new(StatusCode::BAD_GATEWAY, "engine_cut", message),
            EngineError::TooLong { .. } => Self::new(StatusCode::BAD_GATEWAY, "engine_too_long", message),
            EngineError::Refused { status, .. } => match status {
                StatusCode::NOT_FOUND => Self::new(StatusCode::NOT_FOUND, "not_found", message),
                StatusCode::CONFLICT => Self::conflict("engine_conflict", message),
                status if status.is_client_error() => Self::bad_request("engine_refused", message),
                _ => Self::new(StatusCode::BAD_GATEWAY, "engine_failed", message),
            },
        }
    }
}
