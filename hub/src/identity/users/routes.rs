//! The routes of users and of the first setup.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;

use super::setup::CODE_LIFE;
use super::{Contact, NewUser, User, UserFilter, UserPatch};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{
    Access, Authenticate, Caller, CredentialUsed, Json, List, Listing, Page, Path, Permission, Role, Routes, UserId,
};
use crate::identity::audit::Actor;
use crate::identity::sessions::Browser;
use crate::mail::{Language, MailAddress};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Public, routes!(get_setup))
        .add(Access::SetupOnly, routes!(create_first_user))
        .add(Access::LocalSocket, routes!(create_setup_code))
        .add(Access::SignedIn.proven_in_request(), routes!(change_password))
        .add(Access::Needs(Permission::UsersManage), routes!(list_users))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(create_user))
        .add(Access::Needs(Permission::UsersManage), routes!(get_user))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(change_user))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(reset_password))
        // Whoever is to be shut out is shut out at once.
        .add(Access::Needs(Permission::UsersManage), routes!(disable_user))
        .add(Access::Needs(Permission::UsersManage).confirmed(), routes!(enable_user))
}

/// Whether the hub waits for its first user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SetupResponse {
    /// Whether there is no user yet.
    needed: bool,
}

/// The first user, and the code that allows it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupRequest {
    /// The code that the hub printed when it started, or a later one.
    code: String,
    /// The administrator's name.
    name: String,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// A new setup code, which is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedSetupCodeResponse {
    /// What makes the first user.
    code: String,
    /// Seconds until it ends.
    ttl_seconds: u64,
}

/// A new user, with either a password or the hash of one.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateUserRequest {
    /// Their name.
    name: String,
    /// What they may do.
    role: Role,
    /// At least 12 characters.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    /// What another system stored of their password: argon2id as a PHC string,
    /// or bcrypt. It is made anew when they first sign in.
    #[schema(value_type = Option<String>, format = Password)]
    password_hash: Option<SecretString>,
    /// Their e-mail address, which they verify through a mail.
    #[schema(value_type = Option<String>)]
    email: Option<MailAddress>,
    /// The language of mails to them.
    #[serde(default)]
    language: Language,
}

/// What changes of a user; what is not named stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeUserRequest {
    /// What they may do from now on.
    role: Option<Role>,
    /// Their e-mail address, which they verify through a mail; null for none.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<MailAddress>>,
    /// The language of mails to them.
    language: Option<Language>,
}

/// What is named is something, also where it is null.
fn named<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A new password.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetPasswordRequest {
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// One's own password, old and new.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePasswordRequest {
    /// The password until now.
    #[schema(value_type = String, format = Password)]
    present_password: SecretString,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// Which users to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListUsersQuery {
    /// Only the one of this name.
    name: Option<String>,
    /// Only those of this role.
    role: Option<Role>,
}

/// Says whether the hub waits for its first user.
#[utoipa::path(get, path = "/api/v1/setup", tag = "identity",
    responses((status = 200, description = "Whether setup is needed", body = SetupResponse)))]
async fn get_setup(State(app): State<AppState>) -> Json<SetupResponse> {
    Json(SetupResponse { needed: app.identity.setup_is_open() })
}

/// Makes the first user, an administrator, and signs them in.
#[utoipa::path(post, path = "/api/v1/setup", tag = "identity", request_body = SetupRequest, responses(
    (status = 201, description = "The hub is set up", body = User),
    (status = 403, description = "The code is wrong or too old"),
    (status = 409, description = "There is a user already"),
))]
async fn create_first_user(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<SetupRequest>,
) -> ApiResult<Response> {
    let name = request.name.parse()?;
    let contact = Contact::default();
    let new = NewUser { name, role: Role::Administrator, password: request.password, contact };
    let user = app.identity.complete_setup(&request.code, new, &caller).await?;
    let cookie = app.identity.start_session(&user, &caller, Browser::of(&headers, caller.scheme)).await?;
    Ok((StatusCode::CREATED, cookie.into_header(caller.scheme), Json(user)).into_response())
}

/// Makes a new setup code; those from before are no longer valid. Only over the
/// hub's local socket, and only while there is no user.
#[utoipa::path(post, path = "/api/v1/setup/code", tag = "identity", responses(
    (status = 201, description = "The code", body = CreatedSetupCodeResponse),
    (status = 404, description = "Asked over the network, where this does not exist"),
    (status = 409, description = "There is a user already"),
))]
async fn create_setup_code(State(app): State<AppState>, caller: Caller) -> ApiResult<Response> {
    let code = app.identity.renew_setup_code(&Actor::from(&caller)).await?;
    let created = CreatedSetupCodeResponse { code: code.to_string(), ttl_seconds: CODE_LIFE.as_secs() };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// Replaces the caller's own password. All their sessions end, and this browser
/// gets a new one.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "identity", request_body = ChangePasswordRequest, responses(
    (status = 200, description = "The user", body = User),
    (status = 403, description = "The present password is wrong, or an API token asks"),
))]
async fn change_password(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<ChangePasswordRequest>,
) -> ApiResult<Response> {
    let own = caller.require_user()?;
    let CredentialUsed::Session(_) = own.credential else {
        return Err(ApiError::forbidden("session_required", "Sign in with a browser to change your password."));
    };
    let (present, new) = (request.present_password, request.new_password);
    let user = app.identity.change_password(own, present, new, &caller).await?;
    let cookie = app.identity.start_session(&user, &caller, Browser::of(&headers, caller.scheme)).await?;
    Ok((cookie.into_header(caller.scheme), Json(user)).into_response())
}

/// Lists users by name.
#[utoipa::path(get, path = "/api/v1/users", tag = "identity", params(Page, ListUsersQuery),
    responses((status = 200, description = "One page of users", body = List<User>)))]
async fn list_users(
    State(app): State<AppState>,
    Listing { page, filter }: Listing<ListUsersQuery>,
) -> ApiResult<Json<List<User>>> {
    let filter = UserFilter { name: filter.name, role: filter.role };
    Ok(Json(app.identity.list_users(&filter, page).await?))
}

/// Makes a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "identity", request_body = CreateUserRequest, responses(
    (status = 201, description = "The user", body = User),
    (status = 409, description = "The name is taken"),
))]
async fn create_user(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CreateUserRequest>,
) -> ApiResult<Response> {
    let (name, role, by) = (request.name.parse()?, request.role, Actor::from(&caller));
    let contact = Contact { email: request.email, language: request.language };
    let user = match (request.password, request.password_hash) {
        (Some(password), None) => app.identity.create_user(NewUser { name, role, password, contact }, &by).await?,
        (None, Some(hash)) => app.identity.create_user_with_hash(&name, role, hash, contact, &by).await?,
        (Some(_), Some(_)) | (None, None) => {
            let message = "Give either `password` or `password_hash`.";
            return Err(ApiError::bad_request("password_or_hash", message));
        }
    };
    Ok((StatusCode::CREATED, Json(user)).into_response())
}

/// One user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "identity", params(("id" = UserId, Path)), responses(
    (status = 200, description = "The user", body = User),
    (status = 404, description = "There is no such user"),
))]
async fn get_user(State(app): State<AppState>, Path(id): Path<UserId>) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.get_user(id).await?))
}

/// Gives a user another role, address or language. A role holds from their next
/// request on; terminals and whatever else they have open and may not have any
/// more ends at once. An address counts once its owner followed a link.
#[utoipa::path(patch, path = "/api/v1/users/{id}", tag = "identity", params(("id" = UserId, Path)),
    request_body = ChangeUserRequest, responses(
    (status = 200, description = "The user", body = User),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The last administrator stays one, or another user has the address"),
))]
async fn change_user(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(request): Json<ChangeUserRequest>,
) -> ApiResult<Json<User>> {
    let ChangeUserRequest { role, email, language } = request;
    let patch = UserPatch { role, email, language };
    Ok(Json(app.identity.change_user(id, patch, &Actor::from(&caller)).await?))
}

/// Replaces a user's password and ends their sessions.
#[utoipa::path(post, path = "/api/v1/users/{id}/reset-password", tag = "identity", params(("id" = UserId, Path)),
    request_body = ResetPasswordRequest, responses(
    (status = 200, description = "The user", body = User),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "They are in a directory, which has their password"),
))]
async fn reset_password(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(request): Json<ResetPasswordRequest>,
) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.reset_password(id, request.password, &Actor::from(&caller)).await?))
}

/// Shuts a user out, from their next request on.
#[utoipa::path(post, path = "/api/v1/users/{id}/disable", tag = "identity", params(("id" = UserId, Path)), responses(
    (status = 200, description = "The user", body = User),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The last administrator stays"),
))]
async fn disable_user(State(app): State<AppState>, caller: Caller, Path(id): Path<UserId>) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.disable_user(id, &Actor::from(&caller)).await?))
}

/// Lets a disabled user in again.
#[utoipa::path(post, path = "/api/v1/users/{id}/enable", tag = "identity", params(("id" = UserId, Path)), responses(
    (status = 200, description = "The user", body = User),
    (status = 404, description = "There is no such user"),
))]
async fn enable_user(State(app): State<AppState>, caller: Caller, Path(id): Path<UserId>) -> ApiResult<Json<User>> {
    Ok(Json(app.identity.enable_user(id, &Actor::from(&caller)).await?))
}
