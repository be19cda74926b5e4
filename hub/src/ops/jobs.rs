//! What takes long, for those who look at it: the routes of jobs.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::fleet::environments::EnvironmentFilter;
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Query, Reach, Routes};
use crate::identity::audit::{Action, Actor, Entry};
use crate::jobs::{Excerpt, Job, JobFilter, JobId};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Somewhere(Permission::JobsView), routes!(list_jobs))
        .add(Access::Somewhere(Permission::JobsView), routes!(get_job))
        .add(Access::Somewhere(Permission::JobsView), routes!(list_job_lines))
        .add(Access::Somewhere(Permission::JobsView), routes!(get_job_output))
        .add(Access::Somewhere(Permission::JobsCancel), routes!(cancel_job))
}

/// From where to read.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct From {
    /// The number of the first line to read; the first is 0.
    #[serde(default)]
    #[param(value_type = Option<u64>)]
    from: u64,
}

/// A job, and the name of its environment.
#[derive(Debug, Serialize, ToSchema)]
struct ListedJob {
    #[serde(flatten)]
    job: Job,
    /// The environment's name, unless it is gone.
    environment_name: Option<String>,
}

/// Lists the jobs of the last 30 days, the newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Page, JobFilter), responses(
    (status = 200, description = "One page of jobs", body = List<ListedJob>),
))]
async fn list_jobs(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<JobFilter>,
) -> ApiResult<Json<List<ListedJob>>> {
    let visible = reach.visible(Permission::JobsView).await?;
    let jobs = app.jobs.list(&filter, &visible, page).await?;
    let environments = app.fleet.list_environments(&EnvironmentFilter::default()).await?;
    let names: HashMap<Uuid, String> =
        { environments.into_iter() }.map(|known| (known.id.0, known.name.to_string())).collect();
    Ok(Json(jobs.map(|job| {
        let environment_name = job.environment_id.and_then(|id| names.get(&id).cloned());
        ListedJob { job, environment_name }
    })))
}

/// Tells how one job does. `/api/v1/live` tells when to look again.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The job", body = ListedJob),
    (status = 404, description = "There is no such job"),
))]
async fn get_job(State(app): State<AppState>, reach: Reach, Path(id): Path<Uuid>) -> ApiResult<Json<ListedJob>> {
    let job = job_for(&app, &reach, Permission::JobsView, id).await?;
    let environment = match job.environment_id {
        Some(id) => app.fleet.find_environment(EnvironmentId(id)).await?,
        None => None,
    };
    let environment_name = environment.map(|known| known.name.to_string());
    Ok(Json(ListedJob { job, environment_name }))
}

/// Reads what a job said from a line on, also while it runs.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/lines", tag = "jobs", params(("id" = Uuid, Path), From), responses(
    (status = 200, description = "The lines that are kept of it", body = Excerpt),
    (status = 404, description = "There is no such job"),
))]
async fn list_job_lines(
    State(app): State<AppState>,
    reach: Reach,
    Path(id): Path<Uuid>,
    Query(From { from }): Query<From>,
) -> ApiResult<Json<Excerpt>> {
    job_for(&app, &reach, Permission::JobsView, id).await?;
    Ok(Json(lines(&app, JobId(id), from).await?))
}

/// Gives all that is kept of what a job said, as text.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/output", tag = "jobs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "Its last lines", body = String, content_type = "text/plain"),
    (status = 404, description = "There is no such job"),
))]
async fn get_job_output(State(app): State<AppState>, reach: Reach, Path(id): Path<Uuid>) -> ApiResult<Response> {
    job_for(&app, &reach, Permission::JobsView, id).await?;
    let text = lines(&app, JobId(id), 0).await?.text();
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Tells a job to end. It undoes what it has to and is `cancelled` then.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = Uuid, Path)), responses(
    (status = 202, description = "It is told to end"),
    (status = 404, description = "There is no such job"),
    (status = 409, description = "It is over"),
))]
async fn cancel_job(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    let job = job_for(&app, &reach, Permission::JobsCancel, id).await?;
    let over = || ApiError::conflict("job_over", "The job is over: there is nothing to cancel.");
    if job.state.is_over() {
        return Err(over());
    }
    let entry = Entry::new(&Actor::from(&caller), Action::JobCancel, &job.id.to_string());
    let entry = entry.fact("kind", job.kind.into()).fact("subject", job.subject.into());
    let entry = match job.environment_id {
        Some(environment) => entry.environment(EnvironmentId(environment)),
        None => entry,
    };
    app.fleet.note(entry).await?;
    if app.jobs.cancel(job.id) { Ok(StatusCode::ACCEPTED) } else { Err(over()) }
}

/// A job in an environment in which the caller may do this.
async fn job_for(app: &AppState, reach: &Reach, permission: Permission, id: Uuid) -> ApiResult<Job> {
    let job = app.jobs.find(JobId(id)).await?.ok_or_else(|| ApiError::not_found("job"))?;
    reach.require_of(permission, job.environment_id.map(EnvironmentId), "job").await?;
    Ok(job)
}

async fn lines(app: &AppState, id: JobId, from: u64) -> ApiResult<Excerpt> {
    app.jobs.output(id, from).await?.ok_or_else(|| ApiError::not_found("job"))
}
