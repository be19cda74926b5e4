//! Cleaning an engine up: what nothing uses is shown first, with what it
//! frees, and only what was shown is removed.

mod removal;
mod survey;

pub use removal::PruneRequest;
pub use survey::{PruneOptions, PrunePreview};
