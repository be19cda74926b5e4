//! `user`, `setup-code` and `api-token`: who may use the hub.

pub mod access;

use std::io::Read;
use std::net::IpAddr;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::HubClient;
use super::exit::Failure;
use super::life::Life;
use super::output::{Column, Format};
use crate::http::{Role, TokenScope};

const USERS: &str = "/api/v1/users";
const SETUP_CODE: &str = "/api/v1/setup/code";
const API_TOKENS: &str = "/api/v1/api-tokens";
const ENVIRONMENTS: &str = "/api/v1/environments";
const GROUPS: &str = "/api/v1/groups";
/// Most bytes of a password, or of the hash of one, that are read.
const PASSWORD_MAX: u64 = 4096;

const USER_COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("ROLE", "role"),
    ("EMAIL", "email"),
    ("CREATED", "created_at"),
    ("DISABLED", "disabled_at"),
    ("SECOND FACTOR", "second_factor_since"),
    ("ID", "id"),
];
const API_TOKEN_COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("USER", "user_name"),
    ("SCOPES", "scopes"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
    ("REVOKED", "revoked_at"),
];

/// Users
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Makes a user
    Add {
        /// The user's name
        name: String,
        /// What they may do everywhere: administrator, operator, viewer, or restricted to what they are granted
        #[arg(long, default_value_t = Role::Viewer)]
        role: Role,
        /// Reads the password from standard input (its first line)
        #[arg(long, required_unless_present = "password_hash_stdin", conflicts_with = "password_hash_stdin")]
        password_stdin: bool,
        /// Reads what another system stored of the password instead: argon2id
        /// ($argon2id$…) or bcrypt ($2a$, $2b$ or $2y$)
        #[arg(long)]
        password_hash_stdin: bool,
        /// Their e-mail address, which they verify through a mail
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Gives a user another role, from their next request on
    SetRole {
        /// The user's name
        name: String,
        /// What they may do everywhere: administrator, operator, viewer, or restricted to what they are granted
        role: Role,
    },
    /// Lists users
    List,
    /// Replaces a password and ends the user's sessions
    ResetPassword {
        /// The user's name
        name: String,
        /// Reads the password from standard input (its first line)
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Shuts a user out, from their next request on
    Disable {
        /// The user's name
        name: String,
    },
    /// Lets a disabled user in again
    Enable {
        /// The user's name
        name: String,
    },
    /// Takes a user's second factor away, such as after their phone was lost
    ResetSecondFactor {
        /// The user's name
        name: String,
    },
}

/// API tokens
#[derive(Debug, Subcommand)]
pub enum ApiTokenCommand {
    /// Makes an API token; its text is printed this once
    Create {
        /// Whose it is [default: yours; needed on the hub's own machine]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// What it is for
        #[arg(long, default_value = "command line")]
        name: String,
        /// How long it is valid, at most 366d
        #[arg(long, default_value = "90d")]
        ttl: Life,
        #[command(flatten)]
        limits: TokenLimits,
        /// What to print
        #[arg(long, value_enum, default_value_t = ApiTokenPrint::Token)]
        print: ApiTokenPrint,
    },
    /// Lists API tokens
    List {
        /// Only those of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Ends an API token
    Revoke {
        /// The token's id: its ten characters after wfa1_
        id: String,
    },
}

/// What a token is limited to; all that its owner may do unless said.
#[derive(Args, Debug)]
pub struct TokenLimits {
    /// What it is for: read, operate, deploy or admin, which is everything; may be repeated [default: admin]
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<TokenScope>,
    /// Only in this environment, by name or id; may be repeated
    #[arg(long = "environment", value_name = "NAME")]
    environments: Vec<String>,
    /// Only in the environments of this group, by name or id; may be repeated
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Only from this network, such as 10.0.0.0/8, or address; may be repeated
    #[arg(long = "from", value_name = "NETWORK", value_parser = parse_network)]
    networks: Vec<IpNet>,
}

impl TokenLimits {
    /// Puts what was asked for into a request. What was not is not sent, so that
    /// a hub from before understands it.
    async fn put_into(&self, body: &mut Value, hub: &HubClient) -> Result<(), Failure> {
        if !self.scopes.is_empty() {
            body["scopes"] = json!(self.scopes);
        }
        for (field, what, path, names) in [
            ("environments", "environment", ENVIRONMENTS, &self.environments),
            ("groups", "group", GROUPS, &self.groups),
        ] {
            let mut ids = Vec::new();
            for name in names {
                ids.push(hub.resolve(what, path, name).await?);
            }
            if !ids.is_empty() {
                body[field] = json!(ids);
            }
        }
        if !self.networks.is_empty() {
            body["networks"] = json!(self.networks);
        }
        Ok(())
    }
}

/// A network, or one address as the smallest network.
fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
    network.map(|network: IpNet| network.trunc()).map_err(|_| "write an address or a network, such as 10.0.0.0/8")
}

/// What `api-token create` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiTokenPrint {
    /// The token alone.
    Token,
    /// A line that exports it for this command line.
    Env,
    /// The part of ~/.docker/config.json with which docker sends it.
    DockerConfig,
}

/// Runs a `user` command.
pub async fn run_user(hub: &HubClient, command: UserCommand, format: Format) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role, password_stdin: _, password_hash_stdin, email } => {
            let field = if password_hash_stdin { "password_hash" } else { "password" };
            let secret = read_password()?;
            let user = hub.post(USERS, json!({ "name": name, "role": role, "email": email, field: *secret })).await?;
            format.object(&user);
        }
        UserCommand::SetRole { name, role } => {
            let id = hub.resolve("user", USERS, &name).await?;
            format.object(&hub.patch(&format!("{USERS}/{id}"), json!({ "role": role })).await?);
        }
        UserCommand::List => format.list(&hub.list(USERS, &[]).await?, USER_COLUMNS),
        UserCommand::ResetPassword { name, password_stdin: _ } => {
            let password = read_password()?;
            let id = hub.resolve("user", USERS, &name).await?;
            let user = hub.post(&format!("{USERS}/{id}/reset-password"), json!({ "password": *password })).await?;
            format.object(&user);
        }
        UserCommand::Disable { name } => format.object(&act(hub, &name, "disable").await?),
        UserCommand::Enable { name } => format.object(&act(hub, &name, "enable").await?),
        UserCommand::ResetSecondFactor { name } => {
            let id = hub.resolve("user", USERS, &name).await?;
            format.object(&hub.delete(&format!("{USERS}/{id}/second-factor")).await?);
        }
    }
    Ok(())
}

/// Prints a new setup code.
pub async fn renew_setup_code(hub: &HubClient, format: Format) -> Result<(), Failure> {
    let created = hub.post(SETUP_CODE, json!({})).await?;
    match format {
        Format::Json => format.object(&created),
        Format::Text => println!("{}", created["code"].as_str().context("the hub's answer has no code")?),
    }
    Ok(())
}

/// Runs an `api-token` command.
pub async fn run_api_token(hub: &HubClient, command: ApiTokenCommand, format: Format) -> Result<(), Failure> {
    match command {
        ApiTokenCommand::Create { user, name, ttl, limits, print } => {
            let mut body = json!({ "name": name, "user": user, "ttl_seconds": ttl.seconds });
            limits.put_into(&mut body, hub).await?;
            let created = hub.post(API_TOKENS, body).await?;
            match format {
                Format::Json => format.object(&created),
                Format::Text => println!("{}", render(&created, print)?),
            }
        }
        ApiTokenCommand::List { user } => {
            let id = match user {
                Some(name) => Some(hub.resolve("user", USERS, &name).await?),
                None => None,
            };
            let filters: Vec<(&str, &str)> = id.iter().map(|id| ("user", id.as_str())).collect();
            format.list(&hub.list(API_TOKENS, &filters).await?, API_TOKEN_COLUMNS);
        }
        ApiTokenCommand::Revoke { id } => {
            format.object(&hub.post(&format!("{API_TOKENS}/{id}/revoke"), json!({})).await?);
        }
    }
    Ok(())
}

async fn act(hub: &HubClient, name: &str, action: &str) -> Result<Value, Failure> {
    let id = hub.resolve("user", USERS, name).await?;
    hub.post(&format!("{USERS}/{id}/{action}"), json!({})).await
}

fn render(created: &Value, print: ApiTokenPrint) -> anyhow::Result<String> {
    let token = created["token"].as_str().context("the hub's answer has no token")?;
    Ok(match print {
        ApiTokenPrint::Token => token.to_owned(),
        ApiTokenPrint::Env => format!("export WINDFLOW_API_TOKEN={token}"),
        ApiTokenPrint::DockerConfig => {
            let config = json!({ "HttpHeaders": { "Authorization": format!("Bearer {token}") } });
            serde_json::to_string_pretty(&config)?
        }
    })
}

fn read_password() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(PASSWORD_MAX).read_to_string(&mut text).context("Failed to read the password")?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("standard input holds no password");
    }
    Ok(Zeroizing::new(line.to_owned()))
}
