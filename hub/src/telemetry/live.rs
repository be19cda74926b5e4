//! The live channel: a browser is told what to look at again, while somebody
//! looks. It carries no state itself, but for what is measured just now; what
//! is shown is asked of the API.

mod records;
mod routes;
mod sight;
#[cfg(test)]
mod tests;
mod usage;
mod viewer;

pub(super) use self::routes::routes;
use crate::http::UserId;
use crate::http::websocket::Places;
use crate::tunnel::Feed;

/// Most viewers at once.
const VIEWERS_MAX: usize = 2048;
/// Most of one user: windows, and programs with the user's tokens.
const VIEWERS_OF_USER_MAX: usize = 64;

/// What the viewers of all browsers share.
#[derive(Debug)]
pub struct Live {
    feed: Feed,
    places: Places<Option<UserId>>,
}

impl Live {
    /// No viewer yet.
    pub fn new(feed: Feed) -> Self {
        Self { feed, places: Places::new(VIEWERS_MAX, VIEWERS_OF_USER_MAX) }
    }
}
