//! A container made from a specification, all or nothing: what was made before
//! something failed is removed again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;

use super::engine::Maker;
use super::image;
use crate::app::App;
use crate::error::ApiResult;
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobKind, NewJob};
use crate::workloads::containers::spec::{self, ContainerSpec};

/// The kind of these jobs.
const CREATE: JobKind = JobKind("container.create");
/// A container must be made within this, its image pulled.
const CREATE_DEADLINE: Duration = Duration::from_secs(4 * 60 * 60);

/// What becomes of a container once it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is started.
    Start,
    /// It is left as it is.
    Leave,
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
        spec: ContainerSpec,
        then: Then,
        caller: &Caller,
    ) -> ApiResult<Job> {
        spec.check()?;
        image::check(&spec)?;
        self.session(environment).await?;
        let subject = spec.name.clone().unwrap_or_else(|| spec.image.clone());
        let entry = Entry::new(&Actor::from(caller), Action::ContainerCreate, &subject).environment(environment);
        let entry = entry.fact("image", json!(spec.image)).fact("privileged", json!(spec.privileged));
        let new = NewJob {
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
            create(&maker, &spec, then, &job).await
        };
        Ok(self.jobs.start(new, work).await?)
    }
}

async fn create(maker: &Maker, spec: &ContainerSpec, then: Then, job: &JobHandle) -> Result<Value, JobError> {
    job.steps(if then == Then::Start { 3 } else { 2 });
    image::provide(maker, spec, job).await?;
    job.step("create");
    // Not cut off: what comes of it has to be known.
    let made = maker.create(spec.name.as_deref(), spec.platform.as_deref(), &spec::new_body(spec)).await?;
    for warning in &made.warnings {
        job.output(warning);
    }
    if then == Then::Start {
        job.step("start");
        let started = job.unless_told_to_end(maker.start(&made.id)).await;
        if let Err(error) = started.and_then(|started| started.map_err(JobError::from)) {
            maker.undo(&made.id).await;
            return Err(error);
        }
    }
    Ok(json!({ "container_id": made.id, "warnings": made.warnings }))
}
