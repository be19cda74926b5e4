//! The hub binary: reads the command line, runs it, and ends with its code.

use std::process::ExitCode;

use clap::Parser;
use windflow_hub::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => {
            eprintln!("windflow-hub: the async runtime did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
