//! The routes with which programs sign in, and of what they signed in with.
//! None of them sets a cookie or looks at one.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;

use super::keys::PublicKey;
use super::{Pair, TokenFamily, TokenFamilyFilter};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, CredentialUsed, Json, List, Listing, Page, Path, Routes, UserId};
use crate::identity::audit::Actor;
use crate::identity::sessions::{Credentials, MeResponse, user_agent};
use crate::identity::tokens::{refuse_limited, visible_owner};

/// Others may keep the keys for this long.
const KEYS_KEPT: &str = "max-age=300";

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Public, routes!(log_in))
        .add(Access::Public, routes!(refresh_tokens))
        .add(Access::Bearer, routes!(log_out))
        .add(Access::Bearer, routes!(get_own_account))
        .add(Access::SignedIn, routes!(list_token_families))
        .add(Access::SignedIn, routes!(revoke_token_family))
        .add(Access::Public, routes!(list_signing_keys))
}

/// A name and its password, and a code where a second factor is on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LogInRequest {
    /// The user's name.
    name: String,
    /// The user's password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The six digits of the second factor, or a recovery code.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

/// What gets the next pair.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// The refresh token of the last answer. It is good once.
    #[schema(value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// An access token, and what gets the next one.
#[derive(Serialize, utoipa::ToSchema)]
struct TokenPairResponse {
    /// What to send as `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until it ends.
    expires_in: u64,
    /// What gets the next pair, once.
    refresh_token: String,
    /// Seconds until that ends.
    refresh_expires_in: u64,
    /// The family that both belong to.
    family_id: Uuid,
}

impl TokenPairResponse {
    fn of(pair: &Pair, now: Timestamp) -> Self {
        Self {
            access_token: pair.access.to_string(),
            token_type: "Bearer",
            expires_in: pair.access_expires_at.since(now).as_secs(),
            refresh_token: pair.refresh.to_string(),
            refresh_expires_in: pair.refresh_expires_at.since(now).as_secs(),
            family_id: pair.family,
        }
    }
}

/// The keys with which access tokens are signed.
#[derive(Serialize, utoipa::ToSchema)]
struct SigningKeysResponse {
    /// The newest first.
    keys: Vec<PublicKey>,
}

/// Which families to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListTokenFamiliesQuery {
    /// Only those of this user. Who may not manage users sees their own only.
    user: Option<UserId>,
}

/// Signs a program in. No cookie is set.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "identity", request_body = LogInRequest, responses(
    (status = 200, description = "A pair of tokens", body = TokenPairResponse),
    (status = 401, description = "The name and the password do not belong together; or they do, and a code is missing \
        (`second_factor_required`) or wrong (`wrong_second_factor`)"),
    (status = 403, description = "A second factor has to be set up first, in a browser"),
    (status = 429, description = "Too many attempts"),
))]
async fn log_in(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<LogInRequest>,
) -> ApiResult<Json<TokenPairResponse>> {
    let LogInRequest { name, password, code } = request;
    let given = Credentials { name, password, code, passkey: None };
    let pair = app.identity.log_in(given, user_agent(&headers), &caller).await?;
    Ok(Json(TokenPairResponse::of(&pair, app.clock.now())))
}

/// Gives the next pair. A refresh token is good once: where one comes a second
/// time, its family ends.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "identity", request_body = RefreshRequest, responses(
    (status = 200, description = "The next pair of tokens", body = TokenPairResponse),
    (status = 401, description = "The refresh token is not good"),
    (status = 403, description = "A second factor has to be set up first, in a browser"),
))]
async fn refresh_tokens(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<RefreshRequest>,
) -> ApiResult<Json<TokenPairResponse>> {
    let pair = app.identity.refresh(&request.refresh_token, &caller).await?;
    Ok(Json(TokenPairResponse::of(&pair, app.clock.now())))
}

/// Ends the family that the access token belongs to.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "identity", responses(
    (status = 204, description = "The family is over"),
    (status = 400, description = "The caller has none"),
))]
async fn log_out(State(app): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let own = caller.require_user()?;
    let CredentialUsed::AccessToken(family) = &own.credential else {
        return Err(ApiError::bad_request("no_family", "An API token is not signed in; revoke it instead."));
    };
    app.identity.log_out(*family, own, &Actor::from(&caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says who the caller is, by the token that they send.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "identity",
    responses((status = 200, description = "The caller", body = MeResponse)))]
async fn get_own_account(caller: Caller) -> Json<MeResponse> {
    Json(MeResponse::of(&caller))
}

/// Lists what programs signed in with and is not over, newest first.
#[utoipa::path(get, path = "/api/v1/token-families", tag = "identity", params(Page, ListTokenFamiliesQuery),
    responses((status = 200, description = "One page of families", body = List<TokenFamily>)))]
async fn list_token_families(
    State(app): State<AppState>,
    caller: Caller,
    Listing { page, filter }: Listing<ListTokenFamiliesQuery>,
) -> ApiResult<Json<List<TokenFamily>>> {
    refuse_limited(&caller)?;
    let filter = TokenFamilyFilter { user: visible_owner(&caller, filter.user) };
    Ok(Json(app.identity.list_token_families(filter, page).await?))
}

/// Ends a family: one's own, or any for those who manage users.
#[utoipa::path(delete, path = "/api/v1/token-families/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "The family is over"),
    (status = 404, description = "There is no such family"),
))]
async fn revoke_token_family(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    refuse_limited(&caller)?;
    app.identity.revoke_token_family(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The keys with which access tokens are signed, as a JSON web key set.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "identity",
    responses((status = 200, description = "The keys", body = SigningKeysResponse)))]
async fn list_signing_keys(State(app): State<AppState>) -> ApiResult<Response> {
    let keys = app.identity.list_signing_keys().await?;
    Ok(([(header::CACHE_CONTROL, KEYS_KEPT)], Json(SigningKeysResponse { keys })).into_response())
}
