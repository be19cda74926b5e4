//! The tables of roles, teams and grants.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{AccessRole, Grant, GrantFilter, Grantee, RoleRef, Team, TeamMember};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, Permission, Permissions, Role, Scope, Title, UserId};
use crate::on_tx;

/// A scope as it stands in a row.
#[derive(Debug, sqlx::FromRow)]
pub struct ScopeRow {
    pub scope: String,
    pub group_id: Option<Uuid>,
    pub label: Option<String>,
    pub environment_id: Option<Uuid>,
}

impl ScopeRow {
    /// What the row says; `None` where it says nothing that is known, which
    /// gives nobody anything.
    pub fn scope(self) -> Option<Scope> {
        match self.scope.as_str() {
            "everywhere" => Some(Scope::Everywhere {}),
            "group" => self.group_id.map(|group_id| Scope::Group { group_id }),
            "label" => self.label.map(|label| Scope::Label { label }),
            "environment" => self.environment_id.map(|environment_id| Scope::Environment { environment_id }),
            _ => None,
        }
    }
}

impl From<&Scope> for ScopeRow {
    fn from(scope: &Scope) -> Self {
        let row = |name: &str| Self { scope: name.to_owned(), group_id: None, label: None, environment_id: None };
        match scope {
            Scope::Everywhere {} => row("everywhere"),
            Scope::Group { group_id } => Self { group_id: Some(*group_id), ..row("group") },
            Scope::Label { label } => Self { label: Some(label.clone()), ..row("label") },
            Scope::Environment { environment_id } => {
                Self { environment_id: Some(*environment_id), ..row("environment") }
            }
        }
    }
}

#[derive(sqlx::FromRow)]
struct PowerRow {
    role: Option<String>,
    permissions: Option<Json<Vec<String>>>,
    #[sqlx(flatten)]
    scope: ScopeRow,
}

/// Permissions by their names; one that this hub does not know, since a newer
/// one wrote it, gives nobody anything.
fn known(names: &[String]) -> Permissions {
    Permission::ALL.iter().copied().filter(|known| names.iter().any(|name| name == known.as_str())).collect()
}

/// All that was granted to a user and to their teams.
pub async fn list_of_user(tx: &mut Tx, user: UserId) -> Result<Vec<(Scope, Permissions)>, DbError> {
    let sql = "SELECT grants.role, roles.permissions, grants.scope, grants.group_id, grants.label,
                      grants.environment_id
               FROM grants LEFT JOIN roles ON roles.id = grants.role_id
               WHERE grants.user_id = $1
                  OR grants.team_id IN (SELECT team_id FROM team_members WHERE user_id = $1)
               ORDER BY grants.id";
    let rows: Vec<PowerRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(user.0).fetch_all(c).await)?;
    let granted = rows.into_iter().filter_map(|row| {
        let built_in = row.role.and_then(|name| name.parse::<Role>().ok()).map(Role::permissions);
        let own = row.permissions.map(|names| known(&names.0));
        Some((row.scope.scope()?, built_in.or(own)?))
    });
    Ok(granted.collect())
}

#[derive(sqlx::FromRow)]
struct RoleRow {
    id: Uuid,
    name: String,
    permissions: Json<Vec<String>>,
    created_at: Timestamp,
    grants: i64,
}

impl From<RoleRow> for AccessRole {
    fn from(row: RoleRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            built_in: false,
            permissions: known(&row.permissions.0).to_vec(),
            grants: row.grants,
            created_at: Some(row.created_at),
        }
    }
}

const ROLE: &str = "SELECT roles.id, roles.name, roles.permissions, roles.created_at,
    (SELECT COUNT(*) FROM grants WHERE grants.role_id = roles.id) AS grants FROM roles";

/// The roles that somebody made, by name.
pub async fn list_roles(tx: &mut Tx) -> Result<Vec<AccessRole>, DbError> {
    let sql = AssertSqlSafe(format!("{ROLE} ORDER BY roles.folded"));
    let rows: Vec<RoleRow> = on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?;
    Ok(rows.into_iter().map(AccessRole::from).collect())
}

pub async fn find_role(tx: &mut Tx, id: Uuid) -> Result<Option<AccessRole>, DbError> {
    let sql = AssertSqlSafe(format!("{ROLE} WHERE roles.id = $1"));
    let row: Option<RoleRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?;
    Ok(row.map(AccessRole::from))
}

/// How many grants give each role that comes with the hub.
pub async fn count_built_in(tx: &mut Tx, role: Role) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM grants WHERE role = $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(role.as_str()).fetch_one(c).await)?)
}

pub async fn insert_role(
    tx: &mut Tx,
    id: Uuid,
    name: &Title,
    permissions: Permissions,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "INSERT INTO roles (id, name, folded, permissions, created_at) VALUES ($1, $2, $3, $4, $5)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id).bind(name.as_str()).bind(name.folded());
        query.bind(Json(permissions.to_vec())).bind(at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn rename_role(tx: &mut Tx, id: Uuid, name: &Title) -> Result<(), DbError> {
    let sql = "UPDATE roles SET name = $2, folded = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(name.as_str()).bind(name.folded()).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn set_permissions(tx: &mut Tx, id: Uuid, permissions: Permissions) -> Result<(), DbError> {
    let sql = "UPDATE roles SET permissions = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(Json(permissions.to_vec())).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_role(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM roles WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

const TEAM: &str = "SELECT teams.id, teams.name, teams.created_at,
    (SELECT COUNT(*) FROM team_members WHERE team_members.team_id = teams.id) AS members,
    (SELECT COUNT(*) FROM grants WHERE grants.team_id = teams.id) AS grants FROM teams";

/// Every team, by name.
pub async fn list_teams(tx: &mut Tx) -> Result<Vec<Team>, DbError> {
    let sql = AssertSqlSafe(format!("{TEAM} ORDER BY teams.folded"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?)
}

pub async fn find_team(tx: &mut Tx, id: Uuid) -> Result<Option<Team>, DbError> {
    let sql = AssertSqlSafe(format!("{TEAM} WHERE teams.id = $1"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

pub async fn insert_team(tx: &mut Tx, id: Uuid, name: &Title, at: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO teams (id, name, folded, created_at) VALUES ($1, $2, $3, $4)";
    on_tx!(tx, |c| {
        sqlx::query(sql).bind(id).bind(name.as_str()).bind(name.folded()).bind(at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn rename_team(tx: &mut Tx, id: Uuid, name: &Title) -> Result<(), DbError> {
    let sql = "UPDATE teams SET name = $2, folded = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(name.as_str()).bind(name.folded()).execute(c).await.map(drop))?;
    Ok(())
}

/// Deletes a team with its grants.
pub async fn delete_team(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM teams WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// The users in a team, by name.
pub async fn list_members(tx: &mut Tx, team: Uuid) -> Result<Vec<TeamMember>, DbError> {
    let sql = "SELECT users.id AS user_id, users.name AS user_name, team_members.joined_at
               FROM team_members JOIN users ON users.id = team_members.user_id
               WHERE team_members.team_id = $1 ORDER BY LOWER(users.name)";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(team).fetch_all(c).await)?)
}

/// Whether the user was not in it before.
pub async fn insert_member(tx: &mut Tx, team: Uuid, user: UserId, at: Timestamp) -> Result<bool, DbError> {
    let sql = "INSERT INTO team_members (team_id, user_id, joined_at) VALUES ($1, $2, $3)
               ON CONFLICT (team_id, user_id) DO NOTHING";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(team).bind(user.0).bind(at).execute(c).await?.rows_affected());
    Ok(done > 0)
}

/// Whether the user was in it.
pub async fn delete_member(tx: &mut Tx, team: Uuid, user: UserId) -> Result<bool, DbError> {
    let sql = "DELETE FROM team_members WHERE team_id = $1 AND user_id = $2";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(team).bind(user.0).execute(c).await?.rows_affected());
    Ok(done > 0)
}

#[derive(sqlx::FromRow)]
struct GrantRow {
    id: Uuid,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    team_id: Option<Uuid>,
    team_name: Option<String>,
    role: Option<String>,
    role_id: Option<Uuid>,
    role_name: Option<String>,
    group_name: Option<String>,
    environment_name: Option<String>,
    provider_id: Option<Uuid>,
    provider_name: Option<String>,
    created_at: Timestamp,
    #[sqlx(flatten)]
    scope: ScopeRow,
}

impl GrantRow {
    fn grant(self) -> Option<Grant> {
        let role_id = self.role.clone().or(self.role_id.map(|id| id.to_string()))?;
        Some(Grant {
            id: self.id,
            user_id: self.user_id,
            user_name: self.user_name,
            team_id: self.team_id,
            team_name: self.team_name,
            role_name: self.role_name.unwrap_or_else(|| role_id.clone()),
            role_id,
            scope: self.scope.scope()?,
            scope_name: self.group_name.or(self.environment_name),
            provider_id: self.provider_id,
            provider_name: self.provider_name,
            created_at: self.created_at,
        })
    }
}

const GRANT: &str = "SELECT grants.id, grants.user_id, users.name AS user_name, grants.team_id,
    teams.name AS team_name, grants.role, grants.role_id, roles.name AS role_name, grants.scope, grants.group_id,
    grants.label, grants.environment_id, environment_groups.name AS group_name,
    environments.name AS environment_name, grants.provider_id, identity_providers.name AS provider_name,
    grants.created_at
    FROM grants LEFT JOIN users ON users.id = grants.user_id LEFT JOIN teams ON teams.id = grants.team_id
    LEFT JOIN roles ON roles.id = grants.role_id
    LEFT JOIN environment_groups ON environment_groups.id = grants.group_id
    LEFT JOIN environments ON environments.id = grants.environment_id
    LEFT JOIN identity_providers ON identity_providers.id = grants.provider_id";

/// What a filter wants, its fields being $1 to $5.
const WANTED: &str = "($1 IS NULL OR grants.user_id = $1) AND ($2 IS NULL OR grants.team_id = $2)
    AND ($3 IS NULL OR grants.role = $3) AND ($4 IS NULL OR grants.role_id = $4)
    AND ($5 IS NULL OR grants.environment_id = $5)";

/// A page of the grants that are wanted, the newest first.
pub async fn list_grants(tx: &mut Tx, filter: &GrantFilter, page: Page) -> Result<Vec<Grant>, DbError> {
    let sql = AssertSqlSafe(format!("{GRANT} WHERE {WANTED} ORDER BY grants.id DESC LIMIT $6 OFFSET $7"));
    let (built_in, own) = role_of(filter);
    let rows: Vec<GrantRow> = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(filter.user).bind(filter.team).bind(built_in).bind(own);
        query.bind(filter.environment).bind(page.limit).bind(page.offset).fetch_all(c).await
    })?;
    Ok(rows.into_iter().filter_map(GrantRow::grant).collect())
}

/// How many grants are wanted.
pub async fn count_wanted_grants(tx: &mut Tx, filter: &GrantFilter) -> Result<i64, DbError> {
    let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM grants WHERE {WANTED}"));
    let (built_in, own) = role_of(filter);
    Ok(on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(filter.user).bind(filter.team).bind(built_in).bind(own);
        query.bind(filter.environment).fetch_one(c).await
    })?)
}

fn role_of(filter: &GrantFilter) -> (Option<&'static str>, Option<Uuid>) {
    let built_in = filter.role.and_then(RoleRef::built_in);
    (built_in.map(Role::as_str), filter.role.and_then(RoleRef::own))
}

pub async fn find_grant(tx: &mut Tx, id: Uuid) -> Result<Option<Grant>, DbError> {
    let sql = AssertSqlSafe(format!("{GRANT} WHERE grants.id = $1"));
    let row: Option<GrantRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?;
    Ok(row.and_then(GrantRow::grant))
}

pub async fn count_grants(tx: &mut Tx) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM grants";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?)
}

/// A grant that is to be written.
#[derive(Clone, Debug)]
pub struct Granted<'a> {
    pub grantee: Grantee,
    pub role: RoleRef,
    pub scope: &'a Scope,
}

/// Whether somebody granted the same already.
pub async fn exists(tx: &mut Tx, new: &Granted<'_>) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM grants
               WHERE user_id IS NOT DISTINCT FROM $1 AND team_id IS NOT DISTINCT FROM $2
                 AND role IS NOT DISTINCT FROM $3 AND role_id IS NOT DISTINCT FROM $4 AND scope = $5
                 AND group_id IS NOT DISTINCT FROM $6 AND label IS NOT DISTINCT FROM $7
                 AND environment_id IS NOT DISTINCT FROM $8 AND provider_id IS NULL";
    let ((user, team), scope) = (new.grantee.ids(), ScopeRow::from(new.scope));
    let count: i64 = on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(user).bind(team);
        let query = query.bind(new.role.built_in().map(Role::as_str)).bind(new.role.own()).bind(&scope.scope);
        query.bind(scope.group_id).bind(&scope.label).bind(scope.environment_id).fetch_one(c).await
    })?;
    Ok(count > 0)
}

/// Whether the group or the environment that a scope names is there.
pub async fn is_place(tx: &mut Tx, scope: &Scope) -> Result<bool, DbError> {
    let (sql, id) = match scope {
        Scope::Everywhere {} | Scope::Label { .. } => return Ok(true),
        Scope::Group { group_id } => ("SELECT COUNT(*) FROM environment_groups WHERE id = $1", *group_id),
        Scope::Environment { environment_id } => ("SELECT COUNT(*) FROM environments WHERE id = $1", *environment_id),
    };
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_one(c).await)?;
    Ok(count > 0)
}

pub async fn insert_grant(tx: &mut Tx, id: Uuid, new: &Granted<'_>, at: Timestamp) -> Result<(), DbError> {
    let sql = "INSERT INTO grants (id, user_id, team_id, role, role_id, scope, group_id, label, environment_id,
                                   created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let ((user, team), scope) = (new.grantee.ids(), ScopeRow::from(new.scope));
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id).bind(user).bind(team);
        let query = query.bind(new.role.built_in().map(Role::as_str)).bind(new.role.own()).bind(&scope.scope);
        let query = query.bind(scope.group_id).bind(&scope.label).bind(scope.environment_id);
        query.bind(at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn delete_grant(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM grants WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}
