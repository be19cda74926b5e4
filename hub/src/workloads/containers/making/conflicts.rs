//! What would be in a new container's way, as far as the inventory knows:
//! another of the same name, or one that has its ports.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::Container;

use crate::app::App;
use crate::workloads::containers::spec::PublishedPort;

/// Most ports that are asked about at once.
pub const PORTS_MAX: usize = 1024;

/// What a container is to have.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Its name.
    pub name: Option<String>,
    /// Its ports that are published.
    pub ports: Vec<PublishedPort>,
    /// The id of the container that it takes the place of.
    pub instead_of: Option<String>,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Conflicts {
    /// Each of it.
    pub conflicts: Vec<Conflict>,
}

/// One thing that is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Conflict {
    /// `name` or `ports[2]`: what of the request.
    pub field: String,
    /// The id of the container that has it.
    pub container_id: String,
    /// That one's name.
    pub container_name: String,
    /// Whether it runs: a port that is not in use becomes so when it starts.
    pub is_running: bool,
}

impl App {
    /// What would be in a container's way. An environment that has told
    /// nothing yet has nothing in it.
    pub(super) fn find_conflicts(&self, environment: EnvironmentId, wanted: &Wanted) -> Conflicts {
        let Some(heard) = self.inventories.of(environment) else {
            return Conflicts { conflicts: Vec::new() };
        };
        let others = heard.things.containers.values();
        let others = others.filter(|other| wanted.instead_of.as_deref() != Some(other.id.to_string().as_str()));
        Conflicts { conflicts: others.flat_map(|other| with_one(wanted, other)).collect() }
    }
}

fn with_one(wanted: &Wanted, other: &Container) -> Vec<Conflict> {
    let conflict = |field: String| Conflict {
        field,
        container_id: other.id.to_string(),
        container_name: other.name.clone(),
        is_running: is_running(other),
    };
    let name = wanted.name.as_deref().filter(|name| *name == other.name).map(|_| conflict("name".to_owned()));
    let ports = wanted.ports.iter().enumerate().take(PORTS_MAX);
    let ports = ports.filter(|(_, port)| other.ports.iter().any(|taken| collides(port, taken)));
    name.into_iter().chain(ports.map(|(index, _)| conflict(format!("ports[{index}]")))).collect()
}

fn is_running(container: &Container) -> bool {
    matches!(container.state.as_str(), "running" | "paused" | "restarting")
}

/// Whether two containers cannot both have a port. Of a range, a free one is
/// found.
fn collides(port: &PublishedPort, taken: &windflow_protocol::message::report::Port) -> bool {
    let is_same = port.host_port.is_some() && port.host_port == taken.public && port.host_port_end.is_none();
    is_same && port.protocol.as_str() == taken.protocol && overlaps(port.host_ip, taken.address.parse().ok())
}

/// Whether two addresses of a host mean a same one; none is all of them.
fn overlaps(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (None, _) | (_, None) => true,
        (Some(one), Some(other)) if one.is_ipv4() == other.is_ipv4() => {
            one == other || one.is_unspecified() || other.is_unspecified()
        }
        (Some(_), Some(_)) => false,
    }
}
