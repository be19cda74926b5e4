//! The routes of what a user does through their mailbox.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;

use super::links::LinkSecret;
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, CredentialUsed, Json, Routes, SignedInUser};
use crate::mail::{Language, MailAddress};

/// Longest name or address that is looked for, in bytes.
const ACCOUNT_MAX: usize = 254;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Public, routes!(get_sign_in_ways))
        .add(Access::Public, routes!(ask_for_password_reset))
        .add(Access::Public, routes!(complete_password_reset))
        .add(Access::Public, routes!(verify_email))
        .add(Access::Public, routes!(register))
        .add(Access::SignedIn, routes!(get_own_contact))
        .add(Access::SignedIn.proven_in_request(), routes!(request_own_email))
        .add(Access::SignedIn, routes!(set_own_language))
}

/// What somebody who is not signed in can do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignInWays {
    /// Ask for a new password by mail.
    password_reset: bool,
    /// Register by themselves.
    registration: bool,
    /// Sign in with a passkey, at the address by which they ask.
    passkeys: bool,
}

/// Who forgot their password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AskForPasswordReset {
    /// Their name or their e-mail address.
    account: String,
}

/// A new password, and the link that allows it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CompletePasswordReset {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String, format = Password)]
    secret: LinkSecret,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// The link that was mailed to an address.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyEmail {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String, format = Password)]
    secret: LinkSecret,
}

/// Who wants an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Register {
    /// Their e-mail address.
    #[schema(value_type = String)]
    email: MailAddress,
    /// The language of mails to them.
    #[serde(default)]
    language: Language,
}

/// How one is written to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OwnContactResponse {
    /// The present address.
    email: Option<String>,
    /// Since when it is verified.
    email_verified_at: Option<Timestamp>,
    /// The address that a link was sent to and that is not verified yet.
    pending_email: Option<String>,
    /// The language of mails.
    language: Language,
    /// Whether one has a password here.
    has_password: bool,
}

/// Another address of one's own.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RequestOwnEmail {
    /// The address.
    #[schema(value_type = String)]
    email: MailAddress,
    /// The present password, where there is one; others are to have signed in a
    /// moment ago.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// The language of mails to oneself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SetOwnLanguage {
    /// The language.
    language: Language,
}

/// Says what somebody who is not signed in can do.
#[utoipa::path(get, path = "/api/v1/auth/ways", tag = "identity",
    responses((status = 200, description = "What they can do", body = SignInWays)))]
async fn get_sign_in_ways(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Json<SignInWays>> {
    let can_mail = app.mail.settings().await?.is_some();
    let registration = can_mail && app.identity.registration().await?.enabled;
    let passkeys = app.identity.takes_passkeys(&headers, caller.scheme).await?;
    Ok(Json(SignInWays { password_reset: can_mail, registration, passkeys }))
}

/// Mails a link to choose a new password, if there is such an account with a
/// verified address. The answer is the same where there is none.
#[utoipa::path(post, path = "/api/v1/auth/password-reset", tag = "identity", request_body = AskForPasswordReset,
    responses(
    (status = 202, description = "If there is such an account, a mail is on its way"),
    (status = 409, description = "The hub cannot send mail"),
    (status = 429, description = "Too many requests"),
))]
async fn ask_for_password_reset(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<AskForPasswordReset>,
) -> ApiResult<StatusCode> {
    let account = request.account.trim().to_owned();
    if account.is_empty() || account.len() > ACCOUNT_MAX {
        return Err(ApiError::bad_request("invalid_account", "Give a name or an e-mail address."));
    }
    let asked = app.identity.ask_for_reset(account, &caller).await?;
    let identity = app.identity.clone();
    app.lifecycle.tasks.spawn(async move { identity.mail_reset(asked).await });
    Ok(StatusCode::ACCEPTED)
}

/// Replaces the password of whoever has the link. All their sessions end; API
/// tokens and the second factor stay.
#[utoipa::path(post, path = "/api/v1/auth/password-reset/confirm", tag = "identity",
    request_body = CompletePasswordReset, responses(
    (status = 204, description = "The password is replaced"),
    (status = 400, description = "The password is weak; the link still works"),
    (status = 403, description = "The link is wrong, was used, or is too old"),
    (status = 429, description = "Too many attempts"),
))]
async fn complete_password_reset(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CompletePasswordReset>,
) -> ApiResult<StatusCode> {
    app.identity.complete_reset(&request.secret, request.password, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the address that a link was mailed to that of its user.
#[utoipa::path(post, path = "/api/v1/auth/verify-email", tag = "identity", request_body = VerifyEmail, responses(
    (status = 204, description = "The address is verified"),
    (status = 403, description = "The link is wrong, was used, or is too old"),
    (status = 409, description = "Another user has the address"),
    (status = 429, description = "Too many attempts"),
))]
async fn verify_email(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<VerifyEmail>,
) -> ApiResult<StatusCode> {
    app.identity.verify_email(&request.secret, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mails a link with which an account is made, where people may register by
/// themselves. The answer is the same for an address that has one.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "identity", request_body = Register, responses(
    (status = 202, description = "A mail is on its way"),
    (status = 403, description = "Nobody registers by themselves, or not with this address"),
    (status = 429, description = "Too many requests"),
))]
async fn register(State(app): State<AppState>, caller: Caller, Json(request): Json<Register>) -> ApiResult<StatusCode> {
    let asked = app.identity.ask_to_register(request.email, request.language, &caller).await?;
    let identity = app.identity.clone();
    app.lifecycle.tasks.spawn(async move { identity.mail_registration(asked).await });
    Ok(StatusCode::ACCEPTED)
}

/// Says how one is written to.
#[utoipa::path(get, path = "/api/v1/me/email", tag = "identity", responses(
    (status = 200, description = "The address and the language", body = OwnContactResponse),
    (status = 403, description = "The local socket asks"),
))]
async fn get_own_contact(State(app): State<AppState>, caller: Caller) -> ApiResult<Json<OwnContactResponse>> {
    let own = app.identity.own_contact(caller.require_user()?.id).await?;
    let super::addresses::OwnContact { email, email_verified_at, pending_email, language, has_password } = own;
    Ok(Json(OwnContactResponse { email, email_verified_at, pending_email, language, has_password }))
}

/// Mails a link to the address that is to be one's own, and a notice to the one
/// until now. The address counts once the link was followed.
#[utoipa::path(post, path = "/api/v1/me/email", tag = "identity", request_body = RequestOwnEmail, responses(
    (status = 202, description = "The link is on its way"),
    (status = 403, description = "The password is wrong, or an API token or the local socket asks"),
    (status = 409, description = "The hub cannot send mail"),
    (status = 429, description = "Too many attempts, or too many mails"),
))]
async fn request_own_email(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<RequestOwnEmail>,
) -> ApiResult<StatusCode> {
    app.identity.request_email(in_browser(&caller)?, request.password, &request.email, &caller).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Has one's own mails written in another language.
#[utoipa::path(put, path = "/api/v1/me/language", tag = "identity", request_body = SetOwnLanguage, responses(
    (status = 204, description = "It is set"),
    (status = 403, description = "The local socket asks"),
))]
async fn set_own_language(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<SetOwnLanguage>,
) -> ApiResult<StatusCode> {
    app.identity.set_own_language(caller.require_user()?.id, request.language).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever is signed in with a browser: a token alone cannot take an account
/// over.
fn in_browser(caller: &Caller) -> ApiResult<&SignedInUser> {
    let own = caller.require_user()?;
    match own.credential {
        CredentialUsed::Session(_) => Ok(own),
        CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => {
            Err(ApiError::forbidden("session_required", "Sign in with a browser to change your address."))
        }
    }
}
