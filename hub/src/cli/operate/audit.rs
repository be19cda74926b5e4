//! `audit list`, `export` and `verify`: what was done, and by whom.

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::cli::client::HubClient;
use crate::cli::exit::Failure;
use crate::cli::output::{Column, Format};
use crate::identity::audit::{Comparison, Expected, Verification};

const AUDIT: &str = "/api/v1/audit";
const ENVIRONMENTS: &str = "/api/v1/environments";
/// Records asked for at once.
const PAGE: usize = 200;
/// Largest answer of a verification, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

const COLUMNS: &[Column] = &[
    ("SEQ", "seq"),
    ("AT", "at"),
    ("ACTOR", "actor_name"),
    ("ACTION", "action"),
    ("OUTCOME", "outcome"),
    ("TARGET", "target_id"),
    ("ADDRESS", "address"),
    ("DETAILS", "details"),
];

/// What was done, and by whom
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists records, the newest first
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// Most records to list
        #[arg(long, default_value_t = 50, value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Writes all records to standard output, the newest first; that is recorded
    Export {
        /// As a table for spreadsheets, or as JSON, one record a line
        #[arg(long, value_enum)]
        format: Form,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Sees whether records were changed, taken out or put in
    Verify {
        /// A record's number and hash that were noted elsewhere, which must be there
        #[arg(long, value_name = "SEQ:HASH")]
        expect: Option<Expected>,
    },
}

/// Which records.
#[derive(Args, Debug)]
pub struct Wanted {
    /// Only this action, such as user.sign_in; `user.` is all that begin with it
    #[arg(long)]
    action: Option<String>,
    /// Only what this user did, by name
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only what ended so
    #[arg(long, value_enum)]
    outcome: Option<Ended>,
    /// Only what happened in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only what was done to this, by id
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only what has this text in a name, the action or the details
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Not before this moment, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// In which form records are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// RFC 4180.
    Csv,
    /// One object a line.
    Json,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ended {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
    /// It was about to be tried.
    Begun,
    /// It did not succeed.
    Failed,
}

/// Runs an `audit` command.
///
/// # Errors
/// As the hub or the way to it says, and where the records do not fit.
pub async fn run(hub: &HubClient, command: AuditCommand, format: Format) -> Result<(), Failure> {
    match command {
        AuditCommand::List { wanted, limit } => {
            let filters = wanted.filters(hub).await?;
            format.list(&list(hub, &filters, limit as usize).await?, COLUMNS);
        }
        AuditCommand::Export { format, wanted } => {
            let mut filters = wanted.filters(hub).await?;
            filters.push(("format", word(format)));
            let mut out = io::stdout().lock();
            let path = format!("{AUDIT}/export?{}", query(&filters));
            hub.fetch(&path, |part| out.write_all(part)).await?;
            out.flush().context("Failed to write the records")?;
        }
        AuditCommand::Verify { expect } => {
            let found = verify(hub, expect.as_ref()).await?;
            format.object(&found);
            judge(&serde_json::from_value(found).context("the hub's answer is not understood")?)?;
        }
    }
    Ok(())
}

impl Wanted {
    async fn filters(self, hub: &HubClient) -> Result<Vec<(&'static str, String)>, Failure> {
        let Self { action, actor, outcome, environment, target, search, from, until } = self;
        let environment = match environment {
            Some(name) => Some(hub.resolve("environment", ENVIRONMENTS, &name).await?),
            None => None,
        };
        let given = [
            ("action", action),
            ("actor", actor),
            ("outcome", outcome.map(word)),
            ("environment_id", environment),
            ("target_id", target),
            ("q", search),
            ("from", from),
            ("until", until),
        ];
        Ok(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// The word that stands for a value on the command line and in the API.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn query(filters: &[(&str, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish()
}

async fn list(hub: &HubClient, filters: &[(&str, String)], limit: usize) -> Result<Vec<Value>, Failure> {
    let mut records: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    while records.len() < limit {
        let mut page_of = filters.to_vec();
        page_of.push(("limit", PAGE.min(limit - records.len()).to_string()));
        page_of.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = hub.get(&format!("{AUDIT}?{}", query(&page_of))).await?;
        let Value::Array(items) = page["items"].take() else {
            return Err(Failure::Other(anyhow!("the hub's answer is not a list")));
        };
        records.extend(items);
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(records)
}

/// A long chain takes its time, longer than other requests may.
async fn verify(hub: &HubClient, expected: Option<&Expected>) -> Result<Value, Failure> {
    let expect: Vec<_> =
        expected.map(|expected| ("expect", format!("{}:{}", expected.seq, expected.hash))).into_iter().collect();
    let mut answer = Vec::new();
    let keep = |part: &[u8]| {
        answer.extend_from_slice(part);
        if answer.len() > ANSWER_MAX { Err(io::Error::other("the hub's answer is too long")) } else { Ok(()) }
    };
    hub.fetch(&format!("{AUDIT}/verify?{}", query(&expect)), keep).await?;
    Ok(serde_json::from_slice(&answer).context("the hub's answer is not JSON; is this a Windflow hub?")?)
}

/// Fails where the records do not fit, or what was expected cannot be compared.
fn judge(found: &Verification) -> Result<(), Failure> {
    let failure = match (&found.fault, found.expected) {
        (Some(fault), _) => anyhow!("the audit log does not fit at record {}: {}", fault.seq, fault.kind),
        (None, Some(Comparison::NotMet)) => {
            anyhow!("the record that is expected is not there: the log was written anew, or an older one was put back")
        }
        (None, Some(Comparison::Deleted)) => {
            anyhow!("the record that is expected was deleted since its time was over: there is nothing to compare with")
        }
        (None, Some(Comparison::Met) | None) => return Ok(()),
    };
    Err(Failure::Other(failure))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_chain_that_fits_and_is_the_expected_one_is_a_success() {
        let found = |fault: Value, expected: Value| {
            let found = json!({ "intact": fault.is_null() && expected != "not_met", "checked": 1, "first_seq": 1,
                "last_seq": 1, "head_hash": "", "deleted_to": 0, "unchained": 0, "fault": fault, "expected": expected });
            judge(&serde_json::from_value(found).unwrap()).map_err(|failure| failure.to_string())
        };
        assert_eq!(found(Value::Null, Value::Null), Ok(()));
        assert_eq!(found(Value::Null, json!("met")), Ok(()));
        assert!(found(Value::Null, json!("not_met")).unwrap_err().contains("not there"));
        assert!(found(Value::Null, json!("deleted")).unwrap_err().contains("nothing to compare"));
        let missing = found(json!({ "seq": 7, "kind": "missing" }), Value::Null).unwrap_err();
        assert_eq!(missing, "the audit log does not fit at record 7: there is no record of this number");
    }
}
