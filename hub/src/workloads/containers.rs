//! Containers: what an engine has, and starting and stopping them.

mod model;
mod routes;
mod service;
#[cfg(test)]
mod tests;

pub use model::{Container, ContainerFilter, ContainerId};
pub(super) use routes::routes;
