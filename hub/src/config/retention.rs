//! How much is kept of what comes by itself.

mod audit;
mod events;
mod metrics;
mod recordings;

use std::time::Duration;

use clap::Args;

pub use self::audit::AuditOptions;
pub use self::events::EventsOptions;
pub use self::metrics::MetricsOptions;
pub use self::recordings::RecordingsOptions;

/// How much is kept, as it is typed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct RetentionOptions {
    /// Of what was done, and by whom.
    #[command(flatten)]
    pub audit: AuditOptions,
    /// Of what happens on the engines.
    #[command(flatten)]
    pub events: EventsOptions,
    /// Of what is measured.
    #[command(flatten)]
    pub metrics: MetricsOptions,
    /// Of what is recorded of terminals.
    #[command(flatten)]
    pub recordings: RecordingsOptions,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Of what was done, and by whom.
    pub audit: AuditOptions,
    /// Of what happens on the engines.
    pub events: EventsOptions,
    /// How long what is measured is kept, from the closest to the farthest.
    pub metric_lives: [Duration; 3],
    /// Of what is recorded of terminals.
    pub recordings: RecordingsOptions,
}

impl RetentionOptions {
    /// What the options say together.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn check(self) -> anyhow::Result<Retention> {
        let Self { audit, events, metrics, recordings } = self;
        Ok(Retention { audit, events, metric_lives: metrics.lives()?, recordings })
    }
}
