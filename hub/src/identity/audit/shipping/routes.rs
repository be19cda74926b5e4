//! The routes of where records are sent.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::message::Writer;
use super::settings::{self, Syslog};
use super::transport::Way;
use super::{ShippingStatus, newest};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult, sentence};
use crate::http::{Access, Caller, Json, Permission, Routes};
use crate::identity::audit::{Action, Actor, Entry, record};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::HubManage), routes!(get_audit_shipping, set_audit_shipping))
        .add(Access::Needs(Permission::HubManage), routes!(test_audit_shipping))
}

/// Where records are sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AuditShippingRequest {
    /// The syslog server; nothing where records stay here only.
    syslog: Option<Syslog>,
}

/// Where records are sent, and how that does.
#[derive(Debug, Serialize, ToSchema)]
struct AuditShippingResponse {
    /// The syslog server, where there is one.
    syslog: Option<Syslog>,
    /// Whether somebody between here and there can read the records.
    is_exposed: bool,
    /// How it does.
    status: ShippingStatus,
}

/// Says where audit records are sent, and how that does.
#[utoipa::path(get, path = "/api/v1/settings/audit-shipping", tag = "identity",
    responses((status = 200, description = "Where they are sent", body = AuditShippingResponse)))]
async fn get_audit_shipping(State(app): State<AppState>) -> ApiResult<Json<AuditShippingResponse>> {
    let syslog = settings::read(&mut app.db.read().await?).await?;
    Ok(Json(described(&app, syslog)))
}

/// Sends audit records somewhere else from now on, or nowhere. The first that is
/// sent is that of this change.
#[utoipa::path(put, path = "/api/v1/settings/audit-shipping", tag = "identity", request_body = AuditShippingRequest,
    responses(
    (status = 200, description = "Where they are sent", body = AuditShippingResponse),
    (status = 400, description = "The server cannot be used"),
))]
async fn set_audit_shipping(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<AuditShippingRequest>,
) -> ApiResult<Json<AuditShippingResponse>> {
    let syslog = request.syslog.map(checked).transpose()?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    if syslog.is_some() && settings::read(&mut tx).await?.is_none() {
        let newest = newest(&mut tx).await?;
        settings::set_cursor(&mut tx, newest, now).await?;
    }
    settings::write(&mut tx, syslog.as_ref(), now).await?;
    let to = syslog
        .as_ref()
        .map(|syslog| json!({ "transport": syslog.transport, "host": syslog.host, "port": syslog.port }));
    let entry = Entry::new(&Actor::from(&caller), Action::AuditShipping, "shipping");
    record(&mut tx, entry.fact("to", json!(to)), now).await?;
    tx.commit().await?;
    app.audit.shipping.changed.notify_one();
    Ok(Json(described(&app, syslog)))
}

/// Sends one message to a syslog server, to see whether it arrives there.
#[utoipa::path(post, path = "/api/v1/settings/audit-shipping/test", tag = "identity", request_body = Syslog, responses(
    (status = 204, description = "It was sent; datagrams may be lost all the same"),
    (status = 400, description = "The server cannot be used"),
    (status = 409, description = "It could not be sent"),
))]
async fn test_audit_shipping(State(app): State<AppState>, Json(syslog): Json<Syslog>) -> ApiResult<StatusCode> {
    let syslog = checked(syslog)?;
    let message = Writer::of_this_machine().trial(app.clock.now());
    let sent = async { Way::open(&syslog).await?.send(&[message]).await };
    let failed = |error: std::io::Error| {
        ApiError::conflict("syslog_unreachable", format!("The message could not be sent: {}", sentence(&error)))
    };
    sent.await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

fn checked(syslog: Syslog) -> ApiResult<Syslog> {
    syslog.check().map_err(|unfit| ApiError::bad_request("invalid_syslog", sentence(&unfit)))
}

fn described(app: &AppState, syslog: Option<Syslog>) -> AuditShippingResponse {
    let is_exposed = syslog.as_ref().is_some_and(Syslog::is_exposed);
    AuditShippingResponse { syslog, is_exposed, status: app.audit.shipping.status().clone() }
}
