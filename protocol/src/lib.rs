//! The tunnel between the Windflow hub and its agents: what travels, in which
//! bytes, and over what.
//!
//! Read it from the top down:
//!
//! * [`version`], [`capability`], [`limits`], [`ids`], [`session`], [`text`]:
//!   what both ends agree on before the first byte, and the words for it.
//! * [`token`], [`identity`]: the words by which a hub and an agent know each
//!   other.
//! * [`message`]: every typed message, in the order a connection meets them:
//!   enrollment, hello, control, and the preamble that starts each stream.
//!   [`codec`] turns them into bytes.
//! * [`frame`] and [`mux`]: many streams on one byte stream, as a state machine
//!   without I/O and the task that drives it.
//! * [`tls`]: the one session, with certificates at both ends, that every
//!   connection between hosts runs in.
//! * [`transport`]: [`Connection`](transport::Connection) and
//!   [`Stream`](transport::Stream) over memory, WebSocket and QUIC. Everything
//!   above this crate uses these two and nothing below them.
//!
//! `testing` (a feature of that name) has links that are slow, cut, split or
//! stalled, in virtual time.
//!
//! This crate knows no database, no Docker and no web framework.

pub mod codec;
pub mod frame;
pub mod identity;
pub mod message;
pub mod mux;
mod terms;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod token;
pub mod transport;

pub use terms::{asciicast, capability, ids, limits, session, text, version};
