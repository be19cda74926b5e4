//! The routes of backups and of what the hub knows of its own storage.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::AgentId;

use super::restore::{Restored, find_restored};
use super::{BeginError, PASSPHRASE_MAX, PASSPHRASE_MIN};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Permission, Routes};
use crate::identity::audit::{self, Action};

/// Most agents that are listed as ahead.
const AHEAD_MAX: i64 = 200;

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::HubManage).confirmed(), routes!(create_backup))
        .add(Access::Needs(Permission::HubManage), routes!(get_storage))
}

/// What a backup is sealed with.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBackupRequest {
    /// 12 characters or more. Without it the backup cannot be restored.
    #[schema(value_type = String, write_only)]
    passphrase: SecretString,
}

/// Where the hub keeps what it knows, and how that does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct StorageResponse {
    /// `sqlite` or `postgres`.
    engine: &'static str,
    /// Whether the disk is full and only what is vital is written.
    disk_full: bool,
    /// The restore that this database comes from, if it comes from one.
    restored: Option<Restored>,
    /// Agents that knew more than the database since the restore: they went on
    /// after the backup was made.
    agents_ahead: Vec<AgentAhead>,
}

/// An agent that knew more than the database.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AgentAhead {
    /// The agent.
    agent_id: Option<String>,
    /// Its environment's name.
    name: Option<String>,
    /// When it came.
    at: Timestamp,
}

/// Makes a backup: everything the hub knows, with its keys, sealed with the
/// passphrase.
///
/// An answer that breaks off is no backup; a whole one is told by its end,
/// which `windflow-hub backup verify` reads.
#[utoipa::path(post, path = "/api/v1/backups", tag = "ops", request_body = CreateBackupRequest, responses(
    (status = 200, description = "The backup", content_type = "application/octet-stream", body = Vec<u8>),
    (status = 400, description = "The passphrase is too short"),
    (status = 409, description = "Another backup is being made"),
))]
async fn create_backup(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<CreateBackupRequest>,
) -> ApiResult<Response> {
    let parts = app.backups.begin(&app, request.passphrase, (&caller).into()).await?;
    let body = Body::from_stream(stream::unfold(parts, |mut parts| async move { Some((parts.recv().await?, parts)) }));
    let name = format!("attachment; filename=\"windflow-{}.backup\"", app.clock.now().as_datetime().date());
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(ApiError::internal)?);
    Ok(response)
}

/// Says where the hub keeps what it knows, whether the disk is full, and what
/// there is to do after a restore.
#[utoipa::path(get, path = "/api/v1/storage", tag = "ops",
    responses((status = 200, description = "The storage", body = StorageResponse)))]
async fn get_storage(State(app): State<AppState>) -> ApiResult<Json<StorageResponse>> {
    let mut tx = app.db.read().await?;
    let restored = find_restored(&mut tx).await?;
    let ahead = match &restored {
        Some(restored) => audit::list_since(&mut tx, restored.restored_at, &[Action::AgentAhead], AHEAD_MAX).await?,
        None => Vec::new(),
    };
    drop(tx);
    let mut agents_ahead: Vec<AgentAhead> = Vec::new();
    for record in ahead {
        if agents_ahead.iter().any(|known| known.agent_id == record.target_id) {
            continue;
        }
        let id = record.target_id.as_deref().and_then(|id| id.parse::<Uuid>().ok());
        let agent = match id {
            Some(id) => app.fleet.find_agent(AgentId(id)).await?,
            None => None,
        };
        agents_ahead.push(AgentAhead {
            agent_id: record.target_id,
            name: agent.map(|agent| agent.name),
            at: record.at,
        });
    }
    let disk_full = app.db.guard().is_some_and(|guard| guard.is_full());
    Ok(Json(StorageResponse { engine: app.db.engine(), disk_full, restored, agents_ahead }))
}

impl From<BeginError> for ApiError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Passphrase(_) => {
                let message = format!("The passphrase must have {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters.");
                Self::bad_request("weak_passphrase", message)
            }
            BeginError::Busy => Self::conflict("backup_running", "Another backup is being made. Wait for its end."),
            BeginError::Db(error) => error.into(),
            BeginError::MasterKey(error) => Self::internal(error),
        }
    }
}
