//! `token`: enrollment tokens, which bring new hosts to the hub.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde_json::{Value, json};
use url::Url;
use windflow_protocol::token::TokenId;

use super::client::HubClient;
use super::exit::Failure;
use super::life::Life;
use super::output::{Column, Format};

const TOKENS: &str = "/api/v1/enrollment-tokens";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATUS", "status"),
    ("USES", "uses"),
    ("OF", "max_uses"),
    ("EXPIRES", "expires_at"),
    ("LABELS", "labels"),
];

/// Enrollment tokens
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes an enrollment token; it is printed this once
    Create(CreateToken),
    /// Lists enrollment tokens
    List,
    /// Shows one enrollment token, without its secret
    Show {
        /// Its id or name
        token: String,
    },
    /// Ends an enrollment token; hosts that used it stay
    Revoke {
        /// Its id or name
        token: String,
        /// Why, for the audit list
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// A token to be made.
#[derive(Args, Debug)]
pub struct CreateToken {
    /// What to call it
    name: String,
    /// How long it is valid
    #[arg(long, default_value = "1h")]
    ttl: Life,
    /// How many hosts may use it
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// A label of the hosts that use it; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Only hosts whose name matches, such as 'edge-*'
    #[arg(long, value_name = "PATTERN")]
    name_pattern: Option<String>,
    /// Only hosts from this network; may be repeated
    #[arg(long = "cidr", value_name = "NETWORK")]
    cidrs: Vec<IpNet>,
    /// Whether hosts are let in at once or wait for `agent approve`
    #[arg(long, value_enum, default_value_t = Approval::Auto)]
    approve: Approval,
    #[command(flatten)]
    print: PrintToken,
}

/// Whether an enrolled host has to wait for someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Approval {
    /// It is let in at once.
    Auto,
    /// It waits.
    Manual,
}

/// In which form a token is printed.
#[derive(Args, Debug)]
pub struct PrintToken {
    /// What to print
    #[arg(long, value_enum, default_value_t = TokenPrint::Command)]
    print: TokenPrint,
    /// How hosts reach this hub, for what is printed [default: --hub, or this machine's name and port 8443]
    #[arg(long, env = "WINDFLOW_PUBLIC_URL", value_name = "URL")]
    public_url: Option<Url>,
}

impl PrintToken {
    /// `path` with the address that hosts are told to use, where one is known.
    pub fn path(&self, path: &str, hub_url: Option<&Url>) -> String {
        let Some(url) = self.public_url.as_ref().or(hub_url) else {
            return path.to_owned();
        };
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("hub_url", url.as_str()).finish();
        format!("{path}?{query}")
    }
}

/// The forms of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenPrint {
    /// A command to run on the host.
    Command,
    /// The token alone.
    Token,
    /// Lines for an environment file.
    Env,
    /// A compose file.
    Compose,
    /// A cloud-init file.
    CloudInit,
}

impl TokenPrint {
    /// Where the hub's answer has it.
    fn field(self) -> &'static str {
        match self {
            Self::Command => "install_command",
            Self::Token => "token",
            Self::Env => "env",
            Self::Compose => "compose",
            Self::CloudInit => "cloud_init",
        }
    }
}

/// Runs a `token` command. `hub_url` is the hub that the command talks to, if
/// it is elsewhere.
pub async fn run(hub: &HubClient, command: TokenCommand, format: Format, hub_url: Option<&Url>) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(new) => {
            let labels: BTreeMap<&str, &str> = new.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
            let approval = match new.approve {
                Approval::Auto => "auto",
                Approval::Manual => "manual",
            };
            let body = json!({
                "name": new.name,
                "ttl_seconds": new.ttl.seconds,
                "uses": new.uses,
                "labels": labels,
                "name_pattern": new.name_pattern,
                "cidrs": new.cidrs,
                "approval": approval,
            });
            let path = new.print.path(TOKENS, hub_url);
            print_created(&hub.post(&path, body).await?, &new.print, format)?;
        }
        TokenCommand::List => format.list(&hub.list(TOKENS, &[]).await?, COLUMNS),
        TokenCommand::Show { token } => {
            let id = resolve(hub, &token).await?;
            format.object(&hub.get(&format!("{TOKENS}/{id}")).await?);
        }
        TokenCommand::Revoke { token, reason } => {
            let id = resolve(hub, &token).await?;
            hub.post(&format!("{TOKENS}/{id}/revoke"), json!({ "reason": reason })).await?;
            eprintln!("Revoked {id}. Hosts that used it stay; revoke them with `agent revoke`.");
        }
    }
    Ok(())
}

/// Prints a token that was just made, and what to know about it.
pub fn print_created(created: &Value, print: &PrintToken, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        format.object(created);
        return Ok(());
    }
    let text = |field: &str| created[field].as_str().unwrap_or("-");
    let token = created["token"].as_str().context("the hub's answer has no token")?;
    eprintln!("Token {} is valid until {}. It is shown this once.", text("id"), text("expires_at"));
    eprintln!("Hub pin {}: compare it with `windflow-agent status` on the host.", text("hub_pin"));
    if print.print == TokenPrint::Token {
        println!("{token}");
        return Ok(());
    }
    let url = text("hub_url");
    if print.public_url.is_none() {
        eprintln!("Hosts are told to reach this hub at {url}. Say otherwise with --public-url.");
    }
    if created["platforms"].as_array().is_some_and(Vec::is_empty) {
        eprintln!("This hub has no agent to hand out, so the install script will refuse: see --agent-dir of `serve`.");
    }
    eprintln!();
    let form = print.print.field();
    print!("{}", created[form].as_str().with_context(|| format!("the hub's answer has no {form}"))?);
    Ok(())
}

/// The id of a token named by its id or by its name.
async fn resolve(hub: &HubClient, token: &str) -> Result<String, Failure> {
    if TokenId::parse(token).is_ok() {
        match hub.get(&format!("{TOKENS}/{token}")).await {
            Err(Failure::NotFound(_)) => {}
            found => return found.map(|_| token.to_owned()),
        }
    }
    hub.resolve("enrollment token", TOKENS, token).await
}

fn parse_label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a label is KEY=VALUE"),
    }
}
