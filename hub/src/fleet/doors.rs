//! The two routes that are not the API's own: where Docker clients reach an
//! engine, and where agents arrive by WebSocket.

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper_util::rt::TokioIo;
use serde_json::json;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::limits::CONNECT_DEADLINE;
use windflow_protocol::transport::websocket::{self, UpgradeRefused};

use crate::app::AppState;
use crate::docker::gateway::{self, Passage};
use crate::error::{ApiError, ApiResult, sentence};
use crate::http::{Access, Caller, Lease, Path, Permission, Routes};
use crate::identity::audit::{Action, Actor, Entry, Outcome};

/// What comes after the environment's id in the path of a Docker client.
const ENGINE_MARK: &str = "/engine";

/// Ends of paths whose POST changes nothing on the host, and comes often.
const UNRECORDED: [&str; 3] = ["/resize", "/wait", "/auth"];

/// Adds the routes of this module.
pub fn routes(routes: Routes<AppState>) -> Routes<AppState> {
    let engine = "/api/v1/environments/{id}/engine/{*path}";
    routes.add_raw(Access::At(Permission::EngineRaw), "*", engine, any(pass_to_engine)).add_raw(
        Access::Agent,
        "GET",
        websocket::PATH,
        axum::routing::get(accept_agent),
    )
}

/// Passes a Docker client's request to the environment's engine.
async fn pass_to_engine(
    State(app): State<AppState>,
    caller: Caller,
    lease: Lease,
    Path((id, _)): Path<(Uuid, String)>,
    request: Request,
) -> ApiResult<Response> {
    let environment = EnvironmentId(id);
    let target = target(&request)?;
    let session = app.session(environment).await?;
    let call = Call::of(&caller, environment, &request, &target);
    if let Some(call) = &call {
        app.fleet.note(call.begun()).await?;
    }
    let (engines, session, tracker) = (&app.engines, &*session, &app.lifecycle.tasks);
    let answer = gateway::pass(Passage { engines, session, target, lease, tracker }, request).await;
    if let Some(call) = call {
        let ended = call.ended(answer.as_ref().map(Response::status).ok());
        let app = app.clone();
        app.lifecycle.tasks.clone().spawn(async move {
            if let Err(error) = app.fleet.note(ended).await {
                tracing::error!(%error, "the end of an engine call was not recorded");
            }
        });
    }
    Ok(answer?)
}

/// The engine's own path and query, exactly as the client wrote them.
fn target(request: &Request) -> ApiResult<PathAndQuery> {
    let written = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let start = written.find(ENGINE_MARK).map(|at| at + ENGINE_MARK.len());
    let target = start.and_then(|start| written[start..].parse().ok());
    target.ok_or_else(|| ApiError::bad_request("invalid_path", "The path is not one of the Docker API."))
}

/// A request that may change something on the host, for the audit log.
struct Call {
    actor: Actor,
    environment: EnvironmentId,
    method: Method,
    path: String,
}

impl Call {
    fn of(caller: &Caller, environment: EnvironmentId, request: &Request, target: &PathAndQuery) -> Option<Self> {
        let path = target.path();
        if !changes(request.method(), path, request.headers()) {
            return None;
        }
        Some(Self { actor: caller.into(), environment, method: request.method().clone(), path: path.to_owned() })
    }

    fn begun(&self) -> Entry {
        self.entry().outcome(Outcome::Begun)
    }

    fn ended(&self, status: Option<StatusCode>) -> Entry {
        let done = status.is_some_and(|status| !status.is_client_error() && !status.is_server_error());
        let outcome = if done { Outcome::Done } else { Outcome::Failed };
        self.entry().outcome(outcome).fact("status", json!(status.map(|status| status.as_u16())))
    }

    fn entry(&self) -> Entry {
        Entry::new(&self.actor, Action::EngineCall, &self.environment.to_string())
            .environment(self.environment)
            .fact("method", json!(self.method.as_str()))
            .fact("path", json!(self.path))
    }
}

/// Whether a request may change something on the host. A GET may: with an
/// upgrade, it types into a container.
fn changes(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => headers.contains_key(header::UPGRADE),
        Method::POST => !UNRECORDED.iter().any(|end| path.ends_with(end)),
        _ => true,
    }
}

/// Takes an agent's WebSocket. Who it is, it proves inside.
async fn accept_agent(State(app): State<AppState>, caller: Caller, mut request: Request) -> ApiResult<Response> {
    let no_network = || ApiError::bad_request("not_a_network", "Agents come over the network.");
    let from = caller.address.ok_or_else(no_network)?;
    let refused = |error: UpgradeRefused| ApiError::bad_request("not_an_agent", sentence(&error));
    let headers = websocket::accept_headers(request.headers()).map_err(refused)?;
    let upgraded = hyper::upgrade::on(&mut request);
    let listener = app.listener.clone();
    app.lifecycle.tasks.spawn(async move {
        match tokio::time::timeout(CONNECT_DEADLINE, upgraded).await {
            Ok(Ok(io)) => listener.take_stream(websocket::accept(TokioIo::new(io)), from),
            Ok(Err(error)) => tracing::debug!(%from, %error, "an agent's connection was not upgraded"),
            Err(_) => tracing::debug!(%from, "an agent's connection was not upgraded in time"),
        }
    });
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_goes_unrecorded() {
        let none = HeaderMap::new();
        let upgrade = HeaderMap::from_iter([(header::UPGRADE, "websocket".parse().unwrap())]);
        assert!(!changes(&Method::GET, "/containers/json", &none));
        assert!(!changes(&Method::POST, "/containers/a/wait", &none));
        assert!(changes(&Method::POST, "/containers/a/kill", &none));
        assert!(changes(&Method::GET, "/containers/a/attach/ws", &upgrade), "a terminal by GET");
        assert!(changes(&Method::DELETE, "/images/team/auth", &none), "an image whose name ends like a harmless call");
    }
}
