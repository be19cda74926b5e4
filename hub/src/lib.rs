//! The Windflow hub: it keeps the sessions of all agents, and serves the API,
//! the console and the Docker gateway over them.
//!
//! Read it from the bottom up: [`clock`], [`db`], [`settings`] and [`vault`]
//! are what everything stands on, and [`peers`] are the other hubs on the same database;
//! [`http`] has the ground rules of every route,
//! [`outgoing`] those of every request to an address that somebody configured, and
//! [`mail`] to people;
//! [`tunnel`] holds the sessions and [`docker`] the engines behind them, [`jobs`]
//! does what takes long; the features are [`identity`], [`fleet`], [`workloads`] and [`ops`]. [`router`] lists every route,
//! [`app`] what they share and, in [`app::background`], every job. [`server`] opens the
//! doors and [`lifecycle`] closes them.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod docker;
pub mod error;
pub mod fleet;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod lifecycle;
pub mod ops;
pub mod outgoing;
pub mod peers;
pub mod router;
pub mod server;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tunnel;
pub mod vault;
pub mod workloads;

pub use outgoing::mail;
pub use vault::settings;
