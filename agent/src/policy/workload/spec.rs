//! Containers and programs in the engine's own words, all that API 1.41 to 1.45
//! has. A word that is not here, also one in another case, is refused. What is
//! never let through is read as it is, and must say nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

type Texts = Option<Vec<String>>;
type Pairs = Option<BTreeMap<String, String>>;

/// The body of `POST /containers/create`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct NewContainer {
    pub(super) hostname: Option<String>,
    pub(super) domainname: Option<String>,
    pub(super) user: Option<String>,
    pub(super) attach_stdin: Option<bool>,
    pub(super) attach_stdout: Option<bool>,
    pub(super) attach_stderr: Option<bool>,
    pub(super) exposed_ports: Option<BTreeMap<String, Option<Nothing>>>,
    pub(super) tty: Option<bool>,
    pub(super) open_stdin: Option<bool>,
    pub(super) stdin_once: Option<bool>,
    pub(super) env: Texts,
    pub(super) cmd: Option<Words>,
    pub(super) healthcheck: Option<HealthCheck>,
    pub(super) args_escaped: Option<bool>,
    pub(super) image: Option<String>,
    pub(super) volumes: Option<BTreeMap<String, Option<Nothing>>>,
    pub(super) working_dir: Option<String>,
    pub(super) entrypoint: Option<Words>,
    pub(super) network_disabled: Option<bool>,
    pub(super) mac_address: Option<String>,
    pub(super) on_build: Texts,
    pub(super) labels: Pairs,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_timeout: Option<i64>,
    pub(super) shell: Texts,
    pub(super) host_config: Option<HostConfig>,
    pub(super) networking_config: Option<Networking>,
}

/// Words as the engine takes them: one, or several.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Words {
    One(String),
    Many(Vec<String>),
}

/// `{}`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    test: Texts,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<i64>,
}

/// How a container is run; also all that can be changed of one that runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct HostConfig {
    pub(super) binds: Texts,
    #[serde(rename = "ContainerIDFile")]
    pub(super) container_id_file: Option<String>,
    pub(super) log_config: Option<LogConfig>,
    pub(super) network_mode: Option<String>,
    pub(super) port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    pub(super) restart_policy: Option<RestartPolicy>,
    pub(super) auto_remove: Option<bool>,
    pub(super) volume_driver: Option<String>,
    pub(super) volumes_from: Texts,
    pub(super) console_size: Option<[u32; 2]>,
    pub(super) annotations: Pairs,
    pub(super) cap_add: Texts,
    pub(super) cap_drop: Texts,
    pub(super) capabilities: Texts,
    pub(super) cgroupns_mode: Option<String>,
    pub(super) dns: Texts,
    pub(super) dns_options: Texts,
    pub(super) dns_search: Texts,
    pub(super) extra_hosts: Texts,
    pub(super) group_add: Texts,
    pub(super) ipc_mode: Option<String>,
    pub(super) cgroup: Option<String>,
    pub(super) links: Texts,
    pub(super) oom_score_adj: Option<i64>,
    pub(super) pid_mode: Option<String>,
    pub(super) privileged: Option<bool>,
    pub(super) publish_all_ports: Option<bool>,
    pub(super) readonly_rootfs: Option<bool>,
    pub(super) security_opt: Texts,
    pub(super) storage_opt: Pairs,
    pub(super) tmpfs: Pairs,
    #[serde(rename = "UTSMode")]
    pub(super) uts_mode: Option<String>,
    pub(super) userns_mode: Option<String>,
    pub(super) shm_size: Option<i64>,
    pub(super) sysctls: Pairs,
    pub(super) runtime: Option<String>,
    pub(super) isolation: Option<String>,
    pub(super) cpu_shares: Option<i64>,
    pub(super) memory: Option<i64>,
    pub(super) nano_cpus: Option<i64>,
    pub(super) cgroup_parent: Option<String>,
    pub(super) blkio_weight: Option<u16>,
    pub(super) blkio_weight_device: Option<Value>,
    pub(super) blkio_device_read_bps: Option<Value>,
    pub(super) blkio_device_write_bps: Option<Value>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub(super) blkio_device_read_iops: Option<Value>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub(super) blkio_device_write_iops: Option<Value>,
    pub(super) cpu_period: Option<i64>,
    pub(super) cpu_quota: Option<i64>,
    pub(super) cpu_realtime_period: Option<i64>,
    pub(super) cpu_realtime_runtime: Option<i64>,
    pub(super) cpuset_cpus: Option<String>,
    pub(super) cpuset_mems: Option<String>,
    pub(super) devices: Option<Vec<Device>>,
    pub(super) device_cgroup_rules: Texts,
    pub(super) device_requests: Option<Vec<DeviceRequest>>,
    pub(super) kernel_memory: Option<i64>,
    #[serde(rename = "KernelMemoryTCP")]
    pub(super) kernel_memory_tcp: Option<i64>,
    pub(super) memory_reservation: Option<i64>,
    pub(super) memory_swap: Option<i64>,
    pub(super) memory_swappiness: Option<i64>,
    pub(super) oom_kill_disable: Option<bool>,
    pub(super) pids_limit: Option<i64>,
    pub(super) ulimits: Option<Vec<Ulimit>>,
    pub(super) cpu_count: Option<i64>,
    pub(super) cpu_percent: Option<i64>,
    #[serde(rename = "IOMaximumIOps")]
    pub(super) io_maximum_iops: Option<u64>,
    #[serde(rename = "IOMaximumBandwidth")]
    pub(super) io_maximum_bandwidth: Option<u64>,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) masked_paths: Texts,
    pub(super) readonly_paths: Texts,
    pub(super) init: Option<bool>,
}

impl NewContainer {
    /// The same, with the engine's own lists of what of the kernel is not shown:
    /// those of the caller may be shorter than this engine's.
    #[must_use]
    pub fn with_engines_paths(mut self) -> Self {
        if let Some(host) = &mut self.host_config {
            (host.masked_paths, host.readonly_paths) = (None, None);
        }
        self
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub(super) driver: Option<String>,
    pub(super) config: Pairs,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct PortBinding {
    host_ip: Option<String>,
    host_port: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct RestartPolicy {
    name: Option<String>,
    maximum_retry_count: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Device {
    pub(super) path_on_host: String,
    pub(super) path_in_container: Option<String>,
    pub(super) cgroup_permissions: Option<String>,
}

/// Devices that a driver gives, such as a graphics card.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct DeviceRequest {
    pub(super) driver: Option<String>,
    count: Option<i64>,
    #[serde(rename = "DeviceIDs")]
    device_ids: Texts,
    pub(super) capabilities: Option<Vec<Vec<String>>>,
    pub(super) options: Pairs,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Ulimit {
    name: String,
    hard: Option<i64>,
    soft: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Mount {
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
    pub(super) source: Option<String>,
    pub(super) target: Option<String>,
    pub(super) read_only: Option<bool>,
    pub(super) consistency: Option<String>,
    pub(super) bind_options: Option<BindOptions>,
    pub(super) volume_options: Option<VolumeOptions>,
    pub(super) tmpfs_options: Option<TmpfsOptions>,
    pub(super) cluster_options: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct BindOptions {
    pub(super) propagation: Option<String>,
    non_recursive: Option<bool>,
    pub(super) create_mountpoint: Option<bool>,
    pub(super) read_only_non_recursive: Option<bool>,
    read_only_force_recursive: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct VolumeOptions {
    no_copy: Option<bool>,
    labels: Pairs,
    pub(super) driver_config: Option<Value>,
    pub(super) subpath: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct TmpfsOptions {
    size_bytes: Option<i64>,
    mode: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Networking {
    pub(super) endpoints_config: Option<BTreeMap<String, Option<Endpoint>>>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Endpoint {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<EndpointAddresses>,
    pub(super) links: Texts,
    aliases: Texts,
    mac_address: Option<String>,
    pub(super) driver_opts: Pairs,
    #[serde(rename = "NetworkID")]
    network_id: Option<String>,
    #[serde(rename = "EndpointID")]
    endpoint_id: Option<String>,
    gateway: Option<String>,
    #[serde(rename = "IPAddress")]
    ip_address: Option<String>,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: Option<i64>,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: Option<String>,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: Option<i64>,
    #[serde(rename = "DNSNames")]
    dns_names: Texts,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointAddresses {
    #[serde(rename = "IPv4Address")]
    ipv4_address: Option<String>,
    #[serde(rename = "IPv6Address")]
    ipv6_address: Option<String>,
    #[serde(rename = "LinkLocalIPs")]
    link_local_ips: Texts,
}

/// The body of `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Exec {
    pub(super) user: Option<String>,
    pub(super) privileged: Option<bool>,
    tty: Option<bool>,
    console_size: Option<[u32; 2]>,
    attach_stdin: Option<bool>,
    attach_stderr: Option<bool>,
    attach_stdout: Option<bool>,
    detach: Option<bool>,
    detach_keys: Option<String>,
    env: Texts,
    working_dir: Option<String>,
    cmd: Option<Vec<String>>,
}
