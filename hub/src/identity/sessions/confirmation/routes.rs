//! The routes of confirming. The one that leads to an identity provider stands
//! with those.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa_axum::routes;

use super::{Confirmed, GivenProof, in_browser};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Routes, cookie};
use crate::identity::users::passkeys::PresentedPasskey;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::FactorDue, routes!(get_confirmation, confirm_session))
}

/// What proves that it is they. A sign-in with an identity provider begins at
/// `POST /api/v1/session/confirmation/provider`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ConfirmSessionRequest {
    /// The password here.
    Password(PasswordProof),
    /// Name and password in a directory.
    Directory(DirectoryProof),
    /// A passkey that signed a challenge of `POST /api/v1/session/passkey/challenge`.
    Passkey(PresentedPasskey),
}

/// A password, and a code where a second factor is on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordProof {
    /// The present password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The six digits of the second factor, or a recovery code.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

/// The same with the name that one signs in with.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DirectoryProof {
    /// What one is called in the directory.
    name: String,
    /// The password there.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The six digits of the second factor, or a recovery code.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

/// Says until when the last proof counts that it is really the user of this
/// session, and in which ways they can give another.
#[utoipa::path(get, path = "/api/v1/session/confirmation", tag = "identity", responses(
    (status = 200, description = "How it stands", body = Confirmed),
    (status = 403, description = "An API token or the local socket asks"),
))]
async fn get_confirmation(State(app): State<AppState>, caller: Caller) -> ApiResult<Json<Confirmed>> {
    let (own, session) = in_browser(&caller)?;
    Ok(Json(app.identity.confirmation_of(own, session).await?))
}

/// Proves that it is really the user of this session, which then may do for
/// some minutes what takes that. The answer sets another cookie.
#[utoipa::path(post, path = "/api/v1/session/confirmation", tag = "identity", request_body = ConfirmSessionRequest,
    responses(
    (status = 200, description = "It is confirmed", body = Confirmed),
    (status = 403, description = "The password is wrong (`wrong_password`); or it is right, and a code is missing \
        (`second_factor_required`) or wrong (`wrong_second_factor`); a passkey is not accepted (`passkey_refused`); \
        or an API token or the local socket asks"),
    (status = 429, description = "Too many attempts"),
))]
async fn confirm_session(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<ConfirmSessionRequest>,
) -> ApiResult<Response> {
    let (own, session) = in_browser(&caller)?;
    let secret = cookie::find(&headers, caller.scheme);
    let secret = secret.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a session without a cookie")))?;
    let own_session = (session, secret.as_str());
    let typed = |given| app.identity.confirm_with_password(own, own_session, given, &caller);
    let renewed = match request {
        ConfirmSessionRequest::Password(PasswordProof { password, code }) => {
            typed(GivenProof { name: None, password, code }).await?
        }
        ConfirmSessionRequest::Directory(DirectoryProof { name, password, code }) => {
            typed(GivenProof { name: Some(name), password, code }).await?
        }
        ConfirmSessionRequest::Passkey(passkey) => {
            let presented = passkey.from_browser(&headers, caller.scheme);
            app.identity.confirm_with_passkey(own, own_session, &presented, &caller).await?
        }
    };
    let confirmed = app.identity.confirmation_of(own, session).await?;
    Ok((renewed.into_header(caller.scheme), Json(confirmed)).into_response())
}
