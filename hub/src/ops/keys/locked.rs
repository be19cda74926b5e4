//! What a hub says that cannot open its secrets: that, to everybody, and which
//! key it needs to whoever is on its own machine. It does nothing else, and
//! leaves its database alone.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use crate::error::{ApiError, sentence};
use crate::http::{Json, Peer, frame};
use crate::server::AgentDoor;
use crate::vault::{OpenError, VaultError};

const CODE: &str = "locked";
const PAGE: &str = include_str!("locked.html");
/// What those are told who are not on the hub's own machine.
const TOLD: &str = "The hub is locked: its master key is missing, or is not the one that its database was sealed with. \
                    On the hub's own machine, its log and `windflow-hub keys status` say which key it needs.";

/// Whether the hub fails to start only since it cannot open its secrets. Gives
/// the sentence that says which key it needs.
pub fn reason(error: &anyhow::Error) -> Option<String> {
    let error = error.downcast_ref::<OpenError>()?;
    match error {
        OpenError::MasterKey { .. } | OpenError::Vault(VaultError::WrongMasterKey { .. }) => Some(sentence(error)),
        OpenError::First(_) | OpenError::Vault(_) | OpenError::Database(_) => None,
    }
}

/// Everything that a locked hub answers.
pub fn router(why: &str) -> Router {
    let why: Arc<str> = why.into();
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(move |request: Request| {
            let why = Arc::clone(&why);
            async move { answer(&why, &request) }
        })
        .layer(from_fn(frame))
}

fn answer(why: &str, request: &Request) -> Response {
    let is_local = matches!(request.extensions().get::<Peer>(), Some(Peer::Local { .. }));
    let told = if is_local { why } else { TOLD };
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let path = request.uri().path();
    if path == "/readyz" {
        let components = json!([{ "name": "master_key", "status": "degraded" }]);
        let error = json!({ "code": CODE, "message": told });
        let body = json!({ "status": "degraded", "components": components, "error": error });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    if !path.starts_with("/api/") && accept.contains("text/html") {
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
        return (StatusCode::SERVICE_UNAVAILABLE, kind, PAGE).into_response();
    }
    ApiError::unavailable(CODE, told).into_response()
}

/// Takes no agent in: they try again later.
#[derive(Clone, Copy, Debug)]
pub struct NoAgents;

impl AgentDoor for NoAgents {
    fn take(&self, begun: StartHandshake<TcpStream>, _from: IpAddr) -> BoxFuture<'static, ()> {
        drop(begun);
        async {}.boxed()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::http::Scheme;

    const WHY: &str = "It needs the key with the id 0123.";

    async fn asked(path: &str, accept: &str, peer: Peer) -> (StatusCode, String) {
        let request = Request::get(path).header("accept", accept).extension(peer).body(Body::empty()).unwrap();
        let answer = router(WHY).oneshot(request).await.unwrap();
        let (status, body) = (answer.status(), answer.into_body().collect().await.unwrap().to_bytes());
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn everybody_hears_that_the_hub_is_locked_and_its_own_machine_which_key_it_needs() {
        let far = Peer::Tcp { address: "192.0.2.1:4000".parse().unwrap(), scheme: Scheme::Https };
        assert_eq!(asked("/healthz", "", far).await, (StatusCode::OK, "ok\n".to_owned()));
        for (path, accept) in [("/readyz", "*/*"), ("/api/v1/me", "*/*"), ("/", "text/html"), ("/x", "*/*")] {
            let (status, said) = asked(path, accept, far).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert!(said.contains("locked") && !said.contains("0123"), "{path}: {said}");
        }
        for path in ["/readyz", "/api/v1/keys"] {
            let (status, said) = asked(path, "", Peer::Local { uid: 0 }).await;
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!((status, said["error"]["message"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some(WHY)));
        }
    }
}
