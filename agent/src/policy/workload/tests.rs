//! The one check, by every dangerous thing that is known.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::settings::Settings;
use super::super::tests::policy_of;
use super::*;

const PLAIN: &str = "version = 1\nprofile = \"deploy-safe\"\nexec.enabled = true";

fn settings(more: &str) -> Settings {
    let policy = policy_of(&format!("{PLAIN}\n{more}"));
    assert_eq!(policy.invalidity(), None);
    policy.settings
}

fn create(body: &Value, settings: &Settings) -> Result<(), &'static str> {
    let new: NewContainer = serde_json::from_value(body.clone()).map_err(|_| "body.field")?;
    check_container(&new, settings).map(drop)
}

fn update(body: &Value, settings: &Settings) -> Result<(), &'static str> {
    let changes: HostConfig = serde_json::from_value(body.clone()).map_err(|_| "body.field")?;
    check_changes(&changes, settings)
}

fn exec(body: &Value, settings: &Settings) -> Result<(), &'static str> {
    let exec: Exec = serde_json::from_value(body.clone()).map_err(|_| "body.field")?;
    check_exec(&exec, "", settings)
}

fn with_host(host: Value) -> Value {
    json!({ "Image": "app", "HostConfig": host })
}

/// What is dangerous in `HostConfig`, and the rule that refuses it.
fn dangers() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "Privileged": true }), "container.privileged"),
        (json!({ "CapAdd": ["SYS_ADMIN"] }), "container.cap_add"),
        (json!({ "CapAdd": ["CAP_NET_RAW"] }), "container.cap_add"),
        (json!({ "CapAdd": ["all"] }), "container.cap_add"),
        (json!({ "Capabilities": ["SYS_ADMIN"] }), "container.cap_add"),
        (json!({ "SecurityOpt": ["seccomp=unconfined"] }), "container.security_opt"),
        (json!({ "SecurityOpt": ["no-new-privileges:false"] }), "container.security_opt"),
        (json!({ "SecurityOpt": ["systempaths=unconfined"] }), "container.security_opt"),
        (json!({ "MaskedPaths": [] }), "container.masked_paths"),
        (json!({ "ReadonlyPaths": [] }), "container.masked_paths"),
        (json!({ "Runtime": "runsc" }), "container.runtime"),
        (json!({ "Annotations": { "a": "b" } }), "container.annotations"),
        (json!({ "PidMode": "host" }), "container.pid_mode"),
        (json!({ "PidMode": "container:a" }), "container.pid_mode"),
        (json!({ "IpcMode": "host" }), "container.ipc_mode"),
        (json!({ "IpcMode": "container:a" }), "container.ipc_mode"),
        (json!({ "UTSMode": "host" }), "container.uts_mode"),
        (json!({ "UsernsMode": "host" }), "container.userns_mode"),
        (json!({ "CgroupnsMode": "host" }), "container.cgroup"),
        (json!({ "CgroupParent": "/" }), "container.cgroup"),
        (json!({ "Cgroup": "container:a" }), "container.cgroup"),
        (json!({ "NetworkMode": "host" }), "container.network_mode"),
        (json!({ "NetworkMode": "container:a" }), "container.network_mode"),
        (json!({ "NetworkMode": "ns:/proc/1/ns/net" }), "container.network_mode"),
        (json!({ "Links": ["db:db"] }), "container.links"),
        (json!({ "Isolation": "hyperv" }), "container.isolation"),
        (json!({ "Devices": [{ "PathOnHost": "/dev/sda" }] }), "container.devices"),
        (json!({ "DeviceCgroupRules": ["a *:* rwm"] }), "container.devices"),
        (json!({ "DeviceRequests": [{ "Count": -1, "Capabilities": [["gpu"]] }] }), "container.gpus"),
        (json!({ "BlkioDeviceReadBps": [{ "Path": "/dev/sda", "Rate": 1 }] }), "container.devices"),
        (json!({ "Sysctls": { "kernel.core_pattern": "|/x" } }), "container.sysctls"),
        (json!({ "StorageOpt": { "size": "1" } }), "container.storage"),
        (json!({ "OomKillDisable": true }), "container.kernel"),
        (json!({ "OomScoreAdj": -999 }), "container.kernel"),
        (json!({ "CpuRealtimeRuntime": 1 }), "container.kernel"),
        (json!({ "ContainerIDFile": "/etc/x" }), "container.files"),
        (
            json!({ "LogConfig": { "Type": "syslog", "Config": { "syslog-address": "tcp://x" } } }),
            "container.log_driver",
        ),
        (json!({ "LogConfig": { "Type": "", "Config": { "syslog-address": "tcp://x" } } }), "container.log_driver"),
        (json!({ "LogConfig": { "Config": { "gelf-address": "udp://x" } } }), "container.log_driver"),
        (json!({ "VolumesFrom": ["a"] }), "mount.volumes_from"),
        (json!({ "Tmpfs": { "/proc/sys": "" } }), "mount.target"),
        (json!({ "Binds": ["data://proc"] }), "mount.target"),
        (json!({ "Mounts": [{ "Type": "volume", "Target": "/./sys/kernel" }] }), "mount.target"),
        (json!({ "Mounts": [{ "Type": "tmpfs", "Target": "/dev" }] }), "mount.target"),
        (json!({ "VolumeDriver": "x" }), "mount.volume_driver"),
        (json!({ "Binds": ["/etc:/h"] }), "mount.bind"),
        (json!({ "Binds": ["../etc:/h"] }), "mount.bind"),
        (json!({ "Binds": ["~/x:/h"] }), "mount.bind"),
        (json!({ "Binds": [":/h"] }), "mount.bind"),
        (json!({ "Binds": ["data:/h:z"] }), "mount.options"),
        (json!({ "Binds": ["data:/h:rshared"] }), "mount.options"),
        (json!({ "Binds": ["a:b:c:d"] }), "mount.options"),
        (json!({ "Binds": ["/h"] }), "mount.options"),
        (json!({ "Binds": ["data:/a/../b"] }), "mount.target"),
        (json!({ "Mounts": [{ "Type": "bind", "Source": "/etc", "Target": "/h" }] }), "mount.bind"),
        (json!({ "Mounts": [{ "Type": "volume", "Source": "/etc", "Target": "/h" }] }), "mount.bind"),
        (json!({ "Mounts": [{ "Type": "image", "Source": "a", "Target": "/h" }] }), "mount.type"),
        (json!({ "Mounts": [{ "Type": "npipe", "Source": "a", "Target": "/h" }] }), "mount.type"),
        (json!({ "Mounts": [{ "Type": "cluster", "Source": "a", "Target": "/h" }] }), "mount.type"),
        (json!({ "Mounts": [{ "Source": "a", "Target": "/h" }] }), "mount.type"),
        (
            json!({ "Mounts": [{ "Type": "volume", "Source": "a", "Target": "/h", "VolumeOptions": {
                "DriverConfig": { "Name": "local", "Options": { "type": "none", "o": "bind", "device": "/etc" } } } }] }),
            "mount.volume_driver",
        ),
        (
            json!({ "Mounts": [{ "Type": "volume", "Source": "a", "Target": "/h",
                                 "VolumeOptions": { "Subpath": "../../etc" } }] }),
            "mount.options",
        ),
        (
            json!({ "Mounts": [{ "Type": "volume", "Source": "a", "Target": "/h",
                                 "BindOptions": { "Propagation": "rshared" } }] }),
            "mount.options",
        ),
    ]
}

#[test]
fn c02_every_danger_is_refused_by_its_own_rule_when_made_and_when_changed() {
    let settings = settings("");
    for (host, rule) in dangers() {
        assert_eq!(create(&with_host(host.clone()), &settings), Err(rule), "{host}");
        assert_eq!(update(&host, &settings), Err(rule), "{host}");
        assert!(exec(&host, &settings).is_err(), "{host}");
    }
}

#[test]
fn what_the_docker_command_sends_of_a_plain_container_passes() {
    // Too many words for the macro.
    let host: Value = serde_json::from_str(
        r#"{
        "Binds": ["data:/data"], "ContainerIDFile": "", "LogConfig": { "Type": "", "Config": {} },
        "NetworkMode": "default", "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] },
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false, "VolumeDriver": "",
        "VolumesFrom": null, "ConsoleSize": [24, 80], "CapAdd": null, "CapDrop": ["ALL"], "CgroupnsMode": "",
        "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null, "IpcMode": "",
        "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
        "ReadonlyRootfs": false, "SecurityOpt": ["no-new-privileges"], "UTSMode": "", "UsernsMode": "", "ShmSize": 0,
        "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0,
        "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
        "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": null, "DeviceRequests": null,
        "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0,
        "Ulimits": [], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
        "MaskedPaths": null, "ReadonlyPaths": null,
        "Mounts": [{ "Type": "volume", "Target": "/cache" }, { "Type": "tmpfs", "Target": "/tmp" }]
    }"#,
    )
    .unwrap();
    let body = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
        "AttachStderr": true, "ExposedPorts": { "80/tcp": {} }, "Tty": false, "OpenStdin": false, "StdinOnce": false,
        "Env": ["A=b"], "Cmd": ["sh"], "Image": "busybox", "Volumes": { "/v": {} }, "WorkingDir": "",
        "Entrypoint": null, "OnBuild": null, "Labels": { "a": "b" }, "HostConfig": host,
        "NetworkingConfig": { "EndpointsConfig": { "front": { "Aliases": ["web"], "IPAMConfig": null } } },
    });
    let new: NewContainer = serde_json::from_value(body).unwrap();
    let needs = check_container(&new, &settings("")).unwrap();
    assert_eq!((needs.image.as_str(), needs.volumes.as_slice()), ("busybox", ["data".to_owned()].as_slice()));
    assert_eq!(needs.networks, ["front"]);
}

#[test]
fn lists_of_hidden_paths_as_an_engine_tells_them_pass_and_are_left_to_the_engine() {
    let settings = settings("");
    let masked =
        ["asound", "acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"];
    let mut masked: Vec<String> = masked.map(|name| format!("/proc/{name}")).into();
    masked.push("/sys/firmware".to_owned());
    let readonly = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map(|name| format!("/proc/{name}"));
    let body = with_host(json!({ "MaskedPaths": masked, "ReadonlyPaths": readonly }));
    assert_eq!(create(&body, &settings), Ok(()));
    let new: NewContainer = serde_json::from_value(body).unwrap();
    let sent = serde_json::to_value(new.with_engines_paths()).unwrap();
    assert_eq!(sent["HostConfig"]["MaskedPaths"], Value::Null);
    masked.pop();
    assert_eq!(create(&with_host(json!({ "MaskedPaths": masked })), &settings), Err("container.masked_paths"));
}

#[test]
fn c03_a_word_in_another_case_is_no_word() {
    let settings = settings("");
    for body in [
        json!({ "Image": "a", "hostconfig": {} }),
        json!({ "Image": "a", "HOSTCONFIG": {} }),
        json!({ "Image": "a", "Ho\u{17f}tConfig": {} }),
        json!({ "Image": "a", "HostConfig": { "privileged": true } }),
        json!({ "Image": "a", "HostConfig": { "Mounts": [{ "type": "bind" }] } }),
        json!({ "Image": "a", "Unheard": 1 }),
    ] {
        assert_eq!(create(&body, &settings), Err("body.field"), "{body}");
    }
}

#[test]
fn what_a_file_allows_passes_and_nothing_beside_it() {
    let settings = settings(
        "[container]\ncap_add = [\"NET_ADMIN\"]\nhost_network = true\nmax_memory = \"1g\"\nuser_root = false\n\
         sysctls = [\"net.core.somaxconn\"]\ndevices = [\"/dev/fuse\"]",
    );
    let with = |user: &str, host: Value| {
        let mut whole = json!({ "Memory": 1 << 20 });
        whole.as_object_mut().unwrap().extend(host.as_object().unwrap().clone());
        create(&json!({ "Image": "a", "User": user, "HostConfig": whole }), &settings)
    };
    assert_eq!(with("1000", json!({ "CapAdd": ["CAP_NET_ADMIN", "net_admin"], "NetworkMode": "host" })), Ok(()));
    assert_eq!(with("1000:0", json!({ "Sysctls": { "net.core.somaxconn": "1" } })), Ok(()));
    assert_eq!(with("1", json!({ "Devices": [{ "PathOnHost": "/dev/fuse" }] })), Ok(()));
    for root in ["", "0", "00", "0000:5", "root", "app", ":5"] {
        assert_eq!(with(root, json!({})), Err("container.user"), "{root}");
    }
    assert_eq!(with("1", json!({ "Memory": 0 })), Err("container.memory"));
    assert_eq!(with("1", json!({ "Memory": 2_i64 << 30 })), Err("container.memory"));
    assert_eq!(with("1", json!({ "MemorySwap": -1 })), Err("container.memory"));
    assert_eq!(with("1", json!({ "PidMode": "host" })), Err("container.pid_mode"));
    assert_eq!(with("1", json!({ "Tmpfs": { "/dev/shm": "" } })), Ok(()));
}

#[test]
fn graphics_cards_are_no_other_devices() {
    let settings = settings("container.gpus = true");
    let with = |request: Value| create(&with_host(json!({ "DeviceRequests": [request] })), &settings);
    assert_eq!(with(json!({ "Count": -1, "Capabilities": [["gpu"]] })), Ok(()));
    for other in [
        json!({ "Driver": "cdi", "DeviceIDs": ["vendor.com/disk=all"] }),
        json!({ "Driver": "cdi", "DeviceIDs": ["vendor.com/disk=all"], "Capabilities": [["gpu"]] }),
        json!({ "Count": -1, "Capabilities": [] }),
        json!({ "Count": -1, "Capabilities": [["gpu"], ["tpu"]] }),
    ] {
        assert_eq!(with(other.clone()), Err("container.gpus"), "{other}");
    }
}

#[test]
fn c02_programs_keep_to_their_users_and_have_no_privileges() {
    let plain = settings("");
    assert_eq!(exec(&json!({ "Cmd": ["id"], "User": "0" }), &plain), Ok(()));
    assert_eq!(exec(&json!({ "Cmd": ["id"], "Privileged": true }), &plain), Err("exec.privileged"));
    let bound = policy_of("version = 1\nprofile = \"deploy-safe\"\n[exec]\nenabled = true\nusers_deny = [\"root\"]");
    for user in ["", "0", "00", "root", "0:1000", "toor"] {
        assert_eq!(exec(&json!({ "User": user }), &bound.settings), Err("exec.user"), "{user}");
    }
    assert_eq!(exec(&json!({ "User": "1000" }), &bound.settings), Ok(()));
    let number = settings("exec.users_deny = [\"1000\"]");
    for user in ["1000", "01000", "0001000:5", "app", ""] {
        assert_eq!(exec(&json!({ "User": user }), &number), Err("exec.user"), "{user}");
    }
    assert_eq!(exec(&json!({ "User": "1001" }), &number), Ok(()));
    let name = policy_of(&format!("{PLAIN}\nexec.users_deny = [\"app\"]"));
    let why = name.invalidity().unwrap_or_default();
    assert!(why.contains("must be root or the number of a user"), "a number could be the same user: {why}");
}

#[test]
fn c02_a_bind_is_exactly_what_the_file_names_and_still_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let data = root.join("data");
    std::fs::create_dir(&data).unwrap();
    let shown = data.display().to_string();
    let settings = settings(&format!("[mounts]\nbinds = [{{ source = \"{shown}\", target = \"/data\", ro = true }}]"));
    let bind = |line: String| create(&with_host(json!({ "Binds": [line] })), &settings);
    let mount = |options: Value| {
        let mount = json!({ "Type": "bind", "Source": shown, "Target": "/data", "ReadOnly": true,
                            "BindOptions": options });
        create(&with_host(json!({ "Mounts": [mount] })), &settings)
    };
    assert_eq!(mount(json!({ "Propagation": "rprivate" })), Ok(()));
    assert_eq!(mount(json!({ "ReadOnlyNonRecursive": true })), Err("mount.bind"));
    assert_eq!(mount(json!({ "Propagation": "rshared" })), Err("mount.options"));
    assert_eq!(bind(format!("{shown}:/data:ro")), Ok(()));
    for other in [
        format!("{shown}:/data"),
        format!("{shown}:/other:ro"),
        format!("{shown}/:/data:ro"),
        format!("{shown}/sub:/data:ro"),
        format!("{shown}/../data:/data:ro"),
        format!("{}:/data:ro", root.display()),
    ] {
        assert_eq!(bind(other.clone()), Err("mount.bind"), "{other}");
    }
    // Somebody puts a link in its place, then another folder.
    std::fs::rename(&data, root.join("before")).unwrap();
    std::os::unix::fs::symlink("/etc", &data).unwrap();
    assert_eq!(bind(format!("{shown}:/data:ro")), Err("mount.bind"));
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    assert_eq!(bind(format!("{shown}:/data:ro")), Err("mount.bind"));
}

#[test]
fn c02_nothing_runs_in_a_container_that_could_not_be_made() {
    let settings = settings("");
    let target = |host: Value, mounts: Value| check_target(&json!({ "HostConfig": host, "Mounts": mounts }), &settings);
    let ok = |volumes: &[&str]| Ok(volumes.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(target(json!({ "NetworkMode": "bridge", "IpcMode": "private" }), json!([])), ok(&[]));
    let volume = json!([{ "Type": "volume", "Name": "data", "Destination": "/data" }]);
    assert_eq!(target(json!({ "MaskedPaths": null }), volume), ok(&["data"]));
    let odd = json!([{ "Type": "volume", "Name": "a/b", "Destination": "/data" }]);
    assert_eq!(target(json!({}), odd), Err("target.mounts"));
    for (host, rule) in [
        (json!({ "Privileged": true }), "target.privileged"),
        (json!({ "CapAdd": ["CAP_SYS_ADMIN"] }), "target.privileged"),
        (json!({ "Capabilities": ["CAP_SYS_ADMIN"] }), "target.privileged"),
        (json!({ "MaskedPaths": [], "ReadonlyPaths": [] }), "target.privileged"),
        (json!({ "ReadonlyPaths": ["/proc/bus"] }), "target.privileged"),
        (json!({ "PidMode": "host" }), "target.namespaces"),
        (json!({ "NetworkMode": "container:a" }), "target.namespaces"),
        (json!({ "Devices": [{ "PathOnHost": "/dev/sda" }] }), "target.devices"),
        (json!({ "DeviceCgroupRules": ["a"] }), "target.devices"),
        (json!({ "SecurityOpt": ["seccomp=unconfined"] }), "target.security_opt"),
    ] {
        assert_eq!(target(host.clone(), json!([])), Err(rule), "{host}");
    }
    let bind = json!([{ "Type": "bind", "Source": "/etc", "Destination": "/h", "RW": false }]);
    assert_eq!(target(json!({}), bind), Err("target.mounts"));
}

#[test]
fn c41_images_come_by_names_that_the_file_covers() {
    let patterns = ["ghcr.io/acme/**", "docker.io/library/*@sha256:*", "registry:5000/app"].map(str::to_owned);
    let allowed = Allowed { patterns: Some(&patterns), require_digest: false };
    let check = |name: &str| Reference::parse(name).ok_or("image.name").and_then(|name| allowed.check(&name));
    let digest = format!("sha256:{}", "a".repeat(64));
    for fine in ["ghcr.io/acme/a/b:1", "ghcr.io/acme/a", "registry:5000/app:2", &format!("busybox@{digest}")] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
    for other in ["busybox", "busybox:1", "ghcr.io/acmes/a", "evil/app", "registry:5000/app/x", "ghcr.io.evil/acme/a"] {
        assert_eq!(check(other), Err("image.allow"), "{other}");
    }
    for nothing in ["", "A", "a:", "a@sha256:1", "http://a/b", "a/../b", "a/*", "a b", "ghcr.io/acme/../evil"] {
        assert_eq!(check(nothing), Err("image.name"), "{nothing}");
    }
    assert_eq!(Reference::parse("docker.io/busybox").unwrap().name(), "docker.io/library/busybox");
    let strict = Allowed { patterns: None, require_digest: true };
    assert_eq!(strict.check(&Reference::parse("busybox:1").unwrap()), Err("image.digest"));
    let tagged = |name: &str, tag: &str| Reference::parse(name).unwrap().with_tag(tag);
    assert_eq!(tagged("busybox", "").unwrap().tag_or_digest(), "latest", "never all tags");
    assert_eq!(tagged("busybox", &digest).unwrap().tag_or_digest(), digest);
    assert_eq!(tagged("busybox:1", "2"), None);
}

#[test]
fn c02_volumes_and_networks_are_the_engines_own() {
    let volume =
        |body: Value| serde_json::from_value(body).map_err(|_| "body.field").and_then(|new| check_volume(&new));
    assert_eq!(volume(json!({ "Name": "data", "Driver": "local", "DriverOpts": {}, "Labels": { "a": "b" } })), Ok(()));
    for options in [json!({ "type": "none", "o": "bind", "device": "/etc" }), json!({ "type": "proc" })] {
        assert_eq!(volume(json!({ "Name": "a", "DriverOpts": options })), Err("volume.driver"));
    }
    assert_eq!(volume(json!({ "Name": "a", "Driver": "rclone" })), Err("volume.driver"));
    assert_eq!(volume(json!({ "Name": "../a" })), Err("volume.name"));

    let rules = settings("networks.subnets = [\"10.9.0.0/16\"]").networks;
    let network = |body: Value| {
        serde_json::from_value(body).map_err(|_| "body.field").and_then(|new| check_network(&new, &rules))
    };
    let plain = json!({ "Name": "front", "CheckDuplicate": true, "Driver": "bridge", "EnableIPv6": false,
                        "IPAM": { "Driver": "default", "Options": {}, "Config": [{ "Subnet": "10.9.0.0/24" }] },
                        "Internal": false, "Attachable": false, "Options": {}, "Labels": {} });
    assert_eq!(network(plain), Ok(()));
    for subnet in ["10.8.0.0/16", "10.9.0.0/8", "8.8.8.0/24", "0.0.0.0/0", "10.9.0.0", "::/0"] {
        let chosen = json!({ "Name": "a", "IPAM": { "Config": [{ "Subnet": "10.9.1.0/24" }, { "Subnet": subnet }] } });
        assert_eq!(network(chosen), Err("network.subnet"), "{subnet}");
    }
    for driver in ["macvlan", "ipvlan", "host", "weave"] {
        assert_eq!(network(json!({ "Name": "a", "Driver": driver })), Err("network.driver"), "{driver}");
    }
    let named = json!({ "Name": "a", "Options": { "com.docker.network.bridge.name": "br0" } });
    assert_eq!(network(named), Err("network.options"));
    assert_eq!(network(json!({ "Name": "a", "ConfigFrom": { "Network": "b" } })), Err("network.options"));
    assert_eq!(network(json!({ "Name": "host" })), Err("network.name"));
}

/// A `HostConfig` of harmless parts and one danger.
fn host_with_a_danger() -> impl Strategy<Value = Map<String, Value>> {
    let harmless = prop::sample::subsequence(
        vec![
            ("Memory", json!(1_048_576)),
            ("RestartPolicy", json!({ "Name": "always" })),
            ("NetworkMode", json!("front")),
            ("CapDrop", json!(["ALL"])),
            ("Privileged", json!(false)),
            ("Binds", json!(["data:/data"])),
            ("PidMode", json!("")),
            ("Tmpfs", json!({ "/t": "" })),
        ],
        0..8,
    );
    (harmless, prop::sample::select(dangers())).prop_map(|(harmless, (danger, _))| {
        let mut host: Map<String, Value> = harmless.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        host.extend(danger.as_object().expect("it is one").clone());
        host
    })
}

proptest! {
    #[test]
    fn c02_what_is_dangerous_when_made_is_refused_when_changed_and_run(host in host_with_a_danger()) {
        let settings = settings("");
        let host = Value::Object(host);
        prop_assert!(create(&with_host(host.clone()), &settings).is_err());
        prop_assert!(update(&host, &settings).is_err());
        prop_assert!(exec(&host, &settings).is_err());
    }

    #[test]
    fn c03_no_spelling_of_a_word_but_its_own_is_read(
        word in prop::sample::select(vec!["HostConfig", "Image", "NetworkingConfig", "Volumes", "Entrypoint"]),
        flips in prop::collection::vec(any::<bool>(), 20),
    ) {
        let spelled: String = word.chars().zip(flips.iter().chain(std::iter::repeat(&false)))
            .map(|(letter, flip)| match (flip, letter.is_lowercase()) {
                (false, _) => letter,
                (true, true) => letter.to_ascii_uppercase(),
                (true, false) => letter.to_ascii_lowercase(),
            })
            .collect();
        let mut body = json!({ "Image": "app" });
        body.as_object_mut().unwrap().insert(spelled.clone(), Value::Null);
        let read = serde_json::from_value::<NewContainer>(body);
        prop_assert_eq!(read.is_ok(), spelled == word);
    }
}
