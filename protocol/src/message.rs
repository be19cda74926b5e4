//! Every typed message, one file for each moment of a connection's life.
//!
//! Fields are never renumbered, reordered or reused: bincode writes them in
//! the order they are declared. What a newer version adds goes to the end of
//! the hello, or becomes a new variant of a control message; the golden bytes
//! in `message/golden.txt` hold the layout in place.

pub mod control;
pub mod enroll;
pub mod events;
#[cfg(test)]
mod golden;
pub mod hello;
pub mod logs;
pub mod metrics;
pub mod policy;
pub mod preamble;
pub mod report;
