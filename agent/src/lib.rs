//! The agent: carries one host's Docker engine to the hub.
//!
//! * [`engine`]: where the engine is, how to connect to it, how it is doing.
//! * [`serve`]: one session on an established connection: hello, control,
//!   engine reports. [`dispatch`] answers the streams the hub opens on it.
//! * [`host`]: what the agent says of its host, and its only clock.
//!
//! The hub runs the same three in its own process for local and TCP engines;
//! nothing in them knows a state directory.

pub mod dispatch;
pub mod engine;
pub mod host;
pub mod serve;

#[cfg(test)]
mod testing;
