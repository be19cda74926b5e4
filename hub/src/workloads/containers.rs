//! Containers: what an engine has, and what is done with them.

mod capture;
mod change;
mod details;
mod masking;
mod model;
mod routes;
mod service;
#[cfg(test)]
mod tests;

pub use masking::{mask, mask_named};
pub use model::{Container, ContainerFilter};
pub(super) use routes::routes;
