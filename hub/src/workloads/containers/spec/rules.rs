//! What a specification must hold before anything is asked of an engine. The
//! engine has rules of its own; these are those that bound it and those whose
//! breach an engine would say unclearly or late.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::body::is_endpoint;
use super::parts::{
    ContainerSpec, HealthCheck, MountKind, MountSpec, NetworkSpec, PublishedPort, Resources, RestartWhen,
};
use crate::docker::ContainerId;
use crate::error::ApiError;

/// Most bytes of all variables together.
const ENV_MAX: usize = 256 * 1024;
/// Most bytes of all labels together.
const LABELS_MAX: usize = 256 * 1024;
/// Most items in any one list.
const ITEMS_MAX: usize = 1024;
/// Longest text in any other place, in bytes.
const TEXT_MAX: usize = 32 * 1024;
/// Least memory an engine gives a container, in bytes.
const MEMORY_MIN: u64 = 6 * 1024 * 1024;
/// More processors than any host has.
const CPUS_MAX: f64 = 4096.0;
/// Most seconds to end in.
const GRACE_MAX: u32 = 3600;

/// A field of a specification that cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// Which, as `ports[2].host_port`.
    pub field: String,
    /// What must be.
    pub message: String,
}

impl From<SpecError> for ApiError {
    fn from(error: SpecError) -> Self {
        let details = json!({ "field": error.field });
        Self::bad_request("invalid_spec", error.to_string()).with_details(details)
    }
}

type Checked = Result<(), SpecError>;

impl ContainerSpec {
    /// Whether it can be asked of an engine.
    ///
    /// # Errors
    /// The first field that cannot be so, by name.
    pub fn check(&self) -> Checked {
        self.check_name_and_image()?;
        check_pairs("env", &self.env, ENV_MAX)?;
        check_pairs("labels", &self.labels, LABELS_MAX)?;
        check_texts("", &serde_json::to_value(self).unwrap_or_default())?;
        each("ports", &self.ports, check_port)?;
        each("mounts", &self.mounts, check_mount)?;
        self.check_networks()?;
        self.resources.check()?;
        self.check_end()?;
        if let Some(health) = &self.health {
            check_health(health)?;
        }
        let known = |capability: &String| capability.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let capabilities = self.cap_add.iter().chain(&self.cap_drop);
        demand("cap_add", capabilities.clone().all(known), "a capability is a word such as NET_ADMIN")?;
        demand("extra_hosts", self.extra_hosts.iter().all(|host| host.contains([':', '='])), "write name:address")
    }

    fn check_name_and_image(&self) -> Checked {
        let is_name = self.name.as_deref().is_none_or(|name| ContainerId::parse(name).is_some());
        let message = "it has letters, digits, dots, dashes and underscores, begins with a letter or a digit, and has \
                       at most 128 of them";
        demand("name", is_name, message)?;
        demand("image", !self.image.is_empty(), "say which image it is made from")?;
        let is_reference = !self.image.chars().any(|c| c.is_whitespace() || c.is_control());
        demand("image", is_reference && !self.image.starts_with('-'), "an image is written as name:tag")
    }

    fn check_networks(&self) -> Checked {
        each("networks", &self.networks, check_network)?;
        let of_its_own = self.networks.iter().filter(|network| !is_endpoint(&network.name)).count();
        let is_alone = of_its_own == 0 || self.networks.len() == 1;
        demand("networks", is_alone, "none, host, default and container: stand alone")?;
        let mut names: Vec<_> = self.networks.iter().map(|network| &network.name).collect();
        names.sort();
        names.dedup();
        demand("networks", names.len() == self.networks.len(), "a network is there twice")
    }

    fn check_end(&self) -> Checked {
        let counts = self.restart.max_retries.is_none() || self.restart.when == RestartWhen::OnFailure;
        demand("restart.max_retries", counts, "retries are counted only for on-failure")?;
        let is_one = !self.auto_remove || self.restart.when == RestartWhen::No;
        demand("auto_remove", is_one, "what is removed at its end cannot be restarted")?;
        let is_short = self.stop_timeout.is_none_or(|seconds| seconds <= GRACE_MAX);
        demand("stop_timeout", is_short, "it is at most an hour, 3600 seconds")
    }
}

impl Resources {
    /// Whether an engine may be asked for them.
    ///
    /// # Errors
    /// The first field that cannot be so, by name.
    pub fn check(&self) -> Checked {
        let is_some_cpu = self.cpus.is_none_or(|cpus| cpus > 0.0 && cpus <= CPUS_MAX);
        demand("resources.cpus", is_some_cpu, "it is a number above zero")?;
        let is_one = self.cpus.is_none() || (self.cpu_period.is_none() && self.cpu_quota.is_none());
        demand("resources.cpus", is_one, "give processors, or period and quota")?;
        let is_enough = self.memory.is_none_or(|memory| memory >= MEMORY_MIN && i64::try_from(memory).is_ok());
        demand("resources.memory", is_enough, "it is at least 6 MiB")?;
        let is_more = match (self.memory, self.memory_swap) {
            (_, None | Some(-1)) => true,
            (None, Some(_)) => false,
            (Some(memory), Some(swap)) => u64::try_from(swap).is_ok_and(|swap| swap >= memory),
        };
        let message = "it is memory and swap together: at least the memory, or -1 for no bound";
        demand("resources.memory_swap", is_more, message)?;
        let is_score = self.oom_score_adj.is_none_or(|score| (-1000..=1000).contains(&score));
        demand("resources.oom_score_adj", is_score, "it is from -1000 to 1000")?;
        let is_weight = self.blkio_weight.is_none_or(|weight| (10..=1000).contains(&weight));
        demand("resources.blkio_weight", is_weight, "it is from 10 to 1000")?;
        each("resources.ulimits", &self.ulimits, |limit| match limit.hard == -1 || limit.soft <= limit.hard {
            true => Ok(()),
            false => Err(("", "the soft bound is at most the hard one")),
        })?;
        each("resources.devices", &self.devices, |device| {
            let is_able = device.permissions.chars().all(|c| "rwm".contains(c)) && !device.permissions.is_empty();
            if is_able { Ok(()) } else { Err((".permissions", "they are of the letters r, w and m")) }
        })
    }
}

fn check_port(port: &PublishedPort) -> Result<(), (&'static str, &'static str)> {
    let (first, last) = (port.host_port, port.host_port_end);
    match () {
        () if port.container_port == 0 => Err((".container_port", "it is from 1 to 65535")),
        () if first == Some(0) => Err((".host_port", "it is from 1 to 65535; leave it out for any that is free")),
        () if last.is_some_and(|last| first.is_none_or(|first| last < first)) => {
            Err((".host_port_end", "it is the last of a range, after the first"))
        }
        () => Ok(()),
    }
}

fn check_mount(mount: &MountSpec) -> Result<(), (&'static str, &'static str)> {
    let source = mount.source.as_deref();
    let is_plain = |text: &str| !text.contains(':');
    match mount.kind {
        _ if !mount.target.starts_with('/') || !is_plain(&mount.target) => {
            Err((".target", "it is a path in the container, from / on, without colons"))
        }
        _ if mount.options.iter().any(|option| option.contains([':', ','])) => {
            Err((".options", "each option stands alone, without colons and commas"))
        }
        MountKind::Bind if !source.is_some_and(|source| source.starts_with('/') && is_plain(source)) => {
            Err((".source", "it is a path on the host, from / on, without colons"))
        }
        MountKind::Volume if source.is_some_and(|name| ContainerId::parse(name).is_none()) => {
            Err((".source", "a volume's name has letters, digits, dots, dashes and underscores"))
        }
        MountKind::Tmpfs if source.is_some() => Err((".source", "memory has no source")),
        MountKind::Bind | MountKind::Volume | MountKind::Tmpfs => Ok(()),
    }
}

fn check_network(network: &NetworkSpec) -> Result<(), (&'static str, &'static str)> {
    let name = network.name.strip_prefix("container:").unwrap_or(&network.name);
    let has_more = !network.aliases.is_empty() || network.ipv4.is_some() || network.ipv6.is_some();
    match () {
        () if ContainerId::parse(name).is_none() => Err((".name", "it is the name of a network")),
        () if has_more && !is_endpoint(&network.name) => Err(("", "only a network has aliases and addresses")),
        () if !network.mac.as_deref().is_none_or(is_mac) => Err((".mac", "it is written as 02:42:ac:11:00:02")),
        () => Ok(()),
    }
}

fn is_mac(text: &str) -> bool {
    let mut parts = 0;
    let are_bytes = text
        .split(':')
        .inspect(|_| parts += 1)
        .all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()));
    are_bytes && parts == 6
}

fn check_health(health: &HealthCheck) -> Checked {
    let words: Vec<_> = health.test.iter().map(String::as_str).collect();
    let is_test = match words.as_slice() {
        [] | ["NONE"] | ["CMD-SHELL", _] => true,
        ["CMD", rest @ ..] => !rest.is_empty(),
        _ => false,
    };
    demand("health.test", is_test, "it is [\"CMD-SHELL\", line], [\"CMD\", words…] or [\"NONE\"]")
}

fn check_pairs(field: &str, pairs: &BTreeMap<String, String>, max: usize) -> Checked {
    let size: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let message = format!("all of them together have at most {} KiB", max / 1024);
    demand(field, size <= max, &message)?;
    match pairs.keys().find(|name| name.is_empty() || (field == "env" && name.contains('='))) {
        Some(name) => Err(wrong(&format!("{field}.{name}"), "a name is not empty and has no equals sign")),
        None => Ok(()),
    }
}

/// Every text and list, wherever it stands.
fn check_texts(field: &str, value: &Value) -> Checked {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.contains('\0') => Err(wrong(field, "it has a NUL character")),
        Value::String(text) if text.len() > TEXT_MAX => Err(wrong(field, "it has at most 32 KiB")),
        Value::String(_) => Ok(()),
        Value::Array(items) if items.len() > ITEMS_MAX => Err(wrong(field, "there are at most 1024")),
        Value::Array(items) => {
            let mut numbered = items.iter().enumerate();
            numbered.try_for_each(|(index, item)| check_texts(&format!("{field}[{index}]"), item))
        }
        Value::Object(fields) if fields.len() > ITEMS_MAX => Err(wrong(field, "there are at most 1024")),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            demand(&inner, !name.contains('\0'), "its name has a NUL character")?;
            check_texts(&inner, value)
        }),
    }
}

fn each<T>(field: &str, items: &[T], check: impl Fn(&T) -> Result<(), (&'static str, &'static str)>) -> Checked {
    let mut numbered = items.iter().enumerate();
    numbered.try_for_each(|(index, item)| {
        check(item).map_err(|(part, message)| wrong(&format!("{field}[{index}]{part}"), message))
    })
}

fn demand(field: &str, holds: bool, message: &str) -> Checked {
    if holds { Ok(()) } else { Err(wrong(field, message)) }
}

fn wrong(field: &str, message: &str) -> SpecError {
    SpecError { field: field.to_owned(), message: message.to_owned() }
}
