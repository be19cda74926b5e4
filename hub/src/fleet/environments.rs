//! Environments: Docker engines as users know them, however they are reached.

mod model;
mod routes;
mod service;
mod store;

pub use model::{
    EngineTarget, Environment, EnvironmentKind, EnvironmentName, EnvironmentState, InvalidName, Labels, NewTcpEnvironment,
};
pub use routes::routes;
pub use service::{Environments, RemoveError};
pub(super) use store::{
    NewEnvironment, StoreError, find, get_target, insert, list_attached, mark_connected, mark_seen, rename,
};
