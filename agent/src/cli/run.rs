//! `windflow-agent run`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use windflow_protocol::token::EnrollmentToken;
use zeroize::Zeroizing;

use super::enroll::{announce, exit_of, forget, token_from};
use super::{Exit, StateDirArg, notifier_of_environment, proxies_of_environment, transport};
use crate::engine::EngineAddress;
use crate::enroll::{EnrollOptions, Existing, enroll};
use crate::identity::{Identity, Lock, StateDir};
use crate::link::{HubUrl, TransportChoice};
use crate::policy::{Keeper, POLICY_FILE, Rails};
use crate::run::notify::Notifier;
use crate::run::{RunOptions, run as run_with};

/// A planned end may take this long.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// A first enrollment tries this long before whoever started the agent has to
/// start it again.
const FIRST_ENROLLMENT: Duration = Duration::from_secs(300);

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
    /// What no hub may do on this host. Without the file a hub may do everything.
    #[arg(long, value_name = "FILE", default_value = POLICY_FILE, value_hint = ValueHint::FilePath)]
    policy: PathBuf,
    #[command(flatten)]
    first: FirstEnrollment,
}

/// With what a host that is not enrolled yet becomes so; an enrolled one
/// needs none of it. For containers, where one command is all there is.
#[derive(Debug, Args)]
struct FirstEnrollment {
    /// The hub at which to enroll first, where this host is not enrolled.
    #[arg(long = "hub", value_name = "URL", env = "WINDFLOW_HUB", value_delimiter = ',')]
    hubs: Vec<HubUrl>,
    /// A file with the token for that.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// The token itself, from the environment only.
    #[arg(long, hide = true, value_name = "TOKEN", env = "WINDFLOW_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name at the hub; the host name if left out.
    #[arg(long, default_value = "")]
    name: String,
}

pub(super) async fn run(args: RunArgs) -> Exit {
    let stop = CancellationToken::new();
    let notifier = notifier_of_environment();
    tokio::select! {
        exit = work(args, &notifier, stop.clone()) => exit,
        exit = stop_on_signal(&notifier, stop) => exit,
        never = notifier.keep_alive() => match never {},
    }
}

async fn work(args: RunArgs, notifier: &Notifier, stop: CancellationToken) -> Exit {
    let (state_dir, identity, lock) = match prepare(&args).await {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    let rails = Rails::new(state_dir.path(), &args.policy, &args.engine, crate::host::container());
    let policy = Arc::new(Keeper::new(args.policy, rails));
    let options = RunOptions {
        state_dir,
        identity,
        engine: args.engine,
        transport: args.transport,
        proxies: proxies_of_environment(),
        policy: Arc::clone(&policy),
    };
    notifier.ready();
    tokio::select! {
        () = run_with(options, stop) => {}
        never = reload_on_signal(&policy) => match never {},
    }
    drop(lock);
    Exit::Done
}

/// Reads the policy again each time that SIGHUP comes: from root, or whoever the
/// agent runs as.
async fn reload_on_signal(policy: &Keeper) -> Infallible {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP cannot be received; the policy is read at the next start");
        return std::future::pending().await;
    };
    while hangup.recv().await.is_some() {
        policy.reload();
    }
    std::future::pending().await
}

async fn prepare(args: &RunArgs) -> Result<(StateDir, Identity, Lock), Exit> {
    let opened = open(args).map_err(|error| say(&error, Exit::StateDir))?;
    let (state_dir, found, lock) = opened;
    let identity = match found {
        Some(identity) => adopt(identity, args).map_err(|error| say(&error, Exit::StateDir))?,
        None => enroll_first(&state_dir, args).await?,
    };
    Ok((state_dir, identity, lock))
}

fn say(error: &anyhow::Error, exit: Exit) -> Exit {
    eprintln!("windflow-agent: {error:#}");
    exit
}

fn open(args: &RunArgs) -> anyhow::Result<(StateDir, Option<Identity>, Lock)> {
    let state_dir = StateDir::open(&args.state.state_dir)?;
    let lock = state_dir.lock()?;
    let found = state_dir.load()?;
    Ok((state_dir, found, lock))
}

fn adopt(mut identity: Identity, args: &RunArgs) -> anyhow::Result<Identity> {
    if identity.is_from_another_machine() {
        anyhow::ensure!(
            args.accept_clone,
            "This state directory was made on another machine. If it was copied, enroll this machine with a token of \
             its own; if the machine was moved or installed anew, start once with --accept-clone"
        );
        identity.state.machine = crate::host::machine();
        identity.save()?;
    }
    Ok(identity)
}

async fn enroll_first(state_dir: &StateDir, args: &RunArgs) -> Result<Identity, Exit> {
    let first = &args.first;
    let token = match (&first.token_file, &first.token) {
        (Some(path), _) => token_from(path).map_err(|error| say(&error, Exit::StateDir))?,
        (None, Some(token)) => Zeroizing::new(token.clone()),
        (None, None) => {
            let advice = "This host is not enrolled: run windflow-agent enroll with a token of the hub first";
            return Err(say(&anyhow::Error::msg(advice), Exit::StateDir));
        }
    };
    let token = EnrollmentToken::parse(&token).map_err(|malformed| {
        eprintln!("windflow-agent: TOKEN_MALFORMED: {malformed}");
        Exit::Usage
    })?;
    let options = EnrollOptions {
        hubs: first.hubs.clone(),
        token,
        name: first.name.clone(),
        labels: Vec::new(),
        transport: args.transport.unwrap_or_default(),
        proxy: None,
        proxies: proxies_of_environment(),
        existing: Existing::Keep,
        wait: FIRST_ENROLLMENT,
    };
    let enrolled = enroll(state_dir, &options).await.map_err(|error| {
        eprintln!("windflow-agent: {error}");
        exit_of(&error)
    })?;
    forget(first.token_file.as_deref());
    announce(&enrolled);
    Ok(enrolled.identity)
}

/// The first signal starts a planned end; the second, or the deadline, ends
/// the process there and then.
async fn stop_on_signal(notifier: &Notifier, stop: CancellationToken) -> Exit {
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
    notifier.stopping();
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(STOP_DEADLINE) => {}
    }
    tracing::warn!("stopped before the hub was told");
    Exit::Done
}
