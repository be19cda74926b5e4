//! Volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use windflow_protocol::message::report::{self, ObjectId};

use super::listing::{Resource, ResourceFilter, Whereabouts, shown_labels, written_time};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::ApiResult;
use crate::http::{Access, Json, List, Listing, Page, Permission, Reach, Routes};
use crate::telemetry::inventory::Things;

/// Adds the routes of this module.
pub(super) fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Somewhere(Permission::VolumesView), routes!(list_volumes))
}

/// A volume.
#[derive(Debug, Serialize, ToSchema)]
pub struct Volume {
    /// Where it is.
    #[serde(flatten)]
    pub place: Whereabouts,
    /// Its name.
    pub name: String,
    /// What keeps it, such as `local`.
    pub driver: String,
    /// Where it is on the host.
    pub path: String,
    /// When it was made, where the engine says so.
    pub created_at: Option<Timestamp>,
    /// Its labels; values that look like secrets are masked.
    pub labels: BTreeMap<String, String>,
}

/// Lists the volumes of all environments, also those of hosts that are away.
#[utoipa::path(get, path = "/api/v1/volumes", tag = "workloads", params(Page, ResourceFilter), responses(
    (status = 200, description = "One page of volumes", body = List<Volume>),
))]
async fn list_volumes(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<ResourceFilter>,
) -> ApiResult<Json<List<Volume>>> {
    let show = |volume: &report::Volume, place| Volume {
        place,
        name: volume.name.clone(),
        driver: volume.driver.clone(),
        path: volume.path.clone(),
        created_at: volume.created_at(),
        labels: shown_labels(&volume.labels),
    };
    let visible = reach.visible(Permission::VolumesView).await?;
    Ok(Json(app.list_resources(&filter, &visible, page, show).await?))
}

impl Resource for report::Volume {
    type Key = String;

    fn all(things: &Things) -> impl Iterator<Item = &Arc<Self>> {
        things.volumes.values()
    }

    fn used_by(container: &report::Container) -> impl Iterator<Item = String> {
        { container.mounts.iter() }.filter(|mount| mount.kind == "volume").map(|mount| mount.source.clone())
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str())
    }

    fn id(&self) -> Option<ObjectId> {
        None
    }

    fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    fn created_at(&self) -> Option<Timestamp> {
        written_time(&self.created_at)
    }

    fn size(&self) -> Option<u64> {
        None
    }
}
