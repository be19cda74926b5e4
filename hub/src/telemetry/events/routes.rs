//! The route of what happened.

use axum::extract::State;
use utoipa_axum::routes;

use super::model::{ActivityList, ActivityQuery};
use crate::app::AppState;
use crate::error::ApiResult;
use crate::http::{Access, Caller, Json, Permission, Query, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Somewhere(Permission::ActivityView), routes!(list_activity))
}

/// Lists what happened, newest first: the events of the engines, and for
/// those who may see the audit log also what users did.
#[utoipa::path(get, path = "/api/v1/activity", tag = "workloads", params(ActivityQuery), responses(
    (status = 200, description = "One page of what happened", body = ActivityList),
    (status = 400, description = "A filter, the limit or the cursor is none"),
    (status = 403, description = "What users did needs the permission audit.view"),
))]
async fn list_activity(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Query(query): Query<ActivityQuery>,
) -> ApiResult<Json<ActivityList>> {
    let visible = reach.visible(Permission::ActivityView).await?;
    Ok(Json(app.list_activity(query, &visible, &caller).await?))
}
