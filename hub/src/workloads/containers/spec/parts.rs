//! What a container is to be, in the words of `docker run`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a container is to be. What is not given is as the image or the engine
/// has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerSpec {
    /// What it is called; without a name its engine finds one.
    pub name: Option<String>,
    /// What it is made from, such as `nginx:1.29`.
    pub image: String,
    /// When the image is pulled before.
    pub pull: PullPolicy,
    /// The platform of the image, such as `linux/arm64`.
    pub platform: Option<String>,
    /// The command that it runs, a word in each place.
    pub command: Option<Vec<String>>,
    /// What runs the command. An empty list is none, also where the image has
    /// one.
    pub entrypoint: Option<Vec<String>>,
    /// Its variables, by name, those of the image left out.
    pub env: BTreeMap<String, String>,
    /// Its ports that are published on the host.
    pub ports: Vec<PublishedPort>,
    /// Ports that it offers to other containers alone.
    pub expose: Vec<ExposedPort>,
    /// Whether all ports that it offers are published, each at a port that the
    /// engine finds.
    pub publish_all: bool,
    /// What is mounted in it.
    pub mounts: Vec<MountSpec>,
    /// Containers whose mounts it has too: `name` or `name:ro`.
    pub volumes_from: Vec<String>,
    /// The networks it is in. The first may also be `none`, `host` or
    /// `container:` with a name; none at all is the engine's own network.
    pub networks: Vec<NetworkSpec>,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// Whether its engine removes it when it ends.
    pub auto_remove: bool,
    /// What it may take of the host.
    pub resources: Resources,
    /// Rights of the kernel that it gets, such as `NET_ADMIN`.
    pub cap_add: Vec<String>,
    /// Rights of the kernel that it loses.
    pub cap_drop: Vec<String>,
    /// Security options, such as `no-new-privileges`.
    pub security_opt: Vec<String>,
    /// Whether it may do whatever the host may.
    pub privileged: bool,
    /// Whether its root file system cannot be written.
    pub read_only: bool,
    /// Whether a small init runs before its command and reaps what it leaves;
    /// without it as the engine is set up.
    pub init: Option<bool>,
    /// The user it runs as: a name or number, or `user:group`.
    pub user: Option<String>,
    /// Further groups of the user.
    pub group_add: Vec<String>,
    /// The folder in which the command begins.
    pub working_dir: Option<String>,
    /// What it calls itself; without it a part of its id.
    pub hostname: Option<String>,
    /// The domain of its name.
    pub domainname: Option<String>,
    /// How its health is checked; without it as the image says.
    pub health: Option<HealthCheck>,
    /// Its labels, those of the image left out.
    pub labels: BTreeMap<String, String>,
    /// Name servers that it asks.
    pub dns: Vec<String>,
    /// Domains in which it looks for names.
    pub dns_search: Vec<String>,
    /// Options of its resolver.
    pub dns_options: Vec<String>,
    /// Further names that it knows: `name:address`.
    pub extra_hosts: Vec<String>,
    /// Where its output goes; without it as the engine is set up.
    pub log: Option<LogSpec>,
    /// The signal that tells it to end.
    pub stop_signal: Option<String>,
    /// Seconds that it has to end by itself before it is killed.
    pub stop_timeout: Option<u32>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its input is kept open.
    pub stdin: bool,
    /// Kernel parameters of its own.
    pub sysctls: BTreeMap<String, String>,
    /// Whose inter-process memory it shares: `private`, `shareable`, `host` or
    /// `container:` with a name.
    pub ipc: Option<String>,
    /// Whose processes it sees: `host` or `container:` with a name.
    pub pid: Option<String>,
    /// `host` where it has the host's name.
    pub uts: Option<String>,
    /// `host` where users are the host's.
    pub userns: Option<String>,
    /// `host` or `private`.
    pub cgroupns: Option<String>,
    /// The control group above its own.
    pub cgroup_parent: Option<String>,
    /// What runs it, such as `runc`.
    pub runtime: Option<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// Every time.
    Always,
    /// Where the engine does not have it.
    #[default]
    Missing,
    /// Never: one that is not there is an error.
    Never,
}

/// A port's protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As an engine writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Reads what an engine or `docker run` writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|known| known.as_str() == text)
    }
}

/// A port that is published on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// The host's address; all of them where none is given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub host_ip: Option<IpAddr>,
    /// The port on the host; one that is free where none is given.
    #[serde(default)]
    pub host_port: Option<u16>,
    /// The last of the ports on the host of which a free one is taken.
    #[serde(default)]
    pub host_port_end: Option<u16>,
    /// The port in the container.
    pub container_port: u16,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A port that is offered and not published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExposedPort {
    /// Its number.
    pub port: u16,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What kind of thing is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume: its own and nameless where no name is given.
    Volume,
    /// Memory.
    Tmpfs,
}

/// Something that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// What kind of thing it is.
    pub kind: MountKind,
    /// The host's path, or the volume's name.
    #[serde(default)]
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Whether it cannot be written there.
    #[serde(default)]
    pub read_only: bool,
    /// Further options, such as `z`, `rslave`, `nocopy` or, for memory,
    /// `size=64m`.
    #[serde(default)]
    pub options: Vec<String>,
    /// Whether the host's path must be there already; otherwise an engine
    /// makes a folder of it.
    #[serde(default)]
    pub must_exist: bool,
    /// What keeps the volume where it is made now.
    #[serde(default)]
    pub driver: Option<String>,
    /// The driver's options.
    #[serde(default)]
    pub driver_options: BTreeMap<String, String>,
}

/// A network that a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The network's name.
    pub name: String,
    /// What others call the container there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its IPv4 address there.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address there.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ipv6: Option<Ipv6Addr>,
    /// Its hardware address there.
    #[serde(default)]
    pub mac: Option<String>,
}

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// What happens.
    #[serde(default)]
    pub when: RestartWhen,
    /// How often after a failure at most; without it again and again.
    #[serde(default)]
    pub max_retries: Option<u32>,
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// Never.
    #[default]
    No,
    /// Always.
    Always,
    /// Unless somebody stopped it.
    UnlessStopped,
    /// When it failed.
    OnFailure,
}

impl RestartWhen {
    /// As an engine writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        }
    }

    /// Reads what an engine or `docker run` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::No, Self::Always, Self::UnlessStopped, Self::OnFailure];
        all.into_iter().find(|known| known.as_str() == text)
    }
}

/// What a container may take of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Processors, such as 1.5.
    pub cpus: Option<f64>,
    /// Its share where there is not enough; 1024 is usual.
    pub cpu_shares: Option<u32>,
    /// The processors it runs on, such as `0-2,7`.
    pub cpuset_cpus: Option<String>,
    /// The memory nodes it uses.
    pub cpuset_mems: Option<String>,
    /// The scheduler's period, in microseconds.
    pub cpu_period: Option<u32>,
    /// What it may run of each period, in microseconds.
    pub cpu_quota: Option<i64>,
    /// Most memory, in bytes.
    pub memory: Option<u64>,
    /// Most memory and swap together, in bytes; -1 is without a bound, none
    /// twice the memory.
    pub memory_swap: Option<i64>,
    /// The memory that it is left with where there is not enough, in bytes.
    pub memory_reservation: Option<u64>,
    /// Most processes and threads; -1 is without a bound.
    pub pids: Option<i64>,
    /// The size of `/dev/shm`, in bytes.
    pub shm_size: Option<u64>,
    /// How soon it is killed where there is no memory, from -1000 to 1000.
    pub oom_score_adj: Option<i16>,
    /// Whether it is not killed where it reaches its bound.
    pub oom_kill_disable: bool,
    /// Its share of the disks, from 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Bounds of its processes.
    pub ulimits: Vec<Ulimit>,
    /// Devices of the host that it may use.
    pub devices: Vec<Device>,
    /// Rules for further devices, such as `c 1:3 mr`.
    pub device_cgroup_rules: Vec<String>,
    /// Graphics processors that it may use.
    pub gpus: Option<Gpus>,
}

/// A bound of a container's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// Its name, such as `nofile`.
    pub name: String,
    /// What is; -1 is without a bound.
    pub soft: i64,
    /// What may be.
    pub hard: i64,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its path on the host.
    pub host: String,
    /// Its path in the container.
    pub container: String,
    /// What may be done: of `rwm`.
    #[serde(default = "all_permissions")]
    pub permissions: String,
}

/// What may be done with a device where nothing is said.
pub(super) fn all_permissions() -> String {
    "rwm".to_owned()
}

/// Graphics processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gpus {
    /// How many; -1 is all.
    pub count: Option<i64>,
    /// These, where they are named.
    pub ids: Vec<String>,
    /// What they must be able to do, beside being one.
    pub capabilities: Vec<String>,
    /// Whose they are, such as `nvidia`.
    pub driver: Option<String>,
}

/// How a container's health is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// `["CMD-SHELL", "line"]`, `["CMD", "word", …]`, or `["NONE"]` where
    /// nothing is to be checked; empty as the image says.
    pub test: Vec<String>,
    /// Milliseconds between two checks.
    pub interval_ms: Option<u64>,
    /// Milliseconds that a check may take.
    pub timeout_ms: Option<u64>,
    /// Milliseconds in which failures do not count.
    pub start_period_ms: Option<u64>,
    /// Milliseconds between two checks in that time.
    pub start_interval_ms: Option<u64>,
    /// How many failures make it unhealthy.
    pub retries: Option<u32>,
}

/// Where a container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    /// The driver, such as `json-file`; empty is the engine's own.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}
