//! The routes of environments.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::filter::EnvironmentFilter;
use super::model::{Environment, EnvironmentDetails, EnvironmentPatch, NewTcpEnvironment};
use super::overview::Overview;
use super::service::{AddError, ChangeError};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Query, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(list_environments))
        .add(Access::Needs(Permission::EnvironmentsManage), routes!(add_environment))
        .add(Access::At(Permission::EnvironmentsView), routes!(get_environment))
        .add(Access::At(Permission::EnvironmentsManage), routes!(change_environment))
        .add(Access::At(Permission::EnvironmentsManage), routes!(remove_environment))
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(get_overview))
}

/// Lists environments with their present state.
#[utoipa::path(get, path = "/api/v1/environments", tag = "fleet", params(Page, EnvironmentFilter),
    responses((status = 200, description = "One page of environments", body = List<Environment>)))]
async fn list_environments(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<EnvironmentFilter>,
) -> ApiResult<Json<List<Environment>>> {
    let visible = reach.visible(Permission::EnvironmentsView).await?;
    Ok(Json(app.fleet.page_of_environments(page, &filter, &visible).await?))
}

/// Adds an engine that listens on TCP.
#[utoipa::path(post, path = "/api/v1/environments", tag = "fleet", request_body = NewTcpEnvironment, responses(
    (status = 201, description = "The environment", body = Environment),
    (status = 400, description = "The address or the certificates cannot be used, or it would go without TLS"),
    (status = 409, description = "The name is taken"),
))]
async fn add_environment(
    State(app): State<AppState>,
    caller: Caller,
    Json(new): Json<NewTcpEnvironment>,
) -> ApiResult<Response> {
    let id = app.fleet.add_environment(new, &(&caller).into()).await?;
    app.attached.start(id);
    let environment = app.fleet.find_environment(id).await?.ok_or_else(unknown)?;
    Ok((StatusCode::CREATED, Json(environment)).into_response())
}

/// Gives one environment with its present state.
#[utoipa::path(get, path = "/api/v1/environments/{id}", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The environment", body = EnvironmentDetails),
    (status = 404, description = "There is none"),
))]
async fn get_environment(
    State(app): State<AppState>,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<EnvironmentDetails>> {
    let id = EnvironmentId(id);
    let environment = app.fleet.find_environment(id).await?.ok_or_else(unknown)?;
    let permissions = reach.permissions_at(id).await?.in_environments().to_vec();
    Ok(Json(EnvironmentDetails { environment, permissions }))
}

/// Gives an environment other labels, puts it into another group, or has its
/// terminals recorded. What is not named stays as it is. Since labels and groups
/// say who may do what in it, they are changed by those alone who may manage all
/// environments.
#[utoipa::path(patch, path = "/api/v1/environments/{id}", tag = "fleet", params(("id" = Uuid, Path)),
    request_body = EnvironmentPatch, responses(
    (status = 200, description = "The environment", body = Environment),
    (status = 403, description = "Labels and groups need the permission environments.manage everywhere"),
    (status = 404, description = "There is none"),
    (status = 409, description = "There is no such group"),
))]
async fn change_environment(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(patch): Json<EnvironmentPatch>,
) -> ApiResult<Json<Environment>> {
    let id = EnvironmentId(id);
    let moves = patch.moves();
    if moves {
        caller.require(Permission::EnvironmentsManage)?;
    }
    app.fleet.change_environment(id, patch, &(&caller).into()).await?;
    if moves {
        app.identity.environments_moved();
    }
    app.fleet.find_environment(id).await?.map(Json).ok_or_else(unknown)
}

/// Removes an environment from the hub. Its host is not touched; an edge agent
/// can come back with a new token only.
#[utoipa::path(delete, path = "/api/v1/environments/{id}", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none"),
))]
async fn remove_environment(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    let id = EnvironmentId(id);
    app.attached.stop(id);
    let removed = app.fleet.remove_environment(id, &(&caller).into()).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

/// Tells how many environments are how, what runs on them, and in which groups
/// they are.
#[utoipa::path(get, path = "/api/v1/overview", tag = "fleet", params(EnvironmentFilter),
    responses((status = 200, description = "The environments that match, in numbers", body = Overview)))]
async fn get_overview(
    State(app): State<AppState>,
    reach: Reach,
    Query(filter): Query<EnvironmentFilter>,
) -> ApiResult<Json<Overview>> {
    let visible = reach.visible(Permission::EnvironmentsView).await?;
    Ok(Json(app.fleet.overview(&filter, &visible).await?))
}

fn unknown() -> ApiError {
    ApiError::not_found("environment")
}

impl From<AddError> for ApiError {
    fn from(error: AddError) -> Self {
        let message = error.to_string();
        match error {
            AddError::NameTaken => Self::conflict("name_taken", message),
            AddError::Address => Self::bad_request("invalid_address", message),
            AddError::PartialTls | AddError::Tls(_) => Self::bad_request("invalid_tls", message),
            AddError::Insecure => Self::bad_request("insecure_address", message),
            AddError::Db(error) => error.into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Unknown => unknown(),
            ChangeError::UnknownGroup => Self::conflict("unknown_group", message),
            ChangeError::Db(error) => error.into(),
        }
    }
}
