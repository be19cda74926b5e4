//! What one viewer may hear of: what happens in the environments in which they
//! may do something.

use std::collections::HashSet;

use windflow_protocol::ids::EnvironmentId;

use crate::error::ApiResult;
use crate::http::{Permission, Reach, Visible};
use crate::tunnel::News;

/// The environments of which a viewer hears, by what happens there.
#[derive(Debug)]
pub struct Sight {
    environments: Visible,
    containers: Visible,
    resources: [Visible; 3],
    jobs: Visible,
    activity: Visible,
    /// Those that were looked at in vain.
    strangers: HashSet<EnvironmentId>,
}

impl Sight {
    /// What somebody may hear of who reaches so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(reach: &Reach) -> ApiResult<Self> {
        let permissions = [
            Permission::EnvironmentsView,
            Permission::ContainersView,
            Permission::ImagesView,
            Permission::VolumesView,
            Permission::NetworksView,
            Permission::JobsView,
            Permission::ActivityView,
        ];
        let [environments, containers, images, volumes, networks, jobs, activity] =
            reach.visible_for(permissions).await?;
        let resources = [images, volumes, networks];
        Ok(Self { environments, containers, resources, jobs, activity, strangers: HashSet::new() })
    }

    /// Whether the viewer may hear of this.
    pub fn has(&self, news: &News) -> bool {
        match news {
            News::Environment(id) | News::Agent(_, id) => self.environments.has(Some(*id)),
            News::Container { environment, .. } | News::Containers(environment) => {
                self.containers.has(Some(*environment))
            }
            News::Resources(id) => self.resources.iter().any(|visible| visible.has(Some(*id))),
            News::Job { environment, .. } => self.jobs.has(*environment),
            News::Events(id) => self.activity.has(Some(*id)),
            News::Groups => true,
        }
    }

    /// Whether this tells of an environment that is new to the viewer: it may be
    /// one of theirs. Those that leave or are moved end the viewer's lease.
    pub fn meets_stranger(&mut self, news: &News) -> bool {
        match news {
            News::Environment(id) if !self.environments.has(Some(*id)) => self.strangers.insert(*id),
            _ => false,
        }
    }

    /// Takes another look. Whether more is seen than before.
    pub fn renew(&mut self, newer: Self) -> bool {
        let wider = newer.environments != self.environments;
        let strangers = std::mem::take(&mut self.strangers);
        *self = Self { strangers, ..newer };
        wider
    }
}
