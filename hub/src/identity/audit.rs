//! Who did what to what, written in the transaction that does it: what is not
//! recorded has not happened.

#[cfg(test)]
mod tests;
mod witness;

use std::net::IpAddr;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json as SqlJson;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::{AgentId, EnvironmentId};

pub use self::witness::CutOff;
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, Page, Permission, Principal, Query, Routes};
use crate::on_tx;

/// Who acts.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Whoever made a request.
    Caller(Caller),
    /// An enrolled agent.
    Agent(AgentId),
    /// The hub itself.
    System,
    /// Someone who did not prove who they are.
    Nobody,
}

impl Actor {
    /// The actor's name, for rows that remember who made them.
    pub fn name(&self) -> String {
        let described = Described::of(self);
        if described.name.is_empty() { described.kind.to_owned() } else { described.name }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self::Caller(caller.clone())
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What was done. The name's first part is the kind of its target.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// The name in the database and the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

actions! {
    /// A code was made with which somebody may make the first user.
    SetupCode => "user.setup_code",
    /// The first user was made with the setup code.
    SetupComplete => "user.setup",
    /// A user was made.
    UserCreate => "user.create",
    /// A user may no longer sign in.
    UserDisable => "user.disable",
    /// A user may sign in again.
    UserEnable => "user.enable",
    /// A user got another role.
    UserRole => "user.role",
    /// A role that can be granted was made.
    RoleCreate => "role.create",
    /// A role got another name, or allows something else.
    RoleChange => "role.change",
    /// A role was deleted.
    RoleDelete => "role.delete",
    /// A team of users was made.
    TeamCreate => "team.create",
    /// A team got another name.
    TeamRename => "team.rename",
    /// A team was deleted, with all that was granted to it.
    TeamDelete => "team.delete",
    /// A user was put into a team.
    TeamJoin => "team.join",
    /// A user was taken out of a team.
    TeamLeave => "team.leave",
    /// Somebody was granted a role somewhere.
    GrantCreate => "grant.create",
    /// What somebody was granted was taken back.
    GrantDelete => "grant.delete",
    /// A password was replaced.
    PasswordReset => "user.reset_password",
    /// A user's second factor was set up.
    SecondFactorOn => "user.second_factor_on",
    /// A user turned their second factor off.
    SecondFactorOff => "user.second_factor_off",
    /// A user's second factor was taken away by somebody else.
    SecondFactorReset => "user.second_factor_reset",
    /// A user got new recovery codes; those from before ended.
    RecoveryCodesRenew => "user.recovery_codes",
    /// A recovery code was used, which it can be once.
    RecoveryCodeUse => "user.recovery_code_used",
    /// Of whom a second factor is asked was changed.
    SignInSettings => "hub.sign_in_settings",
    /// Someone signed in, or was refused.
    SignIn => "user.sign_in",
    /// Someone signed out.
    SignOut => "user.sign_out",
    /// A cookie session was ended by someone.
    SessionRevoke => "session.revoke",
    /// An API token was made.
    ApiTokenCreate => "api_token.create",
    /// An API token was revoked.
    ApiTokenRevoke => "api_token.revoke",
    /// An enrollment token was made.
    TokenCreate => "enrollment_token.create",
    /// An enrollment token was revoked.
    TokenRevoke => "enrollment_token.revoke",
    /// A host was enrolled, or refused.
    Enroll => "enrollment_token.use",
    /// A host asked again for an enrollment whose answer was lost.
    EnrollRetry => "enrollment_token.use_again",
    /// A waiting or quarantined agent was let in.
    AgentApprove => "agent.approve",
    /// An agent got another name.
    AgentRename => "agent.rename",
    /// An agent lost its identity.
    AgentRevoke => "agent.revoke",
    /// A second agent came with an identity that is in use.
    AgentDuplicate => "agent.duplicate",
    /// An agent was set aside since its ticket was old.
    AgentQuarantine => "agent.quarantine",
    /// An agent's old ticket was accepted once.
    AgentTicketForgiven => "agent.ticket_forgiven",
    /// An agent's ticket was newer than the hub's: the hub's data is old.
    AgentAhead => "agent.ahead",
    /// An expired certificate was renewed.
    CertificateRecover => "agent.certificate_recover",
    /// An environment was added.
    EnvironmentAdd => "environment.add",
    /// An environment was removed.
    EnvironmentRemove => "environment.remove",
    /// An environment got other labels.
    EnvironmentLabel => "environment.label",
    /// An environment was put into a group, or taken out of one.
    EnvironmentGroup => "environment.group",
    /// An environment's terminals are recorded from now on, or are not.
    EnvironmentRecord => "environment.record_terminals",
    /// A group was made.
    GroupCreate => "group.create",
    /// A group got another name.
    GroupRename => "group.rename",
    /// A group was removed; its environments stayed.
    GroupDelete => "group.delete",
    /// A container was started.
    ContainerStart => "container.start",
    /// A container was stopped.
    ContainerStop => "container.stop",
    /// A container was stopped and started.
    ContainerRestart => "container.restart",
    /// A container was ended at once.
    ContainerKill => "container.kill",
    /// A container's processes were made to stand still.
    ContainerPause => "container.pause",
    /// A paused container's processes were let go on.
    ContainerUnpause => "container.unpause",
    /// A container got another name.
    ContainerRename => "container.rename",
    /// A container was removed.
    ContainerRemove => "container.remove",
    /// A container was made.
    ContainerCreate => "container.create",
    /// A container was made anew with something changed in it.
    ContainerRecreate => "container.recreate",
    /// Bounds of a container were changed while it ran.
    ContainerUpdate => "container.update",
    /// A replacement that a hub did not live to finish was ended.
    ContainerRecover => "container.recover",
    /// The secrets in a container's settings were shown.
    ContainerReveal => "container.reveal",
    /// A file or folder of a container was downloaded, or a text shown.
    FileDownload => "container.file_download",
    /// A file of a container was written.
    FileWrite => "container.file_write",
    /// A folder was made in a container.
    FolderCreate => "container.folder_create",
    /// A file or folder of a container got another path.
    FileRename => "container.file_rename",
    /// A file or folder of a container got other permissions.
    FilePermit => "container.file_permit",
    /// A file or folder of a container was deleted.
    FileDelete => "container.file_delete",
    /// A terminal was opened in a container; its end tells how long it was.
    TerminalOpen => "terminal.open",
    /// A recording of a terminal was given to someone.
    RecordingRead => "recording.read",
    /// A recording of a terminal was deleted.
    RecordingDelete => "recording.delete",
    /// A container was made an image.
    ContainerCommit => "container.commit",
    /// A container's files were given to someone.
    ContainerExport => "container.export",
    /// What nothing used on an engine was removed.
    EnvironmentPrune => "environment.prune",
    /// Someone told a job to end.
    JobCancel => "job.cancel",
    /// A job was ended since the hub that ran it was gone.
    JobCutOff => "job.cut_off",
    /// An image was pulled.
    ImagePull => "image.pull",
    /// Someone made a backup of the hub: all that it knows and every key.
    HubBackup => "hub.backup",
    /// The hub was restored from a backup.
    HubRestore => "hub.restore",
    /// A Docker client asked an engine for something that may change its host.
    EngineCall => "environment.engine_call",
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
    /// It is about to be tried; a record of its end follows.
    Begun,
    /// It was tried and did not succeed.
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Begun => "begun",
            Self::Failed => "failed",
        }
    }
}

/// The fact that says what a target was called when something was done to it.
const TARGET_NAME: &str = "target_name";

/// One record.
#[derive(Clone, Debug)]
pub struct Entry {
    actor: Actor,
    action: Action,
    target: String,
    outcome: Outcome,
    address: Option<IpAddr>,
    environment: Option<EnvironmentId>,
    details: Map<String, Value>,
}

impl Entry {
    /// `actor` did `action` to `target`, and it was done.
    pub fn new(actor: &Actor, action: Action, target: &str) -> Self {
        Self {
            actor: actor.clone(),
            action,
            target: target.to_owned(),
            outcome: Outcome::Done,
            address: None,
            environment: None,
            details: Map::new(),
        }
    }

    /// With a sentence or a name that says more. Never a secret.
    #[must_use]
    pub fn detail(self, text: &str) -> Self {
        self.fact("detail", json!(text))
    }

    /// With a named fact. Never a secret.
    #[must_use]
    pub fn fact(mut self, name: &str, value: Value) -> Self {
        self.details.insert(name.to_owned(), value);
        self
    }

    /// With what its target is called at this moment, where that is known.
    #[must_use]
    pub fn called(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.fact(TARGET_NAME, json!(name)),
            None => self,
        }
    }

    /// With the address it came from, where the actor does not know it.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// With the environment it happened in.
    #[must_use]
    pub fn environment(self, environment: EnvironmentId) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// With how it ended.
    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }
}

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Needs(Permission::AuditView), routes!(list_audit))
}

/// Writes `entry` in the transaction of what it records. Those who look at what
/// happened are told once that is committed.
///
/// # Errors
/// When the database fails.
pub async fn record(tx: &mut Tx, entry: Entry, now: Timestamp) -> Result<(), DbError> {
    let actor = Described::of(&entry.actor);
    let address = entry.address.or(actor.address).map(|address| address.to_string());
    let kind = entry.action.as_str().split('.').next();
    let sql = "INSERT INTO audit (id, at, actor_kind, actor_id, actor_name, credential, action, outcome,
                                  target_kind, target_id, environment_id, address, request_id, details)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(Uuid::now_v7())
            .bind(now)
            .bind(actor.kind)
            .bind(&actor.id)
            .bind(&actor.name)
            .bind(&actor.credential)
            .bind(entry.action.as_str())
            .bind(entry.outcome.as_str())
            .bind(kind)
            .bind(&entry.target)
            .bind(entry.environment.map(|environment| environment.0))
            .bind(&address)
            .bind(&actor.request_id)
            .bind(SqlJson(&entry.details))
            .execute(c)
            .await
            .map(drop)
    })?;
    // What has only begun is not listed among what happened.
    if entry.outcome != Outcome::Begun {
        tx.announce(entry.environment.map(|environment| environment.0));
    }
    Ok(())
}

/// An actor as it stands in a row.
#[derive(Default)]
struct Described {
    kind: &'static str,
    id: Option<String>,
    name: String,
    credential: Option<String>,
    address: Option<IpAddr>,
    request_id: Option<String>,
}

impl Described {
    fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Caller(caller) => Self::of_caller(caller),
            Actor::Agent(id) => Self { kind: "agent", id: Some(id.to_string()), ..Self::default() },
            Actor::System => Self { kind: "system", ..Self::default() },
            Actor::Nobody => Self { kind: "nobody", ..Self::default() },
        }
    }

    fn of_caller(caller: &Caller) -> Self {
        let of_request = Self {
            kind: "nobody",
            address: caller.address,
            request_id: Some(caller.request_id.to_string()),
            ..Self::default()
        };
        match &caller.principal {
            Some(Principal::User(user)) => Self {
                kind: "user",
                id: Some(user.id.to_string()),
                name: user.name.clone(),
                credential: Some(user.credential.to_string()),
                ..of_request
            },
            Some(Principal::LocalRoot) => Self { kind: "local", name: "root".to_owned(), ..of_request },
            None => of_request,
        }
    }
}

/// Which records to list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Most records to return, 50 unless given.
    limit: Option<u32>,
    /// Only records older than this one: `next` of the page before.
    cursor: Option<Uuid>,
    /// Only this action, such as `user.sign_in`.
    action: Option<String>,
    /// Only what was done to this target.
    target_id: Option<String>,
    /// Only what this actor did.
    actor_id: Option<String>,
}

/// One record.
#[derive(Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct AuditRecord {
    /// The record.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// `user`, `local`, `agent`, `system` or `nobody`.
    pub actor_kind: String,
    /// The user or agent.
    pub actor_id: Option<String>,
    /// The user's name at that time.
    pub actor_name: String,
    /// By what the user was recognised.
    pub credential: Option<String>,
    /// What was done.
    pub action: String,
    /// `done`, `denied`, `begun` or `failed`.
    pub outcome: String,
    /// The kind of what it was done to.
    pub target_kind: Option<String>,
    /// What it was done to.
    pub target_id: Option<String>,
    /// The environment it happened in.
    pub environment_id: Option<Uuid>,
    /// Where the request came from.
    pub address: Option<String>,
    /// The request, as it stands in the log.
    pub request_id: Option<String>,
    /// What else there is to say.
    #[schema(value_type = Object)]
    pub details: SqlJson<Map<String, Value>>,
}

impl AuditRecord {
    /// Takes out what the target was called.
    pub fn take_target_name(&mut self) -> Option<String> {
        self.details.0.remove(TARGET_NAME).and_then(|name| Some(name.as_str()?.to_owned()))
    }
}

/// Records, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditList {
    /// The records of this page.
    pub items: Vec<AuditRecord>,
    /// The cursor of the next page, if there may be one.
    pub next: Option<Uuid>,
}

/// Lists what was done, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "identity", params(AuditQuery),
    responses((status = 200, description = "One page of records", body = AuditList)))]
async fn list_audit(State(app): State<AppState>, Query(query): Query<AuditQuery>) -> ApiResult<Json<AuditList>> {
    let page = Page::new(query.limit, None)?;
    let mut tx = app.db.read().await?;
    let items = list(&mut tx, &query, page.limit).await?;
    let full = items.len() as i64 == page.limit;
    let next = items.last().filter(|_| full).map(|record| record.id);
    Ok(Json(AuditList { items, next }))
}

async fn list(tx: &mut Tx, query: &AuditQuery, limit: i64) -> Result<Vec<AuditRecord>, DbError> {
    let sql = "SELECT id, at, actor_kind, actor_id, actor_name, credential, action, outcome,
                      target_kind, target_id, environment_id, address, request_id, details
               FROM audit
               WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR action = $2)
                 AND ($3 IS NULL OR target_id = $3) AND ($4 IS NULL OR actor_id = $4)
               ORDER BY id DESC LIMIT $5";
    let records = on_tx!(tx, |c| {
        sqlx::query_as(sql)
            .bind(query.cursor)
            .bind(&query.action)
            .bind(&query.target_id)
            .bind(&query.actor_id)
            .bind(limit)
            .fetch_all(c)
            .await
    })?;
    Ok(records)
}

/// Which records are wanted of those that say how something ended.
#[derive(Clone, Debug, Default)]
pub struct WantedRecords {
    /// Only in this environment.
    pub environment: Option<Uuid>,
    /// Only what was done to this kind of thing.
    pub kind: Option<String>,
    /// Only this action.
    pub action: Option<String>,
    /// Only what was done to this.
    pub target: Option<String>,
    /// Only where the target, who acted or the action is like this, in SQL's
    /// terms, with `!` before what stands for itself.
    pub pattern: Option<String>,
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Before the record of this moment and id.
    pub before: Option<(Timestamp, Uuid)>,
}

/// The newest records that are wanted, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list_wanted(tx: &mut Tx, wanted: &WantedRecords, limit: i64) -> Result<Vec<AuditRecord>, DbError> {
    let sql = "SELECT id, at, actor_kind, actor_id, actor_name, credential, action, outcome,
                      target_kind, target_id, environment_id, address, request_id, details
               FROM audit
               WHERE outcome <> 'begun'
                 AND ($1 IS NULL OR environment_id = $1) AND ($2 IS NULL OR target_kind = $2)
                 AND ($3 IS NULL OR action = $3) AND ($4 IS NULL OR target_id = $4)
                 AND ($5 IS NULL OR LOWER(COALESCE(target_id, '') || ' ' || actor_name || ' ' || action)
                                    LIKE LOWER($5) ESCAPE '!')
                 AND ($6 IS NULL OR at >= $6) AND ($7 IS NULL OR at < $7)
                 AND ($8 IS NULL OR at < $8 OR (at = $8 AND id < $9))
               ORDER BY at DESC, id DESC LIMIT $10";
    let records = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(wanted.environment).bind(&wanted.kind).bind(&wanted.action);
        let query = query.bind(&wanted.target).bind(&wanted.pattern).bind(wanted.from).bind(wanted.to);
        let query = query.bind(wanted.before.map(|(at, _)| at)).bind(wanted.before.map(|(_, id)| id));
        query.bind(limit).fetch_all(c).await
    })?;
    Ok(records)
}

/// What was done of these actions after `moment`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list_since(
    tx: &mut Tx,
    moment: Timestamp,
    actions: &[Action],
    limit: i64,
) -> Result<Vec<AuditRecord>, DbError> {
    let names: Vec<String> = actions.iter().map(|action| format!("'{}'", action.as_str())).collect();
    let sql = format!(
        "SELECT id, at, actor_kind, actor_id, actor_name, credential, action, outcome,
                target_kind, target_id, environment_id, address, request_id, details
         FROM audit WHERE at > $1 AND outcome = 'done' AND action IN ({}) ORDER BY id LIMIT $2",
        names.join(", ")
    );
    let records = on_tx!(tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(moment).bind(limit).fetch_all(c).await)?;
    Ok(records)
}

/// Deletes the records before `moment`.
pub(super) async fn delete_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM audit WHERE at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}
