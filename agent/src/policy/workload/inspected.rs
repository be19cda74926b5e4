//! A container that is there already, whoever made it: a hub that may not make
//! a dangerous one may not run programs in one either.

use serde_json::Value;

use super::super::settings::Settings;
use super::check::{Rule, is_listed_right, is_name, is_shown_the_kernel, says_nothing};
use super::mounts::is_allowed;

/// A container as the engine tells it, in which something is to run; returns the
/// names of its volumes, of which the engine must be asked what they are.
///
/// # Errors
/// The rule that refuses it.
pub fn check_target(told: &Value, settings: &Settings) -> Result<Vec<String>, Rule> {
    let (host, rules) = (&told["HostConfig"], &settings.container);
    let mode = |name: &str| host[name].as_str().unwrap_or_default().to_owned();
    let is_foreign = |mode: &str| mode == "host" || mode.contains(':');
    let foreign = [
        (!rules.host_network, "NetworkMode"),
        (!rules.host_pid, "PidMode"),
        (!rules.host_ipc, "IpcMode"),
        (true, "UTSMode"),
        (true, "UsernsMode"),
    ];
    if foreign.into_iter().any(|(counts, name)| counts && is_foreign(&mode(name))) {
        return Err("target.namespaces");
    }
    let listed = |value: &Value, known: &[String]| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .all(|item| item.as_str().is_some_and(|item| known.iter().any(|known| known == item)))
    };
    let rights = ["CapAdd", "Capabilities"].into_iter().filter_map(|name| host[name].as_array()).flatten();
    let has_rights = rights.into_iter().any(|right| !right.as_str().is_some_and(|right| is_listed_right(right, rules)));
    let is_bare = !rules.privileged && (host["Privileged"] == true || is_shown_the_kernel(host));
    if has_rights || is_bare {
        return Err("target.privileged");
    }
    if !says_nothing(&host["SecurityOpt"]) && !listed(&host["SecurityOpt"], &rules.security_opt) {
        return Err("target.security_opt");
    }
    let devices = host["Devices"].as_array().into_iter().flatten();
    let mut devices = devices.filter_map(|device| device["PathOnHost"].as_str());
    let has_devices = devices.any(|device| !rules.devices.iter().any(|known| known == device));
    let has_cards = !rules.gpus && !says_nothing(&host["DeviceRequests"]);
    if has_devices || has_cards || !says_nothing(&host["DeviceCgroupRules"]) {
        return Err("target.devices");
    }
    check_mounts(&told["Mounts"], settings)
}

fn check_mounts(mounts: &Value, settings: &Settings) -> Result<Vec<String>, Rule> {
    let mut volumes = Vec::new();
    for mount in mounts.as_array().into_iter().flatten() {
        let text = |name: &str| mount[name].as_str().unwrap_or_default();
        let is_fine = match text("Type") {
            "tmpfs" => true,
            "volume" => {
                volumes.push(text("Name").to_owned());
                is_name(text("Name"))
            }
            "bind" => {
                let (source, target) = (text("Source"), text("Destination"));
                let read_only = mount["RW"] == false;
                settings.mounts.binds.iter().any(|bind| is_allowed(bind, source, target, read_only))
            }
            _ => false,
        };
        if !is_fine {
            return Err("target.mounts");
        }
    }
    Ok(volumes)
}
