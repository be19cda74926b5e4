//! The hub looking at itself.

pub mod health;
pub mod metrics;
