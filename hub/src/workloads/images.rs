//! Images: pulled from a registry, as a job.

mod pull;
mod reference;
mod routes;

pub use pull::pull;
pub use reference::{ImageReference, InvalidReference, Platform};
pub(super) use routes::routes;
