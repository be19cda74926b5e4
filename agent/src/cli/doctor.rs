//! `windflow-agent doctor`: looks at everything an agent needs, in order, and
//! says what to do about what is missing.

mod network;
mod place;

use std::io::ErrorKind;

use clap::Args;
use serde::Serialize;
use windflow_protocol::message::control::EngineStatus;

use super::{Exit, Output, StateDirArg, proxies_of_environment};
use crate::engine::{EXPOSED_ADVICE, Engine, EngineAddress, describe};
use crate::identity::{EdgeCredentials, Identity};
use crate::link::{HubUrl, ProxyRules, TransportChoice};
use network::Way;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    state: StateDirArg,
    /// Where the engine is: unix:///PATH or tcp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/docker.sock")]
    engine: EngineAddress,
    /// A hub to look for where this host is not enrolled yet.
    #[arg(long = "hub", value_name = "URL", env = "WINDFLOW_HUB", value_delimiter = ',')]
    hubs: Vec<HubUrl>,
    /// How to write it.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    verdict: Verdict,
    found: String,
    /// What to do, where something is to be done.
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// The agent works without it.
    Note,
    Bad,
}

impl Check {
    fn good(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn note(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::bad(name, found, advice) }
    }

    fn bad(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) async fn doctor(args: DoctorArgs) -> Exit {
    let (state, identity) = place::check_state(&args.state.state_dir);
    let mut checks = vec![state, place::check_disk(&args.state.state_dir), place::check_clock(identity.as_ref())];
    checks.extend(check_hubs(identity, &args.hubs).await);
    checks.push(check_engine(args.engine).await);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&checks).expect("checks have a JSON form")),
        Output::Text => checks.iter().for_each(print),
    }
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if bad { Exit::Failure } else { Exit::Done }
}

fn print(check: &Check) {
    let mark = match check.verdict {
        Verdict::Good => "ok  ",
        Verdict::Note => "note",
        Verdict::Bad => "BAD ",
    };
    println!("{mark}  {}: {}", check.name, check.found);
    if let Some(advice) = &check.advice {
        println!("      {advice}");
    }
}

async fn check_hubs(identity: Option<Identity>, named: &[HubUrl]) -> Vec<Check> {
    let (mut hubs, mut proxies, mut transport) = (named.to_vec(), proxies_of_environment(), TransportChoice::Auto);
    if let Some(identity) = &identity {
        hubs.clone_from(&identity.state.hub_urls);
        proxies = identity.state.proxy.clone().map_or(proxies, ProxyRules::always);
        transport = identity.state.transport;
    }
    let credentials = identity.map(EdgeCredentials::new);
    let mut checks = Vec::new();
    for hub in hubs {
        let way = Way { hub, proxies: proxies.clone(), transport };
        checks.extend(network::check(&way, credentials.as_ref()).await);
    }
    checks
}

async fn check_engine(address: EngineAddress) -> Check {
    let name = format!("engine at {address}");
    if let EngineAddress::Unix(socket) = &address
        && let Err(error) = tokio::net::UnixStream::connect(socket).await
        && error.kind() == ErrorKind::PermissionDenied
    {
        return Check::bad(name, "this user may not use it", "run this with sudo, as the agent's service runs");
    }
    let engine = Engine::new(address);
    match engine.ask().await {
        running @ EngineStatus::Running(_) if !engine.exposed().borrow().is_empty() => {
            let open =
                format!("{}, open to the network at {}", describe(&running), engine.exposed().borrow().join(", "));
            Check::note(name, open, EXPOSED_ADVICE)
        }
        running @ EngineStatus::Running(_) => Check::good(name, describe(&running)),
        EngineStatus::Unresponsive => {
            Check::bad(name, "it accepts and does not answer", "restart the engine and look into its log")
        }
        EngineStatus::Absent | EngineStatus::Unknown => {
            let advice = "start the engine, and check the address";
            Check::bad(name, "nothing answers there", advice)
        }
    }
}
