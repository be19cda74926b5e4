//! The routes of passkeys.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;

use super::model::{NewCredential, Passkey, PresentedPasskey, Transports};
use super::site::NoSite;
use super::{PASSKEYS_MAX, Proofs};
use crate::app::AppState;
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, Path, Permission, Routes, Title, UserId};
use crate::identity::sessions::Browser;
use crate::identity::users::User;
use crate::identity::users::second_factor::in_browser;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Public, routes!(begin_passkey_sign_in))
        .add(Access::Public, routes!(sign_in_with_passkey))
        .add(Access::FactorDue, routes!(list_own_passkeys))
        .add(Access::FactorDue.proven_in_request(), routes!(create_own_passkey))
        .add(Access::FactorDue.proven_in_request(), routes!(begin_own_passkey))
        .add(Access::SignedIn, routes!(rename_own_passkey))
        .add(Access::SignedIn.proven_in_request(), routes!(delete_own_passkey))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(reset_passkeys))
}

/// One's own passkeys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PasskeysResponse {
    /// Oldest first.
    passkeys: Vec<Passkey>,
    /// The name for which a passkey would be made at this address; none where
    /// there can be none.
    rp_id: Option<String>,
    /// Why there can be none.
    refused: Option<NoSite>,
    /// How many there may be.
    most: usize,
    /// Whether the user has a password here. Passkeys are for those who do.
    has_password: bool,
    /// Whether a code is asked for beside the password to add or remove one.
    needs_code: bool,
}

/// Who adds or removes a passkey.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ProofsRequest {
    /// The present password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// A code of the app, or a recovery code, where there is an app.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

impl From<ProofsRequest> for Proofs {
    fn from(request: ProofsRequest) -> Self {
        Self { password: request.password, code: request.code }
    }
}

/// What a browser makes a passkey of, once, within five minutes. It is to be
/// one that verifies its user and is found without a name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BegunPasskeyResponse {
    /// In base64url.
    challenge: String,
    /// The name that it is made for.
    rp_id: String,
    /// `user.id`, in base64url.
    user_handle: String,
    /// `user.name`.
    user_name: String,
    /// The signatures that are taken, as COSE numbers them, the best first.
    algorithms: Vec<i32>,
    /// `excludeCredentials`: those that there are.
    known: Vec<KnownPasskeyResponse>,
}

/// A passkey that is not to be made twice.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct KnownPasskeyResponse {
    /// In base64url.
    id: String,
    /// By which ways it was reached.
    transports: Vec<String>,
}

/// A passkey that was made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CreatePasskeyRequest {
    /// What its user calls it.
    name: Title,
    /// What the browser made.
    credential: NewCredential,
}

/// Another name.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RenamePasskeyRequest {
    /// What its user calls it.
    name: Title,
}

/// What a browser signs with a passkey, once, within five minutes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ChallengeResponse {
    /// In base64url.
    challenge: String,
    /// The name that the passkey was made for.
    rp_id: String,
}

/// The signatures that are taken: Ed25519, ECDSA with P-256 and P-384, RSA.
const ALGORITHMS: [i32; 4] = [-8, -7, -35, -257];

/// Gives a challenge to sign in with a passkey. The answer sets a cookie, which
/// binds it to the browser.
#[utoipa::path(post, path = "/api/v1/session/passkey/challenge", tag = "identity", responses(
    (status = 200, description = "The challenge", body = ChallengeResponse),
    (status = 403, description = "It is no browser, or a page of another origin"),
    (status = 409, description = "There are no passkeys at this address (`no_passkeys_here`)"),
))]
async fn begin_passkey_sign_in(State(app): State<AppState>, caller: Caller, headers: HeaderMap) -> ApiResult<Response> {
    let begun = app.identity.begin_passkey_sign_in(&headers, &caller).await?;
    let cookie = AppendHeaders([(header::SET_COOKIE, begun.cookie(caller.scheme))]);
    Ok((cookie, Json(ChallengeResponse { challenge: begun.challenge, rp_id: begun.rp_id })).into_response())
}

/// Signs a browser in with a passkey alone, which counts as two factors: it
/// verified its user. The answer sets a cookie.
#[utoipa::path(post, path = "/api/v1/session/passkey", tag = "identity", request_body = PresentedPasskey, responses(
    (status = 200, description = "The user who is signed in now", body = User),
    (status = 401, description = "The passkey is not accepted, whyever (`passkey_refused`)"),
    (status = 429, description = "Too many attempts"),
))]
async fn sign_in_with_passkey(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<PresentedPasskey>,
) -> ApiResult<Response> {
    let browser = Browser::of(&headers, caller.scheme);
    let presented = request.from_browser(&headers, caller.scheme);
    let (user, cookie) = app.identity.sign_in_with_passkey(&presented, browser, &caller).await?;
    Ok((cookie.into_header(caller.scheme), Json(user)).into_response())
}

/// Lists one's own passkeys.
#[utoipa::path(get, path = "/api/v1/me/passkeys", tag = "identity", responses(
    (status = 200, description = "The passkeys", body = PasskeysResponse),
    (status = 403, description = "An API token or the local socket asks"),
))]
async fn list_own_passkeys(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Json<PasskeysResponse>> {
    let standing = app.identity.passkeys_of(in_browser(&caller)?, &headers, caller.scheme).await?;
    let (rp_id, refused) = match standing.site {
        Ok(site) => (Some(site.rp_id), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Json(PasskeysResponse {
        passkeys: standing.passkeys,
        rp_id,
        refused,
        most: PASSKEYS_MAX,
        has_password: standing.has_password,
        needs_code: standing.needs_code,
    }))
}

/// Begins to make a passkey.
#[utoipa::path(post, path = "/api/v1/me/passkeys/challenge", tag = "identity", request_body = ProofsRequest, responses(
    (status = 200, description = "What a browser makes it of", body = BegunPasskeyResponse),
    (status = 403, description = "Password or code are wrong or missing, or an API token or the local socket asks"),
    (status = 409, description = "There can be none here, or no more"),
    (status = 429, description = "Too many attempts"),
))]
async fn begin_own_passkey(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<ProofsRequest>,
) -> ApiResult<Json<BegunPasskeyResponse>> {
    let begun = app.identity.begin_passkey(in_browser(&caller)?, request.into(), &headers, &caller).await?;
    let known = begun.known.iter().map(|row| KnownPasskeyResponse {
        id: BASE64URL_NOPAD.encode(&row.credential_id),
        transports: Transports::parse(&row.transports).names(),
    });
    Ok(Json(BegunPasskeyResponse {
        challenge: begun.challenge,
        rp_id: begun.rp_id,
        user_handle: begun.user_handle,
        user_name: begun.user_name,
        algorithms: ALGORITHMS.to_vec(),
        known: known.collect(),
    }))
}

/// Keeps the passkey that the browser made.
#[utoipa::path(post, path = "/api/v1/me/passkeys", tag = "identity", request_body = CreatePasskeyRequest, responses(
    (status = 201, description = "The passkey", body = Passkey),
    (status = 400, description = "It is not what was asked for (`passkey_refused`)"),
    (status = 403, description = "An API token or the local socket asks"),
    (status = 409, description = "None was begun, or too long ago; it is known; or there are too many"),
))]
async fn create_own_passkey(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CreatePasskeyRequest>,
) -> ApiResult<(StatusCode, Json<Passkey>)> {
    let CreatePasskeyRequest { name, credential } = request;
    let passkey = app.identity.finish_passkey(in_browser(&caller)?, &name, credential, &caller).await?;
    Ok((StatusCode::CREATED, Json(passkey)))
}

/// Gives one's own passkey another name.
#[utoipa::path(patch, path = "/api/v1/me/passkeys/{id}", tag = "identity", params(("id" = Uuid, Path)),
    request_body = RenamePasskeyRequest, responses(
    (status = 204, description = "It is called so"),
    (status = 403, description = "An API token or the local socket asks"),
    (status = 404, description = "There is no such passkey"),
))]
async fn rename_own_passkey(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<RenamePasskeyRequest>,
) -> ApiResult<StatusCode> {
    app.identity.rename_passkey(in_browser(&caller)?, id, &request.name, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes one's own passkey.
#[utoipa::path(delete, path = "/api/v1/me/passkeys/{id}", tag = "identity", params(("id" = Uuid, Path)),
    request_body = ProofsRequest, responses(
    (status = 204, description = "It is gone"),
    (status = 403, description = "Password or code are wrong or missing, or an API token or the local socket asks"),
    (status = 404, description = "There is no such passkey"),
    (status = 429, description = "Too many attempts"),
))]
async fn delete_own_passkey(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<ProofsRequest>,
) -> ApiResult<StatusCode> {
    app.identity.remove_passkey(in_browser(&caller)?, id, request.into(), &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes all passkeys of a user away, such as after a computer was lost.
#[utoipa::path(delete, path = "/api/v1/users/{id}/passkeys", tag = "identity", params(("id" = UserId, Path)),
    responses(
    (status = 200, description = "The user, who has none now", body = User),
    (status = 403, description = "They are one's own"),
    (status = 404, description = "There is no such user"),
))]
async fn reset_passkeys(State(app): State<AppState>, caller: Caller, Path(id): Path<UserId>) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.reset_passkeys(id, &caller).await?))
}
