//! What agents tell by themselves, as it happens: what their engines have, what
//! happens there and what is used; and the channel on which browsers hear that
//! something changed.

pub mod events;
mod followers;
pub mod inventory;
pub mod live;
pub mod metrics;

use crate::app::AppState;
use crate::http::Routes;

/// Adds the routes of this domain.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = events::routes(routes);
    let routes = live::routes(routes);
    metrics::routes(routes)
}
