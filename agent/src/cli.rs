//! The command lines of `windflow-agent`: a contract that scripts rely on.
//! Standard output carries what was asked for, everything else goes to
//! standard error.

mod doctor;
mod enroll;
mod policy;
mod run;
mod status;
mod uninstall;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;
use windflow_protocol::text::Lines;

use crate::link::{ProxyRules, TransportChoice};
use crate::run::notify::Notifier;

/// Carries this host's Docker engine to a Windflow hub.
#[derive(Debug, Parser)]
#[command(name = "windflow-agent", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How to write the log, to standard error.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// How much to log: error, warn, info, debug or trace. Unless said, info
    /// while the agent runs, and warn beside answers for people.
    #[arg(long, global = true, env = "WINDFLOW_LOG")]
    log_level: Option<Targets>,
}

impl Cli {
    /// Reads the command line. Where it is wrong, the process ends with what is
    /// wrong with it; a login in an address is not repeated then.
    pub fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| without_login(error).exit())
    }
}

/// Cuts what stands before an `@` in an address out of an error.
fn without_login(mut error: clap::Error) -> clap::Error {
    let shown = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.rsplit_once('@').map(|(_, place)| format!("…@{place}")),
        _ => None,
    };
    if let Some(shown) = shown {
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed for another reason
  2  the command line or the token was wrong
  3  the hub refused
  4  the hub could not be reached in time
  5  the hub is not the one that the token or the state directory names
  6  the state directory: enrolled already, not enrolled yet, copied, or in use";

#[derive(Debug, Subcommand)]
enum Command {
    /// Exchange a token for an identity.
    Enroll(enroll::EnrollArgs),
    /// Connect to the hub and stay connected.
    Run(run::RunArgs),
    /// Show what the running agent says of itself.
    Status(status::StatusArgs),
    /// Read the host's policy and say what it means.
    Policy(policy::PolicyArgs),
    /// Look for what keeps this agent from working.
    Doctor(doctor::DoctorArgs),
    /// Remove what the installer put on this host.
    Uninstall(uninstall::UninstallArgs),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed for another reason.
    Failure = 1,
    /// What was said made no sense.
    Usage = 2,
    /// The hub refused.
    Refused = 3,
    /// The hub could not be reached in time.
    Unreachable = 4,
    /// Another hub answered.
    Distrust = 5,
    /// The state directory is not as it should be.
    StateDir = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Does what the command line says.
pub async fn execute(cli: Cli) -> Exit {
    start_log(&cli);
    match cli.command {
        Command::Enroll(args) => enroll::enroll(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Status(args) => status::status(args).await,
        Command::Policy(args) => policy::policy(args),
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Uninstall(args) => uninstall::uninstall(args).await,
    }
}

#[derive(Debug, Args)]
struct StateDirArg {
    /// The folder in which the agent keeps everything.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/windflow-agent")]
    state_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people.
    Text,
    /// JSON for programs.
    Json,
}

fn start_log(cli: &Cli) {
    let lines = fmt::layer().with_writer(|| Lines(std::io::stderr())).with_target(false);
    let registry = tracing_subscriber::registry();
    let usual = match cli.command {
        Command::Enroll(_) | Command::Run(_) => LevelFilter::INFO,
        Command::Status(_) | Command::Policy(_) | Command::Doctor(_) | Command::Uninstall(_) => LevelFilter::WARN,
    };
    let level = cli.log_level.clone().unwrap_or_else(|| Targets::new().with_default(usual));
    let started = match cli.log_format {
        LogFormat::Text => registry.with(lines.with_ansi(false).with_filter(level)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(level)).try_init(),
    };
    // Fails only where a test has one already.
    started.ok();
}

fn transport(text: &str) -> Result<TransportChoice, String> {
    text.parse()
}

/// What the environment says of proxies.
fn proxies_of_environment() -> ProxyRules {
    ProxyRules::from_variables(variable)
}

/// Where the service manager listens, as the environment says.
fn notifier_of_environment() -> Notifier {
    Notifier::new(variable("NOTIFY_SOCKET").as_deref(), variable("WATCHDOG_USEC").as_deref())
}

#[expect(clippy::disallowed_methods, reason = "the command line is this binary's configuration")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(line: &str) -> bool {
        Cli::try_parse_from(line.split(' ')).is_ok()
    }

    #[test]
    fn the_command_lines_of_the_contract_are_understood() {
        for line in [
            "windflow-agent enroll --hub https://a:8443 --hub http://b --token-file F --state-dir S --name N",
            "windflow-agent enroll --hub https://a --token-stdin --state-dir S --label site=fra --label rack=7",
            "windflow-agent enroll --hub https://a --token T --state-dir S --transport quic --proxy http://u:p@p:1",
            "windflow-agent run --state-dir S",
            "windflow-agent run --state-dir S --engine unix:///var/run/docker.sock --transport auto --log-format json",
            "windflow-agent --log-level debug run --state-dir S --engine tcp://127.0.0.1:2375 --transport websocket",
            "windflow-agent run --state-dir S --hub https://a:8443 --token-file F",
            "windflow-agent uninstall",
            "windflow-agent uninstall --purge",
            "windflow-agent status --state-dir S --output json",
            "windflow-agent status --state-dir S --wait connected --timeout 5",
            "windflow-agent doctor --state-dir S --output json",
            "windflow-agent doctor --hub https://a:8443",
        ] {
            assert!(parses(line), "{line}");
        }
    }

    #[test]
    fn c43_a_login_in_an_address_is_not_repeated() {
        for [option, address] in [["--hub", "https://ada:hush@a"], ["--proxy", "ftp://ada:hush@p:1"]] {
            let line = ["windflow-agent", "enroll", "--token", "T", "--state-dir", "S", option, address];
            let said = without_login(Cli::try_parse_from(line).unwrap_err()).to_string();
            assert!(!said.contains("hush") && said.contains('…'), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "windflow-agent enroll --hub https://a --state-dir S",
            "windflow-agent enroll --token-file F --state-dir S",
            "windflow-agent enroll --hub https://a --token-file F --token T --state-dir S",
            "windflow-agent enroll --hub a --token T --state-dir S",
            "windflow-agent enroll --hub https://a --token T --state-dir S --label rack",
            "windflow-agent run --state-dir S --transport pigeon",
            "windflow-agent run --state-dir S --engine docker.sock",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
