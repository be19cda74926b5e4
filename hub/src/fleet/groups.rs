//! Groups of environments: what belongs together has one name, under which it
//! is shown, and by which roles can be given.

mod model;
mod routes;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub use model::{Group, GroupId};
pub(super) use routes::routes;
pub use service::GroupError;
pub(super) use store::find_name;
