//! The routes of API tokens.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::{ApiToken, ApiTokenFilter, AskedLimits, LIFE_DEFAULT, NewApiToken, limited_token, visible_owner};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Reach, Routes, TokenScope, UserId};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::SignedIn, routes!(list_api_tokens))
        .add(Access::SignedIn.confirmed(), routes!(create_api_token))
        .add(Access::SignedIn, routes!(revoke_api_token))
}

/// A new token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateApiTokenRequest {
    /// What it is for.
    name: String,
    /// Whose it is, by name. Only the local socket may name someone else.
    user: Option<String>,
    /// Seconds until it ends: 90 days unless given, at most 366 days.
    ttl_seconds: Option<u64>,
    /// What it is for; all that its owner may do where this is left out.
    scopes: Option<Vec<TokenScope>>,
    /// The environments that there are for it. With neither these nor groups it
    /// is not limited to any.
    #[serde(default)]
    environments: Vec<Uuid>,
    /// The groups whose environments there are for it.
    #[serde(default)]
    groups: Vec<Uuid>,
    /// The networks that it may be used from, such as 10.0.0.0/8.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    networks: Vec<IpNet>,
}

/// A new token with its text, which is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedApiTokenResponse {
    /// What to send as `Authorization: Bearer`.
    token: String,
    /// The token as it is listed.
    #[serde(flatten)]
    listed: ApiToken,
}

/// Which tokens to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListApiTokensQuery {
    /// Only those of this user. Who may not manage users sees their own only.
    user: Option<UserId>,
    /// Only those of this name.
    name: Option<String>,
}

/// Lists API tokens, newest first. One with limits sees itself alone.
#[utoipa::path(get, path = "/api/v1/api-tokens", tag = "identity", params(Page, ListApiTokensQuery),
    responses((status = 200, description = "One page of tokens", body = List<ApiToken>)))]
async fn list_api_tokens(
    State(app): State<AppState>,
    caller: Caller,
    Listing { page, filter }: Listing<ListApiTokensQuery>,
) -> ApiResult<Json<List<ApiToken>>> {
    let id = limited_token(&caller).map(str::to_owned);
    let filter = ApiTokenFilter { user: visible_owner(&caller, filter.user), name: filter.name, id };
    Ok(Json(app.identity.list_api_tokens(&filter, page).await?))
}

/// Makes an API token. Its text is in this answer and nowhere else. One that a
/// token makes may do no more, and lives no longer.
#[utoipa::path(post, path = "/api/v1/api-tokens", tag = "identity", request_body = CreateApiTokenRequest, responses(
    (status = 201, description = "The token", body = CreatedApiTokenResponse),
    (status = 403, description = "The token would be someone else's, or could do more than the one that makes it"),
    (status = 404, description = "There is no such environment or group"),
))]
async fn create_api_token(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Json(request): Json<CreateApiTokenRequest>,
) -> ApiResult<Response> {
    let CreateApiTokenRequest { name, user, ttl_seconds, scopes, environments, groups, networks } = request;
    let limits = AskedLimits { scopes, environments, groups, networks };
    require_visible(&reach, &limits).await?;
    let new = NewApiToken { name, user, life: ttl_seconds.map_or(LIFE_DEFAULT, Duration::from_secs), limits };
    let (listed, token) = app.identity.create_api_token(new, &caller).await?;
    let response = CreatedApiTokenResponse { token: token.to_string(), listed };
    Ok((StatusCode::CREATED, Json(response)).into_response())
}

/// What somebody does not see is not there to be named.
async fn require_visible(reach: &Reach, limits: &AskedLimits) -> ApiResult<()> {
    limits.check_size()?;
    for environment in &limits.environments {
        if !reach.sees(EnvironmentId(*environment)).await? {
            return Err(ApiError::not_found("environment"));
        }
    }
    for group in &limits.groups {
        if !reach.sees_group(*group).await? {
            return Err(ApiError::not_found("group"));
        }
    }
    Ok(())
}

/// Ends an API token: one's own, or any for those who manage users.
#[utoipa::path(post, path = "/api/v1/api-tokens/{id}/revoke", tag = "identity", params(("id" = String, Path)), responses(
    (status = 200, description = "The token, revoked", body = ApiToken),
    (status = 404, description = "There is no such token"),
))]
async fn revoke_api_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<ApiToken>> {
    Ok(Json(app.identity.revoke_api_token(&id, &caller).await?))
}
