//! A create body read as a specification: the other way round than
//! [`write`](super::body::write). What a specification does not know is passed
//! over.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::body::{NANO_CPUS, NANOS, is_endpoint, is_gpu, texts};
use super::parts::{
    ContainerSpec, Device, ExposedPort, Gpus, HealthCheck, LogSpec, MountKind, MountSpec, NetworkSpec, Protocol,
    PublishedPort, Resources, RestartPolicy, RestartWhen, Ulimit,
};

/// What a create body asks for.
pub fn read(name: Option<String>, body: &Value) -> ContainerSpec {
    let host = &body["HostConfig"];
    let ports = read_ports(&host["PortBindings"]);
    ContainerSpec {
        name,
        image: text(&body["Image"]).unwrap_or_default(),
        command: words(&body["Cmd"]),
        entrypoint: words(&body["Entrypoint"]).map(|words| words.into_iter().filter(|word| !word.is_empty()).collect()),
        env: texts(body.get("Env")).into_iter().map(variable).collect(),
        expose: read_exposed(&body["ExposedPorts"], &ports),
        ports,
        publish_all: flag(&host["PublishAllPorts"]),
        mounts: read_mounts(body),
        volumes_from: list(&host["VolumesFrom"]),
        networks: read_networks(body),
        restart: read_restart(&host["RestartPolicy"]),
        auto_remove: flag(&host["AutoRemove"]),
        resources: read_resources(host),
        cap_add: list(&host["CapAdd"]),
        cap_drop: list(&host["CapDrop"]),
        security_opt: list(&host["SecurityOpt"]),
        privileged: flag(&host["Privileged"]),
        read_only: flag(&host["ReadonlyRootfs"]),
        init: host["Init"].as_bool(),
        user: text(&body["User"]),
        group_add: list(&host["GroupAdd"]),
        working_dir: text(&body["WorkingDir"]),
        hostname: text(&body["Hostname"]),
        domainname: text(&body["Domainname"]),
        health: read_health(&body["Healthcheck"]),
        labels: pairs(&body["Labels"]),
        dns: list(&host["Dns"]),
        dns_search: list(&host["DnsSearch"]),
        dns_options: list(&host["DnsOptions"]),
        extra_hosts: list(&host["ExtraHosts"]),
        log: text(&host["LogConfig"]["Type"])
            .map(|driver| LogSpec { driver, options: pairs(&host["LogConfig"]["Config"]) }),
        stop_signal: text(&body["StopSignal"]),
        stop_timeout: number(&body["StopTimeout"]),
        tty: flag(&body["Tty"]),
        stdin: flag(&body["OpenStdin"]),
        sysctls: pairs(&host["Sysctls"]),
        ipc: text(&host["IpcMode"]),
        pid: text(&host["PidMode"]),
        uts: text(&host["UTSMode"]),
        userns: text(&host["UsernsMode"]),
        cgroupns: text(&host["CgroupnsMode"]),
        cgroup_parent: text(&host["CgroupParent"]),
        runtime: text(&host["Runtime"]),
        ..ContainerSpec::default()
    }
}

fn read_resources(host: &Value) -> Resources {
    let memory = positive(&host["Memory"]);
    let swap = host["MemorySwap"].as_i64().filter(|swap| *swap != 0);
    Resources {
        cpus: positive(&host["NanoCpus"]).map(processors),
        cpu_shares: number(&host["CpuShares"]),
        cpuset_cpus: text(&host["CpusetCpus"]),
        cpuset_mems: text(&host["CpusetMems"]),
        cpu_period: number(&host["CpuPeriod"]),
        cpu_quota: host["CpuQuota"].as_i64().filter(|quota| *quota != 0),
        memory,
        memory_swap: swap
            .filter(|swap| memory.and_then(|memory| i64::try_from(memory.saturating_mul(2)).ok()) != Some(*swap)),
        memory_reservation: positive(&host["MemoryReservation"]),
        pids: host["PidsLimit"].as_i64().filter(|pids| *pids != 0),
        shm_size: positive(&host["ShmSize"]),
        oom_score_adj: number(&host["OomScoreAdj"]),
        oom_kill_disable: flag(&host["OomKillDisable"]),
        blkio_weight: number(&host["BlkioWeight"]),
        ulimits: items(&host["Ulimits"]).filter_map(read_ulimit).collect(),
        devices: items(&host["Devices"]).filter_map(read_device).collect(),
        device_cgroup_rules: list(&host["DeviceCgroupRules"]),
        gpus: items(&host["DeviceRequests"]).find(|request| is_gpu(request)).map(read_gpus),
    }
}

#[expect(clippy::cast_precision_loss, reason = "processors, of which no host has so many")]
fn processors(nanos: u64) -> f64 {
    nanos as f64 / NANO_CPUS
}

fn read_ulimit(limit: &Value) -> Option<Ulimit> {
    Some(Ulimit { name: text(&limit["Name"])?, soft: limit["Soft"].as_i64()?, hard: limit["Hard"].as_i64()? })
}

fn read_device(device: &Value) -> Option<Device> {
    let host = text(&device["PathOnHost"])?;
    let container = text(&device["PathInContainer"]).unwrap_or_else(|| host.clone());
    Some(Device { host, container, permissions: text(&device["CgroupPermissions"]).unwrap_or_default() })
}

fn read_gpus(request: &Value) -> Gpus {
    let able = items(&request["Capabilities"]).flat_map(list).filter(|able| able != "gpu").collect();
    let ids = list(&request["DeviceIDs"]);
    let count = request["Count"].as_i64().filter(|_| ids.is_empty());
    Gpus { count, ids, capabilities: able, driver: text(&request["Driver"]) }
}

fn read_health(check: &Value) -> Option<HealthCheck> {
    let millis = |name: &str| positive(&check[name]).map(|nanos| nanos / NANOS);
    check.is_object().then(|| HealthCheck {
        test: list(&check["Test"]),
        interval_ms: millis("Interval"),
        timeout_ms: millis("Timeout"),
        start_period_ms: millis("StartPeriod"),
        start_interval_ms: millis("StartInterval"),
        retries: number(&check["Retries"]),
    })
}

fn read_restart(policy: &Value) -> RestartPolicy {
    let when = policy["Name"].as_str().and_then(RestartWhen::parse).unwrap_or_default();
    RestartPolicy { when, max_retries: number(&policy["MaximumRetryCount"]) }
}

fn read_ports(bindings: &Value) -> Vec<PublishedPort> {
    let mut ports = Vec::new();
    for (key, bound) in bindings.as_object().into_iter().flatten() {
        let Some((container_port, protocol)) = read_port_key(key) else {
            continue;
        };
        for binding in items(bound) {
            let number = binding["HostPort"].as_str().unwrap_or_default();
            let (first, last) = number.split_once('-').map_or((number, None), |(first, last)| (first, Some(last)));
            ports.push(PublishedPort {
                host_ip: binding["HostIp"].as_str().and_then(|ip| ip.parse().ok()),
                host_port: first.parse().ok().filter(|port| *port != 0),
                host_port_end: last.and_then(|last| last.parse().ok()),
                container_port,
                protocol,
            });
        }
    }
    ports.sort_by_key(|port| (port.container_port, port.protocol, port.host_ip, port.host_port));
    ports
}

fn read_exposed(exposed: &Value, published: &[PublishedPort]) -> Vec<ExposedPort> {
    let keys = exposed.as_object().into_iter().flatten().filter_map(|(key, _)| read_port_key(key));
    let is_published = |port, protocol| {
        published.iter().any(|published| (published.container_port, published.protocol) == (port, protocol))
    };
    let mut offered: Vec<_> = keys
        .filter(|(port, protocol)| !is_published(*port, *protocol))
        .map(|(port, protocol)| ExposedPort { port, protocol })
        .collect();
    offered.sort();
    offered
}

fn read_port_key(key: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    Some((port.parse().ok()?, Protocol::parse(protocol)?))
}

fn read_mounts(body: &Value) -> Vec<MountSpec> {
    let host = &body["HostConfig"];
    let mut mounts: Vec<MountSpec> = texts(host.get("Binds")).iter().filter_map(|bind| read_bind(bind)).collect();
    mounts.extend(items(&host["Mounts"]).filter_map(read_mount));
    for (target, options) in host["Tmpfs"].as_object().into_iter().flatten() {
        let options = options.as_str().unwrap_or_default().split(',').filter(|option| !option.is_empty());
        mounts.push(mount(MountKind::Tmpfs, None, target, options));
    }
    for target in body["Volumes"].as_object().into_iter().flatten().map(|(target, _)| target) {
        if !mounts.iter().any(|mount| mount.target == *target) {
            mounts.push(mount(MountKind::Volume, None, target, []));
        }
    }
    mounts
}

fn read_bind(bind: &str) -> Option<MountSpec> {
    let mut parts = bind.splitn(3, ':');
    let (source, target) = (parts.next()?, parts.next()?);
    let options = parts.next().unwrap_or_default().split(',').filter(|option| !option.is_empty());
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    Some(mount(kind, Some(source.to_owned()), target, options))
}

/// A mount whose options say whether it may be written.
pub(super) fn mount<'a>(
    kind: MountKind,
    source: Option<String>,
    target: &str,
    options: impl IntoIterator<Item = &'a str>,
) -> MountSpec {
    let (mut read_only, mut others) = (false, Vec::new());
    for option in options {
        match option {
            "ro" | "readonly" => read_only = true,
            "rw" => {}
            option => others.push(option.to_owned()),
        }
    }
    MountSpec {
        kind,
        source,
        target: target.to_owned(),
        read_only,
        options: others,
        must_exist: false,
        driver: None,
        driver_options: BTreeMap::new(),
    }
}

fn read_mount(told: &Value) -> Option<MountSpec> {
    let kind = match told["Type"].as_str()? {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        _ => return None,
    };
    let mut found = mount(kind, text(&told["Source"]), told["Target"].as_str()?, []);
    found.read_only = flag(&told["ReadOnly"]);
    match kind {
        MountKind::Bind => {
            found.must_exist = !flag(&told["BindOptions"]["CreateMountpoint"]);
            found.options.extend(text(&told["BindOptions"]["Propagation"]));
        }
        MountKind::Volume => {
            let volume = &told["VolumeOptions"];
            found.options.extend(flag(&volume["NoCopy"]).then(|| "nocopy".to_owned()));
            found.driver = text(&volume["DriverConfig"]["Name"]);
            found.driver_options = pairs(&volume["DriverConfig"]["Options"]);
        }
        MountKind::Tmpfs => {
            let memory = &told["TmpfsOptions"];
            found.options.extend(positive(&memory["SizeBytes"]).map(|size| format!("size={size}")));
            found.options.extend(positive(&memory["Mode"]).map(|mode| format!("mode={mode:o}")));
        }
    }
    Some(found)
}

fn read_networks(body: &Value) -> Vec<NetworkSpec> {
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or("default");
    let empty = Map::new();
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap_or(&empty);
    let mut networks: Vec<_> = endpoints.iter().map(|(name, endpoint)| read_network(name, endpoint)).collect();
    networks.sort_by(|one, other| (one.name != mode, &one.name).cmp(&(other.name != mode, &other.name)));
    if !endpoints.contains_key(mode) && (!is_endpoint(mode) || endpoints.is_empty()) && mode != "default" {
        networks.insert(0, NetworkSpec { name: mode.to_owned(), ..NetworkSpec::default() });
    }
    networks
}

fn read_network(name: &str, endpoint: &Value) -> NetworkSpec {
    let address = &endpoint["IPAMConfig"];
    NetworkSpec {
        name: name.to_owned(),
        aliases: list(&endpoint["Aliases"]),
        ipv4: address["IPv4Address"].as_str().and_then(|ip| ip.parse().ok()),
        ipv6: address["IPv6Address"].as_str().and_then(|ip| ip.parse().ok()),
        mac: text(&endpoint["MacAddress"]),
    }
}

fn variable(line: String) -> (String, String) {
    match line.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (line, String::new()),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn list(list: &Value) -> Vec<String> {
    texts(Some(list))
}

/// The words of a command, where there is one.
fn words(list: &Value) -> Option<Vec<String>> {
    list.is_array().then(|| texts(Some(list)))
}

fn pairs(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}

/// A number that says something: an engine writes zero for none.
fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    value.as_i64().filter(|number| *number != 0).and_then(|number| T::try_from(number).ok())
}
