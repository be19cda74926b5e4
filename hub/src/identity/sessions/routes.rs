//! The routes of signing in and out.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Browser, Credentials, Session, SessionFilter, User, confirmation};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{
    Access, Caller, CredentialUsed, Json, List, Listing, Page, Path, Permission, Principal, Role, Routes, UserId,
    cookie,
};
use crate::identity::audit::Actor;
use crate::identity::tokens::{refuse_limited, visible_owner};
use crate::identity::users::passkeys::PresentedPasskey;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    confirmation::routes(routes)
        .add(Access::Public, routes!(sign_in))
        .add(Access::FactorDue, routes!(sign_out))
        .add(Access::FactorDue, routes!(get_me))
        .add(Access::SignedIn, routes!(list_sessions))
        .add(Access::SignedIn, routes!(revoke_session))
}

/// A name and its password, and a code where a second factor is on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SignInRequest {
    /// The user's name.
    name: String,
    /// The user's password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The six digits of the second factor, or a recovery code.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
    /// A passkey in the place of a code.
    passkey: Option<PresentedPasskey>,
}

/// Who the caller is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MeResponse {
    /// `user`, or `local` on the Unix socket.
    kind: &'static str,
    /// The user.
    id: Option<UserId>,
    /// Their name.
    name: String,
    /// Their role.
    role: Role,
    /// What they may do everywhere.
    permissions: Vec<Permission>,
    /// What they may do in some environment at least.
    permissions_somewhere: Vec<Permission>,
    /// By what they were recognised.
    credential: Option<String>,
    /// Whether they have yet to set up a second factor, and may do nothing else.
    second_factor_due: bool,
}

/// Which sessions to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListSessionsQuery {
    /// Only those of this user. Who may not manage users sees their own only.
    user: Option<UserId>,
}

/// Signs a browser in. The answer sets a cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "identity", request_body = SignInRequest, responses(
    (status = 200, description = "The user who is signed in now", body = User),
    (status = 401, description = "The name and the password do not belong together; or they do, and a code is missing \
        (`second_factor_required`) or wrong (`wrong_second_factor`), or a passkey is not accepted (`passkey_refused`)"),
    (status = 429, description = "Too many attempts"),
))]
async fn sign_in(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<SignInRequest>,
) -> ApiResult<Response> {
    let browser = Browser::of(&headers, caller.scheme);
    let SignInRequest { name, password, code, passkey } = request;
    let passkey = passkey.map(|passkey| passkey.from_browser(&headers, caller.scheme));
    let (user, cookie) = app.identity.sign_in(Credentials { name, password, code, passkey }, browser, &caller).await?;
    Ok((cookie.into_header(caller.scheme), Json(user)).into_response())
}

/// Where the browser may end what it is signed in to elsewhere.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SignedOutResponse {
    /// An address of the identity provider by which the session began.
    end_session_url: String,
}

/// Ends the caller's session.
#[utoipa::path(delete, path = "/api/v1/session", tag = "identity", responses(
    (status = 200, description = "The session is over; the one with the identity provider is not yet", body = SignedOutResponse),
    (status = 204, description = "The session is over"),
    (status = 400, description = "The caller has no session"),
))]
async fn sign_out(State(app): State<AppState>, caller: Caller, headers: HeaderMap) -> ApiResult<Response> {
    let user = caller.require_user()?;
    let CredentialUsed::Session(session) = &user.credential else {
        return Err(ApiError::bad_request("no_session", "An API token is not signed in; revoke it instead."));
    };
    let provider = app.identity.sign_out(*session, user.id, &Actor::from(&caller)).await?;
    let clear = [(header::SET_COOKIE, cookie::clear(caller.scheme))];
    let elsewhere = match provider {
        Some(provider) => app.identity.end_session_address(provider, &headers, caller.scheme).await,
        None => None,
    };
    Ok(match elsewhere {
        Some(url) => (clear, Json(SignedOutResponse { end_session_url: url.into() })).into_response(),
        None => (StatusCode::NO_CONTENT, clear).into_response(),
    })
}

impl MeResponse {
    /// What is told to this caller.
    pub fn of(caller: &Caller) -> Self {
        match &caller.principal {
            Some(Principal::User(user)) => Self {
                kind: "user",
                id: Some(user.id),
                name: user.name.clone(),
                role: user.role,
                permissions: user.powers.everywhere().to_vec(),
                permissions_somewhere: user.powers.somewhere().to_vec(),
                credential: Some(user.credential.to_string()),
                second_factor_due: user.second_factor_due,
            },
            Some(Principal::LocalRoot) | None => {
                let (name, role) = ("root".to_owned(), Role::Administrator);
                let permissions = role.permissions().to_vec();
                Self {
                    kind: "local",
                    id: None,
                    name,
                    role,
                    permissions_somewhere: permissions.clone(),
                    permissions,
                    credential: None,
                    second_factor_due: false,
                }
            }
        }
    }
}

/// Says who the caller is.
#[utoipa::path(get, path = "/api/v1/me", tag = "identity",
    responses((status = 200, description = "The caller", body = MeResponse)))]
async fn get_me(caller: Caller) -> Json<MeResponse> {
    Json(MeResponse::of(&caller))
}

/// Lists running sessions, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "identity", params(Page, ListSessionsQuery),
    responses((status = 200, description = "One page of sessions", body = List<Session>)))]
async fn list_sessions(
    State(app): State<AppState>,
    caller: Caller,
    Listing { page, filter }: Listing<ListSessionsQuery>,
) -> ApiResult<Json<List<Session>>> {
    refuse_limited(&caller)?;
    let user = visible_owner(&caller, filter.user);
    Ok(Json(app.identity.list_sessions(&SessionFilter { user }, page).await?))
}

/// Ends a session: one's own, or any for those who manage users.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "The session is over"),
    (status = 404, description = "There is no such session"),
))]
async fn revoke_session(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    refuse_limited(&caller)?;
    app.identity.revoke_session(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
