//! What nothing uses on an engine. Containers that go are no users of what
//! they used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::{ApiError, ApiResult};
use crate::tunnel::Session;

/// An engine must have added up what it holds within this: it reads every file
/// of every volume.
const USAGE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// It must have listed what it has within this.
const LIST_DEADLINE: Duration = Duration::from_secs(30);
/// States of containers that do not run.
const STOPPED: [&str; 3] = ["created", "exited", "dead"];
/// Networks that every engine has.
const BUILT_IN: [&str; 4] = ["bridge", "host", "none", "ingress"];
/// Where an image has no name.
const NAMELESS: &str = "<none>:<none>";
/// Bytes of an item's key.
const KEY_LENGTH: usize = 12;
/// The build cache is one thing here.
const BUILD_CACHE: &str = "build_cache";

/// What is to be cleaned up.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PruneOptions {
    /// Containers that do not run.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub containers: bool,
    /// Images that no container uses.
    #[param(inline)]
    pub images: Option<ImageChoice>,
    /// Volumes that no container uses.
    #[param(inline)]
    pub volumes: Option<VolumeChoice>,
    /// Networks that no container uses, stopped ones included.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub networks: bool,
    /// What is kept of builds, as a whole.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub build_cache: bool,
}

/// Which images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageChoice {
    /// Those without a name: what newer ones of the same name have replaced.
    Dangling,
    /// All that no container uses.
    Unused,
}

/// Which volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeChoice {
    /// Those that nobody named.
    Anonymous,
    /// All that no container uses. What is in them is lost.
    Unused,
}

/// The kind of a thing that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PruneKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// All that is kept of builds.
    BuildCache,
}

/// A thing that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PruneItem {
    /// What it is.
    pub kind: PruneKind,
    /// Names exactly this thing as it is now; to be given back when it is to
    /// be removed.
    pub key: String,
    /// Its id, or a volume's name.
    pub id: String,
    /// Its names; an image may have several or none.
    pub names: Vec<String>,
    /// The bytes that its removal frees at least, where the engine tells.
    pub bytes: Option<u64>,
}

/// What would be removed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PrunePreview {
    /// The things.
    pub items: Vec<PruneItem>,
    /// The bytes that their removal frees at least. Layers that several images
    /// share are not counted.
    pub bytes: u64,
}

impl App {
    /// What a clean-up would remove. Nothing is changed.
    ///
    /// # Errors
    /// 400 where nothing is chosen; as the session and the engine say.
    pub(in crate::workloads::images) async fn preview_prune(
        &self,
        environment: EnvironmentId,
        options: PruneOptions,
    ) -> ApiResult<PrunePreview> {
        options.check()?;
        let session = self.session(environment).await?;
        let items = survey(&self.engines, &session, options).await?;
        let bytes = total(&items);
        Ok(PrunePreview { items, bytes })
    }
}

impl PruneOptions {
    /// # Errors
    /// 400 where nothing is chosen.
    pub(super) fn check(self) -> ApiResult<()> {
        let chosen =
            self.containers || self.images.is_some() || self.volumes.is_some() || self.networks || self.build_cache;
        let nothing = || ApiError::bad_request("nothing_chosen", "Choose at least one sort of things to clean up.");
        if chosen { Ok(()) } else { Err(nothing()) }
    }
}

/// The bytes that the removal of these frees at least.
pub(super) fn total(items: &[PruneItem]) -> u64 {
    items.iter().filter_map(|item| item.bytes).fold(0, u64::saturating_add)
}

/// A container as engines list it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedContainer {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    state: String,
    #[serde(default, rename = "ImageID")]
    image_id: String,
    #[serde(default)]
    mounts: Option<Vec<ListedMount>>,
    #[serde(default)]
    network_settings: Option<ListedNetworks>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMount {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedNetworks {
    #[serde(default)]
    networks: Option<HashMap<String, ListedEndpoint>>,
}

#[derive(Debug, Deserialize)]
struct ListedEndpoint {
    #[serde(default, rename = "NetworkID")]
    network_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedNetwork {
    id: String,
    name: String,
    #[serde(default)]
    scope: String,
}

/// What an engine says of its disk.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Usage {
    containers: Option<Vec<ContainerUsage>>,
    images: Option<Vec<ImageUsage>>,
    volumes: Option<Vec<VolumeUsage>>,
    build_cache: Option<Vec<BuildUsage>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerUsage {
    id: String,
    #[serde(default)]
    size_rw: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageUsage {
    id: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    shared_size: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    name: String,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    usage_data: Option<VolumeData>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeData {
    #[serde(default)]
    size: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BuildUsage {
    #[serde(default)]
    in_use: bool,
    #[serde(default)]
    size: i64,
}

/// Everything of what is chosen that nothing uses.
pub(super) async fn survey(
    engines: &Engines,
    session: &Session,
    options: PruneOptions,
) -> Result<Vec<PruneItem>, EngineError> {
    let containers: Vec<ListedContainer> = engines.read(session, "/containers/json?all=1", LIST_DEADLINE).await?;
    let usage: Usage = engines.read(session, "/system/df", USAGE_DEADLINE).await?;
    let networks: Vec<ListedNetwork> = match options.networks {
        true => engines.read(session, "/networks", LIST_DEADLINE).await?,
        false => Vec::new(),
    };
    Ok(Found { containers, usage, networks }.items(options))
}

struct Found {
    containers: Vec<ListedContainer>,
    usage: Usage,
    networks: Vec<ListedNetwork>,
}

impl Found {
    fn items(self, options: PruneOptions) -> Vec<PruneItem> {
        let Self { containers, usage, networks } = self;
        let (going, staying): (Vec<_>, Vec<_>) = containers
            .into_iter()
            .partition(|container| options.containers && STOPPED.contains(&container.state.as_str()));
        let written: HashMap<String, i64> = { usage.containers.unwrap_or_default().into_iter() }
            .filter_map(|container| Some((container.id, container.size_rw?)))
            .collect();
        let mut items: Vec<_> = { going.into_iter() }
            .map(|container| {
                let bytes = written.get(&container.id).copied();
                let names = container.names.unwrap_or_default();
                let names = names.iter().map(|name| name.trim_start_matches('/').to_owned()).collect();
                item(PruneKind::Container, container.id, names, "", bytes)
            })
            .collect();
        let used = Used::by(&staying);
        if let Some(choice) = options.images {
            items.extend(unused_images(usage.images.unwrap_or_default(), choice, &used));
        }
        if let Some(choice) = options.volumes {
            items.extend(unused_volumes(usage.volumes.unwrap_or_default(), choice, &used));
        }
        let unused = networks.into_iter().filter(|network| options.networks && used.leaves(network));
        items.extend(unused.map(|network| item(PruneKind::Network, network.id, vec![network.name], "", None)));
        if options.build_cache {
            let free = usage.build_cache.unwrap_or_default().into_iter().filter(|record| !record.in_use);
            let bytes = free.map(|record| record.size.max(0)).fold(0, i64::saturating_add);
            let cache = item(PruneKind::BuildCache, BUILD_CACHE.to_owned(), vec![], "", Some(bytes));
            items.extend((bytes > 0).then_some(cache));
        }
        items.sort_by(|one, other| one.kind.cmp(&other.kind).then_with(|| one.names.cmp(&other.names)));
        items
    }
}

fn unused_images(images: Vec<ImageUsage>, choice: ImageChoice, used: &Used) -> Vec<PruneItem> {
    let unused = images.into_iter().filter(|image| !used.images.contains(&image.id));
    let items = unused.filter_map(|image| {
        let mut names: Vec<_> = image.repo_tags.unwrap_or_default();
        names.retain(|name| name != NAMELESS);
        names.sort();
        let wanted = choice == ImageChoice::Unused || names.is_empty();
        wanted.then(|| item(PruneKind::Image, image.id, names, "", Some(image.size - image.shared_size.max(0))))
    });
    items.collect()
}

fn unused_volumes(volumes: Vec<VolumeUsage>, choice: VolumeChoice, used: &Used) -> Vec<PruneItem> {
    let unused = volumes.into_iter().filter(|volume| !used.volumes.contains(&volume.name));
    let wanted = unused.filter(|volume| choice == VolumeChoice::Unused || is_anonymous(&volume.name));
    let items = wanted.map(|volume| {
        let created = volume.created_at.unwrap_or_default();
        let bytes = volume.usage_data.map(|data| data.size).filter(|size| *size >= 0);
        item(PruneKind::Volume, volume.name.clone(), vec![volume.name], &created, bytes)
    });
    items.collect()
}

/// Volumes that nobody named have an id for a name.
fn is_anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What containers that stay use.
struct Used {
    images: HashSet<String>,
    volumes: HashSet<String>,
    networks: HashSet<String>,
}

impl Used {
    fn by(containers: &[ListedContainer]) -> Self {
        let mounts = containers.iter().filter_map(|container| container.mounts.as_ref()).flatten();
        let settings = containers.iter().filter_map(|container| container.network_settings.as_ref());
        let endpoints = settings.filter_map(|settings| settings.networks.as_ref()).flatten();
        Self {
            images: containers.iter().map(|container| container.image_id.clone()).collect(),
            volumes: mounts.map(|mount| mount.name.clone()).collect(),
            // A container that was never started knows its networks by name alone.
            networks: endpoints.flat_map(|(name, endpoint)| [name.clone(), endpoint.network_id.clone()]).collect(),
        }
    }

    /// Whether nothing uses this network, and it can be removed.
    fn leaves(&self, network: &ListedNetwork) -> bool {
        let is_used = self.networks.contains(&network.id) || self.networks.contains(&network.name);
        !is_used && network.scope != "swarm" && !BUILT_IN.contains(&network.name.as_str())
    }
}

fn item(kind: PruneKind, id: String, names: Vec<String>, created: &str, bytes: Option<i64>) -> PruneItem {
    // Names and times are part of it: what has got another is another thing.
    let parts: BTreeMap<&str, serde_json::Value> = BTreeMap::from([
        ("kind", serde_json::json!(kind)),
        ("id", serde_json::json!(id)),
        ("names", serde_json::json!(names)),
        ("created", serde_json::json!(created)),
    ]);
    let text = serde_json::to_vec(&parts).expect("texts have a JSON form");
    let key = HEXLOWER.encode(&digest(&SHA256, &text).as_ref()[..KEY_LENGTH]);
    PruneItem { kind, key, id, names, bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(containers: Value, usage: Value, networks: Value) -> Found {
        Found {
            containers: serde_json::from_value(containers).unwrap(),
            usage: serde_json::from_value(usage).unwrap(),
            networks: serde_json::from_value(networks).unwrap(),
        }
    }

    fn engine() -> Found {
        let hex = "ab".repeat(32);
        found(
            json!([
                { "Id": "c1", "Names": ["/web"], "State": "running", "ImageID": "i1",
                  "Mounts": [{ "Type": "volume", "Name": "data" }, { "Type": "bind" }],
                  "NetworkSettings": { "Networks": { "front": { "NetworkID": "n1" } } } },
                { "Id": "c2", "Names": ["/old"], "State": "exited", "ImageID": "i2",
                  "Mounts": [{ "Type": "volume", "Name": hex }],
                  "NetworkSettings": { "Networks": { "back": { "NetworkID": "" } } } },
            ]),
            json!({
                "Containers": [{ "Id": "c2", "SizeRw": 10 }],
                "Images": [
                    { "Id": "i1", "RepoTags": ["web:1"], "Size": 500, "SharedSize": 0 },
                    { "Id": "i2", "RepoTags": ["old:1", "old:2"], "Size": 300, "SharedSize": 100 },
                    { "Id": "i3", "RepoTags": null, "Size": 50, "SharedSize": -1 },
                    { "Id": "i4", "RepoTags": ["<none>:<none>"], "Size": 7, "SharedSize": 0 },
                ],
                "Volumes": [
                    { "Name": "data", "UsageData": { "Size": 1, "RefCount": 1 } },
                    { "Name": "named", "CreatedAt": "2026", "UsageData": { "Size": 20, "RefCount": 0 } },
                    { "Name": hex, "UsageData": { "Size": 40, "RefCount": 1 } },
                ],
                "BuildCache": [{ "InUse": false, "Size": 3 }, { "InUse": true, "Size": 100 }],
            }),
            json!([
                { "Id": "n0", "Name": "bridge", "Scope": "local" },
                { "Id": "n1", "Name": "front", "Scope": "local" },
                { "Id": "n2", "Name": "back", "Scope": "local" },
                { "Id": "n3", "Name": "over", "Scope": "swarm" },
            ]),
        )
    }

    fn ids(items: &[PruneItem]) -> Vec<&str> {
        let mut ids: Vec<_> = items.iter().map(|item| &item.id[..2]).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_stopped_containers_use_goes_only_together_with_them() {
        let all = PruneOptions {
            containers: true,
            images: Some(ImageChoice::Unused),
            volumes: Some(VolumeChoice::Unused),
            networks: true,
            build_cache: true,
        };
        let items = engine().items(all);
        assert_eq!(ids(&items), ["ab", "bu", "c2", "i2", "i3", "i4", "n2", "na"]);
        assert_eq!(total(&items), 10 + 200 + 50 + 7 + 20 + 40 + 3);
        let without = engine().items(PruneOptions { containers: false, ..all });
        assert_eq!(ids(&without), ["bu", "i3", "i4", "na"]);
    }

    #[test]
    fn images_without_a_name_and_volumes_without_one_are_chosen_by_themselves() {
        let dangling = PruneOptions { images: Some(ImageChoice::Dangling), ..PruneOptions::default() };
        assert_eq!(ids(&engine().items(dangling)), ["i3", "i4"]);
        let anonymous =
            PruneOptions { containers: true, volumes: Some(VolumeChoice::Anonymous), ..PruneOptions::default() };
        assert_eq!(ids(&engine().items(anonymous)), ["ab", "c2"]);
    }

    #[test]
    fn a_thing_that_has_got_another_name_or_time_is_another_thing() {
        let key = |names: &[&str], created: &str| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            item(PruneKind::Image, "i".to_owned(), names, created, None).key
        };
        assert_eq!(key(&["a"], ""), key(&["a"], ""));
        assert_ne!(key(&["a"], ""), key(&["a", "b"], ""));
        assert_ne!(key(&["a"], ""), key(&["a"], "2026"));
    }

    #[test]
    fn an_engine_that_tells_little_is_understood() {
        let bare = found(json!([{ "Id": "c1" }]), json!({ "Images": null }), json!([]));
        assert!(bare.items(PruneOptions { containers: true, ..PruneOptions::default() }).is_empty());
    }
}
