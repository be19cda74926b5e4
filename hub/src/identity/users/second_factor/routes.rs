//! The routes of second factors.

use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;

use super::{RecoveryCodes, SecondFactorPolicy, Standing};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, CredentialUsed, Json, Path, Permission, Routes, SignedInUser, UserId};
use crate::identity::audit::Actor;
use crate::identity::users::{RegistrationSettings, User};

/// What apps call the hub.
const ISSUER: &str = "Windflow";
/// Characters of the hub's own name that are told to apps.
const HOST_MAX: usize = 100;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::FactorDue, routes!(get_second_factor))
        .add(Access::FactorDue.proven_in_request(), routes!(begin_second_factor, end_second_factor))
        .add(Access::FactorDue.proven_in_request(), routes!(confirm_second_factor))
        .add(Access::FactorDue.proven_in_request(), routes!(renew_recovery_codes))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(reset_second_factor))
        .add(Access::Needs(Permission::HubManage), routes!(get_sign_in_settings))
        .add(Access::Needs(Permission::HubManage).confirmed(), routes!(set_sign_in_settings))
}

/// How one's own second factor stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SecondFactorResponse {
    /// Since when it is on.
    since: Option<Timestamp>,
    /// Recovery codes that are left.
    recovery_codes: i64,
    /// Whether the hub asks for it.
    is_asked_for: bool,
    /// Whether the user has a password here, and is asked for it.
    has_password: bool,
}

impl From<Standing> for SecondFactorResponse {
    fn from(standing: Standing) -> Self {
        let Standing { since, recovery_codes, is_asked_for, has_password } = standing;
        Self { since, recovery_codes, is_asked_for, has_password }
    }
}

/// Who begins.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BeginSecondFactorRequest {
    /// The present password, where there is one.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What an authenticator app needs, shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct BegunSecondFactorResponse {
    /// The secret in base32, for typing.
    secret: String,
    /// The same as an `otpauth` address, for a QR code.
    uri: String,
}

/// A code of the app, or a recovery code where there are any.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeRequest {
    /// The code.
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Who turns it off.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EndSecondFactorRequest {
    /// The present password, where there is one.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    /// A code of the app, or a recovery code.
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Recovery codes, shown this once. Each signs in once in the place of a code.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveryCodesResponse {
    /// The codes.
    recovery_codes: Vec<String>,
}

/// How people sign in.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignInSettings {
    /// Of whom a second factor is asked.
    second_factor: SecondFactorPolicy,
    /// Whether and how people register by themselves. Left out of a change, it
    /// stays as it is.
    registration: Option<RegistrationSettings>,
}

/// Says how one's own second factor stands.
#[utoipa::path(get, path = "/api/v1/me/second-factor", tag = "identity", responses(
    (status = 200, description = "How it stands", body = SecondFactorResponse),
    (status = 403, description = "An API token or the local socket asks"),
))]
async fn get_second_factor(State(app): State<AppState>, caller: Caller) -> ApiResult<Json<SecondFactorResponse>> {
    let standing = app.identity.second_factor_of(in_browser(&caller)?).await?;
    Ok(Json(standing.into()))
}

/// Makes a secret for an authenticator app. It counts for nothing until a code
/// confirms it, within 15 minutes.
#[utoipa::path(post, path = "/api/v1/me/second-factor", tag = "identity", request_body = BeginSecondFactorRequest,
    responses(
    (status = 200, description = "What the app needs", body = BegunSecondFactorResponse),
    (status = 403, description = "The password is wrong, or an API token or the local socket asks"),
    (status = 409, description = "There is a second factor"),
    (status = 429, description = "Too many attempts"),
))]
async fn begin_second_factor(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<BeginSecondFactorRequest>,
) -> ApiResult<Response> {
    let own = in_browser(&caller)?;
    let begun = app.identity.begin_second_factor(own, request.password, &issuer(&headers), &caller).await?;
    let response = BegunSecondFactorResponse { secret: begun.secret.to_string(), uri: begun.uri.to_string() };
    Ok(Json(response).into_response())
}

/// Turns the second factor on with a first code of the app, and answers the
/// recovery codes.
#[utoipa::path(post, path = "/api/v1/me/second-factor/confirm", tag = "identity", request_body = CodeRequest, responses(
    (status = 200, description = "It is on", body = RecoveryCodesResponse),
    (status = 403, description = "The code is wrong, or an API token or the local socket asks"),
    (status = 409, description = "None was begun, or too long ago"),
    (status = 429, description = "Too many attempts"),
))]
async fn confirm_second_factor(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CodeRequest>,
) -> ApiResult<Response> {
    let codes = app.identity.confirm_second_factor(in_browser(&caller)?, &request.code, &caller).await?;
    Ok(shown(&codes))
}

/// Turns one's own second factor off.
#[utoipa::path(delete, path = "/api/v1/me/second-factor", tag = "identity", request_body = EndSecondFactorRequest,
    responses(
    (status = 204, description = "It is off"),
    (status = 403, description = "Password or code are wrong, or an API token or the local socket asks"),
    (status = 409, description = "There is none"),
    (status = 429, description = "Too many attempts"),
))]
async fn end_second_factor(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<EndSecondFactorRequest>,
) -> ApiResult<StatusCode> {
    let own = in_browser(&caller)?;
    app.identity.end_second_factor(own, request.password, &request.code, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes new recovery codes; those from before end.
#[utoipa::path(post, path = "/api/v1/me/second-factor/recovery-codes", tag = "identity", request_body = CodeRequest,
    responses(
    (status = 200, description = "The codes", body = RecoveryCodesResponse),
    (status = 403, description = "The code is wrong, or an API token or the local socket asks"),
    (status = 409, description = "There is no second factor"),
    (status = 429, description = "Too many attempts"),
))]
async fn renew_recovery_codes(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CodeRequest>,
) -> ApiResult<Response> {
    let codes = app.identity.renew_recovery_codes(in_browser(&caller)?, &request.code, &caller).await?;
    Ok(shown(&codes))
}

/// Takes a user's second factor away, such as after their phone was lost.
#[utoipa::path(delete, path = "/api/v1/users/{id}/second-factor", tag = "identity", params(("id" = UserId, Path)),
    responses(
    (status = 200, description = "The user, who has none now", body = User),
    (status = 403, description = "It is one's own"),
    (status = 404, description = "There is no such user"),
))]
async fn reset_second_factor(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.reset_second_factor(id, &caller).await?))
}

/// Says how people sign in.
#[utoipa::path(get, path = "/api/v1/settings/sign-in", tag = "identity",
    responses((status = 200, description = "The settings", body = SignInSettings)))]
async fn get_sign_in_settings(State(app): State<AppState>) -> ApiResult<Json<SignInSettings>> {
    let registration = Some(app.identity.registration().await?);
    Ok(Json(SignInSettings { second_factor: app.identity.second_factor_policy().await?, registration }))
}

/// Says of whom a second factor is asked, and who may register. Those who have
/// no second factor may do nothing but set it up, from their next request on.
/// Who changes what registering gives must manage users too.
#[utoipa::path(put, path = "/api/v1/settings/sign-in", tag = "identity", request_body = SignInSettings, responses(
    (status = 200, description = "The settings", body = SignInSettings),
    (status = 409, description = "People cannot register while the hub cannot send mail"),
))]
async fn set_sign_in_settings(
    State(app): State<AppState>,
    caller: Caller,
    Json(settings): Json<SignInSettings>,
) -> ApiResult<Json<SignInSettings>> {
    if let Some(registration) = &settings.registration {
        app.identity.set_registration(registration, &caller).await?;
    }
    app.identity.set_second_factor_policy(settings.second_factor, &Actor::from(&caller)).await?;
    get_sign_in_settings(State(app)).await
}

/// Whoever is signed in with a browser: a program has no use for a second
/// factor, and its token is none.
pub(in crate::identity::users) fn in_browser(caller: &Caller) -> ApiResult<&SignedInUser> {
    let own = caller.require_user()?;
    match own.credential {
        CredentialUsed::Session(_) => Ok(own),
        CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => {
            let message = "Sign in with a browser to look after your second factor.";
            Err(ApiError::forbidden("session_required", message))
        }
    }
}

fn shown(codes: &RecoveryCodes) -> Response {
    let recovery_codes = codes.iter().map(|code| code.to_string()).collect();
    Json(RecoveryCodesResponse { recovery_codes }).into_response()
}

/// What apps call this hub: by the name the browser knows it by, so that two
/// hubs are told apart.
fn issuer(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    match host.as_ref().map(Authority::host) {
        Some(name) if !name.is_empty() && name.len() <= HOST_MAX && is_plain(name) => format!("{ISSUER} {name}"),
        Some(_) | None => ISSUER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_calls_the_hub_by_its_name_if_that_is_a_plain_one() {
        let called = |host: &str| issuer(&[(header::HOST, host.parse().unwrap())].into_iter().collect());
        assert_eq!(called("hub.example:8443"), "Windflow hub.example");
        for strange in ["[::1]:8443", "a&b=c", &"x".repeat(101), ""] {
            assert_eq!(called(strange), "Windflow", "{strange}");
        }
        assert_eq!(issuer(&HeaderMap::new()), "Windflow");
    }
}
