//! What the hub's log looks like. It goes to standard error.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use windflow_protocol::text::Lines;

/// Format and detail of the log.
#[derive(Args, Clone, Debug)]
pub struct LoggingOptions {
    /// Format of the log
    #[arg(long, env = "WINDFLOW_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to log, e.g. info or windflow_hub=debug
    #[arg(long, env = "WINDFLOW_LOG", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LoggingOptions {
    /// Starts logging for the whole process.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter: EnvFilter = self.log_level.parse()?;
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(|| Lines(std::io::stderr()))
            .with_ansi(std::io::stderr().is_terminal());
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        Ok(())
    }
}
