//! What those who manage users do with roles, teams and grants. Each change
//! holds from the next request on, and ends what is open and not allowed any
//! more.

use serde_json::json;
use uuid::Uuid;

use super::model::{
    AccessRole, AccessRolePatch, Grant, GrantFilter, Grantee, NewAccessRole, NewGrant, RoleRef, Team, TeamMember,
};
use super::store::{self, Granted};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult};
use crate::http::{List, Page, Permission, Permissions, Role, Scope, Title, UserId};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::identity::{Identity, users};

/// Most roles that a hub has beside its own.
const ROLES_MAX: usize = 500;
/// Most teams of a hub.
const TEAMS_MAX: usize = 1_000;
/// Most users in one team.
const MEMBERS_MAX: usize = 10_000;
/// Most grants of a hub.
pub(super) const GRANTS_MAX: i64 = 20_000;
/// Longest label that a grant may name: a key, a sign and a value.
const LABEL_MAX: usize = 320;

impl Identity {
    /// Every role that can be granted: those that come with the hub, then the
    /// others by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_access_roles(&self) -> ApiResult<Vec<AccessRole>> {
        let mut tx = self.db.read().await?;
        let mut roles = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Restricted) {
            roles.push(AccessRole {
                id: role.to_string(),
                name: role.to_string(),
                built_in: true,
                permissions: role.permissions().to_vec(),
                grants: store::count_built_in(&mut tx, role).await?,
                created_at: None,
            });
        }
        roles.extend(store::list_roles(&mut tx).await?);
        Ok(roles)
    }

    /// Makes a role.
    ///
    /// # Errors
    /// 409 for a name that is taken, or where there are too many.
    pub async fn create_access_role(&self, new: NewAccessRole, by: &Actor) -> ApiResult<AccessRole> {
        let (id, now) = (Uuid::now_v7(), self.now());
        let permissions = some(&new.permissions)?;
        refuse_built_in_name(&new.name)?;
        let mut tx = self.db.write().await?;
        below(store::list_roles(&mut tx).await?.len(), ROLES_MAX, "roles")?;
        store::insert_role(&mut tx, id, &new.name, permissions, now).await.map_err(name_taken)?;
        let entry = Entry::new(by, Action::RoleCreate, &id.to_string()).called(Some(new.name.as_str()));
        audit::record(&mut tx, entry.fact("permissions", json!(permissions.to_vec())), now).await?;
        let role = found(store::find_role(&mut tx, id).await?, "role")?;
        tx.commit().await?;
        Ok(role)
    }

    /// Gives a role another name, or lets it allow something else.
    ///
    /// # Errors
    /// 404 when there is none that can be changed, 409 for a name that is taken.
    pub async fn change_access_role(&self, id: Uuid, patch: AccessRolePatch, by: &Actor) -> ApiResult<AccessRole> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        let before = found(store::find_role(&mut tx, id).await?, "role")?;
        let mut entry = Entry::new(by, Action::RoleChange, &id.to_string()).called(Some(&before.name));
        if let Some(name) = &patch.name {
            refuse_built_in_name(name)?;
            store::rename_role(&mut tx, id, name).await.map_err(name_taken)?;
            entry = entry.fact("name", json!(name));
        }
        if let Some(permissions) = &patch.permissions {
            let permissions = some(permissions)?;
            store::set_permissions(&mut tx, id, permissions).await?;
            entry = entry.fact("before", json!(before.permissions)).fact("permissions", json!(permissions.to_vec()));
        }
        audit::record(&mut tx, entry, now).await?;
        let role = found(store::find_role(&mut tx, id).await?, "role")?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(role)
    }

    /// Deletes a role that nobody has.
    ///
    /// # Errors
    /// 404 when there is none that can be deleted, 409 while it is granted.
    pub async fn delete_access_role(&self, id: Uuid, by: &Actor) -> ApiResult<()> {
        let mut tx = self.db.write().await?;
        let role = found(store::find_role(&mut tx, id).await?, "role")?;
        let in_use = || ApiError::conflict("role_in_use", "This role is granted. Remove its grants first.");
        if role.grants > 0 {
            return Err(in_use());
        }
        match store::delete_role(&mut tx, id).await {
            Err(DbError::Reference(_)) => return Err(in_use()),
            deleted => deleted?,
        }
        let entry = Entry::new(by, Action::RoleDelete, &id.to_string()).called(Some(&role.name));
        audit::record(&mut tx, entry, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Every team, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_teams(&self) -> ApiResult<Vec<Team>> {
        Ok(store::list_teams(&mut self.db.read().await?).await?)
    }

    /// Makes a team without members.
    ///
    /// # Errors
    /// 409 for a name that is taken, or where there are too many.
    pub async fn create_team(&self, name: &Title, by: &Actor) -> ApiResult<Team> {
        let (id, now) = (Uuid::now_v7(), self.now());
        let mut tx = self.db.write().await?;
        below(store::list_teams(&mut tx).await?.len(), TEAMS_MAX, "teams")?;
        store::insert_team(&mut tx, id, name, now).await.map_err(name_taken)?;
        let entry = Entry::new(by, Action::TeamCreate, &id.to_string()).called(Some(name.as_str()));
        audit::record(&mut tx, entry, now).await?;
        let team = found(store::find_team(&mut tx, id).await?, "team")?;
        tx.commit().await?;
        Ok(team)
    }

    /// Gives a team another name.
    ///
    /// # Errors
    /// 404 when there is none, 409 for a name that is taken.
    pub async fn rename_team(&self, id: Uuid, name: &Title, by: &Actor) -> ApiResult<Team> {
        let mut tx = self.db.write().await?;
        found(store::find_team(&mut tx, id).await?, "team")?;
        store::rename_team(&mut tx, id, name).await.map_err(name_taken)?;
        let entry = Entry::new(by, Action::TeamRename, &id.to_string()).called(Some(name.as_str()));
        audit::record(&mut tx, entry, self.now()).await?;
        let team = found(store::find_team(&mut tx, id).await?, "team")?;
        tx.commit().await?;
        Ok(team)
    }

    /// Deletes a team with all that was granted to it.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn delete_team(&self, id: Uuid, by: &Actor) -> ApiResult<()> {
        let mut tx = self.db.write().await?;
        let team = found(store::find_team(&mut tx, id).await?, "team")?;
        store::delete_team(&mut tx, id).await?;
        let entry = Entry::new(by, Action::TeamDelete, &id.to_string()).called(Some(&team.name));
        audit::record(&mut tx, entry.fact("grants", json!(team.grants)), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// The users in a team, by name.
    ///
    /// # Errors
    /// 404 when there is no such team.
    pub async fn list_members(&self, team: Uuid) -> ApiResult<Vec<TeamMember>> {
        let mut tx = self.db.read().await?;
        found(store::find_team(&mut tx, team).await?, "team")?;
        Ok(store::list_members(&mut tx, team).await?)
    }

    /// Puts a user into a team. One who is in it stays.
    ///
    /// # Errors
    /// 404 when there is no such team or user, 409 where there are too many.
    pub async fn add_member(&self, team: Uuid, user: UserId, by: &Actor) -> ApiResult<()> {
        let now = self.now();
        let mut tx = self.db.write().await?;
        join(&mut tx, team, user, by, now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// Takes a user out of a team.
    ///
    /// # Errors
    /// 404 when they are not in it.
    pub async fn remove_member(&self, team: Uuid, user: UserId, by: &Actor) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        let known = found(store::find_team(&mut tx, team).await?, "team")?;
        let named = found(users::find(&mut tx, user).await?, "user")?;
        if !store::delete_member(&mut tx, team, user).await? {
            return Err(ApiError::not_found("member"));
        }
        let entry = Entry::new(by, Action::TeamLeave, &team.to_string()).called(Some(&known.name));
        audit::record(&mut tx, entry.fact("user", json!(named.name)), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }

    /// The grants that match, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_grants(&self, filter: &GrantFilter, page: Page) -> ApiResult<List<Grant>> {
        let mut tx = self.db.read().await?;
        let items = store::list_grants(&mut tx, filter, page).await?;
        Ok(List { items, total: store::count_wanted_grants(&mut tx, filter).await? })
    }

    /// Grants a role to a user or a team.
    ///
    /// # Errors
    /// 400 for what makes no sense, 404 for what is not there, 409 where it is
    /// granted already.
    pub async fn create_grant(&self, new: NewGrant, by: &Actor) -> ApiResult<Grant> {
        let granted = Granted { grantee: grantee(&new)?, role: new.role, scope: &new.scope };
        let mut tx = self.db.write().await?;
        let grant = give(&mut tx, &granted, by, self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(grant)
    }

    /// Takes a grant back.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn delete_grant(&self, id: Uuid, by: &Actor) -> ApiResult<()> {
        let mut tx = self.db.write_vital().await?;
        let grant = found(store::find_grant(&mut tx, id).await?, "grant")?;
        store::delete_grant(&mut tx, id).await?;
        audit::record(&mut tx, entry(by, Action::GrantDelete, &grant), self.now()).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(())
    }
}

/// Puts a user into a team, in a transaction that does more.
///
/// # Errors
/// 404 when there is no such team or user, 409 where there are too many.
pub async fn join(tx: &mut Tx, team: Uuid, user: UserId, by: &Actor, now: Timestamp) -> ApiResult<()> {
    let known = found(store::find_team(tx, team).await?, "team")?;
    let user = found(users::find(tx, user).await?, "user")?;
    below(usize::try_from(known.members).unwrap_or(MEMBERS_MAX), MEMBERS_MAX, "members of a team")?;
    if store::insert_member(tx, team, user.id, now).await? {
        let entry = Entry::new(by, Action::TeamJoin, &team.to_string()).called(Some(&known.name));
        audit::record(tx, entry.fact("user", json!(user.name)), now).await?;
    }
    Ok(())
}

/// Grants a role, in a transaction that does more.
///
/// # Errors
/// 400 for what makes no sense, 404 for what is not there, 409 where it is
/// granted already.
pub async fn give(tx: &mut Tx, granted: &Granted<'_>, by: &Actor, now: Timestamp) -> ApiResult<Grant> {
    let id = Uuid::now_v7();
    check_scope(granted.scope)?;
    require_parts(tx, granted).await?;
    if store::exists(tx, granted).await? {
        return Err(ApiError::conflict("already_granted", "The very same is granted already."));
    }
    if store::count_grants(tx).await? >= GRANTS_MAX {
        return Err(too_many(usize::try_from(GRANTS_MAX).unwrap_or_default(), "grants"));
    }
    match store::insert_grant(tx, id, granted, now).await {
        Err(DbError::Reference(_)) => return Err(ApiError::not_found(scope_kind(granted.scope))),
        inserted => inserted?,
    }
    let grant = found(store::find_grant(tx, id).await?, "grant")?;
    audit::record(tx, entry(by, Action::GrantCreate, &grant), now).await?;
    Ok(grant)
}

/// Whether a role could be granted there to somebody.
///
/// # Errors
/// 400 for what makes no sense, 404 for what is not there.
pub async fn check(tx: &mut Tx, role: RoleRef, scope: &Scope) -> ApiResult<()> {
    check_scope(scope)?;
    require_role(tx, role).await?;
    match store::is_place(tx, scope).await? {
        true => Ok(()),
        false => Err(ApiError::not_found(scope_kind(scope))),
    }
}

/// There must be such a team.
///
/// # Errors
/// 404 when there is none.
pub async fn require_team(tx: &mut Tx, team: Uuid) -> ApiResult<()> {
    found(store::find_team(tx, team).await?, "team").map(drop)
}

pub(super) fn entry(by: &Actor, action: Action, grant: &Grant) -> Entry {
    let entry = Entry::new(by, action, &grant.id.to_string()).fact("role", json!(grant.role_name));
    let entry = match (&grant.user_name, &grant.team_name) {
        (Some(user), _) => entry.fact("user", json!(user)),
        (None, Some(team)) => entry.fact("team", json!(team)),
        (None, None) => entry,
    };
    let place = match &grant.scope {
        Scope::Everywhere {} => None,
        Scope::Label { label } => Some(label),
        Scope::Group { .. } | Scope::Environment { .. } => grant.scope_name.as_ref(),
    };
    let entry = entry.fact("scope", json!(scope_kind(&grant.scope)));
    let entry = match &grant.provider_name {
        Some(provider) => entry.fact("provider", json!(provider)),
        None => entry,
    };
    match place {
        Some(place) => entry.fact("place", json!(place)),
        None => entry,
    }
}

const fn scope_kind(scope: &Scope) -> &'static str {
    match scope {
        Scope::Everywhere {} => "everywhere",
        Scope::Group { .. } => "group",
        Scope::Label { .. } => "label",
        Scope::Environment { .. } => "environment",
    }
}

fn grantee(new: &NewGrant) -> ApiResult<Grantee> {
    match (new.user_id, new.team_id) {
        (Some(user), None) => Ok(Grantee::User(user)),
        (None, Some(team)) => Ok(Grantee::Team(team)),
        (Some(_), Some(_)) | (None, None) => {
            Err(ApiError::bad_request("invalid_grantee", "Grant it to one user or to one team: user_id or team_id."))
        }
    }
}

/// Whether a scope makes sense by itself.
pub(in crate::identity) fn check_scope(scope: &Scope) -> ApiResult<()> {
    let Scope::Label { label } = scope else { return Ok(()) };
    let key = label.split_once('=').map_or(label.as_str(), |(key, _)| key);
    if key.is_empty() || label.len() > LABEL_MAX || label.chars().any(char::is_control) {
        return Err(ApiError::bad_request("invalid_label", "A label is named as key or key=value."));
    }
    Ok(())
}

/// What a grant names must be there.
async fn require_parts(tx: &mut Tx, granted: &Granted<'_>) -> ApiResult<()> {
    match granted.grantee {
        Grantee::User(id) => found(users::find(tx, UserId(id)).await?, "user").map(drop)?,
        Grantee::Team(id) => require_team(tx, id).await?,
    }
    require_role(tx, granted.role).await
}

/// Whether there is this role.
pub(in crate::identity) async fn require_role(tx: &mut Tx, role: RoleRef) -> ApiResult<()> {
    match role {
        RoleRef::BuiltIn(_) => Ok(()),
        RoleRef::Own(id) => found(store::find_role(tx, id).await?, "role").map(drop),
    }
}

fn found<T>(thing: Option<T>, what: &'static str) -> ApiResult<T> {
    thing.ok_or_else(|| ApiError::not_found(what))
}

fn some(permissions: &[Permission]) -> ApiResult<Permissions> {
    let permissions: Permissions = permissions.iter().copied().collect();
    if permissions.is_empty() {
        return Err(ApiError::bad_request("no_permissions", "A role allows something: name its permissions."));
    }
    Ok(permissions)
}

/// Two roles of one name, of which one comes with the hub, would mislead.
fn refuse_built_in_name(name: &Title) -> ApiResult<()> {
    if name.folded().parse::<Role>().is_ok() { Err(taken()) } else { Ok(()) }
}

fn name_taken(error: DbError) -> ApiError {
    match error {
        DbError::Duplicate(_) => taken(),
        error => error.into(),
    }
}

fn taken() -> ApiError {
    ApiError::conflict("name_taken", "This name is taken: choose another one.")
}

fn below(count: usize, most: usize, what: &str) -> ApiResult<()> {
    if count < most { Ok(()) } else { Err(too_many(most, what)) }
}

fn too_many(most: usize, what: &str) -> ApiError {
    ApiError::conflict("too_many", format!("There are at most {most} {what}. Remove some first."))
}
