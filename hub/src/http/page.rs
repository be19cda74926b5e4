//! One page of a list.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Items on a page when the caller does not say.
pub const LIMIT_DEFAULT: u32 = 50;
/// Most items on a page.
pub const LIMIT_MAX: u32 = 200;

/// Which part of a list the caller wants. A query struct flattens nothing:
/// it has `limit` and `offset` of its own and calls [`Page::new`].
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Most items to return.
    pub limit: i64,
    /// Items to skip.
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

/// A page of a list and the length of the whole list.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct List<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items there are on all pages.
    pub total: i64,
}
