//! The Windflow hub: it keeps the sessions of all agents, and serves the API,
//! the console and the Docker gateway over them.
//!
//! Read it from the bottom up: [`clock`], [`db`], [`settings`] and [`vault`]
//! are what everything stands on.

pub mod clock;
pub mod db;
pub mod settings;
pub mod vault;
