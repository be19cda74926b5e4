//! All environments in numbers: how many are how, what runs on them, and the
//! groups they are in.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::filter::by_name;
use super::model::{Environment, EnvironmentGroup, EnvironmentState};
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
    /// All of them.
    pub total: u32,
}

impl EnvironmentCounts {
    fn add(&mut self, environment: &Environment) {
        let count = match environment.state {
            EnvironmentState::Online if environment.is_degraded() => &mut self.degraded,
            EnvironmentState::Online => &mut self.online,
            EnvironmentState::Offline => &mut self.offline,
            EnvironmentState::Pending => &mut self.pending,
            EnvironmentState::Quarantined => &mut self.quarantined,
            EnvironmentState::Revoked => &mut self.revoked,
        };
        *count += 1;
        self.total += 1;
    }
}

impl Overview {
    /// The numbers of environments in any order.
    pub fn of(environments: &[Environment]) -> Self {
        let mut overview = Self::default();
        let mut groups: HashMap<Option<Uuid>, GroupCounts> = HashMap::new();
        for environment in environments {
            // What an engine has that does not answer, or is away, is not known to be so.
            let is_present = environment.state == EnvironmentState::Online && !environment.is_degraded();
            let containers = environment.container_states.filter(|_| is_present).unwrap_or_default();
            overview.environments.add(environment);
            overview.containers.add(containers);
            let group = groups
                .entry(environment.group.as_ref().map(|group| group.id))
                .or_insert_with(|| GroupCounts { group: environment.group.clone(), ..GroupCounts::default() });
            group.environments.add(environment);
            group.containers.add(containers);
        }
        overview.groups = groups.into_values().collect();
        overview.groups.sort_by_cached_key(|counts| by_name(counts.group.as_ref()));
        overview
    }
}
