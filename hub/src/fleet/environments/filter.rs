//! Which environments are wanted, and in which order.

use std::cmp::Ordering;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{Environment, EnvironmentGroup, EnvironmentKind, EnvironmentState};
use crate::clock::Timestamp;

/// The word that stands for no group at all.
const NO_GROUP: &str = "none";

/// Which environments to list, and in which order.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EnvironmentFilter {
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only those with this text in their name, their group's name or a label.
    pub search: Option<String>,
    /// Only those in this state now.
    #[param(inline)]
    pub state: Option<WantedState>,
    /// Only those reached in this way.
    #[param(inline)]
    pub kind: Option<EnvironmentKind>,
    /// Only those of the group of this id; `none` for those in no group.
    #[param(value_type = Option<String>)]
    pub group: Option<WantedGroup>,
    /// Only those with this label: `key` or `key=value`.
    pub label: Option<String>,
    /// By `name` unless given; a minus before it turns the order round.
    #[param(inline)]
    pub sort: Option<EnvironmentSort>,
}

/// The states that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WantedState {
    /// A session stands, whatever its engine does.
    Online,
    /// A session stands, and its engine does not answer.
    Degraded,
    /// There is no session.
    Offline,
    /// Its agent waits for an administrator's approval.
    Pending,
    /// Its agent's identity may have been copied.
    Quarantined,
    /// Its agent was revoked.
    Revoked,
}

/// A group, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum WantedGroup {
    /// Those that are in no group.
    None,
    /// Those of this group.
    Of(Uuid),
}

/// The text is neither an id nor `none`.
#[derive(Debug, thiserror::Error)]
#[error("group must be the id of a group, or none")]
pub struct InvalidGroup;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum EnvironmentSort {
    /// By name, from A to Z.
    #[default]
    #[serde(rename = "name")]
    Name,
    /// From Z to A.
    #[serde(rename = "-name")]
    NameDown,
    /// By group, those in none last, then by name.
    #[serde(rename = "group")]
    Group,
    /// Those first that need somebody most, then by name.
    #[serde(rename = "state")]
    State,
    /// Those first that need nobody, then by name.
    #[serde(rename = "-state")]
    StateDown,
    /// Those first that were away longest.
    #[serde(rename = "last_seen")]
    LastSeen,
    /// Those first that were seen last.
    #[serde(rename = "-last_seen")]
    LastSeenDown,
    /// Those first that run the fewest containers.
    #[serde(rename = "running")]
    Running,
    /// Those first that run the most containers.
    #[serde(rename = "-running")]
    RunningDown,
}

impl TryFrom<String> for WantedGroup {
    type Error = InvalidGroup;

    fn try_from(text: String) -> Result<Self, InvalidGroup> {
        if text == NO_GROUP {
            return Ok(Self::None);
        }
        text.parse().map(Self::Of).map_err(|_| InvalidGroup)
    }
}

impl WantedGroup {
    fn has(self, environment: &Environment) -> bool {
        let group = environment.group.as_ref().map(|group| group.id);
        match self {
            Self::None => group.is_none(),
            Self::Of(wanted) => group == Some(wanted),
        }
    }
}

impl WantedState {
    fn is_of(self, environment: &Environment) -> bool {
        match self {
            Self::Online => environment.state == EnvironmentState::Online,
            Self::Degraded => environment.is_degraded(),
            Self::Offline => environment.state == EnvironmentState::Offline,
            Self::Pending => environment.state == EnvironmentState::Pending,
            Self::Quarantined => environment.state == EnvironmentState::Quarantined,
            Self::Revoked => environment.state == EnvironmentState::Revoked,
        }
    }
}

impl EnvironmentFilter {
    /// Whether this environment is wanted; the name was looked at before.
    pub fn wants(&self, environment: &Environment) -> bool {
        self.state.is_none_or(|state| state.is_of(environment))
            && self.kind.is_none_or(|kind| kind == environment.kind)
            && self.group.is_none_or(|group| group.has(environment))
            && self.label.as_ref().is_none_or(|label| environment.labels.have(label))
            && self.search.as_ref().is_none_or(|text| is_found(environment, &text.to_lowercase()))
    }
}

fn is_found(environment: &Environment, text: &str) -> bool {
    let group = environment.group.as_ref().map(|group| group.name.as_str());
    let names = [Some(environment.name.as_str()), group];
    let mut labels = environment.labels.iter().map(|(key, value)| format!("{key}={value}"));
    names.into_iter().flatten().any(|name| name.to_lowercase().contains(text))
        || labels.any(|label| label.to_lowercase().contains(text))
}

/// An environment with what it is compared by.
struct Keyed {
    name: String,
    group: (bool, String),
    environment: Environment,
}

impl From<Environment> for Keyed {
    fn from(environment: Environment) -> Self {
        let name = environment.name.as_str().to_lowercase();
        Self { name, group: by_name(environment.group.as_ref()), environment }
    }
}

impl EnvironmentSort {
    /// Brings environments into this order.
    pub fn arrange(self, environments: Vec<Environment>) -> Vec<Environment> {
        let mut keyed: Vec<Keyed> = environments.into_iter().map(Keyed::from).collect();
        keyed.sort_by(|one, other| self.order(one, other));
        keyed.into_iter().map(|keyed| keyed.environment).collect()
    }

    fn order(self, one: &Keyed, other: &Keyed) -> Ordering {
        let by_name = || one.name.cmp(&other.name).then(one.environment.id.0.cmp(&other.environment.id.0));
        let (first, second) = (&one.environment, &other.environment);
        match self {
            Self::Name => by_name(),
            Self::NameDown => by_name().reverse(),
            Self::Group => one.group.cmp(&other.group).then_with(by_name),
            Self::State => urgency(first).cmp(&urgency(second)).then_with(by_name),
            Self::StateDown => urgency(second).cmp(&urgency(first)).then_with(by_name),
            Self::LastSeen => seen(first).cmp(&seen(second)).then_with(by_name),
            Self::LastSeenDown => seen(second).cmp(&seen(first)).then_with(by_name),
            Self::Running => running(first).cmp(&running(second)).then_with(by_name),
            Self::RunningDown => running(second).cmp(&running(first)).then_with(by_name),
        }
    }
}

/// By what groups are compared: their name; no group at all comes last.
pub fn by_name(group: Option<&EnvironmentGroup>) -> (bool, String) {
    let name = group.map(|group| group.name.to_lowercase());
    (name.is_none(), name.unwrap_or_default())
}

/// Those with a session are seen now, all of them alike.
fn seen(environment: &Environment) -> (bool, Option<Timestamp>) {
    let is_present = environment.transport.is_some();
    (is_present, environment.last_seen.filter(|_| !is_present))
}

fn running(environment: &Environment) -> u32 {
    environment.container_states.map(|states| states.running).unwrap_or_default()
}

/// The lower, the sooner somebody should look.
fn urgency(environment: &Environment) -> u8 {
    match environment.state {
        EnvironmentState::Offline => 0,
        EnvironmentState::Online if environment.is_degraded() => 1,
        EnvironmentState::Quarantined => 2,
        EnvironmentState::Pending => 3,
        EnvironmentState::Online => 4,
        EnvironmentState::Revoked => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use windflow_protocol::ids::EnvironmentId;

    use super::super::model::EnvironmentName;
    use super::super::{ContainerStates, Labels};
    use super::*;

    fn environment(name: &str) -> Environment {
        Environment {
            id: EnvironmentId::generate(),
            name: EnvironmentName::parse(name).unwrap(),
            kind: EnvironmentKind::Edge,
            state: EnvironmentState::Online,
            group: None,
            transport: None,
            rtt_ms: None,
            engine: Some("running"),
            engine_version: None,
            os: None,
            arch: None,
            containers: None,
            host: None,
            container_states: None,
            last_event: None,
            policy: None,
            agent_version: None,
            last_seen: None,
            address: None,
            insecure: false,
            record_terminals: false,
            labels: Labels::default(),
        }
    }

    fn in_group(name: &str, group: &str) -> Environment {
        let group = EnvironmentGroup { id: Uuid::nil(), name: group.to_owned() };
        Environment { group: Some(group), ..environment(name) }
    }

    fn sorted(sort: EnvironmentSort, all: Vec<Environment>) -> Vec<String> {
        sort.arrange(all).iter().map(|environment| environment.name.to_string()).collect()
    }

    #[test]
    fn a_filter_looks_at_state_group_label_and_text() {
        let labels = BTreeMap::from([("site".to_owned(), "Fra".to_owned())]);
        let web = Environment { labels: Labels::parse(labels).unwrap(), ..in_group("Web-1", "Paris") };
        let wants = |query: &str| {
            let uri: axum::http::Uri = format!("/?{query}").parse().unwrap();
            axum::extract::Query::<EnvironmentFilter>::try_from_uri(&uri).unwrap().wants(&web)
        };
        for query in
            ["", "search=eB-", "search=PARIS", "search=site=fr", "label=site", "label=site=Fra", "state=online"]
        {
            assert!(wants(query), "{query}");
        }
        assert!(wants(&format!("group={}", Uuid::nil())));
        for query in ["search=ams", "label=site=fra", "group=none", "state=degraded", "state=offline", "kind=tcp"] {
            assert!(!wants(query), "{query}");
        }
        let absent = Environment { engine: Some("absent"), ..web };
        let degraded = EnvironmentFilter { state: Some(WantedState::Degraded), ..Default::default() };
        assert!(degraded.wants(&absent));
        assert!(!degraded.wants(&Environment { state: EnvironmentState::Offline, ..absent }));
    }

    #[test]
    fn a_group_is_an_id_or_none() {
        assert_eq!(WantedGroup::try_from("none".to_owned()).ok(), Some(WantedGroup::None));
        assert!(WantedGroup::try_from("paris".to_owned()).is_err());
    }

    #[test]
    fn environments_stand_by_group_and_those_of_none_come_last() {
        let all = vec![environment("a"), in_group("d", "paris"), in_group("b", "Paris"), in_group("c", "lyon")];
        assert_eq!(sorted(EnvironmentSort::Group, all.clone()), ["c", "b", "d", "a"]);
        assert_eq!(sorted(EnvironmentSort::NameDown, all), ["d", "c", "b", "a"]);
    }

    #[test]
    fn what_needs_somebody_comes_first_and_what_runs_most() {
        let away = Environment { state: EnvironmentState::Offline, ..environment("z") };
        let degraded = Environment { engine: Some("unresponsive"), ..environment("y") };
        let busy = ContainerStates { running: 7, ..ContainerStates::default() };
        let busy = Environment { container_states: Some(busy), ..environment("b") };
        let all = vec![environment("a"), busy, degraded, away];
        assert_eq!(sorted(EnvironmentSort::State, all.clone()), ["z", "y", "a", "b"]);
        assert_eq!(sorted(EnvironmentSort::RunningDown, all), ["b", "a", "y", "z"]);
    }
}
