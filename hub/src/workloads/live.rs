//! The live channel: a browser is told what to look at again, while somebody
//! looks. It carries no state itself; what is shown is asked of the API.

mod events;
mod places;
mod routes;
#[cfg(test)]
mod tests;
mod viewer;
mod watchers;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::places::Places;
pub(super) use self::routes::routes;
use self::watchers::Watchers;
use crate::docker::Engines;
use crate::tunnel::Feed;

/// What the viewers of all browsers share.
#[derive(Debug)]
pub struct Live {
    feed: Feed,
    places: Places,
    watchers: Watchers,
}

impl Live {
    /// No viewer yet. All that is watched ends with `stop`.
    pub fn new(engines: Engines, feed: Feed, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { watchers: Watchers::new(engines, feed.clone(), tasks, stop), feed, places: Places::default() }
    }
}
