//! Things as an engine lists them, and what is told of them. Engines leave out
//! or null nearly everything; texts are cut to what fits into one report.

use std::collections::HashMap;

use serde::Deserialize;
use windflow_protocol::limits::REPORT_MAX;
use windflow_protocol::message::report::{Attachment, Container, Image, Mount, Network, ObjectId, Port, Volume};
use windflow_protocol::text::{sanitize, sanitize_to};

/// Longest value of a label, in bytes.
const VALUE_MAX: usize = 4096;
/// Longest command line, in bytes.
const COMMAND_MAX: usize = 1024;
/// Bytes for everything that a thing may have any number of.
const ROOM: usize = REPORT_MAX - 8 * 1024;

/// A field that may be missing or null.
type Maybe<T> = Option<T>;

/// A container in the engine's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedContainer {
    pub id: String,
    names: Maybe<Vec<String>>,
    image: Maybe<String>,
    #[serde(rename = "ImageID")]
    image_id: Maybe<String>,
    command: Maybe<serde_json::Value>,
    created: Maybe<serde_json::Value>,
    ports: Maybe<Vec<ListedPort>>,
    labels: Maybe<HashMap<String, String>>,
    state: Maybe<String>,
    status: Maybe<String>,
    network_settings: Maybe<NetworkSettings>,
    mounts: Maybe<Vec<ListedMount>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPort {
    #[serde(rename = "IP")]
    ip: Maybe<String>,
    private_port: u16,
    public_port: Maybe<u16>,
    #[serde(rename = "Type")]
    protocol: Maybe<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Maybe<HashMap<String, Maybe<Endpoint>>>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    address: Maybe<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMount {
    #[serde(rename = "Type")]
    kind: Maybe<String>,
    name: Maybe<String>,
    source: Maybe<String>,
    destination: Maybe<String>,
    #[serde(rename = "RW")]
    writable: Maybe<bool>,
}

/// What an engine says of one container, beyond its list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    #[serde(default)]
    restart_count: u32,
    #[serde(default)]
    state: InspectedState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    #[serde(default)]
    exit_code: i32,
    started_at: Maybe<String>,
    finished_at: Maybe<String>,
    #[serde(alias = "Healthcheck")]
    health: Maybe<InspectedHealth>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedHealth {
    status: Maybe<String>,
}

/// An image in the engine's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedImage {
    id: String,
    repo_tags: Maybe<Vec<String>>,
    repo_digests: Maybe<Vec<String>>,
    created: Maybe<i64>,
    size: Maybe<i64>,
    labels: Maybe<HashMap<String, String>>,
}

/// The engine's list of volumes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedVolumes {
    pub volumes: Maybe<Vec<ListedVolume>>,
}

/// A volume in the engine's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedVolume {
    name: String,
    driver: Maybe<String>,
    mountpoint: Maybe<String>,
    created_at: Maybe<String>,
    labels: Maybe<HashMap<String, String>>,
}

/// A network in the engine's list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedNetwork {
    id: String,
    name: Maybe<String>,
    driver: Maybe<String>,
    scope: Maybe<String>,
    internal: Maybe<bool>,
    created: Maybe<String>,
    #[serde(rename = "IPAM")]
    ipam: Maybe<Ipam>,
    labels: Maybe<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    config: Maybe<Vec<Subnet>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subnet {
    subnet: Maybe<String>,
}

impl ListedContainer {
    /// What of the list's sentence does not change by itself with time: its
    /// exit code and its health, `Exited (0)`, `(healthy)`.
    pub fn sentence(&self) -> String {
        let status = self.status.as_deref().unwrap_or_default();
        let brackets = status.split('(').skip(1).filter_map(|part| part.split(')').next());
        std::iter::once(self.state.as_deref().unwrap_or_default()).chain(brackets).collect::<Vec<_>>().join(" ")
    }

    /// What is told of it.
    pub fn into_container(self, id: ObjectId, inspected: &Inspected) -> Container {
        let mut room = Room(ROOM);
        let state = &inspected.state;
        let networks = self.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        Container {
            id,
            name: own_name(&self.names.unwrap_or_default(), &self.id),
            image: clean(self.image),
            image_id: self.image_id.as_deref().and_then(ObjectId::parse),
            command: command(self.command),
            created_at: seconds(self.created.as_ref()),
            state: clean(self.state),
            health: clean(state.health.as_ref().and_then(|health| health.status.clone()))
                .trim_start_matches("none")
                .to_owned(),
            exit_code: state.exit_code,
            started_at: time(state.started_at.as_deref()),
            finished_at: time(state.finished_at.as_deref()),
            restarts: inspected.restart_count,
            ports: room.take(self.ports.unwrap_or_default().into_iter().map(Port::from), |port| {
                16 + port.address.len() + port.protocol.len()
            }),
            networks: room.take(networks.into_iter().map(attachment), |attachment| {
                8 + attachment.network.len() + attachment.address.len()
            }),
            mounts: room.take(self.mounts.unwrap_or_default().into_iter().map(Mount::from), |mount| {
                16 + mount.kind.len() + mount.source.len() + mount.target.len()
            }),
            labels: room.labels(self.labels),
        }
    }
}

impl ListedImage {
    /// What is told of it; `None` where it has no id that could be told.
    pub fn into_image(self) -> Option<Image> {
        let mut room = Room(ROOM);
        let named = |names: Maybe<Vec<String>>| {
            { names }
                .unwrap_or_default()
                .into_iter()
                .filter(|name| !name.starts_with("<none>"))
                .map(|name| sanitize(&name))
        };
        Some(Image {
            id: ObjectId::parse(&self.id)?,
            tags: room.take(named(self.repo_tags), |tag| 4 + tag.len()),
            digests: room.take(named(self.repo_digests), |digest| 4 + digest.len()),
            created_at: self.created.unwrap_or_default(),
            size: self.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            labels: room.labels(self.labels),
        })
    }
}

impl ListedVolume {
    /// What is told of it.
    pub fn into_volume(self) -> Volume {
        Volume {
            name: sanitize(&self.name),
            driver: clean(self.driver),
            path: clean(self.mountpoint),
            created_at: clean(self.created_at),
            labels: Room(ROOM).labels(self.labels),
        }
    }
}

impl ListedNetwork {
    /// What is told of it; `None` where it has no id that could be told.
    pub fn into_network(self) -> Option<Network> {
        let mut room = Room(ROOM);
        let ranges = self.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        Some(Network {
            id: ObjectId::parse(&self.id)?,
            name: clean(self.name),
            driver: clean(self.driver),
            scope: clean(self.scope),
            internal: self.internal.unwrap_or_default(),
            subnets: room.take(ranges.into_iter().map(|range| clean(range.subnet)), |range| 4 + range.len()),
            created_at: clean(self.created),
            labels: room.labels(self.labels),
        })
    }
}

impl From<ListedPort> for Port {
    fn from(port: ListedPort) -> Self {
        Self {
            address: clean(port.ip),
            private: port.private_port,
            public: port.public_port,
            protocol: port.protocol.map_or_else(|| "tcp".to_owned(), |protocol| sanitize(&protocol)),
        }
    }
}

impl From<ListedMount> for Mount {
    fn from(mount: ListedMount) -> Self {
        let named = mount.name.filter(|name| !name.is_empty());
        Self {
            kind: clean(mount.kind),
            source: clean(named.or(mount.source)),
            target: clean(mount.destination),
            writable: mount.writable.unwrap_or_default(),
        }
    }
}

/// Bytes that are left in a report.
struct Room(usize);

impl Room {
    /// What fits, in an order of its own so that the same is told the same.
    fn take<T: Ord>(&mut self, items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<T> {
        let mut items: Vec<T> = items.collect();
        items.sort();
        items.dedup();
        items.into_iter().take_while(|item| self.fits(size(item))).collect()
    }

    fn labels(&mut self, labels: Maybe<HashMap<String, String>>) -> Vec<(String, String)> {
        let labels = labels.unwrap_or_default();
        let clean = labels.iter().map(|(key, value)| (sanitize(key), sanitize_to(value, VALUE_MAX)));
        self.take(clean, |(key, value)| 8 + key.len() + value.len())
    }

    fn fits(&mut self, size: usize) -> bool {
        let left = self.0.checked_sub(size);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

fn attachment((network, endpoint): (String, Maybe<Endpoint>)) -> Attachment {
    Attachment { network: sanitize(&network), address: clean(endpoint.and_then(|endpoint| endpoint.address)) }
}

fn clean(text: Maybe<String>) -> String {
    text.map(|text| sanitize(&text)).unwrap_or_default()
}

/// The container's own name: the others are those by which linked containers
/// know it, `/web/db`.
fn own_name(names: &[String], id: &str) -> String {
    let bare = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    let own = bare.filter(|name| !name.contains('/')).min_by_key(|name| name.len());
    own.map_or_else(|| id.chars().take(12).collect(), sanitize)
}

/// Docker gives a line, Podman the words.
fn command(command: Maybe<serde_json::Value>) -> String {
    let text = match command {
        Some(serde_json::Value::String(line)) => line,
        Some(serde_json::Value::Array(words)) => {
            words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    sanitize_to(&text, COMMAND_MAX)
}

/// Docker gives seconds, Podman may give a date.
fn seconds(time: Maybe<&serde_json::Value>) -> i64 {
    match time {
        Some(serde_json::Value::String(text)) => self::time(Some(text)),
        Some(value) => value.as_i64().unwrap_or_default(),
        None => 0,
    }
}

/// Seconds since 1970; the year 1 is Docker's word for never.
fn time(text: Maybe<&str>) -> i64 {
    let format = time::format_description::well_known::Rfc3339;
    let parsed = text.and_then(|text| time::OffsetDateTime::parse(text, &format).ok());
    parsed.map_or(0, |time| time.unix_timestamp().max(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(value: serde_json::Value) -> ListedContainer {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_container_is_told_as_its_engine_shows_it() {
        let inspected: Inspected = serde_json::from_value(json!({
            "RestartCount": 3,
            "State": { "ExitCode": 0, "StartedAt": "2025-06-15T15:06:41.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
                       "Health": { "Status": "healthy" } },
        }))
        .unwrap();
        let container = listed(json!({
            "Id": "ab".repeat(32), "Names": ["/other/alias", "/web-1"], "Image": "nginx:1",
            "ImageID": format!("sha256:{}", "cd".repeat(32)), "Command": "nginx", "Created": 1_750_000_000,
            "State": "running", "Status": "Up 2 hours (healthy)",
            "Ports": [{ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
                      { "PrivatePort": 443, "Type": "tcp" }],
            "Labels": { "b": "2", "a": "1" },
            "NetworkSettings": { "Networks": { "front": { "IPAddress": "172.18.0.2" }, "none": null } },
            "Mounts": [{ "Type": "volume", "Name": "data", "Source": "/v/data", "Destination": "/data", "RW": true }],
        }));
        assert_eq!(container.sentence(), "running healthy");
        let told = container.into_container(ObjectId([1; 32]), &inspected);
        assert_eq!((told.name.as_str(), told.health.as_str(), told.restarts), ("web-1", "healthy", 3));
        assert_eq!((told.created_at, told.started_at, told.finished_at), (1_750_000_000, 1_750_000_001, 0));
        assert_eq!(told.image_id, Some(ObjectId([0xcd; 32])));
        assert_eq!(told.ports[1].public, Some(8080));
        assert_eq!(told.networks[0], Attachment { network: "front".into(), address: "172.18.0.2".into() });
        assert_eq!((told.mounts[0].source.as_str(), told.mounts[0].writable), ("data", true));
        assert_eq!(told.labels, [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }

    #[test]
    fn an_engine_may_leave_out_or_null_nearly_everything() {
        let bare = listed(json!({ "Id": "0123456789abcdef", "Names": null, "Ports": null, "Labels": null }));
        assert_eq!(bare.sentence(), "");
        let told = bare.into_container(ObjectId::default(), &Inspected::default());
        assert_eq!((told.name.as_str(), told.created_at), ("0123456789ab", 0));
        let podman = listed(json!({ "Id": "a", "Command": ["sleep", "9"], "Created": "2025-06-15T15:06:40Z" }));
        let told = podman.into_container(ObjectId::default(), &Inspected::default());
        assert_eq!((told.command.as_str(), told.created_at), ("sleep 9", 1_750_000_000));
    }

    #[test]
    fn whatever_a_container_has_it_fits_into_one_report() {
        let labels: HashMap<_, _> = (0..1000).map(|n| (format!("key-{n}"), "v".repeat(9000))).collect();
        let ports: Vec<_> = (0..9000).map(|n| json!({ "PrivatePort": n, "IP": "0.0.0.0" })).collect();
        let mounts: Vec<_> = (0..900).map(|n| json!({ "Source": format!("/{n}/{}", "x".repeat(900)) })).collect();
        let huge = listed(json!({ "Id": "a", "Labels": labels, "Ports": ports, "Mounts": mounts,
                                  "Names": ["n".repeat(9000)], "Command": "c".repeat(9000) }));
        let told = huge.into_container(ObjectId::default(), &Inspected::default());
        let report = windflow_protocol::message::report::Report::Container(told);
        assert!(windflow_protocol::codec::encode(&report).is_ok());
    }
}
