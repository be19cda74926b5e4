//! Pulling an image: the engine gets it from its registry and says how far it
//! is, layer by layer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::policy::rule_of;

use super::login::RegistryLogin;
use super::reference::{ImageReference, Platform};
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::ApiResult;
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobKind, NewJob, Part};
use crate::tunnel::Session;

/// The kind of these jobs.
const PULL: JobKind = JobKind("image.pull");
/// A pull must be done within this: large images, slow lines.
const PULL_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);
/// An engine must have answered a question within this.
const ASK_DEADLINE: Duration = Duration::from_secs(20);

/// Which image to pull.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// Its name: `[registry/]repository[:tag][@digest]`.
    #[schema(value_type = String, max_length = 512, example = "nginx:1.27")]
    pub reference: ImageReference,
    /// The platform that is wanted, such as `linux/arm64`. Without it, the
    /// host's own.
    #[schema(value_type = Option<String>)]
    pub platform: Option<Platform>,
    /// What its registry wants to see, if anything.
    pub login: Option<RegistryLogin>,
}

/// One line of an engine's progress.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    id: Option<String>,
    status: Option<String>,
    error: Option<String>,
    #[serde(rename = "progressDetail")]
    detail: Option<Detail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: Option<u64>,
    total: Option<u64>,
}

/// How far the layers of an image are.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    status: String,
    loaded: u64,
    total: u64,
}

/// How the line begins that says from where an image comes.
const BEGINNING: &str = "Pulling from ";
/// A line that says how far a layer is.
const DOWNLOADING: &str = "Downloading";

impl App {
    /// Starts a job that pulls an image.
    ///
    /// # Errors
    /// As the session says, and where there are too many jobs.
    pub(super) async fn start_pull(
        self: &Arc<Self>,
        environment: EnvironmentId,
        request: PullRequest,
        caller: &Caller,
    ) -> ApiResult<Job> {
        self.session(environment).await?;
        let name = request.reference.to_string();
        let entry = Entry::new(&Actor::from(caller), Action::ImagePull, &name).environment(environment);
        let entry = match &request.platform {
            Some(platform) => entry.fact("platform", json!(platform.as_str())),
            None => entry,
        };
        let new = NewJob {
            kind: PULL,
            environment: Some(environment),
            subject: name.clone(),
            asked_by: AskedBy::from(caller),
            deadline: PULL_DEADLINE,
            witness: Box::new(entry),
        };
        let app = Arc::clone(self);
        let work = move |job: JobHandle| async move {
            let session = app.session(environment).await?;
            job.steps(1);
            job.step("pull");
            let id = pull(&app.engines, &session, &request, &job).await?;
            Ok(json!({ "image": name, "image_id": id }))
        };
        Ok(self.jobs.start(new, work).await?)
    }
}

/// Pulls an image as a step of a job, which is told of its layers, and gives
/// the image's id.
///
/// # Errors
/// Why the engine could not, or that the job was told to end.
pub async fn pull(
    engines: &Engines,
    session: &Session,
    request: &PullRequest,
    job: &JobHandle,
) -> Result<Option<String>, JobError> {
    job.unless_told_to_end(follow(engines, session, request, job)).await??;
    let target = format!("/images/{}/json", request.reference);
    let image: Value = engines.read(session, &target, ASK_DEADLINE).await?;
    Ok(image["Id"].as_str().map(str::to_owned))
}

async fn follow(engines: &Engines, session: &Session, request: &PullRequest, job: &JobHandle) -> Result<(), JobError> {
    let login = request.login.as_ref().map(|login| login.header(&request.reference));
    let target = target(&request.reference, request.platform.as_ref());
    let mut lines = engines.post_and_follow(session, &target, login).await.map_err(explain)?;
    let mut layers = Layers::default();
    while let Some(told) = lines.next::<Told>().await? {
        if let Some(error) = told.error {
            return Err(failure(&error));
        }
        layers.take(told, job);
    }
    Ok(())
}

fn target(reference: &ImageReference, platform: Option<&Platform>) -> String {
    const PATH: &str = "/images/create?";
    let mut query = url::form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
    query.append_pair("fromImage", reference.repository()).append_pair("tag", reference.version());
    if let Some(platform) = platform {
        query.append_pair("platform", platform.as_str());
    }
    query.finish()
}

impl Layers {
    fn take(&mut self, told: Told, job: &JobHandle) {
        let Some(status) = told.status else { return };
        let detail = told.detail.unwrap_or_default();
        // The first line has the tag where others have their layer.
        let Some(id) = told.id.filter(|_| !status.starts_with(BEGINNING)) else {
            job.output(&status);
            return;
        };
        let layer = self.0.entry(id.clone()).or_default();
        if layer.status != status {
            job.output(&format!("{id}: {status}"));
            layer.status.clone_from(&status);
        }
        if status == DOWNLOADING {
            layer.loaded = detail.current.unwrap_or(layer.loaded);
            layer.total = detail.total.unwrap_or(layer.total);
        } else {
            // Whatever comes after loading comes once all is loaded.
            layer.loaded = layer.total;
        }
        job.part(Part { id, status, done: detail.current, total: detail.total });
        let sum = |part: fn(&Layer) -> u64| self.0.values().map(part).fold(0, u64::saturating_add);
        let total = sum(|layer| layer.total);
        job.bytes(sum(|layer| layer.loaded), (total > 0).then_some(total));
    }
}

fn explain(error: EngineError) -> JobError {
    match error {
        EngineError::Refused { message, .. } if rule_of(&message).is_none() => failure(&message),
        other => other.into(),
    }
}

/// Why an image was not pulled, sorted by what can be done about it.
fn failure(words: &str) -> JobError {
    let words: String = words.chars().filter(|c| !c.is_control()).take(500).collect();
    let has = |parts: &[&str]| parts.iter().any(|part| words.to_lowercase().contains(part));
    let (code, advice) = if has(&["no space left"]) {
        ("no_space", "The host's disk is full: make room on it, for example by a clean-up.")
    } else if has(&["denied", "unauthorized", "authentication required", "auth credentials"]) {
        ("registry_denied", "There is no such image, or its registry wants you to sign in.")
    } else if has(&["manifest unknown", "not found", "no matching manifest", "does not exist", "name unknown"]) {
        ("image_not_found", "There is no such image: look at its name, its tag and the platform.")
    } else if has(&["no such host", "connection refused", "timeout", "deadline exceeded", "network is unreachable"]) {
        ("registry_unreachable", "The host does not reach the registry: look at its name and the host's network.")
    } else {
        ("pull_failed", "The engine could not pull the image.")
    };
    JobError::fail(code, format!("{advice} The engine said: {words}"))
}
