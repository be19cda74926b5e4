//! `windflow-agent run`.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, StateDirArg, proxies_of_environment, transport};
use crate::engine::EngineAddress;
use crate::identity::{Identity, Lock, StateDir};
use crate::link::TransportChoice;
use crate::run::{RunOptions, run as run_with};

/// A planned end may take this long.
const STOP_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    state: StateDirArg,
    /// Where the engine is: unix:///PATH or tcp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/docker.sock")]
    engine: EngineAddress,
    /// How to travel: auto, websocket or quic; as when enrolling if left out.
    #[arg(long, value_parser = transport)]
    transport: Option<TransportChoice>,
    /// Run although the state directory was made on another machine: it was
    /// moved, not copied.
    #[arg(long)]
    accept_clone: bool,
}

pub(super) async fn run(args: RunArgs) -> Exit {
    let (state_dir, identity, lock) = match prepare(&args) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("windflow-agent: {error:#}");
            return Exit::StateDir;
        }
    };
    let options = RunOptions {
        state_dir,
        identity,
        engine: args.engine,
        transport: args.transport,
        proxies: proxies_of_environment(),
    };
    let stop = CancellationToken::new();
    let exit = tokio::select! {
        () = run_with(options, stop.clone()) => Exit::Done,
        exit = stop_on_signal(stop) => exit,
    };
    drop(lock);
    exit
}

fn prepare(args: &RunArgs) -> anyhow::Result<(StateDir, Identity, Lock)> {
    let state_dir = StateDir::open(&args.state.state_dir)?;
    let lock = state_dir.lock()?;
    let Some(mut identity) = state_dir.load()? else {
        anyhow::bail!("This host is not enrolled: run windflow-agent enroll with a token of the hub first");
    };
    if identity.is_from_another_machine() {
        anyhow::ensure!(
            args.accept_clone,
            "This state directory was made on another machine. If it was copied, enroll this machine with a token of \
             its own; if the machine was moved or installed anew, start once with --accept-clone"
        );
        identity.state.machine = crate::host::machine();
        identity.save()?;
    }
    Ok((state_dir, identity, lock))
}

/// The first signal starts a planned end; the second, or the deadline, ends
/// the process there and then.
async fn stop_on_signal(stop: CancellationToken) -> Exit {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received; end the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to stop");
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(STOP_DEADLINE) => {}
    }
    tracing::warn!("stopped before the hub was told");
    Exit::Done
}
