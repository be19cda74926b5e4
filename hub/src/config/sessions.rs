//! How long somebody stays signed in.

use std::time::Duration;

use clap::Args;

/// How long a browser's session lasts.
#[derive(Args, Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Hours that somebody stays signed in in a browser, whatever they do
    #[arg(long, env = "WINDFLOW_SESSION_HOURS", default_value_t = 24, value_name = "HOURS",
        value_parser = clap::value_parser!(u16).range(1..=720))]
    pub session_hours: u16,
    /// Minutes without a sign of life from the browser after which they are
    /// signed out
    #[arg(long, env = "WINDFLOW_SESSION_IDLE_MINUTES", default_value_t = 120, value_name = "MINUTES",
        value_parser = clap::value_parser!(u16).range(5..=43_200))]
    pub session_idle_minutes: u16,
    /// Minutes after somebody proved in a browser that it is they, by signing in
    /// or by confirming it, in which they may do what takes such a proof
    #[arg(long, env = "WINDFLOW_CONFIRM_WINDOW_MINUTES", default_value_t = 5, value_name = "MINUTES",
        value_parser = clap::value_parser!(u16).range(1..=60))]
    pub confirm_window_minutes: u16,
}

impl SessionOptions {
    /// The longest that a session lasts.
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::from(self.session_hours) * 60 * 60)
    }

    /// The longest that a session lasts that nobody uses.
    pub fn idle(self) -> Duration {
        Duration::from_secs(u64::from(self.session_idle_minutes) * 60)
    }

    /// For how long a proof that it is they counts.
    pub fn confirm_window(self) -> Duration {
        Duration::from_secs(u64::from(self.confirm_window_minutes) * 60)
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { session_hours: 24, session_idle_minutes: 120, confirm_window_minutes: 5 }
    }
}
