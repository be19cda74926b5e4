//! The smaller bodies: volumes, networks, and the start of a program.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::settings::Networks;
use super::check::{Rule, is_name, says_nothing, text};
use super::spec::Endpoint;

/// Options of a bridge that stay within it.
const BRIDGE_OPTIONS: [&str; 3] = [
    "com.docker.network.driver.mtu",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
];

type Pairs = Option<BTreeMap<String, String>>;

/// The body of `POST /volumes/create`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct NewVolume {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Pairs,
    labels: Pairs,
    cluster_volume_spec: Option<Value>,
}

/// The body of `POST /networks/create`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct NewNetwork {
    name: Option<String>,
    check_duplicate: Option<bool>,
    driver: Option<String>,
    scope: Option<String>,
    internal: Option<bool>,
    attachable: Option<bool>,
    ingress: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    config_only: Option<bool>,
    config_from: Option<Value>,
    options: Pairs,
    labels: Pairs,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ipam {
    driver: Option<String>,
    options: Pairs,
    config: Option<Vec<Range>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Range {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    ip_range: Option<String>,
    gateway: Option<String>,
    auxiliary_addresses: Pairs,
    aux_address: Pairs,
}

/// The body of `POST /networks/{id}/connect`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Connection {
    pub container: String,
    endpoint_config: Option<Endpoint>,
}

impl Connection {
    /// # Errors
    /// The rule that refuses it.
    pub fn check(&self) -> Result<(), Rule> {
        let endpoint = self.endpoint_config.clone().unwrap_or_default();
        let has_links = endpoint.links.is_some_and(|links| !links.is_empty());
        let has_options = endpoint.driver_opts.is_some_and(|options| !options.is_empty());
        if has_links || has_options { Err("network.options") } else { Ok(()) }
    }
}

/// The body of `POST /networks/{id}/disconnect`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct Disconnection {
    pub container: String,
    force: Option<bool>,
}

/// The body of `POST /exec/{id}/start`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct ExecStart {
    detach: Option<bool>,
    tty: Option<bool>,
    console_size: Option<[u32; 2]>,
}

/// A volume is the engine's own, without options.
///
/// # Errors
/// The rule that refuses it.
pub fn check_volume(new: &NewVolume) -> Result<(), Rule> {
    let has_options = new.driver_opts.as_ref().is_some_and(|options| !options.is_empty());
    let is_of_cluster = new.cluster_volume_spec.as_ref().is_some_and(|spec| !says_nothing(spec));
    if has_options || is_of_cluster || !matches!(text(&new.driver), "" | "local") {
        return Err("volume.driver");
    }
    let name = text(&new.name);
    if name.is_empty() || is_name(name) { Ok(()) } else { Err("volume.name") }
}

/// A network is a bridge or an overlay of its own.
///
/// # Errors
/// The rule that refuses it.
pub fn check_network(new: &NewNetwork, rules: &Networks) -> Result<(), Rule> {
    if !is_name(text(&new.name)) || matches!(text(&new.name), "host" | "none" | "bridge" | "default") {
        return Err("network.name");
    }
    let ipam = new.ipam.clone().unwrap_or_default();
    let is_driver = matches!(text(&new.driver), "" | "bridge" | "overlay");
    if !is_driver || !matches!(text(&ipam.driver), "" | "default") {
        return Err("network.driver");
    }
    let subnets = ipam.config.iter().flatten().filter_map(|range| range.subnet.as_deref());
    let mut subnets = subnets.filter(|subnet| !subnet.is_empty());
    let is_free = |subnet: &str| {
        subnet.parse::<IpNet>().is_ok_and(|subnet| rules.subnets.iter().any(|known| known.contains(&subnet)))
    };
    if subnets.any(|subnet| !is_free(subnet)) {
        return Err("network.subnet");
    }
    let has_ipam_options = ipam.options.is_some_and(|options| !options.is_empty());
    let mut options = new.options.iter().flatten().map(|(name, _)| name.as_str());
    let is_from_another =
        new.config_from.as_ref().is_some_and(|from| !says_nothing(from) && !says_nothing(&from["Network"]));
    let is_special = new.ingress == Some(true) || new.config_only == Some(true) || is_from_another;
    if has_ipam_options || is_special || options.any(|name| !BRIDGE_OPTIONS.contains(&name)) {
        return Err("network.options");
    }
    Ok(())
}
