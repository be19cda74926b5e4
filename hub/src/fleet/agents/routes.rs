//! The routes of agents.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::routes;
use uuid::Uuid;
use windflow_protocol::ids::AgentId;

use super::model::Agent;
use super::service::RenameError;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::fleet::enrollment::IssuedToken;
use crate::fleet::environments::EnvironmentName;
use crate::fleet::installer::HubAddress;
use crate::http::{Access, Caller, Json, List, Listing, Page, Path, Permission, Reach, Routes};

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    routes
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(list_agents))
        .add(Access::Somewhere(Permission::EnvironmentsView), routes!(get_agent))
        .add(Access::Somewhere(Permission::AgentsManage), routes!(rename_agent))
        .add(Access::Somewhere(Permission::AgentsManage), routes!(approve_agent))
        .add(Access::Somewhere(Permission::AgentsManage), routes!(reissue_agent))
        .add(Access::Somewhere(Permission::AgentsManage), routes!(revoke_agent))
}

/// Which agents to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AgentFilter {
    /// Only the one of this name.
    name: Option<String>,
    /// Only those that enrolled with the token of this id.
    enrolled_with: Option<String>,
}

/// Another name.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RenameAgentRequest {
    /// The name.
    #[schema(value_type = String)]
    name: EnvironmentName,
}

/// Why an agent is shut out.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RevokeAgentRequest {
    /// The reason; the agent's host shows it too.
    reason: String,
}

/// Lists agents by name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "fleet", params(Page, AgentFilter),
    responses((status = 200, description = "One page of agents", body = List<Agent>)))]
async fn list_agents(
    State(app): State<AppState>,
    reach: Reach,
    Listing { page, filter }: Listing<AgentFilter>,
) -> ApiResult<Json<List<Agent>>> {
    let visible = reach.visible(Permission::EnvironmentsView).await?;
    let mut agents = app.fleet.list_agents(filter.name.as_deref()).await?;
    agents.retain(|agent| visible.has(Some(agent.environment_id)));
    agents.retain(|agent| filter.enrolled_with.as_ref().is_none_or(|token| agent.enrolled_with == *token));
    Ok(Json(page.of(agents)))
}

/// Gives one agent.
#[utoipa::path(get, path = "/api/v1/agents/{id}", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The agent", body = Agent),
    (status = 404, description = "There is none"),
))]
async fn get_agent(State(app): State<AppState>, reach: Reach, Path(id): Path<Uuid>) -> ApiResult<Json<Agent>> {
    agent_for(&app, &reach, Permission::EnvironmentsView, id).await.map(Json)
}

/// Gives an agent and its environment another name.
#[utoipa::path(patch, path = "/api/v1/agents/{id}", tag = "fleet", params(("id" = Uuid, Path)),
    request_body = RenameAgentRequest, responses(
    (status = 200, description = "The agent", body = Agent),
    (status = 404, description = "There is none"),
    (status = 409, description = "The name is taken"),
))]
async fn rename_agent(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
    Json(request): Json<RenameAgentRequest>,
) -> ApiResult<Json<Agent>> {
    agent_for(&app, &reach, Permission::AgentsManage, id).await?;
    app.fleet.rename_agent(AgentId(id), &request.name, &(&caller).into()).await?;
    app.fleet.find_agent(AgentId(id)).await?.map(Json).ok_or_else(unknown)
}

/// Lets a waiting or quarantined agent do everything.
#[utoipa::path(post, path = "/api/v1/agents/{id}/approve", tag = "fleet", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The agent", body = Agent),
    (status = 404, description = "There is none that could be approved"),
))]
async fn approve_agent(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
) -> ApiResult<Json<Agent>> {
    agent_for(&app, &reach, Permission::AgentsManage, id).await?;
    if !app.fleet.approve_agent(AgentId(id), &(&caller).into()).await? {
        return Err(unknown());
    }
    app.fleet.find_agent(AgentId(id)).await?.map(Json).ok_or_else(unknown)
}

/// Makes the token with which the agent's host gets a new key.
#[utoipa::path(post, path = "/api/v1/agents/{id}/reissue", tag = "fleet", params(("id" = Uuid, Path),
    ("hub_url" = Option<String>, Query, description = "How hosts reach this hub; as the caller does unless given")),
    responses(
    (status = 201, description = "The token, shown this once", body = IssuedToken),
    (status = 404, description = "There is none"),
))]
async fn reissue_agent(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    address: HubAddress,
    Path(id): Path<Uuid>,
) -> ApiResult<Response> {
    agent_for(&app, &reach, Permission::AgentsManage, id).await?;
    let token = app.fleet.reissue_agent(AgentId(id), &(&caller).into()).await?.ok_or_else(unknown)?;
    Ok((StatusCode::CREATED, Json(IssuedToken::new(&app, token, &address).await)).into_response())
}

/// Shuts an agent out. Its session and everything on it ends within a second.
#[utoipa::path(post, path = "/api/v1/agents/{id}/revoke", tag = "fleet", params(("id" = Uuid, Path)),
    request_body = RevokeAgentRequest, responses(
    (status = 200, description = "The agent", body = Agent),
    (status = 404, description = "There is none"),
))]
async fn revoke_agent(
    State(app): State<AppState>,
    caller: Caller,
    reach: Reach,
    Path(id): Path<Uuid>,
    Json(request): Json<RevokeAgentRequest>,
) -> ApiResult<Json<Agent>> {
    agent_for(&app, &reach, Permission::AgentsManage, id).await?;
    app.fleet.revoke_agent(AgentId(id), &request.reason, &(&caller).into()).await?;
    app.fleet.find_agent(AgentId(id)).await?.map(Json).ok_or_else(unknown)
}

/// An agent in whose environment the caller may do this.
async fn agent_for(app: &AppState, reach: &Reach, permission: Permission, id: Uuid) -> ApiResult<Agent> {
    let agent = app.fleet.find_agent(AgentId(id)).await?.ok_or_else(unknown)?;
    reach.require_of(permission, Some(agent.environment_id), "agent").await?;
    Ok(agent)
}

fn unknown() -> ApiError {
    ApiError::not_found("agent")
}

impl From<RenameError> for ApiError {
    fn from(error: RenameError) -> Self {
        match error {
            RenameError::Unknown => unknown(),
            RenameError::NameTaken => Self::conflict("name_taken", error.to_string()),
            RenameError::Db(error) => error.into(),
        }
    }
}
