//! What runs on the engines, and what is done with it.

pub mod containers;
pub mod files;
pub mod images;
pub mod logs;
pub mod recordings;
pub mod resources;
pub mod terminals;

use crate::app::AppState;
use crate::http::Routes;

/// Adds the routes of this domain.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = containers::routes(routes);
    let routes = images::routes(routes);
    let routes = files::routes(routes);
    let routes = logs::routes(routes);
    let routes = resources::routes(routes);
    let routes = terminals::routes(routes);
    recordings::routes(routes)
}
