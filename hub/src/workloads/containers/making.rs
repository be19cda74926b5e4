//! Making containers: from a specification, or anew with something changed.

mod base;
mod conflicts;
mod create;
mod edit;
mod engine;
mod image;
mod names;
mod recovery;
mod recreate;
mod routes;
mod update;
mod wellness;

pub use recovery::keep;
pub use recreate::Replacements;
pub(super) use routes::routes;
