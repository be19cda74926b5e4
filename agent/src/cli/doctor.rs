//! `windflow-agent doctor`: looks at everything an agent needs, in order, and
//! says what to do about what is missing.

use clap::Args;
use serde::Serialize;
use windflow_protocol::identity::Purpose;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::tls::client_config;

use super::{Exit, Output, StateDirArg, proxies_of_environment};
use crate::engine::{Engine, EngineAddress, describe};
use crate::identity::{EdgeCredentials, Identity, StateDir};
use crate::link::{HubUrl, Link, LinkError, ProxyRules, TransportChoice};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    state: StateDirArg,
    /// Where the engine is: unix:///PATH or tcp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/docker.sock")]
    engine: EngineAddress,
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

    fn bad(name: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) async fn doctor(args: DoctorArgs) -> Exit {
    let mut checks = Vec::new();
    let identity = check_state(&args, &mut checks);
    if let Some(identity) = identity {
        check_hubs(identity, &mut checks).await;
    }
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

fn check_state(args: &DoctorArgs, checks: &mut Vec<Check>) -> Option<Identity> {
    let name = "state directory";
    let path = args.state.state_dir.display();
    if !args.state.state_dir.is_dir() {
        checks.push(Check::bad(name, format!("{path} is missing"), "run windflow-agent enroll"));
        return None;
    }
    match StateDir::open(&args.state.state_dir).and_then(|state_dir| state_dir.load()) {
        Ok(Some(identity)) if identity.is_from_another_machine() => {
            let advice = "enroll this machine with a token of its own, or start the agent once with --accept-clone";
            checks.push(Check::bad(name, "it was made on another machine", advice));
            Some(identity)
        }
        Ok(Some(identity)) => {
            checks.push(Check::good(name, format!("enrolled as {}", identity.state.name)));
            Some(identity)
        }
        Ok(None) => {
            checks.push(Check::bad(name, "this host is not enrolled", "run windflow-agent enroll"));
            None
        }
        Err(error) => {
            checks.push(Check::bad(name, format!("{error:#}"), "enroll again with a new token and --reenroll"));
            None
        }
    }
}

async fn check_hubs(identity: Identity, checks: &mut Vec<Check>) {
    let state = identity.state.clone();
    let credentials = EdgeCredentials::new(identity);
    let proxies = state.proxy.map_or_else(proxies_of_environment, ProxyRules::always);
    for hub in state.hub_urls {
        for (transport, needed) in [(TransportChoice::WebSocket, true), (TransportChoice::Quic, false)] {
            let mut check = check_hub(&hub, transport, &proxies, &credentials).await;
            if !needed && check.verdict == Verdict::Bad && state.transport != TransportChoice::Quic {
                check.verdict = Verdict::Note;
            }
            checks.push(check);
        }
    }
}

/// Goes as far as the hub's own TLS session, and says nothing in it: an agent
/// that is connected stays so.
async fn check_hub(
    hub: &HubUrl,
    transport: TransportChoice,
    proxies: &ProxyRules,
    credentials: &EdgeCredentials,
) -> Check {
    let way = match transport {
        TransportChoice::Quic => "quic",
        TransportChoice::WebSocket | TransportChoice::Auto => "websocket",
    };
    let name = format!("{hub} over {way}");
    let tls = || {
        let (identity, trust) = credentials.for_handshake();
        client_config(Purpose::Session, trust, Some(identity))
    };
    let mut link = Link::new(vec![hub.clone()], proxies.clone(), transport);
    match link.session(&tls).await {
        Ok(established) => {
            established.connection.close("only looking");
            established.finish().await;
            Check::good(name, "the hub answers and is the right one")
        }
        Err(error) => failed(name, &error),
    }
}

fn failed(name: String, error: &LinkError) -> Check {
    Check::bad(name, format!("{}: {error}", error.code()), error.advice())
}

async fn check_engine(address: EngineAddress) -> Check {
    let name = format!("engine at {address}");
    match Engine::new(address).ask().await {
        running @ EngineStatus::Running(_) => Check::good(name, describe(&running)),
        EngineStatus::Unresponsive => {
            Check::bad(name, "it accepts and does not answer", "restart the engine and look into its log")
        }
        EngineStatus::Absent | EngineStatus::Unknown => {
            let advice = "start the engine, check the address, and check that this user may use the socket";
            Check::bad(name, "nothing answers there", advice)
        }
    }
}
