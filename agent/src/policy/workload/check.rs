//! The one check: whatever is dangerous in a container is refused here, whether
//! it is made with it, changed to it, or run in it.

use serde_json::Value;

use super::super::Settings;
use super::super::settings::{Container, UserNumber};
use super::mounts;
use super::spec::{Exec, HostConfig, NewContainer};

/// The rule by which something is refused.
pub type Rule = &'static str;

/// What a container uses by name, of which the engine must be asked what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub image: String,
    pub volumes: Vec<String>,
    pub networks: Vec<String>,
}

/// Drivers that write logs where only the engine reads them.
const LOG_DRIVERS: [&str; 4] = ["", "json-file", "local", "none"];

/// What of the kernel's own no engine shows in a container, and what it does not
/// let be written there.
const MASKED_PATHS: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A container that is to be made.
///
/// # Errors
/// The rule that refuses it.
pub fn check_container(new: &NewContainer, settings: &Settings) -> Result<Needs, Rule> {
    let rules = &settings.container;
    let image = new.image.clone().filter(|image| !image.is_empty()).ok_or("image.none")?;
    let mut needs = Needs { image, ..Needs::default() };
    if !rules.user_root && is_maybe_root(new.user.as_deref().unwrap_or_default()) {
        return Err("container.user");
    }
    if new.volumes.iter().flatten().any(|(target, _)| !mounts::is_own_place(target) || target.contains(':')) {
        return Err("mount.target");
    }
    if has(&new.on_build) {
        return Err("container.on_build");
    }
    let host = new.host_config.clone().unwrap_or_default();
    if rules.max_memory.is_some() && host.memory.unwrap_or_default() <= 0 {
        return Err("container.memory");
    }
    check_host(&host, settings, &mut needs)?;
    for (name, endpoint) in new.networking_config.iter().flat_map(|config| config.endpoints_config.iter().flatten()) {
        let endpoint = endpoint.clone().unwrap_or_default();
        if has(&endpoint.links) || endpoint.driver_opts.is_some_and(|options| !options.is_empty()) {
            return Err("network.options");
        }
        name_network(name, rules, &mut needs)?;
    }
    Ok(needs)
}

/// What is to be changed of a container.
///
/// # Errors
/// The rule that refuses it.
pub fn check_changes(changes: &HostConfig, settings: &Settings) -> Result<(), Rule> {
    check_host(changes, settings, &mut Needs::default())
}

/// A program that is to run in a container of this user.
///
/// # Errors
/// The rule that refuses it.
pub fn check_exec(exec: &Exec, of_container: &str, settings: &Settings) -> Result<(), Rule> {
    if exec.privileged == Some(true) && !settings.exec.privileged {
        return Err("exec.privileged");
    }
    let user = exec.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(of_container);
    let number = number_of(user);
    // A name is whoever the image says.
    let is_denied = |denied: &UserNumber| number.is_none_or(|number| number == denied.0);
    if settings.exec.users_deny.iter().any(is_denied) { Err("exec.user") } else { Ok(()) }
}

fn check_host(host: &HostConfig, settings: &Settings, needs: &mut Needs) -> Result<(), Rule> {
    let rules = &settings.container;
    check_rights(host, rules)?;
    check_namespaces(host, rules, needs)?;
    check_devices(host, rules)?;
    check_kernel(host, rules)?;
    mounts::check(host, &settings.mounts, needs)
}

fn check_rights(host: &HostConfig, rules: &Container) -> Result<(), Rule> {
    if host.privileged == Some(true) && !rules.privileged {
        return Err("container.privileged");
    }
    if each(&host.cap_add).chain(each(&host.capabilities)).any(|name| !is_listed_right(name, rules)) {
        return Err("container.cap_add");
    }
    if each(&host.security_opt).any(|option| !rules.security_opt.iter().any(|known| is_same_option(known, option))) {
        return Err("container.security_opt");
    }
    // A list takes the place of the engine's; one as the engine tells it is left out.
    if !covers(&host.masked_paths, &MASKED_PATHS) || !covers(&host.readonly_paths, &READONLY_PATHS) {
        return Err("container.masked_paths");
    }
    let runtime = text(&host.runtime);
    if !runtime.is_empty() && !rules.runtimes.iter().any(|known| known == runtime) {
        return Err("container.runtime");
    }
    if host.annotations.as_ref().is_some_and(|pairs| !pairs.is_empty()) {
        return Err("container.annotations");
    }
    Ok(())
}

fn check_namespaces(host: &HostConfig, rules: &Container, needs: &mut Needs) -> Result<(), Rule> {
    let own = |mode: &Option<String>, own: &[&str], host_is_fine: bool| {
        let mode = text(mode);
        mode.is_empty() || own.contains(&mode) || mode == "host" && host_is_fine
    };
    if !own(&host.pid_mode, &[], rules.host_pid) {
        return Err("container.pid_mode");
    }
    if !own(&host.ipc_mode, &["private", "none", "shareable"], rules.host_ipc) {
        return Err("container.ipc_mode");
    }
    if !own(&host.uts_mode, &[], false) {
        return Err("container.uts_mode");
    }
    if !own(&host.userns_mode, &[], false) {
        return Err("container.userns_mode");
    }
    let has_cgroup = [&host.cgroup, &host.cgroup_parent].into_iter().any(|place| !text(place).is_empty());
    if has_cgroup || !own(&host.cgroupns_mode, &["private"], false) {
        return Err("container.cgroup");
    }
    if !own(&host.isolation, &["default"], false) {
        return Err("container.isolation");
    }
    if has(&host.links) {
        return Err("container.links");
    }
    match text(&host.network_mode) {
        "" => Ok(()),
        name => name_network(name, rules, needs),
    }
}

/// A network by its name, which a container may be in if it is one of its own.
fn name_network(name: &str, rules: &Container, needs: &mut Needs) -> Result<(), Rule> {
    match name {
        "default" | "bridge" | "none" => Ok(()),
        "host" if rules.host_network => Ok(()),
        "host" => Err("container.network_mode"),
        // `container:` and `ns:` are no names.
        name if is_name(name) => {
            needs.networks.push(name.to_owned());
            Ok(())
        }
        _ => Err("container.network_mode"),
    }
}

fn check_devices(host: &HostConfig, rules: &Container) -> Result<(), Rule> {
    let is_listed = |path: &str| rules.devices.iter().any(|known| known == path);
    if host.devices.iter().flatten().any(|device| !is_listed(&device.path_on_host)) || has(&host.device_cgroup_rules) {
        return Err("container.devices");
    }
    let is_card = |capabilities: &Option<Vec<Vec<String>>>| {
        let mut sets = capabilities.iter().flatten().peekable();
        sets.peek().is_some() && sets.all(|set| set.iter().any(|name| name == "gpu"))
    };
    for request in host.device_requests.iter().flatten() {
        let has_options = request.options.as_ref().is_some_and(|options| !options.is_empty());
        // A driver such as `cdi` gives whatever it has a file for.
        let is_of_cards = matches!(text(&request.driver), "" | "nvidia") && is_card(&request.capabilities);
        if !rules.gpus || has_options || !is_of_cards {
            return Err("container.gpus");
        }
    }
    let of_blocks = [
        &host.blkio_weight_device,
        &host.blkio_device_read_bps,
        &host.blkio_device_write_bps,
        &host.blkio_device_read_iops,
        &host.blkio_device_write_iops,
    ];
    if of_blocks.into_iter().flatten().any(|value| !says_nothing(value)) { Err("container.devices") } else { Ok(()) }
}

fn check_kernel(host: &HostConfig, rules: &Container) -> Result<(), Rule> {
    if each_pair(&host.sysctls).any(|(name, _)| !rules.sysctls.contains(name)) {
        return Err("container.sysctls");
    }
    if each_pair(&host.storage_opt).next().is_some() {
        return Err("container.storage");
    }
    let realtime = [host.cpu_realtime_period, host.cpu_realtime_runtime].into_iter().flatten().any(|value| value != 0);
    let outlives = host.oom_kill_disable == Some(true) || host.oom_score_adj.is_some_and(|score| score < 0);
    if realtime || outlives {
        return Err("container.kernel");
    }
    if let Some(most) = rules.max_memory {
        let is_more = |memory: i64| u64::try_from(memory).map_or(true, |memory| memory > most);
        let swap = host.memory_swap.is_some_and(|swap| swap < 0);
        if swap || host.memory.is_some_and(|memory| memory != 0 && is_more(memory)) {
            return Err("container.memory");
        }
    }
    if !text(&host.container_id_file).is_empty() {
        return Err("container.files");
    }
    let log = host.log_config.clone().unwrap_or_default();
    // Without a driver, options are those of the engine's own one, which may send
    // logs to wherever they say.
    let steers = text(&log.driver).is_empty() && each_pair(&log.config).next().is_some();
    if LOG_DRIVERS.contains(&text(&log.driver)) && !steers { Ok(()) } else { Err("container.log_driver") }
}

/// Whether a list, where there is one, has all that every engine has in it.
fn covers(list: &Option<Vec<String>>, engines: &[&str]) -> bool {
    list.as_ref().is_none_or(|list| engines.iter().all(|path| list.iter().any(|listed| listed == path)))
}

/// Whether a container, as the engine tells it, is shown more of the kernel than
/// others are.
pub(super) fn is_shown_the_kernel(host: &Value) -> bool {
    let texts = |value: &Value| -> Option<Vec<String>> {
        Some(value.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    !covers(&texts(&host["MaskedPaths"]), &MASKED_PATHS) || !covers(&texts(&host["ReadonlyPaths"]), &READONLY_PATHS)
}

pub(super) fn is_listed_right(name: &str, rules: &Container) -> bool {
    let plain = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
    };
    let name = plain(name);
    name != "ALL" && rules.cap_add.iter().any(|known| plain(known) == name)
}

/// Whether two options mean the same: the engine takes `=` for `:`, and one
/// without a value for one that is set.
fn is_same_option(known: &str, option: &str) -> bool {
    let plain = |option: &str| {
        let (name, value) = option.split_once([':', '=']).unwrap_or((option, "true"));
        (name.to_owned(), value.to_owned())
    };
    plain(known) == plain(option)
}

/// Whether a user may be the first one of a container: no user, a zero however
/// it is written, or a name, which the image may give to anyone.
pub(super) fn is_maybe_root(user: &str) -> bool {
    number_of(user).is_none_or(|number| number == 0)
}

/// The number of a user, however many zeros it begins with.
fn number_of(user: &str) -> Option<u64> {
    let name = user.split(':').next().unwrap_or_default();
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// A name as the engine has them, which no path and no mode is.
pub fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    starts && name.len() <= 128 && name.bytes().all(known)
}

/// Whether a value is as if it were not there.
pub(super) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

pub(super) fn text(maybe: &Option<String>) -> &str {
    maybe.as_deref().unwrap_or_default()
}

fn has(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn each(list: &Option<Vec<String>>) -> impl Iterator<Item = &str> {
    list.iter().flatten().map(String::as_str)
}

type Pairs = Option<std::collections::BTreeMap<String, String>>;

fn each_pair(pairs: &Pairs) -> impl Iterator<Item = (&String, &String)> {
    pairs.iter().flatten()
}
