//! Images.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use windflow_protocol::message::report::{self, ObjectId};

use super::listing::{Resource, ResourceFilter, Whereabouts, shown_labels};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::ApiResult;
use crate::http::{Access, Json, List, Listing, Page, Permission, Reach, Routes};
use crate::telemetry::inventory::Things;

/// Adds the routes of this module.
pub(super) fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes.add(Access::Somewhere(Permission::ImagesView), routes!(list_images))
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
pub struct Image {
    /// Where it is.
    #[serde(flatten)]
    pub place: Whereabouts,
    /// Its id.
    pub id: String,
    /// What it is called, such as `nginx:1.29`; an image without a name is
    /// what a newer one left over.
    pub tags: Vec<String>,
    /// Where it came from, such as `nginx@sha256:…`.
    pub digests: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// What it takes on the disk, shared layers included, in bytes.
    pub size: u64,
    /// Its labels; values that look like secrets are masked.
    pub labels: BTreeMap<String, String>,
}

/// Lists the images of all environments, also those of hosts that are away.
#[utoipa::path(get, path = "/api/v1/images", tag = "workloads", params(Page, ResourceFilter), responses(
    (status = 200, description = "One page of images", body = List<Image>),
))]
async fn list_images(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<ResourceFilter>,
) -> ApiResult<Json<List<Image>>> {
    let show = |image: &report::Image, place| Image {
        place,
        id: format!("sha256:{}", image.id),
        tags: image.tags.clone(),
        digests: image.digests.clone(),
        created_at: image.created_at(),
        size: image.size,
        labels: shown_labels(&image.labels),
    };
    let visible = reach.visible(Permission::ImagesView).await?;
    Ok(Json(app.list_resources(&filter, &visible, page, show).await?))
}

impl Resource for report::Image {
    type Key = ObjectId;

    fn all(things: &Things) -> impl Iterator<Item = &Arc<Self>> {
        things.images.values()
    }

    fn used_by(container: &report::Container) -> impl Iterator<Item = ObjectId> {
        container.image_id.into_iter()
    }

    fn key(&self) -> ObjectId {
        self.id
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().chain(&self.digests).map(String::as_str)
    }

    fn id(&self) -> Option<ObjectId> {
        Some(self.id)
    }

    fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    fn created_at(&self) -> Option<Timestamp> {
        Timestamp::from_seconds(self.created_at)
    }

    fn size(&self) -> Option<u64> {
        Some(self.size)
    }
}
