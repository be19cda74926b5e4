//! One page of a list, and how every list is asked for it.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::extract::parse_query;
use crate::error::ApiError;

/// Items on a page when the caller does not say.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most items on a page.
pub const LIMIT_MAX: u32 = 200;

/// Which part of a list the caller wants.
#[derive(Clone, Copy, Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Most items to return, 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub limit: i64,
    /// Items to skip.
    #[param(value_type = Option<u32>)]
    pub offset: i64,
}

impl Page {
    /// The page that the query asks for.
    ///
    /// # Errors
    /// 400 when `limit` is not between 1 and [`LIMIT_MAX`].
    pub fn new(limit: Option<u32>, offset: Option<u32>) -> Result<Self, ApiError> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(ApiError::bad_request("invalid_limit", format!("limit must be between 1 and {LIMIT_MAX}.")));
        }
        Ok(Self { limit: limit.into(), offset: offset.unwrap_or(0).into() })
    }

    /// This page of a list that is held in memory.
    pub fn of<T>(self, all: Vec<T>) -> List<T> {
        let total = i64::try_from(all.len()).expect("a list in memory is far shorter");
        let skipped = usize::try_from(self.offset).expect("made from an unsigned number");
        let taken = usize::try_from(self.limit).expect("made from an unsigned number");
        List { items: all.into_iter().skip(skipped).take(taken).collect(), total }
    }
}

/// The query of a list: which page, and which items. What is no part of either
/// is refused, if the filter refuses unknown fields.
#[derive(Clone, Copy, Debug)]
pub struct Listing<F> {
    /// Which page.
    pub page: Page,
    /// Which items.
    pub filter: F,
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listing<F> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        let (mut limit, mut offset) = (None, None);
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "limit" => set(&mut limit, &key, value)?,
                "offset" => set(&mut offset, &key, value)?,
                _ => {
                    rest.append_pair(&key, &value);
                }
            }
        }
        Ok(Self { page: Page::new(limit, offset)?, filter: parse_query(&rest.finish())? })
    }
}

fn set(place: &mut Option<u32>, key: &str, value: Cow<'_, str>) -> Result<(), ApiError> {
    let number = value.parse().map_err(|_| invalid(format!("{key} must be a whole number.")))?;
    match place.replace(number) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{key} is given twice."))),
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::bad_request("invalid_query", message)
}

/// A page of a list and the length of the whole list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct List<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items there are on all pages.
    pub total: i64,
}

impl<T> List<T> {
    /// The same page of what is made of its items.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> List<U> {
        List { items: self.items.into_iter().map(make).collect(), total: self.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq, Eq)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        name: Option<String>,
    }

    async fn listing(query: &str) -> Result<(i64, i64, Option<String>), &'static str> {
        let (mut parts, ()) = axum::http::Request::get(format!("/x?{query}")).body(()).unwrap().into_parts();
        let listing = Listing::<Filter>::from_request_parts(&mut parts, &()).await;
        listing.map(|l| (l.page.limit, l.page.offset, l.filter.name)).map_err(|error| error.code())
    }

    #[tokio::test]
    async fn a_list_is_asked_for_a_page_of_some_items() {
        assert_eq!(listing("").await, Ok((50, 0, None)));
        assert_eq!(listing("offset=7&name=a%26b%3Dc+d&limit=200").await, Ok((200, 7, Some("a&b=c d".into()))));
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_refused() {
        for query in ["limit=x", "limit=1&limit=2", "offset=-1", "name=a&name=b", "unknown=1", "LIMIT=1"] {
            assert_eq!(listing(query).await, Err("invalid_query"), "{query}");
        }
        for query in ["limit=0", "limit=201"] {
            assert_eq!(listing(query).await, Err("invalid_limit"), "{query}");
        }
    }
}
