//! The routes of where records are sent.

use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::settings::{self, Destination, SettingsError, Stored};
use super::way::Way;
use super::webhook::Secret;
use super::{ShipError, ShippingStatus, newest};
use crate::app::AppState;
use crate::db::DbError;
use crate::error::{ApiError, ApiResult, sentence};
use crate::http::{Access, Caller, Json, Permission, Routes};
use crate::identity::audit::{Action, Actor, Entry, record};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::HubManage), routes!(get_audit_shipping))
        .add(Access::Needs(Permission::HubManage).confirmed(), routes!(set_audit_shipping))
        .add(Access::Needs(Permission::HubManage), routes!(test_audit_shipping))
}

/// Where records are sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AuditShippingRequest {
    /// Where; nothing where records stay here only.
    destination: Option<Destination>,
    /// What requests to a webhook are signed with: 24 to 64 bytes, or `whsec_`
    /// and as many in Base64. Left out, the one before stays; an empty one is
    /// none.
    #[schema(value_type = Option<String>, format = Password)]
    secret: Option<SecretString>,
}

/// Where records are sent, and how that does.
#[derive(Debug, Serialize, ToSchema)]
struct AuditShippingResponse {
    /// Where, if anywhere.
    destination: Option<Destination>,
    /// Whether requests to a webhook are signed.
    has_secret: bool,
    /// Whether somebody between here and there can read the records.
    is_exposed: bool,
    /// How it does.
    status: ShippingStatus,
}

/// Says where audit records are sent, and how that does.
#[utoipa::path(get, path = "/api/v1/settings/audit-shipping", tag = "identity",
    responses((status = 200, description = "Where they are sent", body = AuditShippingResponse)))]
async fn get_audit_shipping(State(app): State<AppState>) -> ApiResult<Json<AuditShippingResponse>> {
    let stored = settings::read(&mut app.db.read().await?, &app.vault).await.or_else(unless_unreadable)?;
    Ok(Json(described(&app, stored)))
}

/// Sends audit records somewhere else from now on, or nowhere. The first that is
/// sent is that of this change.
#[utoipa::path(put, path = "/api/v1/settings/audit-shipping", tag = "identity", request_body = AuditShippingRequest,
    responses(
    (status = 200, description = "Where they are sent", body = AuditShippingResponse),
    (status = 400, description = "It cannot be used"),
))]
async fn set_audit_shipping(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<AuditShippingRequest>,
) -> ApiResult<Json<AuditShippingResponse>> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let before = settings::read(&mut tx, &app.vault).await.or_else(unless_unreadable)?;
    let is_first = before.is_none();
    let stored = wanted(request, before)?;
    if is_first && stored.is_some() {
        let newest = newest(&mut tx).await?;
        settings::set_cursor(&mut tx, newest, now).await?;
    }
    settings::write(&mut tx, &app.vault, stored.as_ref(), now).await?;
    let entry = Entry::new(&Actor::from(&caller), Action::AuditShipping, "shipping");
    record(&mut tx, entry.fact("to", told(stored.as_ref())), now).await?;
    tx.commit().await?;
    app.audit.shipping.changed.notify_one();
    Ok(Json(described(&app, stored)))
}

/// Sends one message there, to see whether it arrives.
#[utoipa::path(post, path = "/api/v1/settings/audit-shipping/test", tag = "identity",
    request_body = AuditShippingRequest, responses(
    (status = 204, description = "It was sent; datagrams may be lost all the same"),
    (status = 400, description = "It cannot be used"),
    (status = 409, description = "It could not be sent"),
))]
async fn test_audit_shipping(
    State(app): State<AppState>,
    Json(request): Json<AuditShippingRequest>,
) -> ApiResult<StatusCode> {
    let before = settings::read(&mut app.db.read().await?, &app.vault).await.or_else(unless_unreadable)?;
    let missing = || ApiError::bad_request("invalid_destination", "Say where a message is to be sent.");
    let stored = wanted(request, before)?.ok_or_else(missing)?;
    let attempt = async { Way::open(stored).await?.attempt(&app).await };
    let failed = |error: ShipError| {
        ApiError::conflict("shipping_failed", format!("The message could not be sent: {}", sentence(&error)))
    };
    attempt.await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody wants, with the secret of before where they give none.
fn wanted(request: AuditShippingRequest, before: Option<Stored>) -> ApiResult<Option<Stored>> {
    let Some(destination) = request.destination else { return Ok(None) };
    destination.check()?;
    let unfit = |unfit| ApiError::bad_request("invalid_webhook", sentence(&unfit));
    let secret = match (&destination, request.secret) {
        (Destination::Syslog(_), _) => None,
        (Destination::Webhook(_), None) => before.and_then(|before| before.secret),
        (Destination::Webhook(_), Some(secret)) if secret.expose_secret().is_empty() => None,
        (Destination::Webhook(_), Some(secret)) => Some(Secret::parse(&secret).map_err(unfit)?),
    };
    Ok(Some(Stored { destination, secret }))
}

/// What cannot be read is shown as nothing, so that it can be set anew.
fn unless_unreadable(error: SettingsError) -> Result<Option<Stored>, DbError> {
    match error {
        SettingsError::Db(error) => Err(error),
        SettingsError::Stored(_) | SettingsError::Unopened(_) => Ok(None),
    }
}

/// What the record of a change says: an address without what may be secret in it.
fn told(stored: Option<&Stored>) -> Value {
    match stored.map(|stored| &stored.destination) {
        None => Value::Null,
        Some(Destination::Syslog(to)) => {
            json!({ "kind": "syslog", "transport": to.transport, "host": to.host, "port": to.port })
        }
        Some(Destination::Webhook(to)) => json!({ "kind": "webhook", "origin": to.origin() }),
    }
}

fn described(app: &AppState, stored: Option<Stored>) -> AuditShippingResponse {
    let status = app.audit.shipping.status().clone();
    let Some(Stored { destination, secret }) = stored else {
        return AuditShippingResponse { destination: None, has_secret: false, is_exposed: false, status };
    };
    let is_exposed = destination.is_exposed();
    AuditShippingResponse { destination: Some(destination), has_secret: secret.is_some(), is_exposed, status }
}
