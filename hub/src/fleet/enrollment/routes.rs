//! The routes of enrollment tokens.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use windflow_protocol::token::TokenId;

use super::model::{EnrollmentTokenView, MintedToken, NewEnrollmentToken};
use super::service::MintError;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::fleet::installer::{HubAddress, InstallCommands};
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::EnrollmentManage), routes!(list_enrollment_tokens, create_enrollment_token))
        .add(Access::Needs(Permission::EnrollmentManage), routes!(get_enrollment_token))
        .add(Access::Needs(Permission::EnrollmentManage), routes!(revoke_enrollment_token))
}

/// Which tokens to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EnrollmentTokenFilter {
    /// Only those of this name.
    name: Option<String>,
}

/// Why a token is revoked.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeTokenRequest {
    /// The reason.
    reason: String,
}

/// A token that was just made, and how a host uses it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct IssuedToken {
    #[serde(flatten)]
    token: MintedToken,
    #[serde(flatten)]
    commands: InstallCommands,
}

impl IssuedToken {
    /// The token for hosts that reach this hub at `address`.
    pub async fn new(app: &AppState, token: MintedToken, address: &HubAddress) -> Self {
        let commands = app.installer.commands(address, &token.token).await;
        Self { token, commands }
    }
}

/// Lists enrollment tokens, newest first, without their secrets.
#[utoipa::path(get, path = "/api/v1/enrollment-tokens", tag = "fleet", params(Page, EnrollmentTokenFilter),
    responses((status = 200, description = "One page of tokens", body = List<EnrollmentTokenView>)))]
async fn list_enrollment_tokens(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<EnrollmentTokenFilter>,
) -> ApiResult<Json<List<EnrollmentTokenView>>> {
    let now = app.clock.now();
    let rows = page.of(app.fleet.list_tokens(filter.name.as_deref()).await?);
    let items = rows.items.into_iter().map(|row| row.into_view(now)).collect();
    Ok(Json(List { items, total: rows.total }))
}

/// Makes an enrollment token.
#[utoipa::path(post, path = "/api/v1/enrollment-tokens", tag = "fleet", request_body = NewEnrollmentToken,
    params(("hub_url" = Option<String>, Query, description = "How hosts reach this hub; as the caller does unless given")),
    responses(
    (status = 201, description = "The token, shown this once", body = IssuedToken),
    (status = 400, description = "It asks for more than a token may allow"),
))]
async fn create_enrollment_token(
    State(app): State<AppState>,
    caller: Caller,
    address: HubAddress,
    Json(new): Json<NewEnrollmentToken>,
) -> ApiResult<Response> {
    let token = app.fleet.mint_token(&new, &(&caller).into()).await?;
    Ok((StatusCode::CREATED, Json(IssuedToken::new(&app, token, &address).await)).into_response())
}

/// Gives one enrollment token without its secret.
#[utoipa::path(get, path = "/api/v1/enrollment-tokens/{id}", tag = "fleet", params(("id" = String, Path)), responses(
    (status = 200, description = "The token", body = EnrollmentTokenView),
    (status = 404, description = "There is none"),
))]
async fn get_enrollment_token(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<EnrollmentTokenView>> {
    let row = app.fleet.find_token(&parse(&id)?).await?.ok_or_else(unknown)?;
    Ok(Json(row.into_view(app.clock.now())))
}

/// Revokes an enrollment token. Agents that it admitted stay.
#[utoipa::path(post, path = "/api/v1/enrollment-tokens/{id}/revoke", tag = "fleet", params(("id" = String, Path)),
    request_body = RevokeTokenRequest, responses(
    (status = 200, description = "The token", body = EnrollmentTokenView),
    (status = 404, description = "There is none"),
))]
async fn revoke_enrollment_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Json(request): Json<RevokeTokenRequest>,
) -> ApiResult<Json<EnrollmentTokenView>> {
    let id = parse(&id)?;
    app.fleet.revoke_token(&id, &request.reason, &(&caller).into()).await?;
    let row = app.fleet.find_token(&id).await?.ok_or_else(unknown)?;
    Ok(Json(row.into_view(app.clock.now())))
}

fn parse(id: &str) -> ApiResult<TokenId> {
    TokenId::parse(id).map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::not_found("enrollment token")
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Invalid(invalid) => Self::bad_request("invalid_token_terms", invalid.to_string()),
            MintError::Db(error) => error.into(),
        }
    }
}
