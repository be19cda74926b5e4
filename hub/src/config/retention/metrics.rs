//! How long what is measured is kept, and how closely.

use std::time::Duration;

use clap::Args;

/// Until which age measurements are kept. They grow fewer with it.
#[derive(Args, Clone, Copy, Debug)]
pub struct MetricsOptions {
    /// Days that every measurement is kept, one each 15 seconds
    #[arg(long, env = "WINDFLOW_METRICS_DAYS_FINE", default_value_t = 1, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=14))]
    pub metrics_days_fine: u16,
    /// Days that they are kept by the minute; at least as many
    #[arg(long, env = "WINDFLOW_METRICS_DAYS_MEDIUM", default_value_t = 7, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=60))]
    pub metrics_days_medium: u16,
    /// Days that they are kept by the quarter of an hour; at least as many
    #[arg(long, env = "WINDFLOW_METRICS_DAYS_COARSE", default_value_t = 30, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(1..=366))]
    pub metrics_days_coarse: u16,
}

impl MetricsOptions {
    /// How long measurements are kept, from the closest to the farthest.
    ///
    /// # Errors
    /// When what is coarser is kept for a shorter time.
    pub fn lives(self) -> anyhow::Result<[Duration; 3]> {
        let days = [self.metrics_days_fine, self.metrics_days_medium, self.metrics_days_coarse];
        anyhow::ensure!(
            days.is_sorted(),
            "--metrics-days-fine, --metrics-days-medium and --metrics-days-coarse must each be at least the one before, \
             not {days:?}"
        );
        Ok(days.map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60)))
    }
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { metrics_days_fine: 1, metrics_days_medium: 7, metrics_days_coarse: 30 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_coarser_is_kept_at_least_as_long() {
        let of = |metrics_days_fine, metrics_days_medium, metrics_days_coarse| {
            let options = MetricsOptions { metrics_days_fine, metrics_days_medium, metrics_days_coarse };
            options.lives().map(|lives| lives.map(|life| life.as_secs() / 86_400))
        };
        assert_eq!(of(1, 7, 30).unwrap(), [1, 7, 30]);
        assert_eq!(of(2, 2, 2).unwrap(), [2, 2, 2]);
        assert!(of(8, 7, 30).is_err() && of(1, 31, 30).is_err());
    }
}
