//! What runs on the engines, and what changes there and in the fleet while
//! somebody looks on.

pub mod containers;
pub mod events;
pub mod files;
mod followers;
pub mod images;
pub mod inventory;
pub mod live;
pub mod logs;
pub mod metrics;
mod places;
pub mod resources;
pub mod terminals;

use crate::app::AppState;
use crate::http::Routes;

/// Adds the routes of this domain.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = containers::routes(routes);
    let routes = images::routes(routes);
    let routes = events::routes(routes);
    let routes = files::routes(routes);
    let routes = live::routes(routes);
    let routes = logs::routes(routes);
    let routes = resources::routes(routes);
    let routes = metrics::routes(routes);
    terminals::routes(routes)
}
