//! The live channel's route.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;

use super::records::Records;
use super::sight::Sight;
use super::viewer::{self, MESSAGE_MAX, MayHear};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Lease, Principal, Reach, Routes, websocket};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add_raw(Access::SignedIn, "GET", "/api/v1/live", get(open_live_channel))
}

async fn open_live_channel(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    reach: Reach,
    mut request: Request,
) -> ApiResult<Response> {
    let (answer, opening) = websocket::accept(&mut request, MESSAGE_MAX)?;
    let user = caller.principal.as_ref().and_then(Principal::user).map(|user| user.id);
    let place = app.live.places.take(user).ok_or_else(|| {
        ApiError::unavailable("too_many_viewers", "Too many live channels are open. Close some of your windows.")
    })?;
    let may_hear = MayHear { records: Records::of(&app, &caller), sight: Sight::of(&reach).await?, reach };
    let shared = Arc::clone(&app);
    app.lifecycle.tasks.spawn(async move {
        let _place = place;
        if let Some(socket) = opening.open().await {
            viewer::serve(&shared, lease, may_hear, socket).await;
        }
    });
    Ok(answer)
}
