//! Removing what was shown, and nothing else: each thing is looked for again,
//! and removed only if it is still the same and still unused.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use windflow_protocol::ids::EnvironmentId;

use super::survey::{PruneItem, PruneKind, PruneOptions, survey, total};
use crate::app::App;
use crate::docker::{EngineError, Engines};
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{AskedBy, Job, JobError, JobHandle, JobKind, NewJob};
use crate::tunnel::Session;

/// The kind of these jobs.
const PRUNE: JobKind = JobKind("environment.prune");
/// A clean-up must be done within this.
const PRUNE_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);
/// One thing must be removed within this: an image may be large.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// Most things that are removed by one job.
const ITEMS_MAX: usize = 20_000;

/// What to clean up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PruneRequest {
    /// What was chosen for the preview.
    pub options: PruneOptions,
    /// The keys of the things that were shown and are to be removed.
    #[schema(max_items = 20_000)]
    pub keys: HashSet<String>,
}

/// What became of one thing.
enum Fate {
    Removed,
    /// Not removed, for this reason.
    Kept(String),
}

impl App {
    /// Starts a job that removes what was shown.
    ///
    /// # Errors
    /// 400 where nothing is chosen; as the session says, and where there are
    /// too many jobs.
    pub(in crate::workloads::images) async fn start_prune(
        self: &Arc<Self>,
        environment: EnvironmentId,
        request: PruneRequest,
        caller: &Caller,
    ) -> ApiResult<Job> {
        let PruneRequest { options, keys } = request;
        options.check()?;
        if keys.is_empty() || keys.len() > ITEMS_MAX {
            let message = format!("Name between one and {ITEMS_MAX} things to remove: their keys are in the preview.");
            return Err(ApiError::bad_request("nothing_chosen", message));
        }
        self.session(environment).await?;
        let entry = Entry::new(&Actor::from(caller), Action::EnvironmentPrune, &environment.to_string());
        let new = NewJob {
            kind: PRUNE,
            environment: Some(environment),
            subject: String::new(),
            asked_by: AskedBy::from(caller),
            deadline: PRUNE_DEADLINE,
            witness: Box::new(entry.environment(environment).fact("things", json!(keys.len()))),
        };
        let app = Arc::clone(self);
        let work = move |job: JobHandle| async move {
            let session = app.session(environment).await?;
            Removal { engines: &app.engines, session: &session, job: &job }.run(options, &keys).await
        };
        Ok(self.jobs.start(new, work).await?)
    }
}

struct Removal<'a> {
    engines: &'a Engines,
    session: &'a Session,
    job: &'a JobHandle,
}

impl Removal<'_> {
    async fn run(&self, options: PruneOptions, keys: &HashSet<String>) -> Result<Value, JobError> {
        self.job.steps(2);
        self.job.step("look");
        let found = self.job.unless_told_to_end(survey(self.engines, self.session, options)).await??;
        let wanted: Vec<PruneItem> = found.into_iter().filter(|item| keys.contains(&item.key)).collect();
        let changed = keys.len().saturating_sub(wanted.len());
        if changed > 0 {
            self.job.output(&format!("{changed} are no longer as they were shown, and stay"));
        }
        self.job.step("remove");
        let due = total(&wanted);
        let (mut freed, mut removed, mut kept) = (0_u64, BTreeMap::<PruneKind, u64>::new(), changed);
        for item in &wanted {
            let name = item.names.first().unwrap_or(&item.id);
            match self.job.unless_told_to_end(self.remove(item)).await?? {
                Fate::Removed => {
                    self.job.output(&format!("{name}: removed"));
                    freed = freed.saturating_add(item.bytes.unwrap_or_default());
                    *removed.entry(item.kind).or_default() += 1;
                }
                Fate::Kept(why) => {
                    self.job.output(&format!("{name}: stays: {why}"));
                    kept += 1;
                }
            }
            self.job.bytes(freed, Some(due));
        }
        Ok(json!({ "removed": removed, "kept": kept, "freed_bytes": freed }))
    }

    /// Removes one thing. The engine refuses what is used by now; a link that
    /// breaks ends the job.
    async fn remove(&self, item: &PruneItem) -> Result<Fate, JobError> {
        let done = match item.kind {
            PruneKind::Container => self.delete(&format!("/containers/{}", item.id)).await,
            PruneKind::Volume => self.delete(&format!("/volumes/{}", item.id)).await,
            PruneKind::Network => self.delete(&format!("/networks/{}", item.id)).await,
            PruneKind::Image => self.remove_image(item).await,
            PruneKind::BuildCache => {
                let pruned = self.engines.post(self.session, "/build/prune?all=true", &Value::Null, REMOVAL_DEADLINE);
                pruned.await.map(drop)
            }
        };
        match done {
            Ok(()) => Ok(Fate::Removed),
            Err(EngineError::Refused { message, .. }) => Ok(Fate::Kept(message)),
            Err(error) => Err(error.into()),
        }
    }

    /// An image goes with its last name. A name that has gone over to another
    /// image meanwhile stays.
    async fn remove_image(&self, item: &PruneItem) -> Result<(), EngineError> {
        if item.names.is_empty() {
            return self.delete(&format!("/images/{}", item.id)).await;
        }
        for name in &item.names {
            let target = format!("/images/{name}");
            let named: Value = self.engines.read(self.session, &format!("{target}/json"), REMOVAL_DEADLINE).await?;
            if named["Id"].as_str() != Some(&item.id) {
                let message = format!("{name} is another image by now");
                return Err(EngineError::Refused { status: StatusCode::CONFLICT, message });
            }
            self.delete(&target).await?;
        }
        Ok(())
    }

    async fn delete(&self, target: &str) -> Result<(), EngineError> {
        self.engines.delete(self.session, target, REMOVAL_DEADLINE).await
    }
}
