//! The routes of API tokens.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;

use super::{ApiToken, ApiTokenFilter, LIFE_DEFAULT, NewApiToken, visible_owner};
use crate::app::AppState;
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Routes, UserId};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::SignedIn, routes!(list_api_tokens, create_api_token))
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

/// Lists API tokens, newest first.
#[utoipa::path(get, path = "/api/v1/api-tokens", tag = "identity", params(Page, ListApiTokensQuery),
    responses((status = 200, description = "One page of tokens", body = List<ApiToken>)))]
async fn list_api_tokens(
    State(app): State<AppState>,
    caller: Caller,
    Listing { page, filter }: Listing<ListApiTokensQuery>,
) -> ApiResult<Json<List<ApiToken>>> {
    let filter = ApiTokenFilter { user: visible_owner(&caller, filter.user), name: filter.name };
    Ok(Json(app.identity.list_api_tokens(&filter, page).await?))
}

/// Makes an API token. Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/api-tokens", tag = "identity", request_body = CreateApiTokenRequest, responses(
    (status = 201, description = "The token", body = CreatedApiTokenResponse),
    (status = 403, description = "The token would be someone else's"),
))]
async fn create_api_token(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CreateApiTokenRequest>,
) -> ApiResult<Response> {
    let life = request.ttl_seconds.map_or(LIFE_DEFAULT, Duration::from_secs);
    let new = NewApiToken { name: request.name, user: request.user, life };
    let (listed, token) = app.identity.create_api_token(new, &caller).await?;
    let response = CreatedApiTokenResponse { token: token.to_string(), listed };
    Ok((StatusCode::CREATED, Json(response)).into_response())
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
