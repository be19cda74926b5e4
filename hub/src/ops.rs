//! The hub looking at itself.

pub mod health;
