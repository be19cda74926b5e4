//! What an HTTP caller is told when an engine could not be asked, or would not
//! do it: the same for the gateway and for the hub's own calls.

use axum::http::StatusCode;

use serde_json::json;
use windflow_protocol::message::policy::rule_of;

use super::EngineError;
use crate::error::{ApiError, HOST_REFUSES, sentence};
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
            EngineError::Refused { message: words, .. } if rule_of(&words).is_some() => host_refuses(&words),
            EngineError::Refused { status, .. } => match status {
                StatusCode::NOT_FOUND => Self::new(StatusCode::NOT_FOUND, "not_found", message),
                StatusCode::CONFLICT => Self::conflict("engine_conflict", message),
                status if status.is_client_error() => Self::bad_request("engine_refused", message),
                _ => Self::new(StatusCode::BAD_GATEWAY, "engine_failed", message),
            },
        }
    }
}

/// The host's own policy refuses, in words that name the rule.
fn host_refuses(words: &str) -> ApiError {
    let message = "The policy of this host refuses this. Only its administrator can change that, on the host.";
    let rule = rule_of(words).unwrap_or_default();
    ApiError::forbidden(HOST_REFUSES, format!("{message} Its rule: {rule}.")).with_details(json!({ "rule": rule }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c01_a_refusal_of_the_host_is_told_apart_from_one_of_the_engine() {
        let refused = |status, message: &str| EngineError::Refused { status, message: message.to_owned() };
        let of_host = "this host refuses this: rule exec.privileged (profile deploy-safe)";
        let error = ApiError::from(refused(StatusCode::FORBIDDEN, of_host));
        assert_eq!((error.status(), error.code()), (StatusCode::FORBIDDEN, "host_refuses"));
        assert_eq!(error.details, Some(json!({ "rule": "exec.privileged" })));
        let error = ApiError::from(refused(StatusCode::FORBIDDEN, "no such thing"));
        assert_eq!((error.code(), error.details), ("engine_refused", None));
    }
}
