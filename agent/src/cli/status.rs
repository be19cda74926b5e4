//! `windflow-agent status`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::{Exit, Output, StateDirArg};
use crate::run::status::{PolicyReport, Report, State};

/// A status that is waited for is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    state: StateDirArg,
    /// How to write it.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Wait until the agent is connected, and fail if it does not get there.
    #[arg(long, value_enum)]
    wait: Option<WaitFor>,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    /// A session stands.
    Connected,
}

pub(super) async fn status(args: StatusArgs) -> Exit {
    let give_up = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let read = Report::read(&args.state.state_dir);
        let connected = read.as_ref().is_ok_and(|report| report.state == State::Connected);
        let late = Instant::now() >= give_up;
        if args.wait.is_none() || connected || late {
            return show(read, &args, connected);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn show(read: anyhow::Result<Report>, args: &StatusArgs, connected: bool) -> Exit {
    let report = match read {
        Ok(report) => report,
        Err(error) => {
            eprintln!("windflow-agent: {error:#}");
            return Exit::StateDir;
        }
    };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report).expect("a report has a JSON form")),
        Output::Text => print!("{}", lines(&report)),
    }
    if args.wait.is_some() && !connected { Exit::Unreachable } else { Exit::Done }
}

fn lines(report: &Report) -> String {
    let word = |state: State| format!("{state:?}").to_lowercase();
    let state = match report.was {
        Some(was) => format!("stale: the agent does not run any more, it was {}", word(was)),
        None => word(report.state),
    };
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let rtt = report.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms"));
    let mut lines = format!(
        "state        {state}\nname         {}\nhub          {}\ntransport    {}\nround trip   {rtt}\nengine       {}\n\
         agent        {}\nenvironment  {}\ngeneration   {}\nfingerprint  {}\n             {}\nhub pin      {}\ncertificate  until {}\nas of        {}\n",
        report.name,
        known(&report.hub),
        known(&report.transport),
        report.engine,
        report.agent_id,
        report.environment_id,
        report.generation,
        report.fingerprint_words,
        report.fingerprint,
        report.hub_pin,
        known(&report.certificate_expires_at),
        known(&report.updated_at),
    );
    if let Some(policy) = &report.policy {
        lines += &format!("policy       {}\n", in_words(policy));
    }
    if let Some(error) = &report.last_error {
        let at = known(&error.at);
        lines += &format!("last error   {} at {at}: {}\nwhat to do   {}\n", error.code, error.message, error.advice);
    }
    lines
}

fn in_words(policy: &PolicyReport) -> String {
    match (&policy.digest, &policy.invalid) {
        (_, Some(why)) => format!("{}, as POLICY_INVALID: {why}", policy.profile),
        (Some(digest), None) => format!("{}, sha256 {digest}", policy.profile),
        (None, None) => "none: the hub may do everything".to_owned(),
    }
}
