//! What an HTTP caller is told when something goes wrong.
//!
//! Stores and protocol code return `thiserror` enums, jobs and commands
//! `anyhow`; handlers return [`ApiError`] and nothing else. Its body is written
//! by [`crate::http`], which knows the request id, and which logs the cause of
//! a 5xx once. The caller of a 5xx learns only that id.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::db::DbError;

/// When to try again what the database could not do.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

/// The code of what a host's own policy refuses.
pub const HOST_REFUSES: &str = "host_refuses";

/// The result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

/// An error as an HTTP caller sees it: a status, a code for programs and a
/// sentence for people that says what to do.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cause: Option<Arc<anyhow::Error>>,
}

impl ApiError {
    /// An error with a status and code of its own.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after: None, cause: None }
    }

    /// 400: the request cannot be understood or is not allowed by its own rules.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401: no credential, or none that is valid.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: the caller is known and may not do this.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: there is no such `what`, or not for this caller.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    /// 409: the request does not fit the present state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 429: too many attempts; try again after `wait`.
    pub fn too_many_requests(wait: Duration) -> Self {
        Self::too_often("too_many_attempts", "Too many attempts.", wait)
    }

    /// 429: more requests than anybody may make; try again after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        Self::too_often("rate_limited", "Too many requests.", wait)
    }

    fn too_often(code: &'static str, what: &str, wait: Duration) -> Self {
        // Rounded up: whoever comes a moment early waits once more.
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, code, format!("{what} Try again in {seconds} s."));
        Self { retry_after: Some(Duration::from_secs(seconds)), ..error }
    }

    /// 503: a part that this needs is not there at the moment.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// 500: a defect. The cause goes to the log, not to the caller.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let message = "The hub failed. Its log has the cause under this request id.";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message);
        Self { cause: Some(Arc::new(cause.into())), ..error }
    }

    /// The same error with facts for programs.
    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }

    /// The same error with a cause for the log.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<anyhow::Error>) -> Self {
        Self { cause: Some(Arc::new(cause.into())), ..self }
    }

    /// The same error with a time after which another try makes sense.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// An error's text as a sentence for people.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => {
                let message = "The database does not answer at the moment. Try again.";
                Self::unavailable("database_unavailable", message).after(DATABASE_RETRY).caused_by(error)
            }
            DbError::Locked(_) => {
                let message = "Another process holds the database. Nothing was changed. Try again.";
                Self::unavailable("database_locked", message).after(DATABASE_RETRY).caused_by(error)
            }
            DbError::Full(_) => {
                let message = "The disk under the hub's database is full. Nothing was changed; reading works. Make \
                               room on it, and changes work again by themselves.";
                let error = Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message).caused_by(error);
                error.after(DATABASE_RETRY)
            }
            DbError::Damaged(_)
            | DbError::Duplicate(_)
            | DbError::Reference(_)
            | DbError::Keyless
            | DbError::Statement(_) => Self::internal(error),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
