//! Images: pulled from a registry, and cleaned up together with all else that
//! nothing uses.

mod login;
mod prune;
mod pull;
mod reference;
mod routes;
#[cfg(test)]
mod tests;

pub use login::RegistryLogin;
pub use pull::{PullRequest, pull};
pub use reference::{ImageReference, InvalidPlatform, InvalidReference, Platform};
pub(super) use routes::routes;
