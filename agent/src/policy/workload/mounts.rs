//! What is mounted into a container: volumes, memory, and of the host only the
//! places that the policy names, each exactly so.

use std::path::Path;

use super::super::settings::{Bind, Mounts};
use super::check::{Needs, Rule, is_name, says_nothing, text};
use super::place::Place;
use super::spec::{HostConfig, Mount};

/// Options of a mount in one line that change nothing for the host.
const HARMLESS: [&str; 8] = ["rw", "ro", "nocopy", "private", "rprivate", "consistent", "cached", "delegated"];
/// How a mount may pass on what is mounted in it.
const TO_NOBODY: [&str; 3] = ["", "private", "rprivate"];

pub(super) fn check(host: &HostConfig, rules: &Mounts, needs: &mut Needs) -> Result<(), Rule> {
    for bind in host.binds.iter().flatten() {
        check_line(bind, rules, needs)?;
    }
    for mount in host.mounts.iter().flatten() {
        check_mount(mount, rules, needs)?;
    }
    if host.volumes_from.as_ref().is_some_and(|from| !from.is_empty()) {
        return Err("mount.volumes_from");
    }
    if !matches!(text(&host.volume_driver), "" | "local") {
        return Err("mount.volume_driver");
    }
    if !rules.tmpfs && host.tmpfs.as_ref().is_some_and(|tmpfs| !tmpfs.is_empty()) {
        return Err("mount.tmpfs");
    }
    if host.tmpfs.iter().flatten().any(|(target, _)| !is_own_place(target)) {
        return Err("mount.target");
    }
    Ok(())
}

/// `source:target[:options]`.
fn check_line(line: &str, rules: &Mounts, needs: &mut Needs) -> Result<(), Rule> {
    let parts: Vec<&str> = line.split(':').collect();
    let (source, target, options) = match parts[..] {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err("mount.options"),
    };
    if options.split(',').any(|option| !option.is_empty() && !HARMLESS.contains(&option)) {
        return Err("mount.options");
    }
    let read_only = options.split(',').any(|option| option == "ro");
    check_source(source, target, read_only, rules, needs)
}

fn check_mount(mount: &Mount, rules: &Mounts, needs: &mut Needs) -> Result<(), Rule> {
    let (source, target) = (text(&mount.source), text(&mount.target));
    // What is mounted below could be written otherwise.
    let is_whole = mount.bind_options.as_ref().is_none_or(|options| options.read_only_non_recursive != Some(true));
    let read_only = mount.read_only == Some(true) && is_whole;
    if mount.cluster_options.as_ref().is_some_and(|options| !says_nothing(options)) {
        return Err("mount.type");
    }
    if let Some(options) = &mount.bind_options {
        let makes = options.create_mountpoint == Some(true);
        if makes || !TO_NOBODY.contains(&text(&options.propagation)) {
            return Err("mount.options");
        }
    }
    if let Some(options) = &mount.volume_options {
        if options.driver_config.as_ref().is_some_and(|config| !is_no_driver(config)) {
            return Err("mount.volume_driver");
        }
        if text(&options.subpath).split('/').any(|part| part == "..") || text(&options.subpath).starts_with('/') {
            return Err("mount.options");
        }
    }
    if text(&mount.kind) != "bind" && !is_own_place(target) {
        return Err("mount.target");
    }
    match text(&mount.kind) {
        "bind" if source.starts_with('/') => check_source(source, target, read_only, rules, needs),
        "volume" if source.is_empty() => Ok(()),
        "volume" if !source.starts_with('/') => check_source(source, target, read_only, rules, needs),
        "tmpfs" if rules.tmpfs && source.is_empty() => Ok(()),
        "tmpfs" => Err("mount.tmpfs"),
        "bind" | "volume" => Err("mount.bind"),
        _ => Err("mount.type"),
    }
}

/// Whether the driver of a volume is the engine's own, without options.
fn is_no_driver(config: &serde_json::Value) -> bool {
    let Some(members) = config.as_object() else {
        return says_nothing(config);
    };
    members.iter().all(|(name, value)| says_nothing(value) || name == "Name" && value == "local")
}

fn check_source(source: &str, target: &str, read_only: bool, rules: &Mounts, needs: &mut Needs) -> Result<(), Rule> {
    if !target.starts_with('/') || target.split('/').any(|part| part == "..") {
        return Err("mount.target");
    }
    if source.starts_with('/') {
        let allowed = rules.binds.iter().find(|bind| is_allowed(bind, source, target, read_only));
        return allowed.map(drop).ok_or("mount.bind");
    }
    if !is_name(source) {
        return Err("mount.bind");
    }
    if !is_own_place(target) {
        return Err("mount.target");
    }
    needs.volumes.push(source.to_owned());
    Ok(())
}

/// Whether a place in a container is one of its own files: over what the kernel
/// shows there, a mount could hide what keeps the container in.
pub(super) fn is_own_place(target: &str) -> bool {
    let has_parents = target.split('/').any(|part| part == "..");
    let mut parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
    let first = parts.next().unwrap_or_default();
    let is_memory = first == "dev" && parts.next() == Some("shm");
    target.starts_with('/') && !has_parents && (is_memory || !matches!(first, "" | "proc" | "sys" | "dev"))
}

/// Whether this bind is the one that is meant, and still what it was: a link
/// that was planted on the way, or another folder in its place, is not.
pub(super) fn is_allowed(bind: &Bind, source: &str, target: &str, read_only: bool) -> bool {
    let is_meant = bind.source.as_os_str() == source && bind.target.as_deref().is_none_or(|meant| meant == target);
    let is_meant = is_meant && (read_only || !bind.ro);
    is_meant && bind.place.is_some() && Place::of(Path::new(source)).ok() == bind.place
}
