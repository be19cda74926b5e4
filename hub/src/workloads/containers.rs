//! Containers: what an engine has, and what is done with them.

mod capture;
mod change;
mod details;
mod making;
mod masking;
mod model;
mod routes;
mod service;
mod spec;
#[cfg(test)]
mod tests;

pub use making::{Replacements, keep};
pub use masking::{mask, mask_named};
pub use model::{Container, ContainerFilter};

use crate::app::AppState;
use crate::http::Routes;

/// Adds the routes of containers.
pub(super) fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    making::routes(routes::routes(routes))
}
