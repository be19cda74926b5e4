//! The command line: `windflow-hub serve`, and everything that talks to a
//! running hub.

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{DataDir, ServeOptions};

/// Windflow hub: manages Docker hosts wherever they are
#[derive(Debug, Parser)]
#[command(name = "windflow-hub", version)]
pub struct Cli {
    /// The hub's own directory
    #[arg(long, global = true, env = "WINDFLOW_DATA_DIR", default_value = "/var/lib/windflow-hub", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the hub
    Serve(ServeOptions),
}

/// Runs what the command line says.
pub async fn run(cli: Cli) -> ExitCode {
    let data_dir = DataDir::new(cli.data_dir);
    let done = match cli.command {
        Command::Serve(options) => serve::run(&data_dir, &options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windflow-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}
