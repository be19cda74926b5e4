//! The routes of keys: which there are, a new data key, another master key.

use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{NewPlace, Rotation, change_master_key, rotate};
use crate::app::AppState;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Access, Caller, Json, Permission, Routes};
use crate::identity::access_tokens::SigningKeyAge;
use crate::identity::audit::Actor;
use crate::jobs::{AskedBy, Job, JobId};
use crate::vault::{Generation, ListedKey, MasterKey, MasterKeyId, OwnKey, list_own_keys};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Needs(Permission::HubManage), routes!(get_keys))
        .add(Access::Needs(Permission::HubManage).confirmed(), routes!(rotate_keys))
        .add(Access::LocalSocket, routes!(replace_master_key))
}

/// The keys that there are. None of them is shown.
#[derive(Debug, Serialize, ToSchema)]
struct KeysResponse {
    /// What the master key is called. A hub that is started with another one
    /// says which it needs.
    master_key_id: MasterKeyId,
    /// Where it comes from: `file`, `passphrase` or `command`.
    master_key_from: &'static str,
    /// The data key with which secrets are sealed now.
    generation: Generation,
    /// All data keys, the oldest first.
    data_keys: Vec<ListedKey>,
    /// The hub's other keys, which are sealed with these.
    own_keys: Vec<ListedOwnKey>,
    /// The keys that sign access tokens, the newest first.
    signing_keys: Vec<ListedSigningKey>,
    /// The job that seals secrets anew just now.
    job_id: Option<JobId>,
    /// A new data key is made by itself after so many days.
    rotate_days: Option<u64>,
}

/// A key that the hub made once.
#[derive(Debug, Serialize, ToSchema)]
struct ListedOwnKey {
    /// Which one.
    key: OwnKey,
    /// What it is used with, such as `HMAC-SHA256`.
    algorithm: &'static str,
    /// When it was made.
    created_at: Timestamp,
}

/// A key that signs access tokens, or signed some that may live.
#[derive(Debug, Serialize, ToSchema)]
struct ListedSigningKey {
    /// Its name, `kid` in a token.
    id: String,
    /// What it is used with.
    algorithm: &'static str,
    /// When it was made.
    created_at: Timestamp,
    /// When another takes its place by itself, or took it.
    replaced_at: Timestamp,
}

impl From<SigningKeyAge> for ListedSigningKey {
    fn from(SigningKeyAge { id, created_at, replaced_at }: SigningKeyAge) -> Self {
        Self { id, algorithm: "Ed25519", created_at, replaced_at }
    }
}

/// Another master key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceMasterKeyRequest {
    /// The key in base64.
    #[schema(value_type = String, write_only)]
    key: SecretString,
    /// Leave the hub's own file with the key as it is: it is started with the
    /// new key from elsewhere then.
    #[serde(default)]
    keep_file: bool,
}

/// The master key that counts now.
#[derive(Debug, Serialize, ToSchema)]
struct ReplacedMasterKey {
    /// What it is called.
    master_key_id: MasterKeyId,
}

/// Says which keys there are: those that secrets are sealed with, and the hub's own.
#[utoipa::path(get, path = "/api/v1/keys", tag = "ops",
    responses((status = 200, description = "The keys", body = KeysResponse)))]
async fn get_keys(State(app): State<AppState>) -> ApiResult<Json<KeysResponse>> {
    let own = list_own_keys(&mut app.db.read().await?).await?.into_iter();
    let signing = app.identity.ages_of_signing_keys().await?.into_iter();
    Ok(Json(KeysResponse {
        master_key_id: app.vault.master_key_id(),
        master_key_from: app.keys.source.kind(),
        generation: app.vault.generation(),
        data_keys: app.vault.list_keys(&app.db).await?,
        own_keys: own.map(|(key, created_at)| ListedOwnKey { key, algorithm: key.algorithm(), created_at }).collect(),
        signing_keys: signing.map(ListedSigningKey::from).collect(),
        job_id: app.keys.job(),
        rotate_days: app.keys.life.map(|life| life.as_secs() / (24 * 60 * 60)),
    }))
}

/// Makes a new data key and seals every secret with it, in a job. The hub works
/// meanwhile; what is cut off goes on at its next start.
#[utoipa::path(post, path = "/api/v1/keys/rotate", tag = "ops", responses(
    (status = 202, description = "The job that does it", body = Job),
    (status = 409, description = "The keys are being changed already"),
    (status = 503, description = "Too many jobs wait, or the hub stops"),
))]
async fn rotate_keys(State(app): State<AppState>, caller: Caller) -> ApiResult<(StatusCode, Json<Job>)> {
    let job = rotate(&app, Rotation::New, AskedBy::from(&caller), &Actor::from(&caller)).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Wraps the data keys with another master key. Only for the command line on
/// the hub's own machine.
#[utoipa::path(post, path = "/api/v1/keys/master-key", tag = "ops", request_body = ReplaceMasterKeyRequest, responses(
    (status = 200, description = "The key that counts now", body = ReplacedMasterKey),
    (status = 400, description = "It is no key"),
    (status = 409, description = "The keys are being changed already, or the key's file cannot be replaced"),
))]
async fn replace_master_key(
    State(app): State<AppState>,
    caller: Caller,
    Json(request): Json<ReplaceMasterKeyRequest>,
) -> ApiResult<Json<ReplacedMasterKey>> {
    let bytes = BASE64.decode(request.key.expose_secret().as_bytes()).map(Zeroizing::new).ok();
    let master = bytes.and_then(|bytes| MasterKey::from_sent(&bytes));
    let unfit = || ApiError::bad_request("invalid_master_key", "A master key has 12 to 4,096 bytes, in base64.");
    let place = if request.keep_file { NewPlace::Other } else { NewPlace::Same };
    let id = change_master_key(&app, master.ok_or_else(unfit)?, place, &Actor::from(&caller)).await?;
    Ok(Json(ReplacedMasterKey { master_key_id: id }))
}
