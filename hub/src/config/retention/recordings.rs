//! How much of what is recorded of terminals is kept.

use std::time::Duration;

use clap::Args;

/// The bounds of what is kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct RecordingsOptions {
    /// Days that the recordings of terminals are kept
    #[arg(long, env = "WINDFLOW_RECORDINGS_DAYS", default_value_t = 30, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub recordings_days: u16,
    /// Most recordings that are kept of one environment, the newest ones
    #[arg(long, env = "WINDFLOW_RECORDINGS_MAX", default_value_t = 1_000, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub recordings_max: u32,
    /// Most mebibytes that all recordings together may take, compressed; the
    /// oldest give way
    #[arg(long, env = "WINDFLOW_RECORDINGS_MIB", default_value_t = 1_024, value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub recordings_mib: u32,
}

impl RecordingsOptions {
    /// How long a recording is kept.
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::from(self.recordings_days) * 24 * 60 * 60)
    }

    /// Most bytes of all of them.
    pub fn bytes_max(self) -> i64 {
        i64::from(self.recordings_mib) * 1024 * 1024
    }
}

impl Default for RecordingsOptions {
    fn default() -> Self {
        Self { recordings_days: 30, recordings_max: 1_000, recordings_mib: 1_024 }
    }
}
