//! `role`, `team` and `grant`: what users may do in some environments only.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::USERS;
use crate::cli::client::HubClient;
use crate::cli::exit::Failure;
use crate::cli::output::{Column, Format};
use crate::http::Role;

const ROLES: &str = "/api/v1/roles";
const TEAMS: &str = "/api/v1/teams";
const GRANTS: &str = "/api/v1/grants";
const GROUPS: &str = "/api/v1/groups";
const ENVIRONMENTS: &str = "/api/v1/environments";

const ROLE_COLUMNS: &[Column] = &[("NAME", "name"), ("GRANTS", "grants"), ("CREATED", "created_at"), ("ID", "id")];
const TEAM_COLUMNS: &[Column] =
    &[("NAME", "name"), ("MEMBERS", "members"), ("GRANTS", "grants"), ("CREATED", "created_at"), ("ID", "id")];
const GRANT_COLUMNS: &[Column] = &[
    ("USER", "user_name"),
    ("TEAM", "team_name"),
    ("ROLE", "role_name"),
    ("WHERE", "where"),
    ("CREATED", "created_at"),
    ("ID", "id"),
];

/// Roles of one's own
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Makes a role
    Add {
        /// Its name
        name: String,
        /// What it allows, such as containers.exec; more of them with commas
        #[arg(long, required = true, value_delimiter = ',')]
        permission: Vec<String>,
    },
    /// Lists the roles that can be granted
    List,
    /// Deletes a role that nobody has
    Remove {
        /// Its name or id
        name: String,
    },
}

/// Teams of users
#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Makes a team
    Add {
        /// Its name
        name: String,
    },
    /// Lists teams
    List,
    /// Deletes a team with all that was granted to it
    Remove {
        /// Its name or id
        name: String,
    },
    /// Puts a user into a team
    Join {
        /// The team's name or id
        team: String,
        /// The user's name or id
        user: String,
    },
    /// Takes a user out of a team
    Leave {
        /// The team's name or id
        team: String,
        /// The user's name or id
        user: String,
    },
}

/// What users may do in some environments only
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Grants a role to a user or a team
    Add {
        #[command(flatten)]
        grantee: Grantee,
        /// What they may do: administrator, operator, viewer or a role that was made
        #[arg(long)]
        role: String,
        #[command(flatten)]
        place: Place,
    },
    /// Lists what was granted
    List,
    /// Takes a grant back
    Remove {
        /// The grant's id
        id: String,
    },
}

/// Who gets it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Grantee {
    /// The user who gets it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The team that gets it
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
}

/// Where it counts.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// In all environments, and for the hub itself
    #[arg(long)]
    everywhere: bool,
    /// In the environments of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// In the environments with this label
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Option<String>,
    /// In this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// Runs a `role` command.
pub async fn run_role(hub: &HubClient, command: RoleCommand, format: Format) -> Result<(), Failure> {
    match command {
        RoleCommand::Add { name, permission } => {
            format.object(&hub.post(ROLES, json!({ "name": name, "permissions": permission })).await?);
        }
        RoleCommand::List => format.list(&hub.list(ROLES, &[]).await?, ROLE_COLUMNS),
        RoleCommand::Remove { name } => {
            let id = hub.resolve("role", ROLES, &name).await?;
            hub.delete(&format!("{ROLES}/{id}")).await?;
        }
    }
    Ok(())
}

/// Runs a `team` command.
pub async fn run_team(hub: &HubClient, command: TeamCommand, format: Format) -> Result<(), Failure> {
    match command {
        TeamCommand::Add { name } => format.object(&hub.post(TEAMS, json!({ "name": name })).await?),
        TeamCommand::List => format.list(&hub.list(TEAMS, &[]).await?, TEAM_COLUMNS),
        TeamCommand::Remove { name } => {
            let id = hub.resolve("team", TEAMS, &name).await?;
            hub.delete(&format!("{TEAMS}/{id}")).await?;
        }
        TeamCommand::Join { team, user } => drop(hub.put(&membership(hub, &team, &user).await?).await?),
        TeamCommand::Leave { team, user } => drop(hub.delete(&membership(hub, &team, &user).await?).await?),
    }
    Ok(())
}

async fn membership(hub: &HubClient, team: &str, user: &str) -> Result<String, Failure> {
    let team = hub.resolve("team", TEAMS, team).await?;
    let user = hub.resolve("user", USERS, user).await?;
    Ok(format!("{TEAMS}/{team}/members/{user}"))
}

/// Runs a `grant` command.
pub async fn run_grant(hub: &HubClient, command: GrantCommand, format: Format) -> Result<(), Failure> {
    match command {
        GrantCommand::Add { grantee, role, place } => {
            let role = match role.parse::<Role>() {
                Ok(built_in) => built_in.to_string(),
                Err(_) => hub.resolve("role", ROLES, &role).await?,
            };
            let mut body = json!({ "role": role, "scope": scope(hub, place).await? });
            match grantee {
                Grantee { user: Some(user), .. } => body["user_id"] = hub.resolve("user", USERS, &user).await?.into(),
                Grantee { team, .. } => {
                    body["team_id"] = hub.resolve("team", TEAMS, &team.unwrap_or_default()).await?.into();
                }
            }
            format.object(&hub.post(GRANTS, body).await?);
        }
        GrantCommand::List => {
            let mut grants = hub.list(GRANTS, &[]).await?;
            for grant in &mut grants {
                grant["where"] = place_in_words(grant).into();
            }
            format.list(&grants, GRANT_COLUMNS);
        }
        GrantCommand::Remove { id } => drop(hub.delete(&format!("{GRANTS}/{id}")).await?),
    }
    Ok(())
}

async fn scope(hub: &HubClient, place: Place) -> Result<Value, Failure> {
    Ok(match place {
        Place { group: Some(group), .. } => {
            json!({ "kind": "group", "group_id": hub.resolve("group", GROUPS, &group).await? })
        }
        Place { label: Some(label), .. } => json!({ "kind": "label", "label": label }),
        Place { environment: Some(name), .. } => {
            let id = hub.resolve("environment", ENVIRONMENTS, &name).await?;
            json!({ "kind": "environment", "environment_id": id })
        }
        Place { .. } => json!({ "kind": "everywhere" }),
    })
}

fn place_in_words(grant: &Value) -> String {
    let kind = grant["scope"]["kind"].as_str().unwrap_or_default();
    let name = grant["scope_name"].as_str().or(grant["scope"]["label"].as_str());
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
}
