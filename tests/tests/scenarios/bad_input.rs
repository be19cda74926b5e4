//! Whatever anybody sends, the hub answers in its own words or hangs up, its
//! memory stays flat, and nobody else notices. And whatever a hub sends, a host
//! does not do what its own policy refuses.

mod policy;
mod rogue_agents;
mod secrets;
mod strangers;
mod tls_versions;

/// How much a hub's memory may grow while it is sent rubbish.
const GROWTH_MAX: u64 = 24 * 1024 * 1024;
