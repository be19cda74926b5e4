//! How much of what happens on the engines is kept.

use std::time::Duration;

use clap::Args;

/// The bounds of what is kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct EventsOptions {
    /// Days that the events of engines are kept
    #[arg(long, env = "WINDFLOW_EVENTS_DAYS", default_value_t = 30, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub events_days: u16,
    /// Most events that are kept of one environment, the newest ones
    #[arg(long, env = "WINDFLOW_EVENTS_MAX", default_value_t = 100_000, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub events_max: u32,
}

impl EventsOptions {
    /// How long an event is kept.
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::from(self.events_days) * 24 * 60 * 60)
    }
}

impl Default for EventsOptions {
    fn default() -> Self {
        Self { events_days: 30, events_max: 100_000 }
    }
}
