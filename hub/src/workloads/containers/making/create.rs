//! A container made from a specification, all or nothing: what was made before
//! something failed is removed again.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use super::engine::Maker;
use super::image;
use crate::app::App;
use crate::error::ApiResult;
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobKind, NewJob};
use crate::workloads::containers::spec::{self, ContainerSpec};
use crate::workloads::images::RegistryLogin;

/// The kind of these jobs.
const CREATE: JobKind = JobKind("container.create");
/// A container must be made within this, its image pulled.
const CREATE_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// A container to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewContainer {
    /// What it is to be.
    pub spec: ContainerSpec,
    /// Whether it is started, which it is unless told not to.
    #[serde(default = "started")]
    pub start: bool,
    /// What the registry of its image wants to see, should it be pulled.
    pub login: Option<RegistryLogin>,
}

const fn started() -> bool {
    true
}

impl App {
    /// Starts a job that makes a container.
    ///
    /// # Errors
    /// Where the specification cannot be so, as the session says, and where
    /// there are too many jobs.
    pub(super) async fn start_create(
        self: &Arc<Self>,
        environment: EnvironmentId,
        new: NewContainer,
        caller: &Caller,
    ) -> ApiResult<Job> {
        let spec = &new.spec;
        spec.check()?;
        image::check(spec)?;
        self.session(environment).await?;
        let subject = spec.name.clone().unwrap_or_else(|| spec.image.clone());
        let entry = Entry::new(&Actor::from(caller), Action::ContainerCreate, &subject).environment(environment);
        let entry = entry.fact("image", json!(spec.image)).fact("privileged", json!(spec.privileged));
        let job = NewJob {
            kind: CREATE,
            environment: Some(environment),
            subject,
            asked_by: AskedBy::from(caller),
            deadline: CREATE_DEADLINE,
            witness: Box::new(entry),
        };
        let app = Arc::clone(self);
        let work = move |job: JobHandle| async move {
            let maker = Maker::of(&app, environment).await?;
            create(&maker, &new, &job).await
        };
        Ok(self.jobs.start(job, work).await?)
    }
}

async fn create(maker: &Maker, new: &NewContainer, job: &JobHandle) -> Result<Value, JobError> {
    let spec = &new.spec;
    job.steps(if new.start { 3 } else { 2 });
    image::provide(maker, spec, new.login.as_ref(), job).await?;
    job.step("create");
    // Not cut off: what comes of it has to be known.
    let made = maker.create(spec.name.as_deref(), spec.platform.as_deref(), &spec::new_body(spec)).await?;
    for warning in &made.warnings {
        job.output(warning);
    }
    if new.start {
        job.step("start");
        let started = job.unless_told_to_end(maker.start(&made.id)).await;
        if let Err(error) = started.and_then(|started| started.map_err(JobError::from)) {
            maker.undo(&made.id).await;
            return Err(error);
        }
    }
    Ok(json!({ "container_id": made.id, "warnings": made.warnings }))
}
