//! The hub itself: how it does, what it counts, and the console it serves.

pub mod backup;
pub mod console;
pub mod health;
pub mod metrics;
