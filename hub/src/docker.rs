//! Docker engines over sessions: [`Engines`] sends HTTP to an environment's
//! engine, pooled, and calls it through a [`bollard`] client; [`gateway`] passes
//! anybody's Docker client through to it.

mod budget;
mod calls;
mod connector;
mod container_id;
mod engines;
pub mod gateway;
mod lines;
mod refusal;

pub use container_id::ContainerId;
pub use engines::{EngineError, Engines};
pub use lines::JsonLines;
