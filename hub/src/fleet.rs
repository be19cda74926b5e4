//! The fleet: environments, the agents that carry them, and how a host joins.

pub mod authority;
