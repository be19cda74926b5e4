//! The containers that are known.

use std::time::Duration;

use tokio::time::timeout;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::control::EngineStatus;

use super::model::{Container, ContainerFilter, FleetContainer, FleetFilter};
use crate::app::App;
use crate::clock::Timestamp;
use crate::docker::{ContainerId, EngineError};
use crate::error::ApiResult;
use crate::http::{Caller, List, Page, Visible};
use crate::identity::audit::{Action, Actor, Entry};
use crate::telemetry::inventory::Heard;

/// An agent that has just connected must have told what its engine has within
/// this.
const FIRST_DEADLINE: Duration = Duration::from_secs(10);

impl App {
    /// The containers of an environment that match, as its agent told them
    /// last. An agent that has just connected is waited for.
    ///
    /// # Errors
    /// As its session and its engine say, where they have told nothing yet.
    pub(super) async fn list_containers(
        &self,
        environment: EnvironmentId,
        filter: &ContainerFilter,
        page: Page,
    ) -> ApiResult<List<Container>> {
        if self.inventories.of(environment).is_none() {
            self.wait_for_inventory(environment).await?;
        }
        Ok(self.list_known_containers(Some(environment), &Visible::All, filter, page))
    }

    /// The same for all environments that are to be shown, or for one of them;
    /// without those that have told nothing yet.
    ///
    /// # Errors
    /// When the database fails, which knows their names.
    pub(super) async fn list_all_containers(
        &self,
        filter: FleetFilter,
        visible: &Visible,
        page: Page,
    ) -> ApiResult<List<FleetContainer>> {
        let (environment, filter) = filter.into();
        let found = self.list_known_containers(environment.map(EnvironmentId), visible, &filter, page);
        let names = self.fleet.environment_names().await?;
        Ok(found.map(|container| FleetContainer {
            environment_name: names.get(&EnvironmentId(container.environment_id)).cloned().unwrap_or_default(),
            container,
        }))
    }

    fn list_known_containers(
        &self,
        environment: Option<EnvironmentId>,
        visible: &Visible,
        filter: &ContainerFilter,
        page: Page,
    ) -> List<Container> {
        let mut inventories = self.inventories.of_one_or_all(environment);
        inventories.retain(|(environment, _)| visible.has(Some(*environment)));
        let containers = inventories.iter().flat_map(|(environment, heard)| {
            heard.things.containers.values().map(move |container| (*environment, heard, container))
        });
        let wanted = containers.filter(|(_, _, container)| filter.wants(container));
        let mut wanted: Vec<_> = wanted
            .map(|(environment, heard, container)| {
                let usage = self.measurements.of_container(environment, &container.id);
                (environment, heard, container, usage)
            })
            .collect();
        let sort = filter.sort.unwrap_or_default();
        wanted.sort_by(|(_, _, one, one_use), (_, _, other, other_use)| {
            sort.order_of_use(one_use.as_ref(), other_use.as_ref()).then_with(|| sort.order(one, other))
        });
        page.of(wanted).map(|(environment, heard, container, usage)| Container {
            usage,
            ..Container::new(environment, container, self.as_of(environment, heard))
        })
    }

    /// The record of what somebody does with a container: it says what that is
    /// called, which nobody can tell any more once it is removed.
    pub(in crate::workloads) fn container_entry(
        &self,
        caller: &Caller,
        action: Action,
        environment: EnvironmentId,
        container: &ContainerId,
    ) -> Entry {
        let name = self.inventories.name_of(environment, container.as_str());
        Entry::new(&Actor::from(caller), action, container.as_str()).environment(environment).called(name.as_deref())
    }

    /// When what is known of an engine was so; none where it is so now.
    pub(in crate::workloads) fn as_of(&self, environment: EnvironmentId, heard: &Heard) -> Option<Timestamp> {
        let is_told = || self.sessions.of(environment).is_ok_and(|session| session.engine_facts().is_some());
        (heard.is_stale || !is_told()).then_some(heard.at)
    }

    async fn wait_for_inventory(&self, environment: EnvironmentId) -> ApiResult<()> {
        let session = self.session(environment).await?;
        let mut heard = self.inventories.follow(environment);
        if timeout(FIRST_DEADLINE, heard.wait_for(Option::is_some)).await.is_ok() {
            return Ok(());
        }
        let engine = session.engine();
        let absent = matches!(*engine.borrow(), EngineStatus::Absent);
        Err(if absent { EngineError::Absent } else { EngineError::Unresponsive }.into())
    }
}
