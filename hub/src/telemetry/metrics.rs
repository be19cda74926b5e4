//! What hosts and containers use: shown now, written down for a month, and
//! asked for over any time between.

mod follower;
mod history;
mod keeper;
mod latest;
mod model;
mod points;
mod routes;
mod store;
mod subject;
#[cfg(test)]
mod tests;

pub use self::keeper::keep;
pub use self::latest::Measurements;
pub(super) use self::latest::{Glimpse, Look};
pub use self::model::ContainerUse;
pub(super) use self::model::{Value, values};
pub(super) use self::routes::routes;
