//! All environments in numbers: how many are how, what runs on them, and the
//! groups they are in.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::filter::by_name;
use super::model::{EnvironmentGroup, EnvironmentState, Glance};
use super::told::ContainerStates;

/// The environments that match, in numbers.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Overview {
    /// How many environments are how.
    pub environments: EnvironmentCounts,
    /// The containers of those that are online.
    pub containers: ContainerStates,
    /// The groups, in the order in which a list by `group` has their
    /// environments; those in none last. Without groups that have none here.
    pub groups: Vec<GroupCounts>,
}

/// A group in numbers.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct GroupCounts {
    /// The group; null for the environments in none.
    pub group: Option<EnvironmentGroup>,
    /// How many of its environments are how.
    pub environments: EnvironmentCounts,
    /// The containers of those that are online.
    pub containers: ContainerStates,
}

/// How many environments are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct EnvironmentCounts {
    /// Online, and their engine answers.
    pub online: u32,
    /// Online, and their engine does not answer.
    pub degraded: u32,
    /// Offline.
    pub offline: u32,
    /// Waiting for approval.
    pub pending: u32,
    /// Set aside, since their identity may have been copied.
    pub quarantined: u32,
    /// Shut out.
    pub revoked: u32,
    /// With something to look at; they count as what they are besides.
    pub alerting: u32,
    /// All of them.
    pub total: u32,
}

impl EnvironmentCounts {
    fn add(&mut self, glance: &Glance<'_>) {
        let count = match glance.state {
            EnvironmentState::Online if glance.is_degraded() => &mut self.degraded,
            EnvironmentState::Online => &mut self.online,
            EnvironmentState::Offline => &mut self.offline,
            EnvironmentState::Pending => &mut self.pending,
            EnvironmentState::Quarantined => &mut self.quarantined,
            EnvironmentState::Revoked => &mut self.revoked,
        };
        *count += 1;
        self.alerting += u32::from(!glance.alerts.is_empty());
        self.total += 1;
    }
}

impl Overview {
    /// The numbers of environments in any order.
    pub fn of(glances: &[Glance<'_>]) -> Self {
        let mut overview = Self::default();
        let mut groups: HashMap<Option<Uuid>, GroupCounts> = HashMap::new();
        for glance in glances {
            let containers = glance.present_containers().unwrap_or_default();
            overview.environments.add(glance);
            overview.containers.add(containers);
            let group = groups.entry(glance.row.group_id).or_insert_with(|| {
                let group = glance.row.group_id.zip(glance.row.group_name.clone());
                GroupCounts { group: group.map(|(id, name)| EnvironmentGroup { id, name }), ..GroupCounts::default() }
            });
            group.environments.add(glance);
            group.containers.add(containers);
        }
        overview.groups = groups.into_values().collect();
        overview.groups.sort_by_cached_key(|counts| by_name(counts.group.as_ref().map(|group| group.name.as_str())));
        overview
    }
}
