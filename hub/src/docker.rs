//! Docker engines over sessions: [`Engines`] sends HTTP to an environment's
//! engine, pooled, and gives a [`bollard`] client; [`gateway`] passes anybody's
//! Docker client through to it.

mod connector;
mod engines;
pub mod gateway;

pub use engines::{EngineError, Engines};
