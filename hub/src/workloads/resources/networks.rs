//! Networks.

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
    routes.add(Access::Somewhere(Permission::NetworksView), routes!(list_networks))
}

/// A network.
#[derive(Debug, Serialize, ToSchema)]
pub struct Network {
    /// Where it is.
    #[serde(flatten)]
    pub place: Whereabouts,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `bridge`, `overlay` and so on.
    pub driver: String,
    /// `local` or `swarm`.
    pub scope: String,
    /// Whether nothing outside can be reached from it.
    pub internal: bool,
    /// Its address ranges, such as `172.18.0.0/16`.
    pub subnets: Vec<String>,
    /// When it was made, where the engine says so.
    pub created_at: Option<Timestamp>,
    /// Its labels; values that look like secrets are masked.
    pub labels: BTreeMap<String, String>,
}

/// Lists the networks of all environments, also those of hosts that are away.
#[utoipa::path(get, path = "/api/v1/networks", tag = "workloads", params(Page, ResourceFilter), responses(
    (status = 200, description = "One page of networks", body = List<Network>),
))]
async fn list_networks(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<ResourceFilter>,
) -> ApiResult<Json<List<Network>>> {
    let show = |network: &report::Network, place| Network {
        place,
        id: network.id.to_string(),
        name: network.name.clone(),
        driver: network.driver.clone(),
        scope: network.scope.clone(),
        internal: network.internal,
        subnets: network.subnets.clone(),
        created_at: network.created_at(),
        labels: shown_labels(&network.labels),
    };
    let visible = reach.visible(Permission::NetworksView).await?;
    Ok(Json(app.list_resources(&filter, &visible, page, show).await?))
}

impl Resource for report::Network {
    type Key = String;

    fn all(things: &Things) -> impl Iterator<Item = &Arc<Self>> {
        things.networks.values()
    }

    fn used_by(container: &report::Container) -> impl Iterator<Item = String> {
        container.networks.iter().map(|attached| attached.network.clone())
    }

    /// Containers are told with the names of their networks.
    fn key(&self) -> String {
        self.name.clone()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str())
    }

    fn id(&self) -> Option<ObjectId> {
        Some(self.id)
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
