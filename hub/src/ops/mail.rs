//! The mail server, for those who set it, and what became of mails.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::error::{ApiError, ApiResult, sentence};
use crate::http::{Access, Caller, Json, List, Listing, Page, Permission, Principal, Routes};
use crate::identity::audit::{self, Action, Entry, Outcome};
use crate::mail::{Delivery, Language, MailAddress, MailSettings, NewMailSettings, StepReport};

/// What records name as the target.
const TARGET: &str = "mail";

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let access = Access::Needs(Permission::HubManage);
    routes
        .add(access, routes!(get_mail_settings))
        .add(access.confirmed(), routes!(set_mail_settings, delete_mail_settings))
        .add(access, routes!(test_mail))
        .add(access, routes!(list_mails))
}

/// All of them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}

/// The mail server, where one is set.
#[derive(Debug, Serialize, ToSchema)]
struct MailSettingsResponse {
    /// The server, without its password.
    server: Option<MailSettings>,
}

/// Where a test goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TestMailRequest {
    /// An address; the caller's own unless said.
    #[schema(value_type = Option<String>)]
    to: Option<MailAddress>,
}

/// How a test went.
#[derive(Debug, Serialize, ToSchema)]
struct TestMailResponse {
    /// Whether the server took the mail.
    sent: bool,
    /// Where it went.
    #[schema(value_type = String)]
    to: MailAddress,
    /// Its steps in their order; where something went wrong, it is the last.
    steps: Vec<StepReport>,
}

/// Says which server takes the hub's mail.
#[utoipa::path(get, path = "/api/v1/settings/mail", tag = "hub",
    responses((status = 200, description = "The server, if one is set", body = MailSettingsResponse)))]
async fn get_mail_settings(State(app): State<AppState>) -> ApiResult<Json<MailSettingsResponse>> {
    Ok(Json(MailSettingsResponse { server: app.mail.settings().await? }))
}

/// Sets the server. Takes `users.manage` too: whoever runs it reads the links
/// with which passwords are chosen. Without `password` the stored one stays,
/// unless it would go to another server, user or way than it was given for.
#[utoipa::path(put, path = "/api/v1/settings/mail", tag = "hub", request_body = NewMailSettings, responses(
    (status = 200, description = "The server", body = MailSettings),
    (status = 400, description = "The settings do not fit together"),
    (status = 403, description = "The caller does not manage users"),
))]
async fn set_mail_settings(
    State(app): State<AppState>,
    caller: Caller,
    Json(new): Json<NewMailSettings>,
) -> ApiResult<Json<MailSettings>> {
    // Who says where links go, and through whom, comes by every one of them.
    caller.require(Permission::UsersManage)?;
    new.check().map_err(|invalid| ApiError::bad_request("invalid_mail_settings", sentence(&invalid)))?;
    let mut tx = app.db.write().await?;
    let set = app.mail.set(&mut tx, new).await?;
    let entry = Entry::new(&(&caller).into(), Action::MailSettings, TARGET);
    let entry = entry.fact("host", json!(set.host)).fact("port", json!(set.port)).fact("security", json!(set.security));
    let entry = entry.fact("allow_plain", json!(set.allow_plain)).fact("allow_private", json!(set.allow_private));
    let entry = entry.fact("sender", json!(set.sender)).fact("public_url", json!(set.public_url));
    audit::record(&mut tx, entry, app.clock.now()).await?;
    tx.commit().await?;
    app.mail.wake();
    Ok(Json(set))
}

/// Forgets the server and its password.
#[utoipa::path(delete, path = "/api/v1/settings/mail", tag = "hub",
    responses((status = 204, description = "The hub sends no mail any more")))]
async fn delete_mail_settings(State(app): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    let mut tx = app.db.write().await?;
    app.mail.unset(&mut tx).await?;
    let entry = Entry::new(&(&caller).into(), Action::MailSettings, TARGET).fact("host", json!(null));
    audit::record(&mut tx, entry, app.clock.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a mail right now and tells of each step.
#[utoipa::path(post, path = "/api/v1/settings/mail/test", tag = "hub", request_body = TestMailRequest, responses(
    (status = 200, description = "How it went", body = TestMailResponse),
    (status = 409, description = "No server is set, or it is not said where to"),
))]
async fn test_mail(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<TestMailRequest>,
) -> ApiResult<Json<TestMailResponse>> {
    let (own, language) = own_address(&app, &caller).await?;
    let to = request.to.or(own).ok_or_else(|| {
        ApiError::conflict("no_address", "You have no e-mail address: say where the test goes, in `to`.")
    })?;
    let steps = app.mail.test(&to, language).await?;
    let sent = steps.iter().all(|step| step.ok);
    let entry = Entry::new(&(&caller).into(), Action::MailTest, TARGET).fact("to", json!(to));
    let entry = if sent { entry } else { entry.outcome(Outcome::Failed) };
    let mut tx = app.db.write().await?;
    audit::record(&mut tx, entry, app.clock.now()).await?;
    tx.commit().await?;
    Ok(Json(TestMailResponse { sent, to, steps }))
}

/// Lists the mails that wait, and what became of those of the last week, the
/// newest first. What they say is not in it.
#[utoipa::path(get, path = "/api/v1/settings/mail/outbox", tag = "hub", params(Page),
    responses((status = 200, description = "One page of mails", body = List<Delivery>)))]
async fn list_mails(
    State(app): State<AppState>,
    Listing { page, filter: NoFilter {} }: Listing<NoFilter>,
) -> ApiResult<Json<List<Delivery>>> {
    Ok(Json(app.mail.list_deliveries(page).await?))
}

async fn own_address(app: &AppState, caller: &Caller) -> ApiResult<(Option<MailAddress>, Language)> {
    match caller.principal.as_ref().and_then(Principal::user) {
        Some(own) => {
            let user = app.identity.get_user(own.id).await?;
            Ok((user.email.and_then(|email| email.parse().ok()), user.language))
        }
        None => Ok((None, Language::default())),
    }
}
