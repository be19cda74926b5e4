//! The agent's process: parses the command line, builds the runtime, and turns
//! what happened into an exit code.

use std::process::ExitCode;

use windflow_agent::cli::{Cli, Exit, execute};

/// Enough for one task that encrypts and one that talks to the engine.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let cli = Cli::read();
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(4)
        .enable_all()
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("windflow-agent: no threads can be started: {error}");
            return Exit::Failure.into();
        }
    };
    // The main thread is no worker; what it polled itself would cross threads
    // with each wake-up.
    let task = runtime.spawn(execute(cli));
    let exit = runtime.block_on(task).unwrap_or(Exit::Failure);
    runtime.shutdown_background();
    exit.into()
}
