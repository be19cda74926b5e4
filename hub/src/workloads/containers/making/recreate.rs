//! A container that is made anew with something changed in it. The one before
//! is kept, stopped and under another name, until the new one does well; on any
//! failure it gets its name back and runs again if it ran.

mod names;
mod recovery;
mod wellness;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use windflow_protocol::ids::EnvironmentId;

use self::names::Previous;
pub use self::recovery::keep;
use super::base::Base;
use super::edit::ContainerEdit;
use super::engine::{Made, Maker, Resident};
use super::image;
use crate::app::App;
use crate::docker::ContainerId;
use crate::docker::EngineError;
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobKind, NewJob};
use crate::workloads::containers::spec::{self, ContainerSpec, PullPolicy};
use crate::workloads::images::RegistryLogin;

/// The kind of these jobs.
const RECREATE: JobKind = JobKind("container.recreate");
/// A container must be replaced within this, its image pulled and its health
/// waited for.
const RECREATE_DEADLINE: Duration = Duration::from_secs(5 * 60 * 60);
/// The seconds that a container has to end in where it does not say.
const GRACE_DEFAULT: u64 = 10;
/// The label of a container that a swarm runs.
const OF_SWARM: &str = "com.docker.swarm.task.id";

/// The containers that are being replaced, by their ids alone: one engine may be
/// two environments. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Replacements(Arc<Mutex<HashSet<String>>>);

/// One container that is being replaced, for as long as this lives.
#[derive(Debug)]
pub(super) struct Replacing {
    all: Replacements,
    id: String,
}

impl Replacements {
    /// Notes that a container, by its id, is being replaced; `None` where it is
    /// already.
    pub(super) fn begin(&self, container: &str) -> Option<Replacing> {
        let id = container.to_owned();
        self.all().insert(id.clone()).then(|| Replacing { all: self.clone(), id })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        self.all.all().remove(&self.id);
    }
}

/// What is to be done.
struct Plan {
    base: Base,
    wanted: ContainerSpec,
    /// How long the one before may take to end.
    grace: Duration,
}

impl App {
    /// Starts a job that makes a container anew with these changes.
    ///
    /// # Errors
    /// Where a change cannot be so, where this container cannot be replaced,
    /// as its session and its engine say, and where there are too many jobs.
    pub(super) async fn start_recreate(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: &ContainerId,
        edit: ContainerEdit,
        caller: &Caller,
    ) -> ApiResult<Job> {
        let maker = Maker::of(self, environment).await?;
        let plan = plan(&maker, container.as_str(), &edit).await?;
        let fields: Vec<_> = edit.changes.keys().collect();
        let entry = Entry::new(&Actor::from(caller), Action::ContainerRecreate, &plan.base.id);
        let entry = entry.environment(environment).called(Some(&plan.base.name)).fact("changed", json!(fields));
        let new = NewJob {
            kind: RECREATE,
            environment: Some(environment),
            subject: plan.base.name.clone(),
            asked_by: AskedBy::from(caller),
            deadline: RECREATE_DEADLINE,
            witness: Box::new(entry),
        };
        let (app, id) = (Arc::clone(self), plan.base.id);
        let work = move |job: JobHandle| async move { app.recreate(environment, &id, edit, job).await };
        Ok(self.jobs.start(new, work).await?)
    }

    async fn recreate(
        self: Arc<Self>,
        environment: EnvironmentId,
        id: &str,
        edit: ContainerEdit,
        job: JobHandle,
    ) -> Result<Value, JobError> {
        let busy = || JobError::fail("being_replaced", "The container is being replaced already.");
        let replacing = self.replacements.begin(id).ok_or_else(busy)?;
        let maker = Maker::of(&self, environment).await?;
        let mut plan = job.unless_told_to_end(plan(&maker, id, &edit)).await??;
        job.steps(if plan.base.runs { 4 } else { 3 });
        let body = prepare(&maker, &mut plan, edit.login.as_ref(), &job).await?;
        job.step("create");
        let name = plan.wanted.name.clone().unwrap_or_else(|| plan.base.name.clone());
        let passing = names::next(&plan.base.name, &plan.base.id);
        let made = maker.create(Some(&passing), plan.wanted.platform.as_deref(), &body).await?;
        for warning in &made.warnings {
            job.output(warning);
        }
        let swap = Swap { maker, plan, made, name, job };
        // It goes on to one of its two ends also where the job is dropped.
        let app = Arc::clone(&self);
        let swapping = async move {
            let done = swap.run().await;
            drop(replacing);
            if done.is_err() {
                app.finish_replacements(environment).await;
            }
            done
        };
        self.lifecycle.tasks.spawn(swapping).await.map_err(ApiError::internal)?
    }
}

/// Looks at the container, and refuses what could not be undone.
async fn plan(maker: &Maker, container: &str, edit: &ContainerEdit) -> ApiResult<Plan> {
    let (base, told) = maker.base(container).await?;
    let wanted = edit.apply(&base)?;
    refuse_own(maker, &base)?;
    refuse(&base, &told)?;
    let listed = maker.read("/containers/json?all=true").await?;
    let dependents = dependents(&base, &listed);
    if !dependents.is_empty() {
        let message = format!(
            "The network of this container is also that of {}. Remove those first, and make them \
                               again afterwards.",
            dependents.join(", ")
        );
        return Err(ApiError::conflict("network_shared", message));
    }
    let is_another = |one: &&Value| one["Id"] != base.id.as_str();
    let taken = format!("/{}", wanted.name.as_deref().unwrap_or_default());
    let mut others = listed.as_array().into_iter().flatten().filter(is_another);
    if others.any(|one| one["Names"].as_array().is_some_and(|names| names.iter().any(|name| *name == taken))) {
        return Err(ApiError::conflict("container_name_taken", "Another container has this name."));
    }
    let grace = told["Config"]["StopTimeout"].as_u64().unwrap_or(GRACE_DEFAULT);
    Ok(Plan { base, wanted, grace: Duration::from_secs(grace.min(3600)) })
}

/// Who replaces a container must not be in it.
fn refuse_own(maker: &Maker, base: &Base) -> ApiResult<()> {
    let message = match maker.resident(&base.id) {
        None => return Ok(()),
        Some(Resident::Hub) => {
            "The hub itself runs in this container and would stop half-way. Make it anew on its host, such as with \
             docker compose."
        }
        Some(Resident::Agent) => {
            "The agent of this environment runs in this container and would stop half-way. Make it anew on its host, \
             such as with docker compose."
        }
    };
    Err(ApiError::conflict("own_container", message))
}

/// What cannot be replaced so that the way back is open.
fn refuse(base: &Base, told: &Value) -> ApiResult<()> {
    let refused = |code, message: &str| Err(ApiError::conflict(code, message));
    let labels = &told["Config"]["Labels"];
    match told["State"]["Status"].as_str() {
        _ if base.body["HostConfig"]["AutoRemove"] == true => refused(
            "auto_remove",
            "The engine removes this container as soon as it ends (--rm), so there would be no way back. Make a new one \
             instead.",
        ),
        _ if labels[OF_SWARM].is_string() => refused("of_swarm", "A swarm runs this container: change its service."),
        _ if names::is_passing(&base.name) => {
            refused("being_replaced", "This container belongs to a replacement that is under way.")
        }
        _ if base.name.len() > names::NAME_MAX => {
            let message = format!("Its name is too long: give it one of at most {} letters first.", names::NAME_MAX);
            refused("name_too_long", &message)
        }
        Some("paused") => refused("paused", "The container is paused: let it go on first."),
        Some("removing" | "dead") => refused("removing", "The container is being removed."),
        _ => Ok(()),
    }
}

/// The containers that are in the network of this one.
fn dependents(base: &Base, listed: &Value) -> Vec<String> {
    let modes = [&base.id, &base.name].map(|text| format!("container:{text}"));
    let uses =
        |one: &&Value| one["HostConfig"]["NetworkMode"].as_str().is_some_and(|mode| modes.iter().any(|m| m == mode));
    let names = listed.as_array().into_iter().flatten().filter(uses).filter_map(|one| one["Names"][0].as_str());
    names.map(|name| name.trim_start_matches('/').to_owned()).collect()
}

/// Sees that the image is there, and gives the body of the new container.
async fn prepare(
    maker: &Maker,
    plan: &mut Plan,
    login: Option<&RegistryLogin>,
    job: &JobHandle,
) -> Result<Value, JobError> {
    let mut body = plan.base.body.clone();
    let is_same_image = plan.wanted.image == plan.base.spec.image && plan.wanted.pull != PullPolicy::Always;
    if is_same_image {
        // Its name may mean another one by now.
        let named = job.unless_told_to_end(maker.image(&plan.wanted.image)).await??;
        if named["Id"] != plan.base.image_id.as_str() {
            job.output(&format!("{} means another image now; the container keeps its own.", plan.wanted.image));
            body["Image"] = json!(plan.base.image_id);
        }
    } else {
        image::provide(maker, &plan.wanted, login, job).await?;
    }
    spec::write(&mut body, &plan.base.spec, &plan.wanted);
    Ok(body)
}

/// The new container takes the place of the one before, or does not.
struct Swap {
    maker: Maker,
    plan: Plan,
    made: Made,
    /// What the new container is to be called.
    name: String,
    job: JobHandle,
}

impl Swap {
    async fn run(self) -> Result<Value, JobError> {
        let base = &self.plan.base;
        if let Err(error) = self.forward().await {
            self.job.step("roll_back");
            if let Err(failure) =
                roll_back(&self.maker, &base.id, &self.previous(), Some(&self.made.id), self.plan.grace).await
            {
                tracing::warn!(container = base.id, error = %failure, "a container did not get its place back yet");
                let message = format!(
                    "{error} The container before could not be put back yet: {failure}. The hub does \
                                       it as soon as it can; until then it is called {}.",
                    self.previous().text()
                );
                return Err(JobError::fail("not_rolled_back", message));
            }
            return Err(error);
        }
        if let Err(error) = self.maker.retire(&base.id).await {
            self.job.output(&format!("The container before was not removed: {error}"));
            tracing::warn!(container = base.id, %error, "a container that was replaced was not removed yet");
        }
        Ok(json!({ "container_id": self.made.id, "previous_id": base.id, "warnings": self.made.warnings }))
    }

    async fn forward(&self) -> Result<(), JobError> {
        let base = &self.plan.base;
        self.job.unless_told_to_end(std::future::ready(())).await?;
        self.job.step("swap");
        self.maker.rename(&base.id, &self.previous().text()).await?;
        if base.runs {
            self.maker.stop(&base.id, self.plan.grace).await?;
        }
        self.maker.rename(&self.made.id, &self.name).await?;
        if base.runs {
            self.job.step("start");
            self.maker.start(&self.made.id).await?;
            self.job.unless_told_to_end(wellness::becomes_well(&self.maker, &self.made.id)).await??;
        }
        Ok(())
    }

    fn previous(&self) -> Previous {
        let Base { name, runs, .. } = &self.plan.base;
        Previous { name: name.clone(), ran: *runs, successor: self.made.id.clone() }
    }
}

/// Removes the new container, and gives the one before its place again.
///
/// # Errors
/// As the engine says. It can be done again then.
pub(super) async fn roll_back(
    maker: &Maker,
    id: &str,
    previous: &Previous,
    made: Option<&str>,
    grace: Duration,
) -> Result<(), EngineError> {
    if let Some(made) = made {
        maker.discard(made).await?;
    }
    let told = maker.inspect(id).await?;
    let is_named = told["Name"].as_str().is_some_and(|name| name.trim_start_matches('/') == previous.name);
    if is_named {
        return Ok(());
    }
    let started = match previous.ran {
        true => start_again(maker, id, grace).await,
        false => Ok(()),
    };
    // Its name goes last: until then it tells whether it ran.
    match started {
        Ok(()) | Err(EngineError::Refused { .. }) => maker.rename(id, &previous.name).await.and(started),
        Err(error) => Err(error),
    }
}

/// It may be about to end, and would do so after it was started.
async fn start_again(maker: &Maker, id: &str, grace: Duration) -> Result<(), EngineError> {
    maker.stop(id, grace).await?;
    maker.start(id).await
}
