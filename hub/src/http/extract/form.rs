//! The body of a request that a program of another party sends as a form.

use std::collections::HashMap;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;

use super::BODY_DEADLINE;
use crate::error::ApiError;

/// Largest form, in bytes.
const FORM_BODY_MAX: usize = 96 * 1024;
/// What it calls itself.
const KIND: &str = "application/x-www-form-urlencoded";

/// A form, by the names of its fields. Whatever is wrong with it is a bad
/// request, and a field that comes twice is.
#[derive(Clone, Debug, Default)]
pub struct Form(HashMap<String, String>);

impl Form {
    /// What stands in a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn read(body: &[u8]) -> Option<Self> {
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Self::Rejection> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case(KIND) {
            return Err(wrong("Send a form."));
        }
        let body = tokio::time::timeout(BODY_DEADLINE, to_bytes(request.into_body(), FORM_BODY_MAX)).await;
        let body = body.map_err(|_| wrong("The form did not arrive in time."))?;
        let body = body.map_err(|_| wrong("The form is too large, or was cut."))?;
        Self::read(&body).ok_or_else(|| wrong("A field of the form came twice."))
    }
}

fn wrong(message: &str) -> ApiError {
    ApiError::bad_request("invalid_body", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_there_once_or_the_form_is_none() {
        let form = Form::read(b"a=1&b=x%26y+z&c").unwrap();
        assert_eq!((form.field("a"), form.field("b"), form.field("c")), (Some("1"), Some("x&y z"), Some("")));
        assert_eq!(form.field("d"), None);
        assert!(Form::read(b"a=1&a=1").is_none());
        assert!(Form::read(b"a=1&%61=2").is_none(), "however it is written");
        assert!(Form::read(b"").is_some());
    }
}
