//! The routes of roles, teams and grants.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{
    AccessRole, AccessRolePatch, Grant, GrantFilter, NewAccessRole, NewGrant, NewTeam, Team, TeamMember,
};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Routes, UserId};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let access = Access::Needs(Permission::UsersManage);
    routes
        .add(access, routes!(list_roles))
        .add(access.confirmed(), routes!(create_role))
        .add(access.confirmed(), routes!(change_role_permissions, delete_role))
        .add(access, routes!(list_teams, create_team))
        .add(access, routes!(rename_team))
        .add(access.confirmed(), routes!(delete_team))
        .add(access, routes!(list_team_members))
        .add(access.confirmed(), routes!(add_team_member, remove_team_member))
        .add(access, routes!(list_grants))
        .add(access.confirmed(), routes!(create_grant))
        .add(access.confirmed(), routes!(delete_grant))
}

/// All of them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}

/// Which of them to list.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NameFilter {
    /// Only the one of this name.
    name: Option<String>,
}

impl NameFilter {
    fn wants(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|wanted| wanted.to_lowercase() == name.to_lowercase())
    }
}

/// Lists the roles that can be granted: those that come with the hub first.
#[utoipa::path(get, path = "/api/v1/roles", tag = "identity", params(Page, NameFilter),
    responses((status = 200, description = "One page of roles", body = List<AccessRole>)))]
async fn list_roles(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<NameFilter>,
) -> ApiResult<Json<List<AccessRole>>> {
    let mut roles = app.identity.list_access_roles().await?;
    roles.retain(|role| filter.wants(&role.name));
    Ok(Json(page.of(roles)))
}

/// Makes a role.
#[utoipa::path(post, path = "/api/v1/roles", tag = "identity", request_body = NewAccessRole, responses(
    (status = 201, description = "The role", body = AccessRole),
    (status = 400, description = "It allows nothing"),
    (status = 409, description = "The name is taken, or there are as many as there may be"),
))]
async fn create_role(
    State(app): State<AppState>,
    caller: Caller,
    Json(new): Json<NewAccessRole>,
) -> ApiResult<Response> {
    let role = app.identity.create_access_role(new, &(&caller).into()).await?;
    Ok((StatusCode::CREATED, Json(role)).into_response())
}

/// Gives a role another name, or lets it allow something else: from the next
/// request on, for all who have it.
#[utoipa::path(patch, path = "/api/v1/roles/{id}", tag = "identity", params(("id" = String, Path)),
    request_body = AccessRolePatch, responses(
    (status = 200, description = "The role", body = AccessRole),
    (status = 404, description = "There is none that can be changed"),
    (status = 409, description = "The name is taken"),
))]
async fn change_role_permissions(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(patch): Json<AccessRolePatch>,
) -> ApiResult<Json<AccessRole>> {
    Ok(Json(app.identity.change_access_role(own_role(&id)?, patch, &(&caller).into()).await?))
}

/// Deletes a role that is not granted to anybody.
#[utoipa::path(delete, path = "/api/v1/roles/{id}", tag = "identity", params(("id" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none that can be deleted"),
    (status = 409, description = "It is granted to somebody"),
))]
async fn delete_role(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> ApiResult<StatusCode> {
    app.identity.delete_access_role(own_role(&id)?, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists teams, by name.
#[utoipa::path(get, path = "/api/v1/teams", tag = "identity", params(Page, NameFilter),
    responses((status = 200, description = "One page of teams", body = List<Team>)))]
async fn list_teams(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<NameFilter>,
) -> ApiResult<Json<List<Team>>> {
    let mut teams = app.identity.list_teams().await?;
    teams.retain(|team| filter.wants(&team.name));
    Ok(Json(page.of(teams)))
}

/// Makes a team without members.
#[utoipa::path(post, path = "/api/v1/teams", tag = "identity", request_body = NewTeam, responses(
    (status = 201, description = "The team", body = Team),
    (status = 409, description = "The name is taken, or there are as many as there may be"),
))]
async fn create_team(State(app): State<AppState>, caller: Caller, Json(new): Json<NewTeam>) -> ApiResult<Response> {
    let team = app.identity.create_team(&new.name, &(&caller).into()).await?;
    Ok((StatusCode::CREATED, Json(team)).into_response())
}

/// Gives a team another name.
#[utoipa::path(patch, path = "/api/v1/teams/{id}", tag = "identity", params(("id" = Uuid, Path)),
    request_body = NewTeam, responses(
    (status = 200, description = "The team", body = Team),
    (status = 404, description = "There is none"),
    (status = 409, description = "The name is taken"),
))]
async fn rename_team(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(new): Json<NewTeam>,
) -> ApiResult<Json<Team>> {
    Ok(Json(app.identity.rename_team(id, &new.name, &(&caller).into()).await?))
}

/// Deletes a team with all that was granted to it.
#[utoipa::path(delete, path = "/api/v1/teams/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none"),
))]
async fn delete_team(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.identity.delete_team(id, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the users in a team, by name.
#[utoipa::path(get, path = "/api/v1/teams/{id}/members", tag = "identity", params(("id" = Uuid, Path), Page),
    responses(
    (status = 200, description = "One page of its members", body = List<TeamMember>),
    (status = 404, description = "There is no such team"),
))]
async fn list_team_members(
    State(app): State<AppState>,
    Path(id): Path<Uuid>,
    Listing { page, filter: NoFilter {} }: Listing<NoFilter>,
) -> ApiResult<Json<List<TeamMember>>> {
    Ok(Json(page.of(app.identity.list_members(id).await?)))
}

/// Puts a user into a team.
#[utoipa::path(put, path = "/api/v1/teams/{id}/members/{user}", tag = "identity",
    params(("id" = Uuid, Path), ("user" = UserId, Path)), responses(
    (status = 204, description = "They are in it"),
    (status = 404, description = "There is no such team or user"),
    (status = 409, description = "There are as many in it as there may be"),
))]
async fn add_team_member(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, UserId)>,
) -> ApiResult<StatusCode> {
    app.identity.add_member(id, user, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a team. What they had by it ends at once.
#[utoipa::path(delete, path = "/api/v1/teams/{id}/members/{user}", tag = "identity",
    params(("id" = Uuid, Path), ("user" = UserId, Path)), responses(
    (status = 204, description = "They are not in it any more"),
    (status = 404, description = "They are not in it"),
))]
async fn remove_team_member(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(Uuid, UserId)>,
) -> ApiResult<StatusCode> {
    app.identity.remove_member(id, user, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what was granted to whom and where, the newest first.
#[utoipa::path(get, path = "/api/v1/grants", tag = "identity", params(Page, GrantFilter),
    responses((status = 200, description = "One page of grants", body = List<Grant>)))]
async fn list_grants(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<GrantFilter>,
) -> ApiResult<Json<List<Grant>>> {
    Ok(Json(app.identity.list_grants(&filter, page).await?))
}

/// Grants a role to a user or a team: everywhere, in a group of environments,
/// in those with a label, or in one.
#[utoipa::path(post, path = "/api/v1/grants", tag = "identity", request_body = NewGrant, responses(
    (status = 201, description = "The grant", body = Grant),
    (status = 400, description = "It is for nobody, for two, or for no label"),
    (status = 404, description = "There is no such user, team, role, group or environment"),
    (status = 409, description = "The very same is granted already"),
))]
async fn create_grant(State(app): State<AppState>, caller: Caller, Json(new): Json<NewGrant>) -> ApiResult<Response> {
    let grant = app.identity.create_grant(new, &(&caller).into()).await?;
    Ok((StatusCode::CREATED, Json(grant)).into_response())
}

/// Takes a grant back. What is open by it ends at once.
#[utoipa::path(delete, path = "/api/v1/grants/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none"),
))]
async fn delete_grant(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.identity.delete_grant(id, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A role that comes with the hub is none that can be changed.
fn own_role(id: &str) -> ApiResult<Uuid> {
    id.parse().map_err(|_| ApiError::not_found("role"))
}
