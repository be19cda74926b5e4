//! What a policy may say beside its profile. What is not said is refused.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Largest body of a request that is read whole, and the most that a file may
/// ask for.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// All of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What containers say.
    pub(super) logs: Logs,
    /// Programs in containers.
    pub(super) exec: Exec,
    /// Files of containers.
    pub(super) files: Files,
    /// Which images, and how they come.
    pub(super) images: Images,
    /// What may be mounted.
    pub(super) mounts: Mounts,
    /// What a container may be.
    pub(super) container: Container,
    /// What a network may be.
    pub(super) networks: Networks,
    /// How much a request may be.
    pub(super) limits: Limits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Logs {
    pub(super) enabled: bool,
}

impl Default for Logs {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exec {
    pub(super) enabled: bool,
    /// `label:key=value` each; where there are some, a container must have one.
    pub(super) containers: Option<Vec<LabelSelector>>,
    pub(super) users_deny: Vec<UserNumber>,
    pub(super) privileged: bool,
    /// What is shown is written down here, where no hub takes it away.
    pub(super) record: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Files {
    pub(super) read: bool,
    pub(super) write: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Images {
    /// Without it, what is on the host may be used and nothing is fetched.
    pub(super) allow: Option<Vec<String>>,
    pub(super) require_digest: bool,
    pub(super) load: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mounts {
    pub(super) binds: Vec<Bind>,
    pub(super) tmpfs: bool,
}

impl Default for Mounts {
    fn default() -> Self {
        Self { binds: Vec::new(), tmpfs: true }
    }
}

/// One place of the host that may be mounted, exactly so.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bind {
    pub(super) source: PathBuf,
    /// Anywhere in the container, where it is not said.
    #[serde(default)]
    pub(super) target: Option<String>,
    #[serde(default = "yes")]
    pub(super) ro: bool,
    /// What stood there when the file was read.
    #[serde(skip)]
    pub(super) place: Option<super::workload::Place>,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Container {
    pub(super) privileged: bool,
    pub(super) cap_add: Vec<String>,
    pub(super) host_network: bool,
    pub(super) host_pid: bool,
    pub(super) host_ipc: bool,
    pub(super) devices: Vec<String>,
    pub(super) gpus: bool,
    pub(super) security_opt: Vec<String>,
    pub(super) runtimes: Vec<String>,
    pub(super) user_root: bool,
    pub(super) sysctls: Vec<String>,
    #[serde(deserialize_with = "some_bytes")]
    pub(super) max_memory: Option<u64>,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            privileged: false,
            cap_add: Vec::new(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            devices: Vec::new(),
            gpus: false,
            security_opt: vec!["no-new-privileges:true".to_owned()],
            runtimes: vec!["runc".to_owned()],
            user_root: true,
            sysctls: Vec::new(),
            max_memory: None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Networks {
    /// Where a network may have the addresses that a hub chooses: the host sends
    /// what is for them into the network. Without, the engine chooses.
    pub(super) subnets: Vec<IpNet>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    #[serde(deserialize_with = "body_bytes")]
    pub(super) body_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_max: BODY_MAX }
    }
}

/// `root`, or a number. Another name cannot be told apart from outside: a number
/// is the same user by another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserNumber(pub(super) u64);

impl<'de> Deserialize<'de> for UserNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = if text == "root" { Some(0) } else { text.parse().ok() };
        number.map(Self).ok_or_else(|| serde::de::Error::custom("must be root or the number of a user"))
    }
}

/// `label:key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelSelector {
    pub(super) key: String,
    pub(super) value: String,
}

impl<'de> Deserialize<'de> for LabelSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pair = text.strip_prefix("label:").and_then(|pair| pair.split_once('='));
        let pair = pair.filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| serde::de::Error::custom("must look like label:key=value"))?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

fn body_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = size(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
    if bytes > BODY_MAX { Err(serde::de::Error::custom("must be at most 16m")) } else { Ok(bytes) }
}

/// A number of bytes, such as `512m`.
fn size(text: &str) -> Result<u64, &'static str> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" => Some(1),
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1_u64 << 30),
        _ => None,
    };
    let bytes = digits.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    bytes.ok_or("must be a size such as 512m or 4g")
}
