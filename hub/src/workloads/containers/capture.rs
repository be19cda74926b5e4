//! Keeping a container as it is: as an image, or as an archive of its files.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use crate::app::{App, AppState};
use crate::docker::ContainerId;
use crate::docker::EngineError;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Lease, Path, Permission, Routes};
use crate::identity::audit::Action;
use crate::jobs::{AskedBy, Job, JobHandle, JobKind, NewJob};
use crate::workloads::images::ImageReference;

/// The kind of the jobs that make images of containers.
const COMMIT: JobKind = JobKind("container.commit");
/// An image must have been made within this.
const COMMIT_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// An engine must have found a container within this.
const ASK_DEADLINE: Duration = Duration::from_secs(20);
/// An engine must have begun to give a container's files within this.
const BEGIN_DEADLINE: Duration = Duration::from_secs(60);
/// Longest comment and author, in bytes.
const TEXT_MAX: usize = 1024;

/// Adds the routes of this module.
pub(super) fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::At(Permission::ContainersDeploy), routes!(commit_container))
        .add(Access::At(Permission::FilesRead), routes!(export_container))
}

/// What image to make of a container.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommitRequest {
    /// The image's name: `[registry/]repository[:tag]`.
    #[schema(value_type = String, max_length = 512, example = "shop/web:before-update")]
    reference: ImageReference,
    /// What is different about it.
    #[serde(default)]
    #[schema(max_length = 1024)]
    comment: String,
    /// Who made it.
    #[serde(default)]
    #[schema(max_length = 1024)]
    author: String,
    /// Whether its processes stand still meanwhile, so that its files fit
    /// together; yes unless given.
    pause: Option<bool>,
}

/// Makes an image of a container as it is, as a job. What is in its volumes is
/// no part of it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/containers/{container}/commit", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), request_body = CommitRequest, responses(
    (status = 202, description = "The job that makes it", body = Job),
    (status = 400, description = "The name has a digest, or a text is too long"),
    (status = 404, description = "There is no such environment or container"),
    (status = 422, description = "The name is none"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline, or too many jobs wait"),
    (status = 504, description = "The engine does not answer"),
))]
async fn commit_container(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, container)): Path<(Uuid, String)>,
    Json(request): Json<CommitRequest>,
) -> ApiResult<(StatusCode, Json<Job>)> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    let job = app.start_commit(EnvironmentId(id), container, request, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Gives all files of a container as a tar archive, without its volumes. It
/// need not run.
#[utoipa::path(get, path = "/api/v1/environments/{id}/containers/{container}/export", tag = "workloads",
    params(("id" = Uuid, Path), ("container" = String, Path)), responses(
    (status = 200, description = "The archive", body = Vec<u8>, content_type = "application/x-tar"),
    (status = 404, description = "There is no such environment or container"),
    (status = 502, description = "The engine is not there, or could not do it"),
    (status = 503, description = "The environment is offline"),
    (status = 504, description = "The engine does not answer"),
))]
async fn export_container(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    Path((id, container)): Path<(Uuid, String)>,
) -> ApiResult<Response> {
    let container = ContainerId::parse(&container).ok_or_else(|| ApiError::not_found("container"))?;
    let environment = EnvironmentId(id);
    let session = app.session(environment).await?;
    let target = format!("/containers/{}/export", container.as_str());
    let opening = timeout(BEGIN_DEADLINE, app.engines.open(&session, &target));
    let archive = opening.await.map_err(|_| EngineError::Unresponsive)??;
    // Before the first byte leaves.
    app.fleet.note(app.container_entry(&caller, Action::ContainerExport, environment, &container)).await?;
    let name = format!("attachment; filename=\"{}.tar\"", container.as_str());
    let name = HeaderValue::from_str(&name).map_err(ApiError::internal)?;
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar")), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, lease.limit(archive.into_body())).into_response())
}

impl CommitRequest {
    fn target(&self, container: &ContainerId) -> ApiResult<String> {
        const PATH: &str = "/commit?";
        if self.reference.has_digest() {
            let message = "An image that is made has a name and a tag; its digest follows from what is in it.";
            return Err(ApiError::bad_request("invalid_name", message));
        }
        if self.comment.len() > TEXT_MAX || self.author.len() > TEXT_MAX {
            let message = format!("Comment and author have at most {TEXT_MAX} bytes each.");
            return Err(ApiError::bad_request("invalid_body", message));
        }
        let pause = if self.pause.unwrap_or(true) { "1" } else { "0" };
        let mut query = url::form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
        query.append_pair("container", container.as_str()).append_pair("pause", pause);
        query.append_pair("repo", self.reference.repository()).append_pair("tag", self.reference.version());
        query.append_pair("comment", &self.comment).append_pair("author", &self.author);
        Ok(query.finish())
    }
}

impl App {
    /// Starts a job that makes an image of a container.
    ///
    /// # Errors
    /// 400 for what is no name of a new image; as the session and the engine
    /// say, and where there are too many jobs.
    async fn start_commit(
        self: &Arc<Self>,
        environment: EnvironmentId,
        container: ContainerId,
        request: CommitRequest,
        caller: &Caller,
    ) -> ApiResult<Job> {
        let target = request.target(&container)?;
        let session = self.session(environment).await?;
        let inspect = format!("/containers/{}/json", container.as_str());
        self.engines.read::<Value>(&session, &inspect, ASK_DEADLINE).await?;
        let reference = request.reference.to_string();
        let entry = self.container_entry(caller, Action::ContainerCommit, environment, &container);
        let new = NewJob {
            kind: COMMIT,
            environment: Some(environment),
            subject: reference.clone(),
            asked_by: AskedBy::from(caller),
            deadline: COMMIT_DEADLINE,
            witness: Box::new(entry.fact("image", json!(reference))),
        };
        let app = Arc::clone(self);
        let work = move |job: JobHandle| async move {
            let session = app.session(environment).await?;
            job.steps(1);
            job.step("commit");
            // Nothing of how it is started is changed.
            let changes = json!({});
            let making = app.engines.post(&session, &target, &changes, COMMIT_DEADLINE);
            let made = job.unless_told_to_end(making).await??;
            Ok(json!({ "image": reference, "image_id": made["Id"] }))
        };
        Ok(self.jobs.start(new, work).await?)
    }
}
