//! The hub itself: how it does, what it counts, what takes long, its backups and
//! keys, and the console it serves.

pub mod backup;
pub mod console;
pub mod health;
pub mod jobs;
pub mod keys;
pub mod mail;
pub mod metrics;
