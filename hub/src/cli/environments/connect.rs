//! `environment connect`: a Docker socket on this machine for an engine behind
//! the hub, for programs that cannot be told to send a token. Buildx is one: it
//! takes the address from `DOCKER_HOST` and leaves out the headers and the base
//! path that the `docker` command sends.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::client::HubClient;
use super::super::exit::Failure;
use super::super::output::Format;
use super::ENVIRONMENTS;
use super::bridge::Bridge;
use crate::fleet::environments::EnvironmentName;
use crate::server::socket;

/// Which engine gets a socket, and where.
#[derive(Args, Debug)]
pub struct ConnectOptions {
    /// Its name or id
    name: String,
    /// Where to listen [default: NAME.sock in $XDG_RUNTIME_DIR/windflow, or in a new temporary directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// This user's directory for sockets
    #[arg(long, env = "XDG_RUNTIME_DIR", hide = true, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
}

/// Serves the socket until a signal comes. Prints `DOCKER_HOST=…` once it can
/// be used.
///
/// # Errors
/// When there is no such environment, or the socket is taken.
pub async fn run(hub: &HubClient, options: &ConnectOptions, format: Format) -> Result<(), Failure> {
    // Before the socket is there, so that no signal leaves it behind.
    let end = End::listen()?;
    let id = hub.resolve("environment", ENVIRONMENTS, &options.name).await?;
    let environment = hub.get(&format!("{ENVIRONMENTS}/{id}")).await?;
    let name = environment["name"].as_str().and_then(|name| EnvironmentName::parse(name).ok());
    let name = name.ok_or_else(|| anyhow!("the hub's answer has no name; is this a Windflow hub?"))?;

    let (path, _folder) = choose_path(options, name.as_str())?;
    let listener = socket::listen(&path)?;
    let docker_host = format!("unix://{}", path.display());
    let _socket = Made::Socket(path);
    match format {
        Format::Text => println!("DOCKER_HOST={docker_host}"),
        Format::Json => format.object(&json!({ "docker_host": docker_host })),
    }
    if environment["state"] != "online" {
        eprintln!("{} is not online at the moment; requests fail until it is.", name.as_str());
    }
    eprintln!("Connected to {} until Ctrl-C. Set this DOCKER_HOST in another terminal.", name.as_str());
    Bridge::new(hub.way(), format!("{ENVIRONMENTS}/{id}/engine")).serve(listener, end.come()).await;
    Ok(())
}

/// The signals that end the command.
struct End {
    signals: [Signal; 3],
}

impl End {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("Failed to listen for signals");
        let signals =
            [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
        Ok(Self { signals })
    }

    async fn come(self) {
        let [mut interrupt, mut terminate, mut hangup] = self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Where the socket goes, and the folder that was made for nothing else.
fn choose_path(options: &ConnectOptions, name: &str) -> anyhow::Result<(PathBuf, Option<Made>)> {
    let file = format!("{name}.sock");
    match (&options.socket, &options.runtime_dir) {
        (Some(path), _) => {
            let path = std::path::absolute(path).context("Failed to find the current directory")?;
            path.parent().map_or(Ok(()), make_folders)?;
            Ok((path, None))
        }
        (None, Some(runtime)) if runtime.is_absolute() => {
            let folder = runtime.join("windflow");
            make_folders(&folder)?;
            Ok((folder.join(file), None))
        }
        (None, _) => {
            let folder = std::env::temp_dir().join(format!("windflow-{}", uuid::Uuid::new_v4().simple()));
            // Not with its parents: it must be new, or it is not ours alone.
            let made = DirBuilder::new().mode(0o700).create(&folder);
            made.with_context(|| format!("Failed to make {}", folder.display()))?;
            Ok((folder.join(file), Some(Made::Folder(folder))))
        }
    }
}

/// What this command made on the disk. Dropping it removes it.
#[derive(Debug)]
enum Made {
    Socket(PathBuf),
    Folder(PathBuf),
}

impl Drop for Made {
    fn drop(&mut self) {
        let _gone_already_is_fine = match self {
            Self::Socket(path) => std::fs::remove_file(path),
            Self::Folder(path) => std::fs::remove_dir(path),
        };
    }
}

/// Makes what is missing of `folder`, for this user alone.
fn make_folders(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("Failed to make {}", folder.display()))
}
