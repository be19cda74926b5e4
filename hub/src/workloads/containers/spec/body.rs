//! A specification as the body of the engine's create call. Only what differs
//! from before is written: what else stands in the body stays as it is, also
//! what no specification knows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parts::{
    ContainerSpec, ExposedPort, Gpus, HealthCheck, LogSpec, MountKind, MountSpec, NetworkSpec, PublishedPort,
};

/// Nanoseconds in a millisecond, in which people give times.
pub(super) const NANOS: u64 = 1_000_000;
/// Processors are told in billionths.
pub(super) const NANO_CPUS: f64 = 1e9;

/// The body of a container that is made anew.
pub fn new_body(spec: &ContainerSpec) -> Value {
    let mut body = json!({});
    write(&mut body, &ContainerSpec::default(), spec);
    body
}

/// Writes into a create body what `wanted` has otherwise than `was`.
pub fn write(body: &mut Value, was: &ContainerSpec, wanted: &ContainerSpec) {
    put_differences(object(body), &config(was), &config(wanted));
    put_differences(section(body, "HostConfig"), &host_config(was), &host_config(wanted));
    write_pairs(body, was, wanted);
    write_ports(body, was, wanted);
    write_mounts(body, &was.mounts, &wanted.mounts);
    write_networks(body, &was.networks, &wanted.networks);
    let host = section(body, "HostConfig");
    if was.resources.gpus != wanted.resources.gpus {
        write_gpus(host, wanted.resources.gpus.as_ref());
    }
    if was.privileged != wanted.privileged {
        // What a container without privileges may not see follows from that.
        host.remove("MaskedPaths");
        host.remove("ReadonlyPaths");
    }
}

/// The object that a value is, or becomes.
pub(super) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was just made one")
}

/// A part of a body, made where it is not there.
pub(super) fn section<'a>(body: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    object(object(body).entry(name).or_insert_with(|| json!({})))
}

fn put_differences(target: &mut Map<String, Value>, was: &Value, wanted: &Value) {
    let (Some(was), Some(wanted)) = (was.as_object(), wanted.as_object()) else {
        return;
    };
    for (name, value) in wanted {
        if was.get(name) == Some(value) {
            continue;
        }
        if value.is_null() {
            target.remove(name);
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
}

/// The plain fields of the container itself; null is as the image has it.
fn config(spec: &ContainerSpec) -> Value {
    // An engine takes an empty word for no entrypoint at all.
    let entrypoint = spec.entrypoint.as_ref().map(|words| match words.is_empty() {
        true => vec![String::new()],
        false => words.clone(),
    });
    json!({
        "Image": spec.image,
        "Cmd": spec.command,
        "Entrypoint": entrypoint,
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "Healthcheck": spec.health.as_ref().map(health),
        "StopSignal": spec.stop_signal,
        "StopTimeout": spec.stop_timeout,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
    })
}

fn health(check: &HealthCheck) -> Value {
    let nanos = |millis: Option<u64>| millis.unwrap_or_default().saturating_mul(NANOS);
    json!({
        "Test": check.test,
        "Interval": nanos(check.interval_ms),
        "Timeout": nanos(check.timeout_ms),
        "StartPeriod": nanos(check.start_period_ms),
        "StartInterval": nanos(check.start_interval_ms),
        "Retries": check.retries.unwrap_or_default(),
    })
}

/// The plain fields of how it is run; null is as the engine has it.
fn host_config(spec: &ContainerSpec) -> Value {
    let resources = &spec.resources;
    let list = |items: &Vec<String>| if items.is_empty() { Value::Null } else { json!(items) };
    let ulimits: Vec<_> = { resources.ulimits.iter() }
        .map(|limit| json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard }))
        .collect();
    let devices: Vec<_> = { resources.devices.iter() }
        .map(|device| {
            json!({
                "PathOnHost": device.host,
                "PathInContainer": device.container,
                "CgroupPermissions": device.permissions,
            })
        })
        .collect();
    let log = spec.log.as_ref().map(|LogSpec { driver, options }| json!({ "Type": driver, "Config": options }));
    json!({
        "RestartPolicy": {
            "Name": spec.restart.when.as_str(),
            "MaximumRetryCount": spec.restart.max_retries.unwrap_or_default(),
        },
        "AutoRemove": spec.auto_remove,
        "PublishAllPorts": spec.publish_all,
        "VolumesFrom": list(&spec.volumes_from),
        "NanoCpus": nano_cpus(resources.cpus),
        "CpuShares": resources.cpu_shares,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "CpuPeriod": resources.cpu_period,
        "CpuQuota": resources.cpu_quota,
        "Memory": resources.memory,
        // Written with the memory, of which it may be twice as much.
        "MemorySwap": match (resources.memory, resources.memory_swap) {
            (memory, None) => json!(memory.map(|memory| memory.saturating_mul(2))),
            (_, swap) => json!(swap),
        },
        "MemoryReservation": resources.memory_reservation,
        "PidsLimit": resources.pids,
        "ShmSize": resources.shm_size,
        "OomScoreAdj": resources.oom_score_adj,
        "OomKillDisable": resources.oom_kill_disable,
        "BlkioWeight": resources.blkio_weight,
        "Ulimits": ulimits,
        "Devices": devices,
        "DeviceCgroupRules": list(&resources.device_cgroup_rules),
        "CapAdd": list(&spec.cap_add),
        "CapDrop": list(&spec.cap_drop),
        "SecurityOpt": list(&spec.security_opt),
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "GroupAdd": list(&spec.group_add),
        "Dns": spec.dns,
        "DnsSearch": spec.dns_search,
        "DnsOptions": spec.dns_options,
        "ExtraHosts": list(&spec.extra_hosts),
        "LogConfig": log,
        "IpcMode": spec.ipc,
        "PidMode": spec.pid,
        "UTSMode": spec.uts,
        "UsernsMode": spec.userns,
        "CgroupnsMode": spec.cgroupns,
        "CgroupParent": spec.cgroup_parent,
        "Runtime": spec.runtime,
    })
}

/// Processors in billionths, as an engine counts them.
pub fn nano_cpus(cpus: Option<f64>) -> Value {
    // A number so small was checked at the door.
    #[expect(clippy::cast_possible_truncation, reason = "at most a few thousand processors")]
    cpus.map_or(Value::Null, |cpus| json!((cpus * NANO_CPUS).round() as i64))
}

/// Variables, labels and kernel parameters: those that were changed.
fn write_pairs(body: &mut Value, was: &ContainerSpec, wanted: &ContainerSpec) {
    if was.env != wanted.env {
        let config = object(body);
        let mut env = texts(config.get("Env"));
        env.retain(|line| {
            let name = line.split('=').next().unwrap_or(line);
            !was.env.contains_key(name) || wanted.env.contains_key(name)
        });
        for (name, value) in wanted.env.iter().filter(|(name, value)| was.env.get(*name) != Some(value)) {
            let line = format!("{name}={value}");
            match env.iter_mut().find(|line| line.split('=').next() == Some(name)) {
                Some(known) => *known = line,
                None => env.push(line),
            }
        }
        config.insert("Env".to_owned(), json!(env));
    }
    write_map(object(body), "Labels", &was.labels, &wanted.labels);
    write_map(section(body, "HostConfig"), "Sysctls", &was.sysctls, &wanted.sysctls);
}

fn write_map(
    target: &mut Map<String, Value>,
    name: &str,
    was: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) {
    if was == wanted {
        return;
    }
    let map = object(target.entry(name).or_insert_with(|| json!({})));
    map.retain(|key, _| !was.contains_key(key) || wanted.contains_key(key));
    for (key, value) in wanted.iter().filter(|(key, value)| was.get(*key) != Some(value)) {
        map.insert(key.clone(), json!(value));
    }
}

fn write_ports(body: &mut Value, was: &ContainerSpec, wanted: &ContainerSpec) {
    if was.ports == wanted.ports && was.expose == wanted.expose {
        return;
    }
    let exposed = object(object(body).entry("ExposedPorts").or_insert_with(|| json!({})));
    for port in offered(was) {
        exposed.remove(&port);
    }
    for port in offered(wanted) {
        exposed.insert(port, json!({}));
    }
    let mut bindings = Map::new();
    for port in &wanted.ports {
        let key = port_key(port.container_port, port.protocol.as_str());
        let of_port = bindings.entry(key).or_insert_with(|| json!([]));
        of_port.as_array_mut().expect("it was just made one").push(binding(port));
    }
    section(body, "HostConfig").insert("PortBindings".to_owned(), bindings.into());
}

fn offered(spec: &ContainerSpec) -> impl Iterator<Item = String> {
    let published = spec.ports.iter().map(|port| port_key(port.container_port, port.protocol.as_str()));
    let exposed = spec.expose.iter().map(|ExposedPort { port, protocol }| port_key(*port, protocol.as_str()));
    published.chain(exposed)
}

pub(super) fn port_key(port: u16, protocol: &str) -> String {
    format!("{port}/{protocol}")
}

fn binding(port: &PublishedPort) -> Value {
    let number = match (port.host_port, port.host_port_end) {
        (None, _) => String::new(),
        (Some(first), None) => first.to_string(),
        (Some(first), Some(last)) => format!("{first}-{last}"),
    };
    json!({ "HostIp": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(), "HostPort": number })
}

fn write_mounts(body: &mut Value, was: &[MountSpec], wanted: &[MountSpec]) {
    for mount in was.iter().filter(|mount| !wanted.contains(mount)) {
        remove_mount(body, &mount.target);
    }
    for mount in wanted.iter().filter(|mount| !was.contains(mount)) {
        remove_mount(body, &mount.target);
        add_mount(body, mount);
    }
}

/// Takes away whatever is mounted at `target`, however it was written.
fn remove_mount(body: &mut Value, target: &str) {
    if let Some(volumes) = object(body).get_mut("Volumes").and_then(Value::as_object_mut) {
        volumes.remove(target);
    }
    let host = section(body, "HostConfig");
    if let Some(tmpfs) = host.get_mut("Tmpfs").and_then(Value::as_object_mut) {
        tmpfs.remove(target);
    }
    if let Some(binds) = host.get_mut("Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| bind.as_str().and_then(|bind| bind.split(':').nth(1)) != Some(target));
    }
    if let Some(mounts) = host.get_mut("Mounts").and_then(Value::as_array_mut) {
        mounts.retain(|mount| mount["Target"] != target);
    }
}

fn add_mount(body: &mut Value, mount: &MountSpec) {
    let MountSpec { kind, source, target, read_only, options, must_exist, driver, driver_options } = mount;
    let asked: Vec<_> = read_only.then_some("ro").into_iter().chain(options.iter().map(String::as_str)).collect();
    match (kind, source) {
        (MountKind::Tmpfs, _) => {
            let tmpfs = object(section(body, "HostConfig").entry("Tmpfs").or_insert_with(|| json!({})));
            tmpfs.insert(target.clone(), json!(asked.join(",")));
        }
        (MountKind::Volume, None) if driver.is_none() && driver_options.is_empty() && asked.is_empty() => {
            section(body, "Volumes").insert(target.clone(), json!({}));
        }
        (_, Some(source)) if !must_exist && driver.is_none() && driver_options.is_empty() => {
            let end = if asked.is_empty() { String::new() } else { format!(":{}", asked.join(",")) };
            push(section(body, "HostConfig"), "Binds", json!(format!("{source}:{target}{end}")));
        }
        (MountKind::Bind, source) => {
            let propagation = options.iter().find(|option| option.ends_with("shared") || option.ends_with("slave"));
            let propagation = propagation.or_else(|| options.iter().find(|option| option.ends_with("private")));
            let more = propagation.map(|word| json!({ "Propagation": word }));
            let written = json!({ "Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only,
                                  "BindOptions": more });
            push(section(body, "HostConfig"), "Mounts", written);
        }
        (MountKind::Volume, source) => {
            let keeper = driver.as_ref().map(|name| json!({ "Name": name, "Options": driver_options }));
            let more = json!({ "NoCopy": options.iter().any(|option| option == "nocopy"), "DriverConfig": keeper });
            let written = json!({ "Type": "volume", "Source": source.as_deref().unwrap_or_default(), "Target": target,
                                  "ReadOnly": read_only, "VolumeOptions": more });
            push(section(body, "HostConfig"), "Mounts", written);
        }
    }
}

fn push(target: &mut Map<String, Value>, name: &str, item: Value) {
    let list = target.entry(name).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut().expect("it was just made one").push(item);
}

fn write_networks(body: &mut Value, was: &[NetworkSpec], wanted: &[NetworkSpec]) {
    if was == wanted {
        return;
    }
    let first = |networks: &[NetworkSpec]| networks.first().map(|network| network.name.clone());
    if first(was) != first(wanted) {
        let mode = first(wanted).unwrap_or_else(|| "default".to_owned());
        section(body, "HostConfig").insert("NetworkMode".to_owned(), json!(mode));
    }
    if wanted.is_empty() {
        object(body).remove("NetworkingConfig");
        return;
    }
    let endpoints = object(section(body, "NetworkingConfig").entry("EndpointsConfig").or_insert_with(|| json!({})));
    endpoints.retain(|name, _| wanted.iter().any(|network| network.name == *name));
    for network in wanted.iter().filter(|network| is_endpoint(&network.name) && !was.contains(network)) {
        let endpoint = object(endpoints.entry(&network.name).or_insert_with(|| json!({})));
        endpoint.insert("Aliases".to_owned(), json!(network.aliases));
        put_differences(endpoint, &json!({}), &json!({ "MacAddress": network.mac }));
        let mut addresses = endpoint.remove("IPAMConfig").filter(Value::is_object).unwrap_or_else(|| json!({}));
        let asked = json!({ "IPv4Address": network.ipv4, "IPv6Address": network.ipv6 });
        put_differences(object(&mut addresses), &json!({}), &asked);
        if addresses.as_object().is_some_and(|addresses| !addresses.is_empty()) {
            endpoint.insert("IPAMConfig".to_owned(), addresses);
        }
    }
}

/// Whether a network's name is that of one that a container is put into.
pub fn is_endpoint(name: &str) -> bool {
    !matches!(name, "none" | "host" | "default") && !name.starts_with("container:")
}

/// Other devices that were asked for stay.
fn write_gpus(host: &mut Map<String, Value>, gpus: Option<&Gpus>) {
    let mut requests = match host.remove("DeviceRequests") {
        Some(Value::Array(requests)) => requests,
        _ => Vec::new(),
    };
    requests.retain(|request| !is_gpu(request));
    requests.extend(gpus.map(|gpus| {
        let mut able = vec!["gpu".to_owned()];
        able.extend(gpus.capabilities.iter().cloned());
        let count = if gpus.ids.is_empty() { gpus.count.unwrap_or(-1) } else { 0 };
        json!({ "Driver": gpus.driver.clone().unwrap_or_default(), "Count": count, "DeviceIDs": gpus.ids,
                "Capabilities": [able], "Options": {} })
    }));
    host.insert("DeviceRequests".to_owned(), requests.into());
}

/// Whether a device request is for graphics processors.
pub(super) fn is_gpu(request: &Value) -> bool {
    let sets = request["Capabilities"].as_array().into_iter().flatten();
    sets.filter_map(Value::as_array).flatten().any(|able| able == "gpu")
}

/// The texts of a list.
pub(super) fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
