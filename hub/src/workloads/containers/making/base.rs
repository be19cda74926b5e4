//! What a container was made with, found again from what its engine tells of
//! it: a create body that makes the same container, of the same image or of
//! another. What came from the image is left out, so that a newer image brings
//! its own; what no specification knows stays in.

use serde_json::{Map, Value, json};

use crate::error::{ApiError, ApiResult};
use crate::workloads::containers::spec::{self, ContainerSpec, is_endpoint};

/// How much of a container's id is its name where it was given none.
const SHORT_ID: usize = 12;
/// Fields of a container's configuration that an image may set.
const OF_IMAGE: [&str; 6] = ["User", "WorkingDir", "Healthcheck", "StopSignal", "Shell", "ArgsEscaped"];
/// What of a container in a network was asked for; the rest its engine found.
const OF_ENDPOINT: [&str; 5] = ["IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority"];

/// A container as it was made.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its id.
    pub id: String,
    /// Its name, without the slash.
    pub name: String,
    /// The id of its image.
    pub image_id: String,
    /// Whether it runs.
    pub runs: bool,
    /// What makes the same container.
    pub body: Value,
    /// What that is as a specification.
    pub spec: ContainerSpec,
}

impl Base {
    /// Finds it from what the engine tells of a container and of its image,
    /// which is null where it is no longer there, and from the hardware address
    /// that was asked for.
    ///
    /// # Errors
    /// Where the engine's answer is none.
    pub fn of(told: &Value, image: &Value, mac: Option<&str>) -> ApiResult<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&told["Id"]);
        let name = text(&told["Name"]).trim_start_matches('/').to_owned();
        if id.is_empty() || name.is_empty() || !told["Config"].is_object() || !told["HostConfig"].is_object() {
            return Err(ApiError::new(
                http::StatusCode::BAD_GATEWAY,
                "engine_cut",
                "The engine's answer makes no sense.",
            ));
        }
        let mut body = told["Config"].clone();
        body["HostConfig"] = told["HostConfig"].clone();
        name_network(&mut body, &told["NetworkSettings"]["Networks"]);
        leave_out_image(&mut body, &image["Config"]);
        leave_out_derived(&mut body, &id);
        keep_volumes(&mut body, &told["Mounts"]);
        body["HostConfig"]["Links"] = links(&told["HostConfig"]["Links"]);
        body["NetworkingConfig"] = json!({ "EndpointsConfig": endpoints(told, &id, &body) });
        place_mac(&mut body, mac);
        let spec = spec::read(Some(name.clone()), &body);
        let runs = told["State"]["Running"].as_bool().unwrap_or_default();
        Ok(Self { id, name, image_id: text(&told["Image"]), runs, body, spec })
    }
}

/// A container may have been put into its first network by that one's id.
fn name_network(body: &mut Value, networks: &Value) {
    let mode = body["HostConfig"]["NetworkMode"].clone();
    let named = networks.as_object().into_iter().flatten().find(|(_, endpoint)| endpoint["NetworkID"] == mode);
    if let Some((name, _)) = named.filter(|_| mode != "") {
        body["HostConfig"]["NetworkMode"] = json!(name);
    }
}

/// Takes out what is as the image has it.
fn leave_out_image(body: &mut Value, image: &Value) {
    leave_out_command(body, image);
    for name in OF_IMAGE {
        if body[name] == image[name] {
            remove(body, name);
        }
    }
    if let (Some(env), Some(known)) = (body["Env"].as_array_mut(), image["Env"].as_array()) {
        env.retain(|line| !known.contains(line));
    }
    for name in ["Labels", "ExposedPorts", "Volumes"] {
        if let (Some(own), Some(known)) = (body[name].as_object_mut(), image[name].as_object()) {
            own.retain(|key, value| known.get(key) != Some(value));
        }
    }
    remove(body, "OnBuild");
}

/// An engine takes the image's command only together with its entrypoint, and
/// an empty word for none at all.
fn leave_out_command(body: &mut Value, image: &Value) {
    let is_empty = |words: &Value| words.as_array().is_none_or(Vec::is_empty);
    let same = |name: &str| body[name] == image[name] || (is_empty(&body[name]) && is_empty(&image[name]));
    let (same_entrypoint, same_command) = (same("Entrypoint"), same("Cmd"));
    if same_entrypoint && (same_command || !is_empty(&body["Cmd"])) {
        remove(body, "Entrypoint");
        if same_command {
            remove(body, "Cmd");
        }
    } else if is_empty(&body["Entrypoint"]) {
        body["Entrypoint"] = json!([""]);
    }
}

/// Takes out what the engine found by itself.
fn leave_out_derived(body: &mut Value, id: &str) {
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or_default().to_owned();
    let of_another = mode.starts_with("container:");
    let is_hosts = body["HostConfig"]["UTSMode"] == "host";
    let is_short_id = body["Hostname"].as_str().is_some_and(|name| id.get(..SHORT_ID) == Some(name));
    if of_another || is_hosts || is_short_id || mode == "host" {
        remove(body, "Hostname");
    }
    if of_another {
        for name in ["Domainname", "ExposedPorts"] {
            remove(body, name);
        }
    }
}

/// Volumes without a name stay the container's own: whoever makes it anew says
/// which they are.
fn keep_volumes(body: &mut Value, told: &Value) {
    let volumes: Vec<(String, String, bool)> = { told.as_array().into_iter().flatten() }
        .filter(|mount| mount["Type"] == "volume")
        .filter_map(|mount| {
            let (name, target) = (mount["Name"].as_str()?, mount["Destination"].as_str()?);
            Some((name.to_owned(), target.to_owned(), mount["RW"].as_bool().unwrap_or(true)))
        })
        .collect();
    for (name, target, is_writable) in volumes {
        keep_volume(&mut body["HostConfig"], &name, &target, is_writable);
        if let Some(declared) = body["Volumes"].as_object_mut() {
            declared.remove(&target);
        }
    }
}

fn keep_volume(host: &mut Value, name: &str, target: &str, is_writable: bool) {
    let binds = host["Binds"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if binds.map(|bind| bind.split(':').nth(1)).any(|bound| bound == Some(target)) {
        return;
    }
    if let Some(mounts) = host["Mounts"].as_array_mut()
        && let Some(mount) = mounts.iter_mut().find(|mount| mount["Target"] == target)
    {
        mount["Source"] = json!(name);
        return;
    }
    let kept = json!({ "Type": "volume", "Source": name, "Target": target, "ReadOnly": !is_writable });
    match host["Mounts"].as_array_mut() {
        Some(mounts) => mounts.push(kept),
        None => host["Mounts"] = json!([kept]),
    }
}

/// Links are told as `/other:/this/alias` and asked for as `other:alias`.
fn links(told: &Value) -> Value {
    let links = told.as_array().into_iter().flatten().filter_map(Value::as_str).map(|link| {
        let (other, alias) = link.split_once(':').unwrap_or((link, link));
        let alias = alias.rsplit('/').next().unwrap_or(alias);
        json!(format!("{}:{alias}", other.trim_start_matches('/')))
    });
    let links: Vec<_> = links.collect();
    if links.is_empty() { Value::Null } else { json!(links) }
}

/// The networks with what was asked for in each.
fn endpoints(told: &Value, id: &str, body: &Value) -> Map<String, Value> {
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    let networks = told["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    let asked = networks.filter(|(name, _)| is_endpoint(name) && !mode.starts_with("container:"));
    asked.map(|(name, endpoint)| (name.clone(), endpoint_asked(endpoint, id))).collect()
}

fn endpoint_asked(endpoint: &Value, id: &str) -> Value {
    let mut asked = Map::new();
    for name in OF_ENDPOINT {
        if !endpoint[name].is_null() {
            asked.insert(name.to_owned(), endpoint[name].clone());
        }
    }
    if let Some(Value::Array(aliases)) = asked.get_mut("Aliases") {
        // Older engines add a part of the id by themselves.
        aliases.retain(|alias| alias.as_str().is_none_or(|alias| id.get(..SHORT_ID) != Some(alias)));
    }
    asked.into()
}

/// A hardware address that was asked for stands with the container's own
/// network. Of further ones no engine tells what was asked for.
fn place_mac(body: &mut Value, mac: Option<&str>) {
    remove(body, "MacAddress");
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    let own = if mode == "default" { "bridge" } else { mode }.to_owned();
    let endpoint = body["NetworkingConfig"]["EndpointsConfig"].get_mut(&own);
    if let (Some(mac), Some(endpoint)) = (mac, endpoint.filter(|found| found.is_object())) {
        endpoint["MacAddress"] = json!(mac);
    }
}

fn remove(body: &mut Value, name: &str) {
    if let Some(fields) = body.as_object_mut() {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Value {
        json!({
            "Id": "ab".repeat(32), "Name": "/web", "Image": "sha256:1", "State": { "Running": true },
            "Config": {
                "Hostname": "abababababab", "Image": "nginx:1", "Env": ["PATH=/bin", "A=1"], "User": "app",
                "Cmd": ["serve"], "Entrypoint": ["/run"], "Labels": { "by": "image", "own": "1" },
                "ExposedPorts": { "80/tcp": {}, "81/tcp": {} }, "Volumes": { "/data": {} }, "OnBuild": null,
                "MacAddress": "02:42:ac:11:00:02", "StopSignal": "SIGQUIT",
            },
            "HostConfig": { "NetworkMode": "front", "Links": ["/db:/web/database"], "Future": 1 },
            "Mounts": [{ "Type": "volume", "Name": "nameless", "Destination": "/data", "RW": true }],
            "NetworkSettings": { "Networks": { "front": { "Aliases": ["www", "abababababab"], "IPAddress": "172.30.0.9",
                "IPAMConfig": { "IPv4Address": "172.30.0.9" }, "NetworkID": "n1", "MacAddress": "02:42:ac:11:00:02" } } },
        })
    }

    fn image() -> Value {
        json!({ "Config": { "Env": ["PATH=/bin"], "User": "app", "Cmd": ["serve"], "Entrypoint": ["/run"],
            "Labels": { "by": "image" }, "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} },
            "StopSignal": "SIGTERM" } })
    }

    #[test]
    fn what_came_from_the_image_or_the_engine_is_left_out_and_the_rest_stays() {
        let base = Base::of(&told(), &image(), Some("02:42:ac:11:00:02")).unwrap();
        assert_eq!((base.name.as_str(), base.runs), ("web", true));
        assert_eq!(
            base.body,
            json!({
                "Image": "nginx:1", "Env": ["A=1"], "Labels": { "own": "1" }, "ExposedPorts": { "81/tcp": {} },
                "Volumes": {}, "StopSignal": "SIGQUIT",
                "HostConfig": { "NetworkMode": "front", "Links": ["db:database"], "Future": 1,
                    "Mounts": [{ "Type": "volume", "Source": "nameless", "Target": "/data", "ReadOnly": false }] },
                "NetworkingConfig": { "EndpointsConfig": { "front": { "Aliases": ["www"],
                    "IPAMConfig": { "IPv4Address": "172.30.0.9" }, "MacAddress": "02:42:ac:11:00:02" } } },
            })
        );
    }

    #[test]
    fn a_hardware_address_that_the_engine_found_by_itself_is_left_out() {
        let body = Base::of(&told(), &image(), None).unwrap().body;
        assert!(!body.to_string().contains("MacAddress"), "{body}");
    }

    #[test]
    fn a_command_is_the_images_only_together_with_its_entrypoint() {
        let read = |entrypoint: Value, command: Value| {
            let mut told = told();
            told["Config"]["Entrypoint"] = entrypoint;
            told["Config"]["Cmd"] = command;
            let body = Base::of(&told, &image(), Some("02:42:ac:11:00:02")).unwrap().body;
            (body["Entrypoint"].clone(), body["Cmd"].clone())
        };
        assert_eq!(read(json!(["/run"]), json!(["serve"])), (Value::Null, Value::Null));
        assert_eq!(read(json!(["/run"]), json!(["other"])), (Value::Null, json!(["other"])));
        assert_eq!(read(json!(["/run"]), Value::Null), (json!(["/run"]), Value::Null));
        assert_eq!(read(json!(["/else"]), json!(["serve"])), (json!(["/else"]), json!(["serve"])));
        assert_eq!(read(Value::Null, json!(["serve"])), (json!([""]), json!(["serve"])));
    }

    #[test]
    fn a_container_in_the_network_of_another_has_nothing_of_that_ones() {
        let mut told = told();
        told["HostConfig"]["NetworkMode"] = json!("container:cd");
        let body = Base::of(&told, &image(), Some("02:42:ac:11:00:02")).unwrap().body;
        for name in ["Hostname", "ExposedPorts", "MacAddress"] {
            assert!(body[name].is_null(), "{name}");
        }
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"], json!({}));
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for told in [json!({}), json!(null), json!({ "Id": "ab", "Name": "/web", "Config": 1 })] {
            assert!(Base::of(&told, &Value::Null, None).is_err());
        }
    }
}
