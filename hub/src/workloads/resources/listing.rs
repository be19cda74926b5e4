//! What the three lists have in common.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report;

use crate::app::App;
use crate::clock::Timestamp;
use crate::error::ApiResult;
use crate::http::{List, Page, Visible};
use crate::telemetry::inventory::{Things, has_label};
use crate::workloads::containers::mask_named;

/// Where something is, and since when it is not known any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Whereabouts {
    /// The environment it is in.
    pub environment_id: Uuid,
    /// What that is called.
    pub environment_name: String,
    /// How many containers use it, those that do not run included.
    pub containers: usize,
    /// When this was so; null where it is so now.
    pub as_of: Option<Timestamp>,
}

/// Which of them to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResourceFilter {
    /// Only those of this environment.
    pub environment: Option<Uuid>,
    /// Only those with this text in their name, or at the start of their id.
    pub search: Option<String>,
    /// Only those with this label: `key` or `key=value`.
    pub label: Option<String>,
    /// Only those that a container uses, or only those that none does.
    pub used: Option<bool>,
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
    /// The oldest first.
    #[serde(rename = "created_at")]
    Created,
    /// The newest first.
    #[serde(rename = "-created_at")]
    CreatedDown,
    /// The smallest first; what has no size is as small as it can be.
    #[serde(rename = "size")]
    Size,
    /// The largest first.
    #[serde(rename = "-size")]
    SizeDown,
    /// What the fewest containers use first.
    #[serde(rename = "containers")]
    Used,
    /// What the most containers use first.
    #[serde(rename = "-containers")]
    UsedDown,
}

/// Something that agents tell of.
pub trait Resource: Sized + 'static {
    /// What names it where containers use it.
    type Key: Eq + Hash;

    /// All that an engine has.
    fn all(things: &Things) -> impl Iterator<Item = &Arc<Self>>;
    /// What this container uses; twice what it uses twice.
    fn used_by(container: &report::Container) -> impl Iterator<Item = Self::Key>;
    /// What names this one.
    fn key(&self) -> Self::Key;
    /// What it is found by; the first one is its name.
    fn names(&self) -> impl Iterator<Item = &str>;
    /// Its id, where it has one beside its name.
    fn id(&self) -> Option<report::ObjectId>;
    /// Its labels.
    fn labels(&self) -> &[(String, String)];
    /// When it was made, where that is known.
    fn created_at(&self) -> Option<Timestamp>;
    /// What it takes on the disk, in bytes, where that is known.
    fn size(&self) -> Option<u64>;
}

/// One of them in its place.
struct Found<R> {
    environment: EnvironmentId,
    thing: Arc<R>,
    containers: usize,
    as_of: Option<Timestamp>,
}

impl App {
    /// One page of what is wanted and to be shown, made by `show`.
    ///
    /// # Errors
    /// When the database fails, which knows the names of environments.
    pub(super) async fn list_resources<R: Resource, T>(
        &self,
        filter: &ResourceFilter,
        visible: &Visible,
        page: Page,
        show: impl Fn(&R, Whereabouts) -> T,
    ) -> ApiResult<List<T>> {
        let mut found: Vec<Found<R>> = Vec::new();
        let mut inventories = self.inventories.of_one_or_all(filter.environment.map(EnvironmentId));
        inventories.retain(|(environment, _)| visible.has(Some(*environment)));
        for (environment, heard) in inventories {
            let as_of = self.as_of(environment, &heard);
            let users = users::<R>(&heard.things);
            found.extend(R::all(&heard.things).filter_map(|thing| {
                let containers = users.get(&thing.key()).copied().unwrap_or(0);
                let is_wanted = filter.wants(&**thing, containers);
                is_wanted.then(|| Found { environment, thing: Arc::clone(thing), containers, as_of })
            }));
        }
        let sort = filter.sort.unwrap_or_default();
        found.sort_by(|one, other| sort.order(one, other));
        let names = self.fleet.environment_names().await?;
        Ok(page.of(found).map(|found| {
            let environment_name = names.get(&found.environment).cloned().unwrap_or_default();
            let Found { environment, thing, containers, as_of } = found;
            show(&thing, Whereabouts { environment_id: environment.0, environment_name, containers, as_of })
        }))
    }
}

/// How many containers use each.
fn users<R: Resource>(things: &Things) -> HashMap<R::Key, usize> {
    let mut users = HashMap::new();
    for container in things.containers.values() {
        let used: std::collections::HashSet<_> = R::used_by(container).collect();
        for key in used {
            *users.entry(key).or_default() += 1;
        }
    }
    users
}

impl ResourceFilter {
    fn wants<R: Resource>(&self, thing: &R, containers: usize) -> bool {
        self.used.is_none_or(|used| used == (containers > 0))
            && self.label.as_ref().is_none_or(|label| has_label(thing.labels(), label))
            && self.search.as_ref().is_none_or(|text| is_found(thing, &text.to_lowercase()))
    }
}

fn is_found<R: Resource>(thing: &R, text: &str) -> bool {
    let starts = || thing.id().is_some_and(|id| id.to_string().starts_with(text.trim_start_matches("sha256:")));
    thing.names().any(|name| name.to_lowercase().contains(text)) || starts()
}

impl Sort {
    fn order<R: Resource>(self, one: &Found<R>, other: &Found<R>) -> Ordering {
        let name = |found: &Found<R>| found.thing.names().next().unwrap_or_default().to_lowercase();
        let by_name = || {
            let by_place = || one.environment.0.cmp(&other.environment.0);
            name(one).cmp(&name(other)).then_with(|| one.thing.id().cmp(&other.thing.id())).then_with(by_place)
        };
        let created = || one.thing.created_at().cmp(&other.thing.created_at());
        let size = || one.thing.size().cmp(&other.thing.size());
        let used = || one.containers.cmp(&other.containers);
        match self {
            Self::Name => by_name(),
            Self::NameDown => by_name().reverse(),
            Self::Created => created().then_with(by_name),
            Self::CreatedDown => created().reverse().then_with(by_name),
            Self::Size => size().then_with(by_name),
            Self::SizeDown => size().reverse().then_with(by_name),
            Self::Used => used().then_with(by_name),
            Self::UsedDown => used().reverse().then_with(by_name),
        }
    }
}

/// Labels as they are shown: values that look like secrets are masked.
pub fn shown_labels(labels: &[(String, String)]) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.clone(), mask_named(name, value).into_owned())).collect()
}

/// A time as an engine writes it (RFC 3339); `None` where it is none.
pub fn written_time(text: &str) -> Option<Timestamp> {
    use time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // Docker writes year one where it does not know.
    (time.unix_timestamp() > 0).then(|| time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_an_engine_does_not_know_is_none() {
        assert_eq!(written_time("2025-06-15T17:06:40.5+02:00").unwrap().to_string(), "2025-06-15T15:06:40.5Z");
        for none in ["", "0001-01-01T00:00:00Z", "yesterday"] {
            assert_eq!(written_time(none), None, "{none}");
        }
    }
}
