//! The agent: carries one host's Docker engine to the hub.
//!
//! * [`engine`]: where the engine is, how to connect to it, how it is doing.
//! * [`serve`]: one session on an established connection: hello, control,
//!   engine reports. [`dispatch`] answers the streams the hub opens on it.
//! * [`host`]: what the agent says of its host, and its only clock.
//!
//! * [`policy`]: what a file on the host says that no hub may do there.
//!
//! The hub runs the first three in its own process for local and TCP engines;
//! nothing in them knows a state directory. The agent binary adds:
//!
//! * [`identity`]: the key, the certificate and the state, on disk.
//! * [`link`]: proxies, transports and TLS on the way to the hub.
//! * [`enroll`] and its `renew`: how a certificate is had, and had again.
//! * [`run`]: the daemon's loop, with [`backoff`] between sessions.
//! * [`cli`]: the command lines.

pub mod backoff;
pub mod cli;
pub mod dispatch;
pub mod engine;
pub mod enroll;
pub mod host;
pub mod identity;
pub mod link;
pub mod policy;
pub mod run;
pub mod serve;

#[cfg(test)]
mod testing;
