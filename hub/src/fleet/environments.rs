//! Environments: Docker engines as users know them, however they are reached.

mod filter;
mod host_policy;
mod labels;
mod model;
mod overview;
mod places;
mod routes;
mod service;
mod store;
mod told;

pub use filter::EnvironmentFilter;
pub use labels::{InvalidLabels, Labels};
pub use model::{
    EngineTarget, Environment, EnvironmentKind, EnvironmentName, EnvironmentState, InvalidName, NewTcpEnvironment,
    TcpTls,
};
pub(super) use routes::routes;
pub use service::{AddError, ChangeError};
pub(super) use store::Known;
pub use store::StoreError;
pub(super) use store::{NewEnvironment, insert, mark_connected, mark_seen, name_taken, rename};
pub use told::{ContainerStates, LastEvent, Told};
