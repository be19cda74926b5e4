//! What engines have beside containers: images, volumes and networks, each in
//! one list over all environments, with how many containers use it.

mod images;
mod listing;
mod networks;
#[cfg(test)]
mod tests;
mod volumes;

use crate::app::AppState;
use crate::http::Routes;

/// Adds the routes of this module.
pub(super) fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = images::routes(routes);
    let routes = networks::routes(routes);
    volumes::routes(routes)
}
