//! The routes of identity providers, and of signing in by them.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;

use super::accounts::{ATTEMPT_LIFE, Refusal, Stop};
use super::model::{LinkedIdentity, NewProvider, Provider, SignInProvider, TestStep};
use super::oidc::{Arrival, Finished, Purpose, Start};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{
    Access, Caller, CredentialUsed, Form, Json, List, Listing, Page, Path, Permission, Query, Routes, SignedInUser,
    cookie,
};
use crate::identity::sessions::{self, Browser, WayToConfirm};
use crate::identity::users::User;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let access = Access::Needs(Permission::HubManage);
    routes
        .add(Access::Public, routes!(list_sign_in_providers))
        .add(Access::Public, routes!(start_oidc_sign_in))
        .add(Access::Public, routes!(finish_oidc_sign_in))
        .add(Access::Public, routes!(end_oidc_sessions))
        .add(Access::Public, routes!(complete_sign_in))
        .add(Access::FactorDue, routes!(begin_confirmation))
        .add(Access::SignedIn, routes!(list_identities))
        .add(Access::SignedIn.proven_in_request(), routes!(link_identity))
        .add(Access::SignedIn.confirmed(), routes!(unlink_identity))
        .add(access, routes!(list_identity_providers))
        .add(access.confirmed(), routes!(create_identity_provider))
        .add(access, routes!(get_identity_provider))
        .add(access.confirmed(), routes!(change_identity_provider, delete_identity_provider))
        .add(access, routes!(test_identity_provider))
        .add(access, routes!(test_directory_sign_in))
}

/// All of them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}

/// Those by which people can sign in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignInProviders {
    /// By name.
    items: Vec<SignInProvider>,
}

/// Where to go in the end.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StartQuery {
    /// A path of the console.
    next: Option<String>,
}

/// What an identity provider says of a session that ended there.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "it is read field by field, since others may stand beside it")]
struct LogoutForm {
    /// The token that says it.
    logout_token: String,
}

/// What the provider's answer did not say.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CompleteSignInRequest {
    /// The six digits of the second factor, or a recovery code.
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Who is signed in, and where they wanted to go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CompletedSignIn {
    /// The user.
    user: User,
    /// A path of the console.
    next: String,
}

/// Who a user is elsewhere.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LinkedIdentities {
    /// The oldest first.
    items: Vec<LinkedIdentity>,
    /// Whether they have a password here.
    has_password: bool,
}

/// Who wants to be linked, and with whom.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkIdentityRequest {
    /// The provider, as it is called in addresses.
    provider: String,
    /// The present password, where there is one.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// Who wants to confirm with which provider that it is they.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmElsewhereRequest {
    /// The provider, as it is called in addresses.
    provider: String,
    /// A path of the console to come back to.
    next: Option<String>,
    /// The six digits of the second factor, or a recovery code, where it is on.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

/// Where the browser is to go.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LinkIdentityResponse {
    /// An address of the provider's.
    location: String,
}

/// Who is looked for in a directory.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TestSignInRequest {
    /// The name that they would type.
    name: String,
    /// Their password, where it is to be tried.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
}

/// What was tried.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TestedProvider {
    /// Step by step.
    steps: Vec<TestStep>,
}

/// Lists the identity providers by which one can sign in.
#[utoipa::path(get, path = "/api/v1/auth/providers", tag = "identity",
    responses((status = 200, description = "Their names", body = SignInProviders)))]
async fn list_sign_in_providers(State(app): State<AppState>) -> ApiResult<Json<SignInProviders>> {
    Ok(Json(SignInProviders { items: app.identity.list_sign_in_providers().await? }))
}

/// Sends a browser to an identity provider of OpenID Connect.
#[utoipa::path(get, path = "/api/v1/auth/oidc/{slug}/start", tag = "identity",
    params(("slug" = String, Path), StartQuery), responses(
    (status = 303, description = "To the provider, or to the console, which says what went wrong"),
    (status = 400, description = "`next` leads elsewhere"),
    (status = 404, description = "There is no such provider"),
))]
async fn start_oidc_sign_in(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Query(query): Query<StartQuery>,
) -> ApiResult<Response> {
    let base = Start::base(&headers, caller.scheme)?;
    let start = Start { slug: &slug, next: query.next.as_deref(), base };
    match app.identity.begin_oidc(start, Purpose::SignIn).await {
        Ok((location, kept)) => {
            let kept = cookie::set_attempt(caller.scheme, &kept, ATTEMPT_LIFE);
            Ok(see_other(location.as_str(), [(header::SET_COOKIE, kept)]))
        }
        Err(stop) => turned_away(stop, &caller, "/sign-in"),
    }
}

/// Where an identity provider of OpenID Connect sends a browser back to.
#[utoipa::path(get, path = "/api/v1/auth/oidc/{slug}/callback", tag = "identity", params(("slug" = String, Path)),
    responses(
    (status = 303, description = "To the console: signed in, or with what is missing or went wrong"),
    (status = 404, description = "There is no such provider"),
    (status = 429, description = "Too many attempts"),
))]
async fn finish_oidc_sign_in(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Path(slug): Path<String>,
    Query(arrival): Query<Arrival>,
) -> ApiResult<Response> {
    let kept = cookie::find_attempt(&headers, caller.scheme);
    let kept = app.identity.kept_attempt(kept.as_deref().map(String::as_str));
    let is_inside = |purpose| matches!(purpose, Purpose::Link(_) | Purpose::Confirm { .. });
    let page = if kept.as_ref().is_some_and(|attempt| is_inside(attempt.purpose)) { "/account" } else { "/sign-in" };
    let browser = Browser::of(&headers, caller.scheme);
    let forget = (header::SET_COOKIE, cookie::clear_attempt(caller.scheme));
    match app.identity.finish_oidc(&slug, kept, &arrival, &caller, browser).await {
        Ok(Finished::SignedIn(session, next)) => {
            Ok((session.into_header(caller.scheme), see_other(&next, [forget])).into_response())
        }
        Ok(Finished::NeedsCode(kept, next)) => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let kept = cookie::set_attempt(caller.scheme, &kept, ATTEMPT_LIFE);
            Ok(see_other(&format!("/sign-in?code=1&next={next}"), [(header::SET_COOKIE, kept)]))
        }
        Ok(Finished::Linked) => Ok(see_other("/account?linked=1", [forget])),
        Err(stop) => turned_away(stop, &caller, page),
    }
}

/// Begins to confirm a session by a sign-in with an identity provider that knows
/// its user: says where the browser is to go, and sets a cookie. It comes back
/// to `next`, or to the account page with what went wrong.
#[utoipa::path(post, path = "/api/v1/session/confirmation/provider", tag = "identity",
    request_body = ConfirmElsewhereRequest, responses(
    (status = 200, description = "Where to go", body = LinkIdentityResponse),
    (status = 400, description = "`next` leads elsewhere"),
    (status = 403, description = "A code is missing (`second_factor_required`) or wrong (`wrong_second_factor`), or an \
        API token or the local socket asks"),
    (status = 404, description = "There is no such provider, or it does not know the user"),
    (status = 429, description = "Too many attempts"),
    (status = 503, description = "The provider cannot be asked"),
))]
async fn begin_confirmation(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<ConfirmElsewhereRequest>,
) -> ApiResult<Response> {
    let (own, session) = sessions::in_browser(&caller)?;
    let ConfirmElsewhereRequest { provider, next, code } = request;
    let is_open = |way: &WayToConfirm| matches!(way, WayToConfirm::Provider { slug, .. } if *slug == provider);
    if !app.identity.ways_elsewhere(own.id).await?.iter().any(is_open) {
        return Err(ApiError::not_found("identity provider"));
    }
    let with_code = app.identity.prove_code_for_provider(own, code.as_ref(), &caller).await?;
    let base = Start::base(&headers, caller.scheme)?;
    let start = Start { slug: &provider, next: next.as_deref(), base };
    let begun = app.identity.begin_oidc(start, Purpose::Confirm { session, with_code }).await;
    let (location, kept) = begun.map_err(not_begun)?;
    let kept = AppendHeaders([(header::SET_COOKIE, cookie::set_attempt(caller.scheme, &kept, ATTEMPT_LIFE))]);
    Ok((kept, Json(LinkIdentityResponse { location: location.into() })).into_response())
}

/// Why nobody is sent to a provider, for a page that asked where to go.
fn not_begun(stop: Stop) -> ApiError {
    match stop {
        Stop::Failed(error) => error,
        Stop::Refused(_) => {
            ApiError::unavailable("provider_unavailable", "The provider cannot be asked at the moment.")
        }
    }
}

/// Where an identity provider of OpenID Connect says that a session ended there
/// (Back-Channel Logout): what somebody has open here by it ends. No cookie is
/// looked at; who may say so is in the token.
#[utoipa::path(post, path = "/api/v1/auth/oidc/{slug}/backchannel-logout", tag = "identity",
    params(("slug" = String, Path)),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "What there was has ended"),
    (status = 400, description = "The token is not good, came before, or cannot be verified at the moment \
        (`invalid_logout_token`). Nothing has ended"),
    (status = 404, description = "There is no such provider"),
    (status = 429, description = "Too many that were not good"),
))]
async fn end_oidc_sessions(
    State(app): State<AppState>,
    caller: Caller,
    Path(slug): Path<String>,
    form: Result<Form, ApiError>,
) -> ApiResult<Response> {
    // A form that cannot be read is a token that cannot be, and stands on record as one.
    let form = form.unwrap_or_default();
    app.identity.end_sessions_by_provider(&slug, form.field("logout_token").unwrap_or_default(), &caller).await?;
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

/// Ends signing in by a provider with the code of one's own second factor. The
/// answer sets a cookie.
#[utoipa::path(post, path = "/api/v1/auth/second-factor", tag = "identity", request_body = CompleteSignInRequest,
    responses(
    (status = 200, description = "The user who is signed in now", body = CompletedSignIn),
    (status = 401, description = "The code is wrong (`wrong_second_factor`), or the attempt is over (`sign_in_expired`)"),
    (status = 429, description = "Too many attempts"),
))]
async fn complete_sign_in(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<CompleteSignInRequest>,
) -> ApiResult<Response> {
    let kept = cookie::find_attempt(&headers, caller.scheme);
    let kept = app.identity.kept_attempt(kept.as_deref().map(String::as_str));
    let browser = Browser::of(&headers, caller.scheme);
    let completed = app.identity.finish_with_code(kept, &request.code, &caller, browser).await;
    let (user, session, next) = completed.map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::Refused(_) => {
            let message = "This attempt to sign in is over. Begin again.";
            ApiError::new(StatusCode::UNAUTHORIZED, "sign_in_expired", message)
        }
    })?;
    let forget = AppendHeaders([(header::SET_COOKIE, cookie::clear_attempt(caller.scheme))]);
    Ok((session.into_header(caller.scheme), forget, Json(CompletedSignIn { user, next })).into_response())
}

/// Lists who one is with identity providers.
#[utoipa::path(get, path = "/api/v1/me/identities", tag = "identity",
    responses((status = 200, description = "All of them", body = LinkedIdentities)))]
async fn list_identities(State(app): State<AppState>, caller: Caller) -> ApiResult<Json<LinkedIdentities>> {
    let (items, has_password) = app.identity.identities_of(caller.require_user()?).await?;
    Ok(Json(LinkedIdentities { items, has_password }))
}

/// Begins to link the caller with who they are with a provider: says where the
/// browser is to go, and sets a cookie.
#[utoipa::path(post, path = "/api/v1/me/identities", tag = "identity", request_body = LinkIdentityRequest, responses(
    (status = 200, description = "Where to go", body = LinkIdentityResponse),
    (status = 403, description = "The password is wrong, or an API token or the local socket asks"),
    (status = 404, description = "There is no such provider"),
    (status = 429, description = "Too many attempts"),
    (status = 503, description = "The provider cannot be asked"),
))]
async fn link_identity(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<LinkIdentityRequest>,
) -> ApiResult<Response> {
    let own = in_browser(&caller)?;
    app.identity.prove_again(own, request.password, &caller).await?;
    let base = Start::base(&headers, caller.scheme)?;
    let start = Start { slug: &request.provider, next: None, base };
    let begun = app.identity.begin_oidc(start, Purpose::Link(own.id)).await;
    let (location, kept) = begun.map_err(not_begun)?;
    let kept = AppendHeaders([(header::SET_COOKIE, cookie::set_attempt(caller.scheme, &kept, ATTEMPT_LIFE))]);
    Ok((kept, Json(LinkIdentityResponse { location: location.into() })).into_response())
}

/// Signs in by a provider no more.
#[utoipa::path(delete, path = "/api/v1/me/identities/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "One is not linked so"),
    (status = 409, description = "There is no other way in"),
))]
async fn unlink_identity(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.identity.unlink_identity(id, in_browser(&caller)?, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists identity providers, by name.
#[utoipa::path(get, path = "/api/v1/identity-providers", tag = "identity", params(Page),
    responses((status = 200, description = "One page of providers", body = List<Provider>)))]
async fn list_identity_providers(
    State(app): State<AppState>,
    Listing { page, filter: NoFilter {} }: Listing<NoFilter>,
) -> ApiResult<Json<List<Provider>>> {
    Ok(Json(page.of(app.identity.list_identity_providers().await?)))
}

/// Adds an identity provider. It takes `users.manage` too, since whom it lets
/// in as what is decided here.
#[utoipa::path(post, path = "/api/v1/identity-providers", tag = "identity", request_body = NewProvider, responses(
    (status = 201, description = "The provider", body = Provider),
    (status = 400, description = "Something in it makes no sense"),
    (status = 404, description = "A mapping names a role or a place that is not there"),
    (status = 409, description = "The slug is taken, or there are as many as there may be"),
))]
async fn create_identity_provider(
    State(app): State<AppState>,
    caller: Caller,
    Json(new): Json<NewProvider>,
) -> ApiResult<Response> {
    caller.require(Permission::UsersManage)?;
    let provider = app.identity.create_identity_provider(new, &(&caller).into()).await?;
    Ok((StatusCode::CREATED, Json(provider)).into_response())
}

/// Says how an identity provider stands.
#[utoipa::path(get, path = "/api/v1/identity-providers/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The provider", body = Provider),
    (status = 404, description = "There is none"),
))]
async fn get_identity_provider(State(app): State<AppState>, Path(id): Path<Uuid>) -> ApiResult<Json<Provider>> {
    Ok(Json(app.identity.get_identity_provider(id).await?))
}

/// Changes an identity provider. With another issuer its client secret goes,
/// unless a new one comes along. It takes `users.manage` too.
#[utoipa::path(put, path = "/api/v1/identity-providers/{id}", tag = "identity", params(("id" = Uuid, Path)),
    request_body = NewProvider, responses(
    (status = 200, description = "The provider", body = Provider),
    (status = 400, description = "Something in it makes no sense"),
    (status = 404, description = "There is none, or a mapping names a role or a place that is not there"),
    (status = 409, description = "The slug is taken"),
))]
async fn change_identity_provider(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(new): Json<NewProvider>,
) -> ApiResult<Json<Provider>> {
    caller.require(Permission::UsersManage)?;
    Ok(Json(app.identity.change_identity_provider(id, new, &(&caller).into()).await?))
}

/// Removes an identity provider with its links and what it granted. The users
/// stay. It takes `users.manage` too.
#[utoipa::path(delete, path = "/api/v1/identity-providers/{id}", tag = "identity", params(("id" = Uuid, Path)),
    responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "There is none"),
))]
async fn delete_identity_provider(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    caller.require(Permission::UsersManage)?;
    app.identity.delete_identity_provider(id, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries what can be tried of a provider without a user: what it says of itself,
/// its addresses and its keys; of a directory each server, the account of the
/// hub and where people are looked for.
#[utoipa::path(post, path = "/api/v1/identity-providers/{id}/test", tag = "identity", params(("id" = Uuid, Path)),
    responses(
    (status = 200, description = "How far it went", body = TestedProvider),
    (status = 404, description = "There is none"),
))]
async fn test_identity_provider(State(app): State<AppState>, Path(id): Path<Uuid>) -> ApiResult<Json<TestedProvider>> {
    Ok(Json(TestedProvider { steps: app.identity.test_identity_provider(id).await? }))
}

/// Tries how somebody would sign in by a directory, step by step. Nobody is
/// signed in or made a user by it, and a password that is tried counts as if
/// somebody signed in. It takes `users.manage` too.
#[utoipa::path(post, path = "/api/v1/identity-providers/{id}/test-sign-in", tag = "identity",
    params(("id" = Uuid, Path)), request_body = TestSignInRequest,
    responses(
    (status = 200, description = "How far it went", body = TestedProvider),
    (status = 400, description = "It is no directory, or this is no name"),
    (status = 404, description = "There is none"),
    (status = 429, description = "Too many attempts"),
))]
async fn test_directory_sign_in(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(request): Json<TestSignInRequest>,
) -> ApiResult<Json<TestedProvider>> {
    caller.require(Permission::UsersManage)?;
    let TestSignInRequest { name, password } = request;
    let steps = app.identity.test_directory_sign_in(id, &name, password.as_ref(), &caller).await?;
    Ok(Json(TestedProvider { steps }))
}

/// Whoever is signed in with a browser: a program is linked with nobody.
fn in_browser(caller: &Caller) -> ApiResult<&SignedInUser> {
    let own = caller.require_user()?;
    match own.credential {
        CredentialUsed::Session(_) => Ok(own),
        CredentialUsed::ApiToken(_) | CredentialUsed::AccessToken(_) => Err(ApiError::forbidden(
            "session_required",
            "Sign in with a browser to look after your accounts elsewhere.",
        )),
    }
}

/// Somebody is on their way through a browser: they are told by a page, which
/// has words for it.
fn turned_away(stop: Stop, caller: &Caller, page: &str) -> ApiResult<Response> {
    match stop {
        Stop::Failed(error) => Err(error),
        Stop::Refused(refusal) => {
            let forget = (header::SET_COOKIE, cookie::clear_attempt(caller.scheme));
            Ok(see_other(&format!("{page}?failed={}", Refusal::as_str(refusal)), [forget]))
        }
    }
}

fn see_other<const N: usize>(location: &str, headers: [(header::HeaderName, HeaderValue); N]) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, AppendHeaders(headers), [(header::LOCATION, location)]).into_response()
}
