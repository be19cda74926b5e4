//! The flags of `docker run`, and where in a specification each goes.

use super::super::parts::{
    ContainerSpec, ExposedPort, HealthCheck, MountKind, MountSpec, NetworkSpec, Protocol, PullPolicy, RestartPolicy,
    RestartWhen,
};
use super::super::reading::mount;
use super::{Reading, RemarkKind, RunError, values};

/// A flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    name: &'static str,
    /// Whether a value stands behind it.
    pub shape: Shape,
}

/// What a flag is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It is there or not.
    Switch,
    /// It has a value.
    Value,
}

/// Flags that are there or not.
const SWITCHES: &[&str] = &[
    "detach",
    "disable-content-trust",
    "init",
    "interactive",
    "no-healthcheck",
    "oom-kill-disable",
    "privileged",
    "publish-all",
    "quiet",
    "read-only",
    "rm",
    "sig-proxy",
    "tty",
    "use-api-socket",
];
/// Flags with a value that a specification can say.
const VALUES: &[&str] = &[
    "add-host",
    "blkio-weight",
    "cap-add",
    "cap-drop",
    "cgroup-parent",
    "cgroupns",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "device",
    "device-cgroup-rule",
    "dns",
    "dns-option",
    "dns-search",
    "domainname",
    "entrypoint",
    "env",
    "env-file",
    "expose",
    "gpus",
    "group-add",
    "health-cmd",
    "health-interval",
    "health-retries",
    "health-start-interval",
    "health-start-period",
    "health-timeout",
    "hostname",
    "ip",
    "ip6",
    "ipc",
    "label",
    "label-file",
    "log-driver",
    "log-opt",
    "mac-address",
    "memory",
    "memory-reservation",
    "memory-swap",
    "mount",
    "name",
    "network",
    "network-alias",
    "oom-score-adj",
    "pid",
    "pids-limit",
    "platform",
    "publish",
    "pull",
    "restart",
    "runtime",
    "security-opt",
    "shm-size",
    "stop-signal",
    "stop-timeout",
    "sysctl",
    "tmpfs",
    "ulimit",
    "user",
    "userns",
    "uts",
    "volume",
    "volumes-from",
    "workdir",
];
/// Flags with a value that a specification cannot say.
const LEFT_OUT: &[&str] = &[
    "annotation",
    "attach",
    "blkio-weight-device",
    "cidfile",
    "cpu-count",
    "cpu-percent",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "detach-keys",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "io-maxbandwidth",
    "io-maxiops",
    "isolation",
    "kernel-memory",
    "link",
    "link-local-ip",
    "memory-swappiness",
    "storage-opt",
    "volume-driver",
];
/// Other names of flags.
const ALIASES: &[(&str, &str)] = &[("dns-opt", "dns-option"), ("net", "network"), ("net-alias", "network-alias")];
/// Flags of one letter.
const LETTERS: &[(char, &str)] = &[
    ('a', "attach"),
    ('c', "cpu-shares"),
    ('d', "detach"),
    ('e', "env"),
    ('h', "hostname"),
    ('i', "interactive"),
    ('l', "label"),
    ('m', "memory"),
    ('P', "publish-all"),
    ('p', "publish"),
    ('q', "quiet"),
    ('t', "tty"),
    ('u', "user"),
    ('v', "volume"),
    ('w', "workdir"),
];

impl Flag {
    /// The flag that is written `--name`.
    pub fn long(written: &str) -> Option<Self> {
        let name = written.strip_prefix("--")?;
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
        let of = |names: &'static [&'static str], shape| {
            names.iter().find(|known| **known == name).map(|name| Self { name, shape })
        };
        let value = || of(VALUES, Shape::Value).or_else(|| of(LEFT_OUT, Shape::Value));
        of(SWITCHES, Shape::Switch).or_else(value)
    }

    /// The flag of one letter.
    pub fn short(letter: char) -> Option<Self> {
        let (_, name) = LETTERS.iter().find(|(known, _)| *known == letter)?;
        Self::long(&format!("--{name}"))
    }
}

impl Reading {
    /// Takes a flag that is there or not.
    pub(super) fn switch(&mut self, flag: Flag, is_on: bool, written: &str) -> Result<(), RunError> {
        let spec = &mut self.spec;
        match flag.name {
            "init" => spec.init = Some(is_on),
            "interactive" => spec.stdin = is_on,
            "no-healthcheck" => self.has_no_health = is_on,
            "oom-kill-disable" => spec.resources.oom_kill_disable = is_on,
            "privileged" => spec.privileged = is_on,
            "publish-all" => spec.publish_all = is_on,
            "read-only" => spec.read_only = is_on,
            "rm" => spec.auto_remove = is_on,
            "tty" => spec.tty = is_on,
            // How the line's own terminal is used: there is none.
            "detach" | "quiet" | "sig-proxy" => {}
            _ => self.remark(written, RemarkKind::LeftOut),
        }
        Ok(())
    }

    /// Takes a flag with its value.
    pub(super) fn value(&mut self, flag: Flag, written: &str, value: &str) -> Result<(), RunError> {
        if LEFT_OUT.contains(&flag.name) {
            self.remark(written, RemarkKind::LeftOut);
            return Ok(());
        }
        let taken = match flag.name {
            "env-file" | "label-file" => {
                self.remark(&format!("{written} {value}"), RemarkKind::FileNotRead);
                Ok(())
            }
            "env" => {
                self.take_variable(value);
                Ok(())
            }
            "volume" => self.take_volume(value),
            "mount" => self.take_mount(value, written),
            "network" => self.take_network(value, written),
            "network-alias" => {
                self.own_network.aliases.push(value.to_owned());
                Ok(())
            }
            "ip" => set(&mut self.own_network.ipv4, value.parse().ok(), "it is an IPv4 address"),
            "ip6" => set(&mut self.own_network.ipv6, value.parse().ok(), "it is an IPv6 address"),
            "mac-address" => text(&mut self.own_network.mac, value),
            "device" if value.contains('=') => {
                self.remark(&format!("{written} {value}"), RemarkKind::LeftOut);
                Ok(())
            }
            name if name.starts_with("health-") => take_health(self.spec.health.get_or_insert_default(), name, value),
            name => take_plain(&mut self.spec, name, value)
                .or_else(|| take_resource(&mut self.spec, name, value))
                .unwrap_or(Err("it is not understood")),
        };
        taken.map_err(|message| RunError::Value { flag: written.to_owned(), message })
    }

    fn take_variable(&mut self, value: &str) {
        let (name, value) = match value.split_once('=') {
            Some((name, value)) => (name, value),
            None => {
                self.remark(value, RemarkKind::ValueNeeded);
                (value, "")
            }
        };
        self.spec.env.insert(name.to_owned(), value.to_owned());
    }

    fn take_volume(&mut self, value: &str) -> Taken {
        let mut parts = value.splitn(3, ':');
        let (first, target, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let options = options.unwrap_or_default().split(',').filter(|option| !option.is_empty());
        let Some(target) = target else {
            self.spec.mounts.push(mount(MountKind::Volume, None, first, []));
            return Ok(());
        };
        let is_relative = first.starts_with(['.', '~', '$']);
        if is_relative {
            self.remark(first, RemarkKind::RelativePath);
        }
        let kind = if is_relative || first.contains('/') { MountKind::Bind } else { MountKind::Volume };
        self.spec.mounts.push(mount(kind, Some(first.to_owned()), target, options));
        Ok(())
    }

    fn take_mount(&mut self, value: &str, written: &str) -> Taken {
        let mut found = mount(MountKind::Volume, None, "", []);
        for field in values::fields(value) {
            let (key, value) = field.split_once('=').unwrap_or((&field, "true"));
            match key {
                "type" => {
                    found.kind = match value {
                        "bind" => MountKind::Bind,
                        "volume" => MountKind::Volume,
                        "tmpfs" => MountKind::Tmpfs,
                        _ => return Err("its type is bind, volume or tmpfs"),
                    }
                }
                "source" | "src" => found.source = Some(value.to_owned()),
                "target" | "destination" | "dst" => value.clone_into(&mut found.target),
                "readonly" | "ro" => found.read_only = matches!(value, "true" | "1"),
                "bind-propagation" => found.options.push(value.to_owned()),
                "volume-driver" => found.driver = Some(value.to_owned()),
                "volume-nocopy" => found.options.extend(matches!(value, "true" | "1").then(|| "nocopy".to_owned())),
                "volume-opt" => {
                    let (name, value) = value.split_once('=').ok_or("volume-opt is written volume-opt=name=value")?;
                    found.driver_options.insert(name.to_owned(), value.to_owned());
                }
                "tmpfs-size" => {
                    let size = values::size(value).ok_or("tmpfs-size is a size such as 64m")?;
                    found.options.push(format!("size={size}"));
                }
                "tmpfs-mode" => found.options.push(format!("mode={value}")),
                "bind-create-src" => {}
                _ => self.remark(&format!("{written} {field}"), RemarkKind::LeftOut),
            }
        }
        found.must_exist = found.kind == MountKind::Bind;
        self.spec.mounts.push(found);
        Ok(())
    }

    /// A name, or `name=…,alias=…,ip=…`.
    fn take_network(&mut self, value: &str, written: &str) -> Taken {
        let mut network = NetworkSpec::default();
        if !value.contains('=') {
            value.clone_into(&mut network.name);
            self.spec.networks.push(network);
            return Ok(());
        }
        for field in values::fields(value) {
            match field.split_once('=') {
                Some(("name", name)) => name.clone_into(&mut network.name),
                Some(("alias", alias)) => network.aliases.push(alias.to_owned()),
                Some(("ip", ip)) => set(&mut network.ipv4, ip.parse().ok(), "ip is an IPv4 address")?,
                Some(("ip6", ip)) => set(&mut network.ipv6, ip.parse().ok(), "ip6 is an IPv6 address")?,
                Some(("mac-address", mac)) => text(&mut network.mac, mac)?,
                _ => self.remark(&format!("{written} {field}"), RemarkKind::LeftOut),
            }
        }
        self.spec.networks.push(network);
        Ok(())
    }
}

type Taken = Result<(), &'static str>;

/// Texts and lists; `None` for what is none of them.
fn take_plain(spec: &mut ContainerSpec, name: &str, value: &str) -> Option<Taken> {
    let taken = match name {
        "name" => text(&mut spec.name, value),
        "platform" => text(&mut spec.platform, value),
        "hostname" => text(&mut spec.hostname, value),
        "domainname" => text(&mut spec.domainname, value),
        "user" => text(&mut spec.user, value),
        "workdir" => text(&mut spec.working_dir, value),
        "ipc" => text(&mut spec.ipc, value),
        "pid" => text(&mut spec.pid, value),
        "uts" => text(&mut spec.uts, value),
        "userns" => text(&mut spec.userns, value),
        "cgroupns" => text(&mut spec.cgroupns, value),
        "cgroup-parent" => text(&mut spec.cgroup_parent, value),
        "runtime" => text(&mut spec.runtime, value),
        "stop-signal" => text(&mut spec.stop_signal, value),
        "stop-timeout" => set(&mut spec.stop_timeout, value.parse().ok(), "it is a number of seconds"),
        "add-host" => push(&mut spec.extra_hosts, value.replacen('=', ":", 1)),
        "cap-add" => push(&mut spec.cap_add, value.to_owned()),
        "cap-drop" => push(&mut spec.cap_drop, value.to_owned()),
        "security-opt" => push(&mut spec.security_opt, value.to_owned()),
        "group-add" => push(&mut spec.group_add, value.to_owned()),
        "dns" => push(&mut spec.dns, value.to_owned()),
        "dns-search" => push(&mut spec.dns_search, value.to_owned()),
        "dns-option" => push(&mut spec.dns_options, value.to_owned()),
        "volumes-from" => push(&mut spec.volumes_from, value.to_owned()),
        "tmpfs" => {
            let (target, options) = value.split_once(':').unwrap_or((value, ""));
            let options = options.split(',').filter(|option| !option.is_empty());
            push(&mut spec.mounts, mount_of_memory(target, options))
        }
        "entrypoint" => {
            spec.entrypoint = Some([value].into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect());
            Ok(())
        }
        "label" => pair(&mut spec.labels, value.split_once('=').unwrap_or((value, ""))),
        "sysctl" => value.split_once('=').map_or(Err("write name=value"), |named| pair(&mut spec.sysctls, named)),
        "log-driver" => {
            value.clone_into(&mut spec.log.get_or_insert_default().driver);
            Ok(())
        }
        "log-opt" => {
            let options = &mut spec.log.get_or_insert_default().options;
            value.split_once('=').map_or(Err("write name=value"), |named| pair(options, named))
        }
        "publish" => values::ports(value).map(|ports| spec.ports.extend(ports)).ok_or("write host:container"),
        "expose" => take_exposed(&mut spec.expose, value),
        "pull" => take_pull(&mut spec.pull, value),
        "restart" => take_restart(&mut spec.restart, value),
        _ => return None,
    };
    Some(taken)
}

/// What a container may take; `None` for what is none of it.
fn take_resource(spec: &mut ContainerSpec, name: &str, value: &str) -> Option<Taken> {
    const SIZE: &str = "it is a size such as 512m";
    const NUMBER: &str = "it is a number";
    let resources = &mut spec.resources;
    let taken = match name {
        "cpus" => set(&mut resources.cpus, value.parse().ok(), "it is a number such as 1.5"),
        "cpu-shares" => set(&mut resources.cpu_shares, value.parse().ok(), NUMBER),
        "cpu-period" => set(&mut resources.cpu_period, value.parse().ok(), NUMBER),
        "cpu-quota" => set(&mut resources.cpu_quota, value.parse().ok(), NUMBER),
        "cpuset-cpus" => text(&mut resources.cpuset_cpus, value),
        "cpuset-mems" => text(&mut resources.cpuset_mems, value),
        "memory" => set(&mut resources.memory, values::size(value), SIZE),
        "memory-reservation" => set(&mut resources.memory_reservation, values::size(value), SIZE),
        "memory-swap" => {
            let swap = value.parse().ok().filter(|swap| *swap == -1);
            let swap = swap.or_else(|| i64::try_from(values::size(value)?).ok());
            set(&mut resources.memory_swap, swap, SIZE)
        }
        "shm-size" => set(&mut resources.shm_size, values::size(value), SIZE),
        "pids-limit" => set(&mut resources.pids, value.parse().ok(), NUMBER),
        "oom-score-adj" => set(&mut resources.oom_score_adj, value.parse().ok(), NUMBER),
        "blkio-weight" => set(&mut resources.blkio_weight, value.parse().ok(), NUMBER),
        "device-cgroup-rule" => push(&mut resources.device_cgroup_rules, value.to_owned()),
        "ulimit" => values::ulimit(value).map(|limit| resources.ulimits.push(limit)).ok_or("write name=soft:hard"),
        "device" => {
            values::device(value).map(|device| resources.devices.push(device)).ok_or("write host:container:rwm")
        }
        "gpus" => set(&mut resources.gpus, values::gpus(value), "it is all, a number or device=…"),
        _ => return None,
    };
    Some(taken)
}

fn take_health(health: &mut HealthCheck, name: &str, value: &str) -> Taken {
    const TIME: &str = "it is a time such as 30s";
    let time = values::millis(value);
    match name {
        "health-cmd" => {
            health.test = vec!["CMD-SHELL".to_owned(), value.to_owned()];
            Ok(())
        }
        "health-interval" => set(&mut health.interval_ms, time, TIME),
        "health-timeout" => set(&mut health.timeout_ms, time, TIME),
        "health-start-period" => set(&mut health.start_period_ms, time, TIME),
        "health-start-interval" => set(&mut health.start_interval_ms, time, TIME),
        _ => set(&mut health.retries, value.parse().ok(), "it is a number"),
    }
}

fn take_exposed(exposed: &mut Vec<ExposedPort>, value: &str) -> Taken {
    let (ports, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
    let (first, last) = values::range(ports).ok_or("it is a port")?;
    let protocol = Protocol::parse(protocol).ok_or("a protocol is tcp, udp or sctp")?;
    exposed.extend((first..=last).map(|port| ExposedPort { port, protocol }));
    Ok(())
}

fn take_pull(policy: &mut PullPolicy, value: &str) -> Taken {
    *policy = match value {
        "always" => PullPolicy::Always,
        "missing" => PullPolicy::Missing,
        "never" => PullPolicy::Never,
        _ => return Err("it is always, missing or never"),
    };
    Ok(())
}

fn take_restart(policy: &mut RestartPolicy, value: &str) -> Taken {
    let (when, retries) = value.split_once(':').map_or((value, None), |(when, retries)| (when, Some(retries)));
    let when = RestartWhen::parse(when).ok_or("it is no, always, unless-stopped or on-failure")?;
    let max_retries = retries.map(|retries| retries.parse().map_err(|_| "retries are a number")).transpose()?;
    *policy = RestartPolicy { when, max_retries };
    Ok(())
}

fn mount_of_memory<'a>(target: &str, options: impl Iterator<Item = &'a str>) -> MountSpec {
    mount(MountKind::Tmpfs, None, target, options)
}

fn set<T>(place: &mut Option<T>, value: Option<T>, message: &'static str) -> Taken {
    *place = Some(value.ok_or(message)?);
    Ok(())
}

fn text(place: &mut Option<String>, value: &str) -> Taken {
    *place = Some(value.to_owned());
    Ok(())
}

fn push<T>(list: &mut Vec<T>, value: T) -> Taken {
    list.push(value);
    Ok(())
}

fn pair(pairs: &mut std::collections::BTreeMap<String, String>, (name, value): (&str, &str)) -> Taken {
    pairs.insert(name.to_owned(), value.to_owned());
    Ok(())
}
