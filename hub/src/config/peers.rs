//! The other hubs on the same database.

use clap::Args;

use crate::peers::{Peers, RedisUrl};

/// Where hubs on the same database meet.
#[derive(Args, Clone, Debug, Default)]
pub struct PeersOptions {
    /// Redis in which several hubs on one PostgreSQL meet:
    /// redis://user:password@host:6379/0, rediss:// for TLS. The environment
    /// variable keeps the password out of the list of processes
    #[arg(long, env = "WINDFLOW_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<RedisUrl>,
}

impl PeersOptions {
    /// The other hubs, as far as they can be known.
    pub fn peers(&self) -> Peers {
        self.redis_url.clone().map_or_else(Peers::alone, Peers::by_way_of)
    }
}
