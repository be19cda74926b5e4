//! What an engine is asked while containers are made: one call each, with its
//! deadline.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptions;
use serde_json::{Map, Value, json};
use url::form_urlencoded::byte_serialize;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::ObjectId;

use super::base::Base;
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::ApiResult;
use crate::tunnel::Session;
use crate::workloads::containers::spec::is_endpoint;

/// From this version of its API an engine takes hardware addresses of each
/// network, and several networks at once. Before, it takes one of the container.
const MAC_OF_NETWORK: Api = (1, 44);
/// From this version on an engine does not tell any more which hardware address
/// was asked for.
const MAC_UNTOLD: Api = (1, 52);
/// It tells so whoever asks in the version before.
const MAC_TOLD: &str = "/v1.51";
/// From this version on an engine takes the hardware address of a network that
/// a container is put into later.
const MAC_OF_FURTHER: Api = (1, 54);
/// An engine must have answered a question within this.
const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// An engine must have done what it was told within this, and the grace that
/// a container has to end in.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);

/// A version of an engine's API.
type Api = (u32, u32);

/// The engine on which containers are made.
#[derive(Clone, Debug)]
pub struct Maker {
    engines: Engines,
    session: Arc<Session>,
    hub: Option<ObjectId>,
}

/// What of Windflow runs in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resident {
    /// The hub.
    Hub,
    /// The agent of the environment that is asked.
    Agent,
}

impl Maker {
    /// The engine of an environment.
    ///
    /// # Errors
    /// 404 where there is no such environment, 503 where it is offline.
    pub async fn of(app: &App, environment: EnvironmentId) -> ApiResult<Self> {
        Ok(Self::behind(app, app.session(environment).await?))
    }

    /// The engine behind a session.
    pub fn behind(app: &App, session: Arc<Session>) -> Self {
        Self { engines: app.engines.clone(), session, hub: app.container }
    }

    /// Who runs in the container with this full id, of those by whom it is
    /// reached: without them nothing is done to its end.
    pub fn resident(&self, container: &str) -> Option<Resident> {
        let id = ObjectId::parse(container);
        if id.is_some() && id == self.hub {
            return Some(Resident::Hub);
        }
        (id.is_some() && id == self.session.within()).then_some(Resident::Agent)
    }

    /// Reads what stands at a path.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn read(&self, target: &str) -> Result<Value, EngineError> {
        self.engines.read(&self.session, target, ASK_DEADLINE).await
    }

    /// The same, null where there is nothing.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn find(&self, target: &str) -> Result<Value, EngineError> {
        match self.read(target).await {
            Err(EngineError::Refused { status, .. }) if status == http::StatusCode::NOT_FOUND => Ok(Value::Null),
            answer => answer,
        }
    }

    /// All that is told of a container.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn inspect(&self, container: &str) -> Result<Value, EngineError> {
        self.inspect_at("", container).await
    }

    async fn inspect_at(&self, version: &str, container: &str) -> Result<Value, EngineError> {
        let target = format!("{version}/containers/{container}/json");
        self.engines.read_document(&self.session, &target, ASK_DEADLINE).await
    }

    /// All that is told of an image; null where it is not there.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn image(&self, reference: &str) -> Result<Value, EngineError> {
        let reference: String = byte_serialize(reference.as_bytes()).collect();
        self.find(&format!("/images/{reference}/json")).await
    }

    /// A container as it was made.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn base(&self, container: &str) -> ApiResult<(Base, Value)> {
        let told = self.inspect(container).await?;
        let image = self.image(told["Image"].as_str().unwrap_or_default()).await?;
        let mac = self.asked_mac(container, &told).await?;
        Ok((Base::of(&told, &image, mac.as_deref())?, told))
    }

    /// The hardware address that was asked for, in the container's own network.
    async fn asked_mac(&self, container: &str, told: &Value) -> Result<Option<String>, EngineError> {
        let mac = |told: &Value| told["Config"]["MacAddress"].as_str().filter(|mac| !mac.is_empty()).map(str::to_owned);
        if self.api().await? < MAC_UNTOLD {
            return Ok(mac(told));
        }
        match self.inspect_at(MAC_TOLD, container).await {
            Ok(told) => Ok(mac(&told)),
            // One day it will not know so old a version any more.
            Err(EngineError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest version of its API that the engine knows.
    async fn api(&self) -> Result<Api, EngineError> {
        let version = self.read("/version").await?;
        Ok(api_version(version["ApiVersion"].as_str().unwrap_or_default()))
    }

    /// Makes a container, and puts it into its networks. What was made is
    /// removed where that fails.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn create(&self, name: Option<&str>, platform: Option<&str>, body: &Value) -> Result<Made, EngineError> {
        let mut split = split_networks(body);
        let mut warnings = Vec::new();
        if has_mac(body) {
            warnings = split.place_macs(self.api().await?);
        }
        let target = create_target(name, platform);
        let made = self.engines.post(&self.session, &target, &split.body, CHANGE_DEADLINE).await?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        let told = made["Warnings"].as_array().into_iter().flatten();
        warnings.extend(told.filter_map(|warning| warning.as_str().map(str::to_owned)));
        match self.connect(&id, split.further, split.unwanted).await {
            Ok(()) => Ok(Made { id, warnings }),
            Err(error) => {
                self.undo(&id).await;
                Err(error)
            }
        }
    }

    async fn connect(
        &self,
        id: &str,
        networks: Map<String, Value>,
        unwanted: Option<String>,
    ) -> Result<(), EngineError> {
        for (network, endpoint) in networks {
            let body = json!({ "Container": id, "EndpointConfig": endpoint });
            self.post(&format!("/networks/{}/connect", encoded(&network)), &body).await?;
        }
        if let Some(network) = unwanted {
            let body = json!({ "Container": id });
            self.post(&format!("/networks/{}/disconnect", encoded(&network)), &body).await?;
        }
        Ok(())
    }

    /// Starts a container. One that runs stays as it is.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        let id = container.to_owned();
        let start = |docker: bollard::Docker| async move { docker.start_container(&id, None).await };
        self.engines.call(&self.session, CHANGE_DEADLINE, start).await
    }

    /// Has a container end, within its own grace. One that does not run stays
    /// as it is.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let id = container.to_owned();
        let stop = |docker: bollard::Docker| async move { docker.stop_container(&id, None).await };
        self.engines.call(&self.session, CHANGE_DEADLINE + grace, stop).await
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn rename(&self, container: &str, name: &str) -> Result<(), EngineError> {
        self.post(&format!("/containers/{container}/rename?name={}", encoded(name)), &Value::Null).await
    }

    /// Removes a container that nobody wants, its own nameless volumes
    /// included, whether it runs or not. One that is gone is well.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn discard(&self, container: &str) -> Result<(), EngineError> {
        self.remove(container, RemoveContainerOptions { v: true, force: true, link: false }).await
    }

    /// Removes a container that was replaced; its volumes are another's now.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn retire(&self, container: &str) -> Result<(), EngineError> {
        self.remove(container, RemoveContainerOptions { v: false, force: true, link: false }).await
    }

    /// Changes what can be changed while a container runs.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn update(&self, container: &str, body: &Value) -> Result<Vec<String>, EngineError> {
        let target = format!("/containers/{container}/update");
        let answer = self.engines.post(&self.session, &target, body, CHANGE_DEADLINE).await?;
        let warnings = answer["Warnings"].as_array().into_iter().flatten();
        Ok(warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect())
    }

    async fn remove(&self, container: &str, options: RemoveContainerOptions) -> Result<(), EngineError> {
        let id = container.to_owned();
        let remove = |docker: bollard::Docker| async move { docker.remove_container(&id, Some(options)).await };
        match self.engines.call(&self.session, CHANGE_DEADLINE, remove).await {
            Err(EngineError::Refused { status, .. }) if status == http::StatusCode::NOT_FOUND => Ok(()),
            answer => answer,
        }
    }

    /// Removes what was made before something failed. What that fails for in
    /// turn is told in the log; the caller is told the first failure.
    pub async fn undo(&self, container: &str) {
        if let Err(error) = self.discard(container).await {
            tracing::warn!(container, %error, "a container that was made in vain was not removed");
        }
    }

    async fn post(&self, target: &str, body: &Value) -> Result<(), EngineError> {
        self.engines.post(&self.session, target, body, CHANGE_DEADLINE).await.map(drop)
    }

    /// What is pulled goes through here.
    pub fn parts(&self) -> (&Engines, &Arc<Session>) {
        (&self.engines, &self.session)
    }
}

/// A container that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// What its engine remarks.
    pub warnings: Vec<String>,
}

fn create_target(name: Option<&str>, platform: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(name.map(|name| ("name", name)));
    query.extend_pairs(platform.map(|platform| ("platform", platform)));
    format!("/containers/create?{}", query.finish())
}

/// Reads an API's version, such as `1.45`; an old one where it makes no sense.
fn api_version(text: &str) -> Api {
    let version = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    version.unwrap_or((1, 41))
}

/// What makes a container in its own network, and what is done then.
#[derive(Debug, PartialEq)]
struct Split {
    body: Value,
    /// The networks that it is put into.
    further: Map<String, Value>,
    /// The network that it is taken out of.
    unwanted: Option<String>,
}

/// Older engines put a new container into one network alone: the others are
/// taken out of the body. One that was taken out of its first network is put
/// there anew, and must be taken out again.
fn split_networks(body: &Value) -> Split {
    let mut body = body.clone();
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or("default");
    let first = if mode == "default" { "bridge" } else { mode }.to_owned();
    let Some(endpoints) = body["NetworkingConfig"]["EndpointsConfig"].as_object_mut() else {
        return Split { body, further: Map::new(), unwanted: None };
    };
    let all = std::mem::take(endpoints);
    let unwanted = (is_endpoint(&first) && !all.contains_key(&first)).then(|| first.clone());
    let (own, further): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(name, _)| *name == first);
    *endpoints = own;
    Split { body, further, unwanted }
}

/// Whether a hardware address is asked for in any network.
fn has_mac(body: &Value) -> bool {
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object();
    endpoints.into_iter().flatten().any(|(_, endpoint)| endpoint["MacAddress"].is_string())
}

impl Split {
    /// Has each hardware address stand where an engine of this version looks
    /// for it. Gives a remark for each that it does not take.
    fn place_macs(&mut self, api: Api) -> Vec<String> {
        let endpoints = self.body["NetworkingConfig"]["EndpointsConfig"].as_object_mut();
        if api >= MAC_OF_NETWORK && self.unwanted.is_none() {
            if let Some(endpoints) = endpoints {
                endpoints.append(&mut self.further);
            }
            return Vec::new();
        }
        if api < MAC_OF_NETWORK {
            let own = endpoints.into_iter().flatten().next();
            let mac = own.and_then(|(_, endpoint)| endpoint.as_object_mut()?.remove("MacAddress"));
            if let (Some(mac), Some(body)) = (mac.filter(Value::is_string), self.body.as_object_mut()) {
                body.insert("MacAddress".to_owned(), mac);
            }
        }
        let untaken =
            self.further.iter().filter(|(_, endpoint)| api < MAC_OF_FURTHER && endpoint["MacAddress"].is_string());
        untaken
            .map(|(name, _)| format!("This engine is too old to give a hardware address in the network {name}."))
            .collect()
    }
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = "02:42:ac:11:00:02";
    const BACK: &str = "02:42:ac:12:00:03";

    fn body() -> Value {
        let endpoints = json!({ "front": { "MacAddress": FRONT, "Aliases": ["www"] }, "back": { "MacAddress": BACK } });
        json!({ "HostConfig": { "NetworkMode": "front" }, "NetworkingConfig": { "EndpointsConfig": endpoints } })
    }

    fn placed(body: &Value, api: &str) -> (Split, Vec<String>) {
        let mut split = split_networks(body);
        let remarks = split.place_macs(api_version(api));
        (split, remarks)
    }

    #[test]
    fn an_engine_takes_hardware_addresses_where_its_version_looks_for_them() {
        let (new, remarks) = placed(&body(), "1.44");
        assert_eq!((&new.body, new.further.len(), remarks.len()), (&body(), 0, 0));

        let (old, remarks) = placed(&body(), "1.43");
        assert_eq!(old.body["MacAddress"], FRONT);
        assert_eq!(old.body["NetworkingConfig"]["EndpointsConfig"], json!({ "front": { "Aliases": ["www"] } }));
        assert_eq!((old.further.contains_key("back"), remarks.len()), (true, 1), "{remarks:?}");
    }

    #[test]
    fn an_engine_that_would_put_it_into_another_network_is_told_of_the_others_later() {
        let mut body = body();
        body["HostConfig"]["NetworkMode"] = json!("middle");
        for (api, count) in [("1.43", 2), ("1.53", 2), ("1.54", 0)] {
            let (split, remarks) = placed(&body, api);
            assert_eq!((split.unwanted.as_deref(), remarks.len()), (Some("middle"), count), "{api}");
            assert_eq!(split.further["front"]["MacAddress"], FRONT, "{api}");
            assert!(split.body["MacAddress"].is_null(), "{api}");
        }
    }

    #[test]
    fn a_version_that_makes_no_sense_is_an_old_one() {
        assert_eq!([api_version("1.52"), api_version("new"), api_version("")], [(1, 52), (1, 41), (1, 41)]);
    }
}
