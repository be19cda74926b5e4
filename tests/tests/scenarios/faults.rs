//! What breaks comes back by itself, and nothing lies about it meanwhile.

mod clocks;
mod dns;
mod engine;
mod fleet;
mod identity;
mod link;
mod packets;
mod process;
mod storage;
mod transport;
