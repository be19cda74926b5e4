//! What a container is, as the API shows it, and which are wanted in which
//! order.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report;

use super::masking::{mask_named, mask_text};
use crate::clock::Timestamp;
use crate::telemetry::inventory::{has_label, label_of};
use crate::telemetry::metrics::ContainerUse;

/// The labels by which Compose marks its containers.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// One container of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Container {
    /// The environment it is in.
    pub environment_id: Uuid,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it was made from.
    pub image: String,
    /// The id of its image, where the engine says so.
    pub image_id: Option<String>,
    /// The command that it runs; words that look like secrets are masked.
    pub command: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or
    /// `dead`, in the engine's own word.
    pub state: String,
    /// `healthy`, `unhealthy` or `starting`, where something is checked.
    pub health: Option<String>,
    /// How its last run ended, where it does not run.
    pub exit_code: Option<i32>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// How often its engine has restarted it.
    pub restarts: u32,
    /// The ports it offers.
    pub ports: Vec<Port>,
    /// The networks it is in.
    pub networks: Vec<Attachment>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// The Compose project it belongs to.
    pub project: Option<String>,
    /// The Compose service it is an instance of.
    pub service: Option<String>,
    /// Its labels; values that look like secrets are masked.
    pub labels: BTreeMap<String, String>,
    /// What it uses now, while that is measured.
    pub usage: Option<ContainerUse>,
    /// When this was so; null where it is so now.
    pub as_of: Option<Timestamp>,
}

/// A container in a list over all environments.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FleetContainer {
    /// What the environment is called that it is in.
    pub environment_name: String,
    /// The container.
    #[serde(flatten)]
    pub container: Container,
}

/// One port of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Port {
    /// The host's address it is published at.
    pub address: Option<String>,
    /// Its number in the container.
    pub private: u16,
    /// Its number on the host, where it is published.
    pub public: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A container in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The container's address there, while it runs.
    pub address: Option<String>,
}

/// Something mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The volume's name, or the path on the host.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// Which containers to list, and in which order.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContainerFilter {
    /// Only those with this text in their name, image or Compose project, or
    /// at the start of their id.
    pub search: Option<String>,
    /// Only those in this state, such as `running`.
    pub state: Option<String>,
    /// Only those with this label: `key` or `key=value`.
    pub label: Option<String>,
    /// By `name` unless given; a minus before it turns the order round.
    #[param(inline)]
    pub sort: Option<Sort>,
}

/// The same over all environments.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FleetFilter {
    /// Only those of this environment.
    pub environment: Option<Uuid>,
    /// Only those with this text in their name, image or Compose project, or
    /// at the start of their id.
    pub search: Option<String>,
    /// Only those in this state, such as `running`.
    pub state: Option<String>,
    /// Only those with this label: `key` or `key=value`.
    pub label: Option<String>,
    /// By `name` unless given; a minus before it turns the order round.
    #[param(inline)]
    pub sort: Option<Sort>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum Sort {
    /// By name, from A to Z.
    #[default]
    #[serde(rename = "name")]
    Name,
    /// From Z to A.
    #[serde(rename = "-name")]
    NameDown,
    /// By state, then by name.
    #[serde(rename = "state")]
    State,
    /// The oldest first.
    #[serde(rename = "created_at")]
    Created,
    /// The newest first.
    #[serde(rename = "-created_at")]
    CreatedDown,
    /// By state from the end, then by name.
    #[serde(rename = "-state")]
    StateDown,
    /// By image, then by name.
    #[serde(rename = "image")]
    Image,
    /// By image from the end, then by name.
    #[serde(rename = "-image")]
    ImageDown,
    /// Those that were started first.
    #[serde(rename = "started_at")]
    Started,
    /// Those that were started last.
    #[serde(rename = "-started_at")]
    StartedDown,
    /// Those that were restarted least.
    #[serde(rename = "restarts")]
    Restarts,
    /// Those that were restarted most.
    #[serde(rename = "-restarts")]
    RestartsDown,
    /// Those that use the least of a processor now; unknown ones before them.
    #[serde(rename = "cpu")]
    Cpu,
    /// Those that use the most of a processor now.
    #[serde(rename = "-cpu")]
    CpuDown,
    /// Those that use the least memory now; unknown ones before them.
    #[serde(rename = "memory")]
    Memory,
    /// Those that use the most memory now.
    #[serde(rename = "-memory")]
    MemoryDown,
}

impl From<FleetFilter> for (Option<Uuid>, ContainerFilter) {
    fn from(filter: FleetFilter) -> Self {
        let FleetFilter { environment, search, state, label, sort } = filter;
        (environment, ContainerFilter { search, state, label, sort })
    }
}

impl ContainerFilter {
    /// Whether this container is wanted.
    pub fn wants(&self, container: &report::Container) -> bool {
        let state = self.state.as_ref().is_none_or(|state| container.state.eq_ignore_ascii_case(state));
        let label = || self.label.as_ref().is_none_or(|label| has_label(&container.labels, label));
        state && label() && self.search.as_ref().is_none_or(|text| is_found(container, &text.to_lowercase()))
    }
}

fn is_found(container: &report::Container, text: &str) -> bool {
    let texts = [Some(container.name.as_str()), Some(&container.image), label_of(&container.labels, PROJECT)];
    let starts = || container.id.to_string().starts_with(text);
    texts.into_iter().flatten().any(|place| place.to_lowercase().contains(text)) || starts()
}

impl Sort {
    /// The order of two containers by what they use.
    pub fn order_of_use(self, one: Option<&ContainerUse>, other: Option<&ContainerUse>) -> Ordering {
        let cpu = |usage: Option<&ContainerUse>| usage.and_then(|usage| usage.cpu_percent).unwrap_or(-1.0);
        let memory = |usage: Option<&ContainerUse>| usage.and_then(|usage| usage.memory_bytes);
        match self {
            Self::Cpu => cpu(one).total_cmp(&cpu(other)),
            Self::CpuDown => cpu(other).total_cmp(&cpu(one)),
            Self::Memory => memory(one).cmp(&memory(other)),
            Self::MemoryDown => memory(other).cmp(&memory(one)),
            Self::Name
            | Self::NameDown
            | Self::State
            | Self::Created
            | Self::CreatedDown
            | Self::StateDown
            | Self::Image
            | Self::ImageDown
            | Self::Started
            | Self::StartedDown
            | Self::Restarts
            | Self::RestartsDown => Ordering::Equal,
        }
    }

    /// The order of two containers that use the same.
    pub fn order(self, one: &report::Container, other: &report::Container) -> Ordering {
        let by_name = || one.name.to_lowercase().cmp(&other.name.to_lowercase()).then(one.id.cmp(&other.id));
        match self {
            Self::Name | Self::Cpu | Self::CpuDown | Self::Memory | Self::MemoryDown => by_name(),
            Self::NameDown => by_name().reverse(),
            Self::State => one.state.cmp(&other.state).then_with(by_name),
            Self::Created => one.created_at.cmp(&other.created_at).then_with(by_name),
            Self::CreatedDown => other.created_at.cmp(&one.created_at).then_with(by_name),
            Self::StateDown => other.state.cmp(&one.state).then_with(by_name),
            Self::Image => one.image.cmp(&other.image).then_with(by_name),
            Self::ImageDown => other.image.cmp(&one.image).then_with(by_name),
            Self::Started => one.started_at.cmp(&other.started_at).then_with(by_name),
            Self::StartedDown => other.started_at.cmp(&one.started_at).then_with(by_name),
            Self::Restarts => one.restarts.cmp(&other.restarts).then_with(by_name),
            Self::RestartsDown => other.restarts.cmp(&one.restarts).then_with(by_name),
        }
    }
}

impl Container {
    /// A container as it was told of this environment, so long ago.
    pub fn new(environment: EnvironmentId, told: &report::Container, as_of: Option<Timestamp>) -> Self {
        let is_over = matches!(told.state.as_str(), "exited" | "dead" | "stopped");
        Self {
            environment_id: environment.0,
            id: told.id.to_string(),
            name: told.name.clone(),
            image: told.image.clone(),
            image_id: told.image_id.map(|id| format!("sha256:{id}")),
            command: mask_text(&told.command).into_owned(),
            state: told.state.clone(),
            health: filled(&told.health),
            exit_code: is_over.then_some(told.exit_code),
            created_at: Timestamp::from_seconds(told.created_at),
            started_at: Timestamp::from_seconds(told.started_at),
            finished_at: Timestamp::from_seconds(told.finished_at),
            restarts: told.restarts,
            ports: told.ports.iter().map(Port::from).collect(),
            networks: told.networks.iter().map(Attachment::from).collect(),
            mounts: told.mounts.iter().map(Mount::from).collect(),
            project: label_of(&told.labels, PROJECT).map(str::to_owned),
            service: label_of(&told.labels, SERVICE).map(str::to_owned),
            labels: told.labels.iter().map(shown).collect(),
            usage: None,
            as_of,
        }
    }
}

impl From<&report::Port> for Port {
    fn from(told: &report::Port) -> Self {
        let protocol = told.protocol.clone();
        Self { address: filled(&told.address), private: told.private, public: told.public, protocol }
    }
}

impl From<&report::Attachment> for Attachment {
    fn from(told: &report::Attachment) -> Self {
        Self { network: told.network.clone(), address: filled(&told.address) }
    }
}

impl From<&report::Mount> for Mount {
    fn from(told: &report::Mount) -> Self {
        let report::Mount { kind, source, target, writable } = told.clone();
        Self { kind, source, target, writable }
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn shown((name, value): &(String, String)) -> (String, String) {
    (name.clone(), mask_named(name, value).into_owned())
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::report::ObjectId;

    use super::*;

    fn told(name: &str, state: &str, labels: &[(&str, &str)]) -> report::Container {
        report::Container {
            id: ObjectId([0xab; 32]),
            name: name.to_owned(),
            image: "repo/nginx".to_owned(),
            state: state.to_owned(),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..report::Container::default()
        }
    }

    #[test]
    fn a_container_is_shown_as_it_was_told() {
        let labels = [("com.docker.compose.project", "shop"), ("com.docker.compose.service", "web")];
        let mut container = told("web-1", "running", &labels);
        container.created_at = 1_750_000_000;
        container.health = "healthy".to_owned();
        let environment = EnvironmentId::generate();
        let shown = Container::new(environment, &container, None);
        assert_eq!((shown.project.as_deref(), shown.service.as_deref()), (Some("shop"), Some("web")));
        assert_eq!(shown.created_at.unwrap().to_string(), "2025-06-15T15:06:40Z");
        assert_eq!((shown.exit_code, shown.finished_at), (None, None));
        container.state = "exited".to_owned();
        container.exit_code = 137;
        assert_eq!(Container::new(environment, &container, None).exit_code, Some(137));
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        let mut container = told("web-1", "running", &[("api.key", "hush"), ("tier", "front")]);
        container.command = "serve --password=hush".to_owned();
        let shown = Container::new(EnvironmentId::generate(), &container, None);
        assert_eq!((shown.labels["api.key"].as_str(), shown.labels["tier"].as_str()), ("********", "front"));
        assert_eq!(shown.command, "serve --password=********");
    }

    #[test]
    fn a_container_that_was_restarted_more_often_comes_first_where_that_is_asked() {
        let (quiet, mut restless) = (told("a", "running", &[]), told("b", "running", &[]));
        restless.restarts = 3;
        assert_eq!(Sort::RestartsDown.order(&restless, &quiet), Ordering::Less);
        assert_eq!(Sort::Restarts.order(&restless, &quiet), Ordering::Greater);
    }

    #[test]
    fn a_filter_looks_at_name_image_project_id_state_and_label() {
        let container = told("Web", "exited", &[("tier", "front"), (PROJECT, "shop")]);
        let wants =
            |search: &str| ContainerFilter { search: Some(search.into()), ..Default::default() }.wants(&container);
        assert!(wants("wEb") && wants("nginx") && wants("abab") && wants("SHOP") && wants(""));
        assert!(!wants("bab") && !wants("apache"));
        let in_state =
            |state: &str| ContainerFilter { state: Some(state.into()), ..Default::default() }.wants(&container);
        assert!(in_state("exited") && !in_state("running"));
        let with = |label: &str| ContainerFilter { label: Some(label.into()), ..Default::default() }.wants(&container);
        assert!(with("tier") && with("tier=front") && !with("tier=back") && !with("tie"));
    }
}
