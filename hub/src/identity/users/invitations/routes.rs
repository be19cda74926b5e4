//! The routes of invitations: of those who make them, and of those who come
//! with one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Accepting, Invitation, InvitationKind, NewInvitation};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Routes};
use crate::identity::users::User;
use crate::identity::users::by_mail::LinkSecret;
use crate::mail::Language;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let access = Access::Needs(Permission::UsersManage);
    routes
        .add(access, routes!(list_invitations))
        .add(access.confirmed(), routes!(create_invitation))
        .add(access, routes!(revoke_invitation))
        .add(Access::Public, routes!(get_invited))
        .add(Access::Public, routes!(accept_invitation))
}

/// All of them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}

/// An invitation, with its link where it was not mailed.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedInvitation {
    #[serde(flatten)]
    invitation: Invitation,
    /// The page of the console that accepts it, shown this once; null where it
    /// was mailed.
    path: Option<String>,
}

/// The secret of an invitation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitationSecret {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String, format = Password)]
    secret: LinkSecret,
}

/// What somebody is invited to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Invited {
    /// Who made it.
    kind: InvitationKind,
    /// Who invited them.
    invited_by: String,
    /// The address that it was mailed to, which becomes theirs.
    email: Option<String>,
    /// Until when the link works.
    expires_at: Timestamp,
}

/// Who accepts an invitation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AcceptInvitation {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String, format = Password)]
    secret: LinkSecret,
    /// The user's name.
    name: String,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// The language of mails to them; that of the invitation unless said.
    language: Option<Language>,
}

/// Lists invitations and registrations, the newest first.
#[utoipa::path(get, path = "/api/v1/invitations", tag = "identity", params(Page),
    responses((status = 200, description = "One page of invitations", body = List<Invitation>)))]
async fn list_invitations(
    State(app): State<AppState>,
    Listing { page, filter: NoFilter {} }: Listing<NoFilter>,
) -> ApiResult<Json<List<Invitation>>> {
    Ok(Json(app.identity.list_invitations(page).await?))
}

/// Invites somebody: by mail, or with a link that is shown this once.
#[utoipa::path(post, path = "/api/v1/invitations", tag = "identity", request_body = NewInvitation, responses(
    (status = 201, description = "The invitation", body = CreatedInvitation),
    (status = 400, description = "It brings too much, or works for too long"),
    (status = 404, description = "There is no such team, role, group or environment"),
    (status = 409, description = "A user has the address, the hub cannot send mail, or too many invitations wait"),
))]
async fn create_invitation(
    State(app): State<AppState>,
    caller: Caller,
    Json(new): Json<NewInvitation>,
) -> ApiResult<Response> {
    let made = app.identity.invite(new, &caller).await?;
    let path = made.secret.map(|secret| format!("/invitation#{}", secret.expose()));
    Ok((StatusCode::CREATED, Json(CreatedInvitation { invitation: made.invitation, path })).into_response())
}

/// Ends an invitation that waits.
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", tag = "identity", params(("id" = Uuid, Path)), responses(
    (status = 204, description = "Its link does not work any more"),
    (status = 404, description = "None of this id waits"),
))]
async fn revoke_invitation(State(app): State<AppState>, caller: Caller, Path(id): Path<Uuid>) -> ApiResult<StatusCode> {
    app.identity.revoke_invitation(id, &(&caller).into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what whoever has the link is invited to.
#[utoipa::path(post, path = "/api/v1/auth/invitation", tag = "identity", request_body = InvitationSecret, responses(
    (status = 200, description = "What they are invited to", body = Invited),
    (status = 403, description = "The link is wrong, was used, or is too old"),
    (status = 429, description = "Too many attempts"),
))]
async fn get_invited(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<InvitationSecret>,
) -> ApiResult<Json<Invited>> {
    let Invitation { kind, invited_by, email, expires_at, .. } =
        app.identity.look_at_invitation(&request.secret, &caller).await?;
    Ok(Json(Invited { kind, invited_by, email, expires_at }))
}

/// Makes the user whom a link is for. It works once.
#[utoipa::path(post, path = "/api/v1/auth/invitation/accept", tag = "identity", request_body = AcceptInvitation,
    responses(
    (status = 201, description = "The user, who can sign in now", body = User),
    (status = 400, description = "The name or the password cannot be used; the link still works"),
    (status = 403, description = "The link is wrong, was used, or is too old"),
    (status = 409, description = "The name is taken, or what it brings is gone"),
    (status = 429, description = "Too many attempts"),
))]
async fn accept_invitation(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<AcceptInvitation>,
) -> ApiResult<Response> {
    let AcceptInvitation { secret, name, password, language } = request;
    let accepting = Accepting { secret, name: name.parse()?, password, language };
    let user = app.identity.accept_invitation(accepting, &caller).await?;
    Ok((StatusCode::CREATED, Json(user)).into_response())
}
