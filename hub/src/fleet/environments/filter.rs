//! Which environments are wanted, and in which order.

use std::cmp::Ordering;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::labels;
use super::model::{EnvironmentKind, EnvironmentState, Glance};
use super::store::EnvironmentRow;
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
    /// There is something to look at, such as a full disk.
    Alerting,
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
    fn has(self, row: &EnvironmentRow) -> bool {
        match self {
            Self::None => row.group_id.is_none(),
            Self::Of(wanted) => row.group_id == Some(wanted),
        }
    }
}

impl WantedState {
    fn is_of(self, glance: &Glance<'_>) -> bool {
        match self {
            Self::Online => glance.state == EnvironmentState::Online,
            Self::Degraded => glance.is_degraded(),
            Self::Alerting => !glance.alerts.is_empty(),
            Self::Offline => glance.state == EnvironmentState::Offline,
            Self::Pending => glance.state == EnvironmentState::Pending,
            Self::Quarantined => glance.state == EnvironmentState::Quarantined,
            Self::Revoked => glance.state == EnvironmentState::Revoked,
        }
    }
}

impl EnvironmentFilter {
    /// Whether an environment is wanted by what is stored of it.
    pub fn wants_row(&self, row: &EnvironmentRow) -> bool {
        self.name.as_ref().is_none_or(|name| row.name.eq_ignore_ascii_case(name))
            && self.kind.is_none_or(|kind| kind == row.kind())
            && self.group.is_none_or(|group| group.has(row))
            && self.label.as_ref().is_none_or(|label| labels::have(&row.labels, label))
            && self.search.as_ref().is_none_or(|text| is_found(row, &text.to_lowercase()))
    }

    /// Whether it is wanted by how it is now as well.
    pub fn wants(&self, glance: &Glance<'_>) -> bool {
        self.state.is_none_or(|state| state.is_of(glance))
    }
}

fn is_found(row: &EnvironmentRow, text: &str) -> bool {
    let names = [Some(row.name.as_str()), row.group_name.as_deref()];
    let mut labels = row.labels.iter().map(|(key, value)| format!("{key}={value}"));
    names.into_iter().flatten().any(|name| name.to_lowercase().contains(text))
        || labels.any(|label| label.to_lowercase().contains(text))
}

/// An environment with what it is compared by.
struct Keyed<'a> {
    name: String,
    group: (bool, String),
    glance: Glance<'a>,
}

impl EnvironmentSort {
    /// Brings environments into this order.
    pub fn arrange(self, glances: Vec<Glance<'_>>) -> Vec<Glance<'_>> {
        let mut keyed: Vec<Keyed<'_>> = glances.into_iter().map(|glance| self.keyed(glance)).collect();
        keyed.sort_by(|one, other| self.order(one, other));
        keyed.into_iter().map(|keyed| keyed.glance).collect()
    }

    fn keyed(self, glance: Glance<'_>) -> Keyed<'_> {
        let group = match self {
            Self::Group => by_name(glance.row.group_name.as_deref()),
            _ => (false, String::new()),
        };
        Keyed { name: glance.row.name.to_lowercase(), group, glance }
    }

    fn order(self, one: &Keyed<'_>, other: &Keyed<'_>) -> Ordering {
        let (first, second) = (&one.glance, &other.glance);
        let by_name = || one.name.cmp(&other.name).then(first.row.id.cmp(&second.row.id));
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
pub fn by_name(group: Option<&str>) -> (bool, String) {
    (group.is_none(), group.map(str::to_lowercase).unwrap_or_default())
}

/// Those with a session are seen now, all of them alike.
fn seen(glance: &Glance<'_>) -> (bool, Option<Timestamp>) {
    let is_present = glance.session.is_some();
    (is_present, glance.row.last_seen_at.filter(|_| !is_present))
}

fn running(glance: &Glance<'_>) -> u32 {
    glance.containers.map(|states| states.running).unwrap_or_default()
}

/// The lower, the sooner somebody should look.
fn urgency(glance: &Glance<'_>) -> u8 {
    match glance.state {
        EnvironmentState::Offline => 0,
        EnvironmentState::Online if glance.is_degraded() => 1,
        EnvironmentState::Quarantined => 2,
        EnvironmentState::Pending => 3,
        EnvironmentState::Online if !glance.alerts.is_empty() => 4,
        EnvironmentState::Online => 5,
        EnvironmentState::Revoked => 6,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ContainerStates;
    use super::super::model::Alert;
    use super::*;

    fn row(name: &str) -> EnvironmentRow {
        EnvironmentRow {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            kind: "edge".to_owned(),
            address: None,
            insecure: false,
            record_terminals: false,
            labels: BTreeMap::new().into(),
            group_id: None,
            group_name: None,
            last_seen_at: None,
            agent_version: None,
            engine_version: None,
            agent_state: None,
        }
    }

    fn in_group(name: &str, group: &str) -> EnvironmentRow {
        EnvironmentRow { group_id: Some(Uuid::nil()), group_name: Some(group.to_owned()), ..row(name) }
    }

    /// It is online, as far as can be seen.
    fn online(row: &EnvironmentRow) -> Glance<'_> {
        Glance { state: EnvironmentState::Online, engine: Some("running"), ..Glance::at(row, None, None) }
    }

    fn sorted(sort: EnvironmentSort, all: Vec<Glance<'_>>) -> Vec<&str> {
        sort.arrange(all).iter().map(|glance| glance.row.name.as_str()).collect()
    }

    #[test]
    fn a_filter_looks_at_state_group_label_and_text() {
        let labels = BTreeMap::from([("site".to_owned(), "Fra".to_owned())]);
        let web = EnvironmentRow { labels: labels.into(), ..in_group("Web-1", "Paris") };
        let glance = online(&web);
        let wants = |query: &str| {
            let uri: axum::http::Uri = format!("/?{query}").parse().unwrap();
            let filter = axum::extract::Query::<EnvironmentFilter>::try_from_uri(&uri).unwrap();
            filter.wants_row(&web) && filter.wants(&glance)
        };
        for query in [
            "",
            "name=wEB-1",
            "search=eB-",
            "search=PARIS",
            "search=site=fr",
            "label=site",
            "label=site=Fra",
            "state=online",
        ] {
            assert!(wants(query), "{query}");
        }
        assert!(wants(&format!("group={}", Uuid::nil())));
        for query in
            ["name=web", "search=ams", "label=site=fra", "group=none", "state=degraded", "state=offline", "kind=tcp"]
        {
            assert!(!wants(query), "{query}");
        }
        let absent = Glance { engine: Some("absent"), ..glance };
        let degraded = EnvironmentFilter { state: Some(WantedState::Degraded), ..Default::default() };
        assert!(degraded.wants(&absent));
        assert!(!degraded.wants(&Glance { state: EnvironmentState::Offline, ..absent }));
    }

    #[test]
    fn a_group_is_an_id_or_none() {
        assert_eq!(WantedGroup::try_from("none".to_owned()).ok(), Some(WantedGroup::None));
        assert!(WantedGroup::try_from("paris".to_owned()).is_err());
    }

    #[test]
    fn environments_stand_by_group_and_those_of_none_come_last() {
        let rows = [row("a"), in_group("d", "paris"), in_group("b", "Paris"), in_group("c", "lyon")];
        let all: Vec<Glance<'_>> = rows.iter().map(online).collect();
        assert_eq!(sorted(EnvironmentSort::Group, all.clone()), ["c", "b", "d", "a"]);
        assert_eq!(sorted(EnvironmentSort::NameDown, all), ["d", "c", "b", "a"]);
    }

    #[test]
    fn what_needs_somebody_comes_first_and_what_runs_most() {
        let rows = ["a", "b", "x", "y", "z"].map(row);
        let [quiet, busy, sick, silent, away] = rows.each_ref().map(online);
        let busy_states = ContainerStates { running: 7, ..ContainerStates::default() };
        let busy = Glance { containers: Some(busy_states), ..busy };
        let sick = Glance { alerts: vec![Alert::Unhealthy { containers: 1 }], ..sick };
        let silent = Glance { engine: Some("unresponsive"), ..silent };
        let away = Glance { state: EnvironmentState::Offline, ..away };
        let alerting = EnvironmentFilter { state: Some(WantedState::Alerting), ..Default::default() };
        assert!(alerting.wants(&sick) && !alerting.wants(&away));
        let all = vec![quiet, busy, sick, silent, away];
        assert_eq!(sorted(EnvironmentSort::State, all.clone()), ["z", "y", "x", "a", "b"]);
        assert_eq!(sorted(EnvironmentSort::RunningDown, all), ["b", "a", "x", "y", "z"]);
    }
}
