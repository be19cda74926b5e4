//! `windflow-agent policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use data_encoding::HEXLOWER;

use super::{Exit, StateDirArg};
use crate::engine::EngineAddress;
use crate::policy::{POLICY_FILE, Policy, Rails, facts_without_a_file};

#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Read the file as the agent would, and say what it lets through. Fails where
    /// the agent could not use it.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The file.
    #[arg(long, value_name = "FILE", default_value = POLICY_FILE, value_hint = ValueHint::FilePath)]
    policy: PathBuf,
    #[command(flatten)]
    state: StateDirArg,
    /// Where the engine is, as for run.
    #[arg(long, value_name = "ADDRESS", default_value = "unix:///var/run/docker.sock")]
    engine: EngineAddress,
}

pub(super) fn policy(args: PolicyArgs) -> Exit {
    let PolicyCommand::Check(args) = args.command;
    let rails = Rails::new(&args.state.state_dir, &args.policy, &args.engine, crate::host::container());
    let policy = Policy::load(&args.policy, &rails);
    let facts = policy.as_ref().map_or_else(facts_without_a_file, Policy::facts);
    let file = if policy.is_some() { args.policy.display().to_string() } else { "none".to_owned() };
    let refuses = if facts.refuses.is_empty() { "-".to_owned() } else { facts.refuses.join(", ") };
    let digest = facts.digest.map_or_else(|| "-".to_owned(), |digest| HEXLOWER.encode(&digest));
    println!("file         {file}\nprofile      {}\nsha256       {digest}\nrefuses      {refuses}", facts.profile);
    match facts.invalid {
        Some(why) => {
            eprintln!("windflow-agent: POLICY_INVALID: {why}");
            Exit::Failure
        }
        None => Exit::Done,
    }
}
