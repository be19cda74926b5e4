//! How long what users and the hub did is kept on record.

use std::time::Duration;

use clap::Args;

/// The bounds of what is kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct AuditOptions {
    /// Days that the audit log is kept
    #[arg(long, env = "WINDFLOW_AUDIT_DAYS", default_value_t = 400, value_name = "DAYS",
        value_parser = clap::value_parser!(u16).range(30..=3650))]
    pub audit_days: u16,
}

impl AuditOptions {
    /// How long a record is kept.
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::from(self.audit_days) * 24 * 60 * 60)
    }
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { audit_days: 400 }
    }
}
