//! The routes of the records: to list them, to take them away as a file, and to
//! see whether they are all there.

mod export;
mod filter;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::routes;
use uuid::Uuid;

use self::export::Export;
use self::filter::{AuditPage, AuditWanted, ExportForm, VerifyQuery};
use super::chain::{self, Expected, Verification};
use super::store::{AuditRecord, list};
use super::{Action, Actor, Entry, record};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult, sentence};
use crate::http::{Access, Caller, Json, Lease, Page, Permission, Query, Routes, Split};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let routes = super::shipping::routes(routes);
    routes
        .add(Access::Needs(Permission::AuditView), routes!(list_audit))
        .add(Access::Needs(Permission::AuditView), routes!(export_audit))
        .add(Access::Needs(Permission::AuditView), routes!(verify_audit))
}

/// Records, newest first.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditList {
    /// The records of this page.
    pub items: Vec<AuditRecord>,
    /// The cursor of the next page, if there may be one.
    pub next: Option<Uuid>,
}

/// Lists what was done, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "identity", params(AuditPage, AuditWanted), responses(
    (status = 200, description = "One page of records", body = AuditList),
    (status = 400, description = "A filter or the limit is none"),
))]
async fn list_audit(
    State(app): State<AppState>,
    Split(page, wanted): Split<AuditPage, AuditWanted>,
) -> ApiResult<Json<AuditList>> {
    let (limit, filter) = (Page::new(page.limit, None)?.limit, wanted.check()?);
    let mut tx = app.db.read().await?;
    let items = list(&mut tx, &filter, page.cursor, limit).await?;
    let full = items.len() as i64 == limit;
    let next = items.last().filter(|_| full).map(|record| record.id);
    Ok(Json(AuditList { items, next }))
}

/// Gives all records that match as a file, newest first. It is recorded that
/// they were given.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "identity", params(ExportForm, AuditWanted), responses(
    (status = 200, description = "The records, one a line; an answer that breaks off is not all of them", body = String,
        content_type = "text/csv"),
    (status = 400, description = "A filter or the format is none"),
    (status = 503, description = "Too many exports are made at once"),
))]
async fn export_audit(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    Split(form, wanted): Split<ExportForm, AuditWanted>,
) -> ApiResult<Response> {
    let filter = wanted.clone().check()?;
    let crowded = |_| ApiError::unavailable("too_many_exports", "Too many exports are made at once. Try again later.");
    let place = app.audit.exports.clone().try_acquire_owned().map_err(crowded)?;
    let now = app.clock.now();
    let entry = Entry::new(&Actor::from(&caller), Action::AuditExport, "records");
    let entry = entry.fact("format", json!(form.format)).fact("filter", json!(wanted));
    let mut tx = app.db.write().await?;
    record(&mut tx, entry, now).await?;
    tx.commit().await?;
    let name = format!("attachment; filename=\"windflow-audit-{}.{}\"", now.as_datetime().date(), form.format.ending());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form.format.content_type())),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(ApiError::internal)?),
    ];
    let body = Export::new(app, filter, form.format, place).body();
    Ok((headers, lease.limit(body)).into_response())
}

/// Walks the chain of the records and tells whether all of it fits.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "identity", params(VerifyQuery), responses(
    (status = 200, description = "What was found", body = Verification),
    (status = 400, description = "What is expected is no record's number and hash"),
))]
async fn verify_audit(State(app): State<AppState>, Query(query): Query<VerifyQuery>) -> ApiResult<Json<Verification>> {
    let parsed = query.expect.map(|text| text.parse::<Expected>()).transpose();
    let expected = parsed.map_err(|error| ApiError::bad_request("invalid_query", sentence(&error)))?;
    let _turn = app.audit.walks.acquire().await.map_err(ApiError::internal)?;
    let mut tx = app.db.read().await?;
    let found = chain::verify(&mut tx, expected.as_ref()).await?;
    if !found.intact {
        tracing::error!(fault = ?found.fault, expected = ?found.expected, "the audit log does not fit");
    }
    Ok(Json(found))
}
