//! What a container is, as an engine lists it and as the API shows it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// The labels by which Compose marks its containers.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
/// Longest name or id of a container.
const NAME_MAX: usize = 128;

/// A container's id or name, fit to stand in an engine's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes what Docker allows as a name or an id; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        (starts && rest && text.len() <= NAME_MAX).then(|| Self(text.to_owned()))
    }

    /// The id or name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One container of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it was made from.
    pub image: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or
    /// `dead`, in the engine's own word.
    pub state: String,
    /// The state in the engine's own sentence, such as `Up 2 hours`.
    pub status: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The ports it offers.
    pub ports: Vec<Port>,
    /// The Compose project it belongs to.
    pub project: Option<String>,
    /// The Compose service it is an instance of.
    pub service: Option<String>,
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

/// Which containers to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContainerFilter {
    /// Only those with this text in their name, image or Compose project, or
    /// at the start of their id.
    pub search: Option<String>,
    /// Only those in this state, such as `running`.
    pub state: Option<String>,
}

impl ContainerFilter {
    /// Whether this container is wanted.
    pub fn wants(&self, container: &Container) -> bool {
        let state = self.state.as_ref().is_none_or(|state| container.state.eq_ignore_ascii_case(state));
        state && self.search.as_ref().is_none_or(|text| is_found(container, &text.to_lowercase()))
    }
}

fn is_found(container: &Container, text: &str) -> bool {
    let texts = [Some(&container.name), Some(&container.image), container.project.as_ref()];
    container.id.starts_with(text) || texts.into_iter().flatten().any(|place| place.to_lowercase().contains(text))
}

/// A container as an engine lists it. Engines leave out what they do not have,
/// or write null, and know states that others do not.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    state: Option<String>,
    status: Option<String>,
    created: Option<i64>,
    ports: Option<Vec<ListedPort>>,
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPort {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    protocol: Option<String>,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        let mut labels = listed.labels.unwrap_or_default();
        let ports = listed.ports.unwrap_or_default().into_iter().map(Port::from);
        let created = listed.created.and_then(|seconds| seconds.checked_mul(1_000_000));
        Self {
            name: own_name(&listed.names.unwrap_or_default(), &listed.id),
            id: listed.id,
            image: listed.image.unwrap_or_default(),
            state: listed.state.unwrap_or_default(),
            status: listed.status.unwrap_or_default(),
            created_at: created.and_then(|micros| Timestamp::from_micros(micros).ok()),
            ports: { ports }.collect::<std::collections::BTreeSet<_>>().into_iter().collect(),
            project: labels.remove(PROJECT),
            service: labels.remove(SERVICE),
        }
    }
}

impl From<ListedPort> for Port {
    fn from(port: ListedPort) -> Self {
        Self {
            address: port.ip.filter(|address| !address.is_empty()),
            private: port.private_port,
            public: port.public_port,
            protocol: port.protocol.unwrap_or_else(|| "tcp".to_owned()),
        }
    }
}

/// The container's own name: the others are those by which linked containers
/// know it, `/web/db`.
fn own_name(names: &[String], id: &str) -> String {
    let bare = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    let own = bare.filter(|name| !name.contains('/')).min_by_key(|name| name.len());
    own.map_or_else(|| id.chars().take(12).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(listed: serde_json::Value) -> Container {
        serde_json::from_value::<Listed>(listed).unwrap().into()
    }

    #[test]
    fn a_container_is_shown_as_its_engine_lists_it() {
        let shown = container(json!({
            "Id": "4c01db0b339c", "Names": ["/other/alias", "/web-1"], "Image": "nginx:1", "ImageID": "sha256:x",
            "Command": "nginx", "Created": 1_750_000_000, "State": "running", "Status": "Up 2 hours",
            "Ports": [{ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
                      { "PrivatePort": 443, "Type": "tcp" }],
            "Labels": { "com.docker.compose.project": "shop", "com.docker.compose.service": "web", "x": "y" },
        }));
        assert_eq!((shown.name.as_str(), shown.state.as_str()), ("web-1", "running"));
        assert_eq!((shown.project.as_deref(), shown.service.as_deref()), (Some("shop"), Some("web")));
        assert_eq!(shown.created_at.unwrap().to_string(), "2025-06-15T15:06:40Z");
        let published =
            Port { address: Some("0.0.0.0".into()), private: 80, public: Some(8080), protocol: "tcp".into() };
        let offered = Port { address: None, private: 443, public: None, protocol: "tcp".into() };
        assert_eq!(shown.ports, [offered, published]);
    }

    #[test]
    fn an_engine_may_leave_out_or_null_nearly_everything() {
        let shown = container(json!({ "Id": "0123456789abcdef", "Names": null, "Ports": null, "Labels": null }));
        assert_eq!((shown.name.as_str(), shown.created_at), ("0123456789ab", None));
        let strange = container(json!({ "Id": "a", "State": "initialized", "Created": i64::MAX }));
        assert_eq!((strange.state.as_str(), strange.created_at), ("initialized", None));
    }

    #[test]
    fn a_filter_looks_at_name_image_project_and_id() {
        let shown = container(json!({ "Id": "abc123", "Names": ["/Web"], "Image": "repo/nginx", "State": "exited" }));
        let wants = |search: &str| ContainerFilter { search: Some(search.into()), state: None }.wants(&shown);
        assert!(wants("wEb") && wants("nginx") && wants("abc") && wants(""));
        assert!(!wants("bc123") && !wants("apache"));
        let in_state = |state: &str| ContainerFilter { search: None, state: Some(state.into()) }.wants(&shown);
        assert!(in_state("exited") && !in_state("running"));
    }

    #[test]
    fn an_id_that_is_a_path_is_none() {
        for wrong in ["", "../x", "a/b", "a?b", "a%2fb", "-a", "a b", &"a".repeat(129)] {
            assert_eq!(ContainerId::parse(wrong), None, "{wrong:?}");
        }
        assert!(ContainerId::parse("shop_web.1-x").is_some());
    }
}
