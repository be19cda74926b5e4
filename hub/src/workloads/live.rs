//! The live channel: a browser is told what to look at again, while somebody
//! looks. It carries no state itself; what is shown is asked of the API.

mod places;
mod routes;
#[cfg(test)]
mod tests;
mod viewer;

use self::places::Places;
pub(super) use self::routes::routes;
use crate::tunnel::Feed;

/// What the viewers of all browsers share.
#[derive(Debug)]
pub struct Live {
    feed: Feed,
    places: Places,
}

impl Live {
    /// No viewer yet.
    pub fn new(feed: Feed) -> Self {
        Self { feed, places: Places::default() }
    }
}
