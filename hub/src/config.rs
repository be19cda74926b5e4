//! What the hub was told at start: one struct per concern, parsed and checked
//! once, then passed down. Nothing reads the environment later.

mod agents;
mod engine;
mod listen;
mod logging;
mod peers;
mod proxies;
mod remote;
mod retention;
mod sessions;
mod storage;

use clap::Args;

pub use self::agents::AgentsOptions;
pub use self::engine::{EngineAddress, EngineOptions};
pub use self::listen::{ListenOptions, RateLimit, RateOptions};
pub use self::logging::{LogFormat, LoggingOptions};
pub use self::peers::PeersOptions;
pub use self::proxies::{ProxyHeaders, ProxyOptions};
pub use self::remote::RemoteOptions;
pub use self::retention::{
    AuditOptions, EventsOptions, MetricsOptions, RecordingsOptions, Retention, RetentionOptions,
};
pub use self::sessions::SessionOptions;
pub use self::storage::{DataDir, MasterKeyOptions, RotationOptions, StorageOptions};

/// Everything `windflow-hub serve` can be told beside the data directory.
#[derive(Args, Clone, Debug)]
pub struct ServeOptions {
    /// Where the database and the master key are.
    #[command(flatten)]
    pub storage: StorageOptions,
    /// The other hubs on the same database.
    #[command(flatten)]
    pub peers: PeersOptions,
    /// How often the keys in the database are made anew.
    #[command(flatten)]
    pub rotation: RotationOptions,
    /// Where the hub listens, and with which certificate.
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Whom the hub believes when they speak for others.
    #[command(flatten)]
    pub proxies: ProxyOptions,
    /// The Docker engine of this machine.
    #[command(flatten)]
    pub engine: EngineOptions,
    /// How much is kept of what comes by itself.
    #[command(flatten)]
    pub retention: RetentionOptions,
    /// How long somebody stays signed in.
    #[command(flatten)]
    pub sessions: SessionOptions,
    /// How often anybody may ask.
    #[command(flatten)]
    pub rates: RateOptions,
    /// The agents that the hub hands out.
    #[command(flatten)]
    pub agents: AgentsOptions,
    /// What the log looks like.
    #[command(flatten)]
    pub logging: LoggingOptions,
}
