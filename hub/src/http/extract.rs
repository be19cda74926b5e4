//! axum's extractors, with rejections in the hub's error envelope.

mod form;
mod title;
mod wording;

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::form::Form;
pub use self::title::{InvalidTitle, Title};
use self::wording::without_values;
use super::JSON_BODY_MAX;
use crate::error::ApiError;

/// A JSON body has this long to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        refuse_announced_excess(request.headers())?;
        let body = tokio::time::timeout(BODY_DEADLINE, axum::Json::<T>::from_request(request, state)).await;
        let too_slow =
            |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body did not arrive in time.");
        body.map_err(too_slow)?.map(|axum::Json(value)| Self(value)).map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => return too_large(),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
                _ => "invalid_body",
            };
            ApiError::new(rejection.status(), code, without_values(&rejection.body_text()))
        })
    }
}

/// A body that says it is too large is not waited for.
fn refuse_announced_excess(headers: &HeaderMap) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_none_or(|length| length <= JSON_BODY_MAX as u64) { Ok(()) } else { Err(too_large()) }
}

fn too_large() -> ApiError {
    let message = format!("The body may have at most {JSON_BODY_MAX} bytes.");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The query string. A key that appears twice is refused.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| ApiError::bad_request("invalid_query", without_values(&rejection.body_text())))
    }
}

/// The keys of a part of a query.
pub trait Keys {
    /// Their names.
    const KEYS: &'static [&'static str];
}

/// The query string in two parts: what `A` names, and the rest. What neither
/// knows is refused, if the second refuses unknown fields.
#[derive(Clone, Copy, Debug)]
pub struct Split<A, B>(pub A, pub B);

impl<A: DeserializeOwned + Keys, B: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Split<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        let mut named = url::form_urlencoded::Serializer::new(String::new());
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let part = if A::KEYS.contains(&&*key) { &mut named } else { &mut rest };
            part.append_pair(&key, &value);
        }
        Ok(Self(parse_query(&named.finish())?, parse_query(&rest.finish())?))
    }
}

/// What a query string says.
pub(super) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let too_long = |_| ApiError::bad_request("invalid_query", "The query is too long.");
    let uri: Uri = format!("/?{query}").parse().map_err(too_long)?;
    let parsed = axum::extract::Query::try_from_uri(&uri);
    parsed
        .map(|axum::extract::Query(value)| value)
        .map_err(|rejection| ApiError::bad_request("invalid_query", without_values(&rejection.body_text())))
}

/// The parameters in the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| ApiError::bad_request("invalid_path", without_values(&rejection.body_text())))
    }
}
