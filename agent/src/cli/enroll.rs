//! `windflow-agent enroll`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueHint};
use windflow_protocol::token::{EnrollmentToken, MalformedToken};
use zeroize::Zeroizing;

use super::{Exit, StateDirArg, proxies_of_environment, transport};
use crate::enroll::{EnrollError, EnrollOptions, Enrollment, Existing, enroll as enroll_with};
use crate::identity::StateDir;
use crate::link::{HubUrl, Proxy, TransportChoice};

/// Largest token file, in bytes.
const TOKEN_FILE_MAX: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct EnrollArgs {
    /// The hub's address, such as https://hub.example:8443; more than one may
    /// be given.
    #[arg(long = "hub", value_name = "URL", env = "WINDFLOW_HUB", value_delimiter = ',', required = true)]
    hubs: Vec<HubUrl>,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    state: StateDirArg,
    /// The name of this host at the hub; its host name if left out.
    #[arg(long, default_value = "")]
    name: String,
    /// A label of this host; may be given often.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How to travel: auto, websocket or quic.
    #[arg(long, default_value = "auto", value_parser = transport)]
    transport: TransportChoice,
    /// An HTTP proxy on the way to the hub: http://[USER:PASSWORD@]HOST:PORT.
    /// HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are read if left out.
    #[arg(long, value_name = "URL")]
    proxy: Option<Proxy>,
    /// Replace the identity that this host has; it stays until the new one is
    /// granted.
    #[arg(long)]
    reenroll: bool,
    /// How long to try where the hub cannot be reached, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TokenArgs {
    /// A file with the token; it is deleted once it has served.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Read the token from standard input.
    #[arg(long)]
    token_stdin: bool,
    /// The token itself. Everybody on this host can see it in the list of
    /// processes; prefer --token-file, or the environment where it is private.
    #[arg(long, value_name = "TOKEN", env = "WINDFLOW_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

pub(super) async fn enroll(args: EnrollArgs) -> Exit {
    let token_file = args.token.token_file.clone();
    let prepared = prepare(args);
    let (state_dir, options) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let malformed = error.is::<MalformedToken>();
            let code = if malformed { "TOKEN_MALFORMED: " } else { "" };
            eprintln!("windflow-agent: {code}{error:#}");
            return if malformed { Exit::Usage } else { Exit::Failure };
        }
    };
    let lock = match state_dir.lock() {
        Ok(lock) => lock,
        Err(error) => {
            eprintln!("windflow-agent: {error:#}");
            return Exit::StateDir;
        }
    };
    let enrolled = enroll_with(&state_dir, &options).await;
    drop(lock);
    match enrolled {
        Ok(enrolled) => {
            forget(token_file.as_deref());
            announce(&enrolled);
            Exit::Done
        }
        Err(error) => {
            eprintln!("windflow-agent: {error}");
            exit_of(&error)
        }
    }
}

fn prepare(args: EnrollArgs) -> anyhow::Result<(StateDir, EnrollOptions)> {
    let token = EnrollmentToken::parse(&read_token(&args.token)?)?;
    let options = EnrollOptions {
        hubs: args.hubs,
        token,
        name: args.name,
        labels: args.labels,
        transport: args.transport,
        proxy: args.proxy,
        proxies: proxies_of_environment(),
        existing: if args.reenroll { Existing::Replace } else { Existing::Keep },
        wait: Duration::from_secs(args.wait),
    };
    Ok((StateDir::open(&args.state.state_dir)?, options))
}

fn read_token(args: &TokenArgs) -> anyhow::Result<Zeroizing<String>> {
    if let Some(token) = &args.token {
        eprintln!("The token can be seen in the list of processes; prefer --token-file.");
        return Ok(Zeroizing::new(token.clone()));
    }
    if let Some(path) = &args.token_file {
        return token_from(path);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(TOKEN_FILE_MAX)
        .read_to_string(&mut text)
        .context("Failed to read the token from standard input")?;
    Ok(text)
}

/// The token in a file.
pub(super) fn token_from(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_FILE_MAX).read_to_string(&mut text))
        .with_context(|| format!("Failed to read the token from {}", path.display()))?;
    Ok(text)
}

pub(super) fn announce(enrolled: &Enrollment) {
    let identity = &enrolled.identity;
    eprintln!("Enrolled as {} (agent {}).", identity.state.name, identity.state.agent);
    if enrolled.pending_approval {
        eprintln!(
            "An administrator has to approve it at the hub, where its key must read\n  {}\n  {}",
            identity.key().digest().words(),
            identity.key().digest()
        );
    }
}

/// A token that has served is of no use to anybody but a thief.
pub(super) fn forget(token_file: Option<&Path>) {
    let Some(path) = token_file else {
        return;
    };
    if let Err(error) = std::fs::remove_file(path) {
        eprintln!("The token has served; delete {} ({error}).", path.display());
    }
}

pub(super) const fn exit_of(error: &EnrollError) -> Exit {
    match error {
        EnrollError::AlreadyEnrolled { .. } | EnrollError::State(_) => Exit::StateDir,
        EnrollError::Denied { .. } => Exit::Refused,
        EnrollError::Link(error) if error.is_distrust() => Exit::Distrust,
        EnrollError::Link(_) | EnrollError::Answer(_) => Exit::Unreachable,
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no label: use KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
