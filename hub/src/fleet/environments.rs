//! Environments: Docker engines as users know them, however they are reached.

mod model;
mod routes;
mod service;
mod store;

pub use model::{
    EngineTarget, Environment, EnvironmentFilter, EnvironmentKind, EnvironmentName, EnvironmentState, InvalidName,
    Labels, NewTcpEnvironment, TcpTls,
};
pub(super) use routes::routes;
pub use service::AddError;
pub use store::StoreError;
pub(super) use store::{NewEnvironment, insert, mark_connected, mark_seen, name_taken, rename};
