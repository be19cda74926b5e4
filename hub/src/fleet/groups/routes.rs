//! The routes of groups.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{Group, GroupFilter, GroupId, NewGroup};
use super::service::GroupError;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Place, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(list_groups))
        .add(Access::Needs(Permission::GroupsManage), routes!(create_group))
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(get_group))
        .add(Access::Needs(Permission::GroupsManage), routes!(rename_group))
        .add(Access::Needs(Permission::GroupsManage), routes!(delete_group))
}

/// Lists groups of environments, by name.
#[utoipa::path(get, path = "/api/v1/groups", tag = "fleet", params(Page, GroupFilter),
    responses((status = 200, description = "One page of groups", body = List<Group>)))]
async fn list_groups(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<GroupFilter>,
) -> ApiResult<Json<List<Group>>> {
    let mut groups = shown(app.fleet.list_groups().await?, reach.places().await?);
    groups.retain(|group| filter.wants(group));
    Ok(Json(page.of(groups)))
}

/// Makes a group. Environments are put into it one by one.
#[utoipa::path(post, path = "/api/v1/groups", tag = "fleet", request_body = NewGroup, responses(
    (status = 201, description = "The group", body = Group),
    (status = 409, description = "The name is taken, or there are as many groups as there may be"),
))]
async fn create_group(State(app): State<AppState>, caller: Caller, Json(new): Json<NewGroup>) -> ApiResult<Response> {
    let id = app.fleet.create_group(&new.name, &(&caller).into()).await?;
    let group = app.fleet.find_group(id).await?.ok_or_else(unknown)?;
    Ok((StatusCode::CREATED, Json(group)).into_response())
}

/// Gives one group.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The group", body = Group),
    (status = 404, description = "There is none"),
))]
async fn get_group(State(app): State<AppState>, reach: Reach, Path(id): Path<Uuid>) -> ApiResult<Json<Group>> {
    let group = app.fleet.find_group(GroupId(id)).await?;
    shown(group.into_iter().collect(), reach.places().await?).pop().map(Json).ok_or_else(unknown)
}

/// Gives a group another name.
#[utoipa::path(patch, path = "/api/v1/groups/{id}", tag = "fleet", params(("id" = Uuid, Path)),
    request_body = NewGroup, responses(
    (status = 200, description = "The group", body = Group),
    (status = 404, description = "There is none"),
    (status = 409, description = "The name is taken"),
))]
async fn rename_group(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(new): Json<NewGroup>,
) -> ApiResult<Json<Group>> {
    app.fleet.rename_group(GroupId(id), &new.name, &(&caller).into()).await?;
    app.fleet.find_group(GroupId(id)).await?.map(Json).ok_or_else(unknown)
}

/// Removes a group. Its environments stay as they are, in no group.
#[utoipa::path(delete, path = "/api/v1/groups/{id}", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none"),
))]
async fn delete_group(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.fleet.delete_group(GroupId(id), &(&caller).into()).await?;
    app.identity.environments_moved();
    Ok(StatusCode::NO_CONTENT)
}

/// Groups as somebody sees them who sees the environments in these places:
/// without groups that have none of them. `None` is all places.
fn shown(mut groups: Vec<Group>, places: Option<Vec<Place>>) -> Vec<Group> {
    let Some(places) = places else { return groups };
    for group in &mut groups {
        let inside = places.iter().filter(|place| place.group == Some(group.id));
        group.environments = i64::try_from(inside.count()).unwrap_or(i64::MAX);
    }
    groups.retain(|group| group.environments > 0);
    groups
}

fn unknown() -> ApiError {
    ApiError::not_found("group")
}

impl From<GroupError> for ApiError {
    fn from(error: GroupError) -> Self {
        let message = error.to_string();
        match error {
            GroupError::Unknown => unknown(),
            GroupError::NameTaken => Self::conflict("name_taken", message),
            GroupError::TooMany => Self::conflict("too_many_groups", message),
            GroupError::Db(error) => error.into(),
        }
    }
}
