//! What is looked at before a request goes on: names become ids, bodies become
//! what was checked.

mod archive;
mod recorded;

use std::path::Path;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windflow_protocol::message::report::ObjectId;

use super::super::Class;
use super::super::workload::{
    self, Allowed, Connection, Disconnection, Exec, ExecStart, HostConfig, Needs, NewContainer, NewNetwork, NewVolume,
    Reference, Rule,
};
use super::engine::{self, Asked, Sending, ToEngine};
use super::refusal::Refusal;
use super::routes::{Act, Found};
use super::{Failure, Gate, LINGER, Outcome, json, target};

/// The header with which a registry is asked for an image.
const REGISTRY_AUTH: &str = "x-registry-auth";
/// Longest value of it.
const REGISTRY_AUTH_MAX: usize = 16 * 1024;
/// Drivers of networks that end on this host, or among those of its swarm.
const NETWORK_DRIVERS: [&str; 3] = ["bridge", "overlay", "null"];

/// A request that has its place in the table.
pub(super) struct Asking<'a> {
    pub(super) head: &'a Parts,
    pub(super) found: &'a Found,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) version: u16,
}

/// Whether a request may bring more than is read whole.
pub(super) fn is_archive(uri: &Uri) -> bool {
    let path = uri.path();
    path.ends_with("/archive") || path.ends_with("/images/load")
}

impl Asking<'_> {
    fn subject(&self) -> &str {
        self.found.subject.as_deref().unwrap_or_default()
    }

    fn value(&self, key: &str) -> &str {
        self.query.iter().find(|(known, _)| *known == key).map_or("", |(_, value)| value)
    }

    /// Whether bytes are to go both ways, on a request that may have that.
    fn wishes_upgrade(&self) -> bool {
        let may = matches!(self.found.route.act, Act::StartExec) || self.found.route.class == Class::Attach;
        may && self.head.method == Method::POST && self.head.headers.contains_key(header::UPGRADE)
    }

    fn sending(&self, subject: Option<&str>, body: Option<Vec<u8>>) -> Sending {
        let mut headers = HeaderMap::new();
        if self.wishes_upgrade() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        }
        let body = body.map_or_else(engine::nothing, |body| {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            engine::whole(body)
        });
        self.sending_with(subject, headers, body)
    }

    fn sending_with(&self, subject: Option<&str>, headers: HeaderMap, body: ToEngine) -> Sending {
        let query = target::written(&self.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("/v1.{}{}{mark}{query}", self.version, self.found.path(subject));
        Sending { method: self.head.method.clone(), target, headers, body }
    }
}

impl Gate {
    pub(super) async fn act(&self, mut asking: Asking<'_>, body: Incoming) -> Result<Outcome, Failure> {
        let act = asking.found.route.act;
        let redacts = self.policy.redacts() && act == Act::Tell;
        let sending = match act {
            Act::Archive => self.archive(&asking, body).await?,
            Act::Create => return self.create(asking, body).await,
            Act::Exec => return self.make_exec(asking, body).await,
            Act::Update => {
                let changes: HostConfig = self.typed(&asking, body).await?;
                workload::check_changes(&changes, &self.policy.settings).map_err(Refusal::denied)?;
                let id = self.container(&asking, asking.subject()).await?;
                asking.sending(Some(&id), Some(written(&changes)?))
            }
            Act::StartExec => {
                self.known_exec(&asking)?;
                let start: ExecStart = self.typed(&asking, body).await?;
                asking.sending(None, Some(written(&start)?))
            }
            Act::Volume => {
                let volume: NewVolume = self.typed(&asking, body).await?;
                workload::check_volume(&volume).map_err(Refusal::denied)?;
                asking.sending(None, Some(written(&volume)?))
            }
            Act::Network => {
                let network: NewNetwork = self.typed(&asking, body).await?;
                workload::check_network(&network, &self.policy.settings.networks).map_err(Refusal::denied)?;
                asking.sending(None, Some(written(&network)?))
            }
            Act::Connect => {
                let mut joining: Connection = self.typed(&asking, body).await?;
                joining.check().map_err(Refusal::denied)?;
                joining.container = self.container(&asking, &joining.container).await?;
                self.own_network(&asking, asking.subject()).await?;
                asking.sending(None, Some(written(&joining)?))
            }
            Act::Disconnect => {
                let mut leaving: Disconnection = self.typed(&asking, body).await?;
                leaving.container = self.container(&asking, &leaving.container).await?;
                asking.sending(None, Some(written(&leaving)?))
            }
            Act::Pass
            | Act::Tell
            | Act::OnContainer
            | Act::InContainer
            | Act::OfExec
            | Act::Pull
            | Act::PruneImages => {
                self.without_body(&asking, body).await?;
                self.bodiless(&mut asking).await?
            }
        };
        let recording = self.recording(&asking).await?;
        self.note_size(&asking);
        Ok(self.forward(sending, redacts).await?.recorded(recording))
    }

    async fn bodiless(&self, asking: &mut Asking<'_>) -> Result<Sending, Failure> {
        match asking.found.route.act {
            Act::OnContainer => {
                let id = self.container(asking, asking.subject()).await?;
                Ok(asking.sending(Some(&id), None))
            }
            Act::InContainer => {
                // What it said before is a log.
                if asking.value("logs") == "1" && !self.policy.permits(Class::Logs) {
                    return Err(Refusal::class(Class::Logs).into());
                }
                let told = self.inspect(asking, asking.subject()).await?;
                self.check_target(asking, &told).await?;
                Ok(asking.sending(Some(&self.id_of(&told)?), None))
            }
            Act::OfExec => {
                self.known_exec(asking)?;
                Ok(asking.sending(None, None))
            }
            Act::Pull => self.pull(asking),
            Act::PruneImages => {
                check_dangling(asking.value("filters"))?;
                Ok(asking.sending(None, None))
            }
            // It streams labels of containers as they are.
            Act::Tell if self.policy.redacts() && asking.found.path(None) == "/events" => {
                Err(Refusal::denied("events.raw").into())
            }
            _ => Ok(asking.sending(None, None)),
        }
    }

    async fn create(&self, asking: Asking<'_>, body: Incoming) -> Result<Outcome, Failure> {
        let new: NewContainer = self.typed(&asking, body).await?;
        let needs = workload::check_container(&new, &self.policy.settings).map_err(Refusal::denied)?;
        self.check_needs(&asking, &needs).await?;
        self.forward(asking.sending(None, Some(written(&new.with_engines_paths())?)), false).await
    }

    /// What a container is to use is asked for by name, so it is looked at.
    async fn check_needs(&self, asking: &Asking<'_>, needs: &Needs) -> Result<(), Failure> {
        self.check_image(asking, &needs.image).await?;
        self.check_volumes(asking, &needs.volumes, "mount.volume_driver").await?;
        for network in &needs.networks {
            self.own_network(asking, network).await?;
        }
        Ok(())
    }

    /// Volumes that are the engine's own, without options, and not the agent's.
    async fn check_volumes(&self, asking: &Asking<'_>, volumes: &[String], rule: Rule) -> Result<(), Failure> {
        if volumes.is_empty() {
            return Ok(());
        }
        let own = self.own_places().await?;
        for volume in volumes {
            if own.contains(volume) {
                return Err(Refusal::denied("rail.own_places").into());
            }
            let target = format!("/v1.{}/volumes/{volume}", asking.version);
            // One that is not there is made as the engine makes them.
            if let Asked::Told(told) = engine::ask(&self.engine, target).await? {
                let options = told["Options"].as_object().is_some_and(|options| !options.is_empty());
                if options || told["Driver"] != "local" {
                    return Err(Refusal::denied(rule).into());
                }
            }
        }
        Ok(())
    }

    /// A container that is there already and could be made under this policy.
    async fn check_target(&self, asking: &Asking<'_>, told: &Value) -> Result<(), Failure> {
        let volumes = workload::check_target(told, &self.policy.settings).map_err(Refusal::denied)?;
        self.check_volumes(asking, &volumes, "target.mounts").await
    }

    /// The volumes and folders of the host in which the agent keeps its own, where
    /// it runs in a container.
    pub(super) async fn own_places(&self) -> Result<Vec<String>, Failure> {
        let Some(own) = self.policy.rails.container() else { return Ok(Vec::new()) };
        let told = match engine::ask(&self.engine, format!("/containers/{own}/json")).await? {
            Asked::Told(told) => told,
            // Another engine's, or none that this one knows.
            Asked::Nothing(_) => return Ok(Vec::new()),
        };
        let mounts = told["Mounts"].as_array().into_iter().flatten();
        let own = mounts.filter(|mount| {
            mount["Destination"].as_str().is_some_and(|place| self.policy.rails.are_touched_by(Path::new(place)))
        });
        let names = own.flat_map(|mount| [&mount["Name"], &mount["Source"]]).filter_map(Value::as_str);
        Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    async fn check_image(&self, asking: &Asking<'_>, image: &str) -> Result<(), Failure> {
        let images = &self.policy.settings.images;
        let allowed = Allowed { patterns: images.allow.as_deref(), require_digest: images.require_digest };
        let is_id = workload::is_image_id(image);
        let reference = Reference::parse(image);
        match &reference {
            None if !is_id => return Err(Refusal::denied("image.name").into()),
            _ if !is_id && images.require_digest => {
                let reference = reference.as_ref().ok_or(Refusal::denied("image.name"))?;
                allowed.check(reference).map_err(Refusal::denied)?;
            }
            _ => {}
        }
        // A short name may be an id, so the image's own names count.
        let told = match engine::ask(&self.engine, format!("/v1.{}/images/{image}/json", asking.version)).await? {
            Asked::Told(told) => told,
            Asked::Nothing(words) => return Err(Failure::Missing(words)),
        };
        let names = |key: &str| told[key].as_array().cloned().unwrap_or_default();
        let all: Vec<Value> = [names("RepoTags"), names("RepoDigests")].concat();
        allowed.check_names(all.iter().filter_map(Value::as_str)).map_err(Refusal::denied)?;
        Ok(())
    }

    fn pull(&self, asking: &mut Asking<'_>) -> Result<Sending, Failure> {
        if ["fromSrc", "repo", "message", "changes"].into_iter().any(|key| !asking.value(key).is_empty()) {
            return Err(Refusal::denied("image.fetch").into());
        }
        let reference = Reference::parse(asking.value("fromImage"));
        let reference = reference.and_then(|reference| reference.with_tag(asking.value("tag")));
        let reference = reference.ok_or(Refusal::denied("image.name"))?;
        let images = &self.policy.settings.images;
        let allowed = Allowed { patterns: images.allow.as_deref(), require_digest: images.require_digest };
        allowed.check(&reference).map_err(Refusal::denied)?;
        let platform = asking.value("platform").to_owned();
        asking.query = vec![("fromImage", reference.name().to_owned()), ("tag", reference.tag_or_digest().to_owned())];
        if !platform.is_empty() {
            asking.query.push(("platform", platform));
        }
        let mut headers = HeaderMap::new();
        if let Some(auth) = asking.head.headers.get(REGISTRY_AUTH).filter(|auth| auth.len() <= REGISTRY_AUTH_MAX) {
            headers.insert(REGISTRY_AUTH, auth.clone());
        }
        Ok(asking.sending_with(None, headers, engine::nothing()))
    }

    async fn make_exec(&self, asking: Asking<'_>, body: Incoming) -> Result<Outcome, Failure> {
        let exec: Exec = self.typed(&asking, body).await?;
        let settings = &self.policy.settings;
        let told = self.inspect(&asking, asking.subject()).await?;
        workload::check_exec(&exec, told["Config"]["User"].as_str().unwrap_or_default(), settings)
            .map_err(Refusal::denied)?;
        self.check_target(&asking, &told).await?;
        if let Some(selectors) = &settings.exec.containers {
            let labels = &told["Config"]["Labels"];
            if !selectors.iter().any(|selector| labels[&selector.key] == selector.value) {
                return Err(Refusal::denied("exec.container").into());
            }
        }
        let sending = asking.sending(Some(&self.id_of(&told)?), Some(written(&exec)?));
        let (answer, carrier) = engine::send(&self.engine, sending).await?;
        if answer.status() != StatusCode::CREATED {
            return Ok(Outcome::Done(super::answer::streamed(answer, carrier)));
        }
        let read = Limited::new(answer.into_body(), REGISTRY_AUTH_MAX).collect().await;
        let read = read.map_err(|error| anyhow::anyhow!("The engine's answer cannot be read: {error}"))?.to_bytes();
        let made: Value = serde_json::from_slice(&read).map_err(anyhow::Error::from)?;
        let id = made["Id"].as_str().filter(|id| ObjectId::parse(id).is_some());
        let id = id.ok_or_else(|| anyhow::anyhow!("The engine gave no id"))?;
        self.remember_exec(id);
        Ok(Outcome::Done(super::told(StatusCode::CREATED, &serde_json::json!({ "Id": id }))))
    }

    /// A program that this session made ready: another's may run in a container
    /// that was never looked at.
    fn known_exec(&self, asking: &Asking<'_>) -> Result<(), Refusal> {
        if self.knows_exec(asking.subject()) { Ok(()) } else { Err(Refusal::denied("exec.foreign")) }
    }

    async fn archive(&self, asking: &Asking<'_>, body: Incoming) -> Result<Sending, Failure> {
        let kind = asking.head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_tar = kind.is_none_or(|kind| matches!(kind, b"application/x-tar" | b"application/octet-stream"));
        if !is_tar || asking.head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, rule: "body.type" }.into());
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let Some(_) = asking.found.subject else {
            return Ok(asking.sending_with(None, headers, body.boxed()));
        };
        let told = self.inspect(asking, asking.subject()).await?;
        self.check_target(asking, &told).await?;
        let id = self.id_of(&told)?;
        Ok(asking.sending_with(Some(&id), headers, archive::unpacked(body).await?))
    }

    /// The container of this name or id, which is not the agent's own.
    async fn container(&self, asking: &Asking<'_>, name: &str) -> Result<String, Failure> {
        let told = self.inspect(asking, name).await?;
        Ok(self.id_of(&told)?)
    }

    fn id_of(&self, told: &Value) -> Result<String, Refusal> {
        let id = told["Id"].as_str().and_then(ObjectId::parse).ok_or(Refusal::malformed("path.container"))?;
        if self.policy.rails.container() == Some(id) {
            return Err(Refusal::denied("rail.own_container"));
        }
        Ok(id.to_string())
    }

    async fn inspect(&self, asking: &Asking<'_>, name: &str) -> Result<Value, Failure> {
        if !workload::is_name(name) {
            return Err(Refusal::malformed("path.container").into());
        }
        match engine::ask(&self.engine, format!("/v1.{}/containers/{name}/json", asking.version)).await? {
            Asked::Told(told) => Ok(told),
            Asked::Nothing(words) => Err(Failure::Missing(words)),
        }
    }

    /// A network that is neither the host's own nor one of its cards.
    async fn own_network(&self, asking: &Asking<'_>, name: &str) -> Result<(), Failure> {
        match engine::ask(&self.engine, format!("/v1.{}/networks/{name}", asking.version)).await? {
            Asked::Told(told) if NETWORK_DRIVERS.contains(&told["Driver"].as_str().unwrap_or_default()) => Ok(()),
            Asked::Told(_) => Err(Refusal::denied("network.driver").into()),
            Asked::Nothing(words) => Err(Failure::Missing(words)),
        }
    }

    /// A body as what it must be, and nothing else in it.
    async fn typed<T: DeserializeOwned>(&self, asking: &Asking<'_>, body: Incoming) -> Result<T, Failure> {
        let kind = asking.head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind != Some(b"application/json") || asking.head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, rule: "body.type" }.into());
        }
        let read = self.read(body).await?;
        let value = json::strict(&read).map_err(|_| Refusal::malformed("body.json"))?;
        if !value.is_object() {
            return Err(Refusal::denied("body.field").into());
        }
        // The engine would take a name in another case, or one that is not here.
        serde_json::from_value(value).map_err(|error| {
            tracing::debug!(%error, "a body is not what it must be");
            Refusal::denied("body.field").into()
        })
    }

    /// Where there should be no body, some clients send an empty one.
    async fn without_body(&self, asking: &Asking<'_>, body: Incoming) -> Result<(), Failure> {
        if body.is_end_stream()
            || asking.head.method == Method::GET && asking.head.headers.contains_key(header::UPGRADE)
        {
            return Ok(());
        }
        let read = self.read(body).await?;
        if matches!(read.trim_ascii(), b"" | b"null" | b"{}") {
            Ok(())
        } else {
            Err(Refusal::malformed("body.unexpected").into())
        }
    }

    pub(super) async fn read(&self, mut body: Incoming) -> Result<Bytes, Failure> {
        let most = usize::try_from(self.policy.settings.limits.body_max).unwrap_or(usize::MAX);
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| anyhow::anyhow!("The request was cut off: {error}"))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > most {
                read_away(body).await;
                return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, rule: "body.size" }.into());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.into())
    }
}

/// Lets whoever still sends a body come to its end, for a while: not everybody
/// listens before.
pub(super) async fn read_away(mut body: Incoming) {
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    // Past the deadline the answer goes out all the same.
    tokio::time::timeout(LINGER, reading).await.ok();
}

fn written<T: Serialize>(body: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|error| Failure::Engine(error.into()))
}

/// Only images that nothing names: the engine takes `dangling=false` for all
/// that nothing uses.
fn check_dangling(filters: &str) -> Result<(), Refusal> {
    let filters: Value = serde_json::from_str(if filters.is_empty() { "{}" } else { filters }).unwrap_or_default();
    let members = filters.as_object().cloned().unwrap_or_default();
    for (name, value) in &members {
        let values: Vec<&str> = match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            Value::Object(items) => items.keys().map(String::as_str).collect(),
            _ => return Err(Refusal::malformed("query.value")),
        };
        let is_fine = match name.as_str() {
            "dangling" => !values.is_empty() && values.iter().all(|value| matches!(*value, "true" | "1")),
            "until" | "label" | "label!" => true,
            _ => false,
        };
        if !is_fine {
            return Err(Refusal::denied("prune.dangling"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_without_a_name_are_pruned() {
        for fine in ["", "{}", r#"{"dangling":["true"]}"#, r#"{"dangling":{"1":true},"until":["24h"]}"#] {
            assert_eq!(check_dangling(fine), Ok(()), "{fine}");
        }
        for other in [
            r#"{"dangling":["false"]}"#,
            r#"{"dangling":["true","false"]}"#,
            r#"{"dangling":[]}"#,
            r#"{"all":["1"]}"#,
            r#"{"dangling":true}"#,
        ] {
            assert!(check_dangling(other).is_err(), "{other}");
        }
    }
}
