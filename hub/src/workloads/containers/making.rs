//! Making containers: from a specification, or anew with something changed.

mod base;
mod conflicts;
mod create;
mod edit;
mod engine;
mod image;
mod recreate;
mod routes;
mod update;

pub use recreate::Replacements;
pub use recreate::keep;
pub(super) use routes::routes;
