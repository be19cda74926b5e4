//! What an engine is asked while containers are made: one call each, with its
//! deadline.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptions;
use serde_json::{Map, Value, json};
use url::form_urlencoded::byte_serialize;
use windflow_protocol::ids::EnvironmentId;

use super::base::{Base, api_version};
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::ApiResult;
use crate::tunnel::Session;
use crate::workloads::containers::spec::is_endpoint;

/// An engine must have answered a question within this.
const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// An engine must have done what it was told within this, and the grace that
/// a container has to end in.
const CHANGE_DEADLINE: Duration = Duration::from_secs(120);

/// The engine on which containers are made.
#[derive(Clone, Debug)]
pub struct Maker {
    engines: Engines,
    session: Arc<Session>,
}

impl Maker {
    /// The engine of an environment.
    ///
    /// # Errors
    /// 404 where there is no such environment, 503 where it is offline.
    pub async fn of(app: &App, environment: EnvironmentId) -> ApiResult<Self> {
        Ok(Self { engines: app.engines.clone(), session: app.session(environment).await? })
    }

    /// The engine behind a session.
    pub fn behind(app: &App, session: Arc<Session>) -> Self {
        Self { engines: app.engines.clone(), session }
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
        self.read(&format!("/containers/{container}/json")).await
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
        let version = self.read("/version").await?;
        let api = api_version(version["ApiVersion"].as_str().unwrap_or_default());
        Ok((Base::of(&told, &image, api)?, told))
    }

    /// Makes a container, and puts it into its networks. What was made is
    /// removed where that fails.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn create(&self, name: Option<&str>, platform: Option<&str>, body: &Value) -> Result<Made, EngineError> {
        let (body, further, unwanted) = split_networks(body);
        let target = create_target(name, platform);
        let made = self.engines.post(&self.session, &target, &body, CHANGE_DEADLINE).await?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        let warnings = made["Warnings"].as_array().into_iter().flatten();
        let warnings = warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect();
        match self.connect(&id, further, unwanted).await {
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

/// Older engines put a new container into one network alone: the others are
/// taken out of the body. One that was taken out of its first network is put
/// there anew, and must be taken out again.
fn split_networks(body: &Value) -> (Value, Map<String, Value>, Option<String>) {
    let mut body = body.clone();
    let mode = body["HostConfig"]["NetworkMode"].as_str().unwrap_or("default");
    let first = if mode == "default" { "bridge" } else { mode }.to_owned();
    let Some(endpoints) = body["NetworkingConfig"]["EndpointsConfig"].as_object_mut() else {
        return (body, Map::new(), None);
    };
    let all = std::mem::take(endpoints);
    let unwanted = (is_endpoint(&first) && !all.contains_key(&first)).then(|| first.clone());
    let (own, further): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(name, _)| *name == first);
    *endpoints = own;
    (body, further, unwanted)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
