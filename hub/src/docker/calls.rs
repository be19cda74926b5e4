//! Calls that the hub makes itself. Each has a deadline, and an answer of
//! bounded length: an engine is somebody else's machine.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bollard::Docker;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windflow_protocol::transport::Priority;

use super::engines::{EngineError, Engines, classify, stuck};
use super::lines::JsonLines;
use crate::tunnel::Session;

/// Largest JSON answer that is read whole, in bytes: the list of some ten
/// thousand containers.
const ANSWER_MAX: usize = 32 * 1024 * 1024;
/// The same of one that is about one thing alone. It is held as a tree, which
/// may take thirty times as much.
const DOCUMENT_MAX: usize = 4 * 1024 * 1024;
/// Largest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;
/// Most characters of an engine's own words that are passed on.
const WORDS_MAX: usize = 500;

/// Where an engine looks for what a registry wants to see.
const REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// How an engine says why it refused.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Engines {
    /// Reads what stands at `target` on the engine, a path with its query, as
    /// JSON. Without a version in the path an engine answers in its newest.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn read<T: DeserializeOwned>(
        &self,
        session: &Session,
        target: &str,
        deadline: Duration,
    ) -> Result<T, EngineError> {
        self.read_at_most(ANSWER_MAX, session, target, deadline).await
    }

    /// Reads all that stands at `target` on the engine about one thing.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn read_document(
        &self,
        session: &Session,
        target: &str,
        deadline: Duration,
    ) -> Result<Value, EngineError> {
        self.read_at_most(DOCUMENT_MAX, session, target, deadline).await
    }

    async fn read_at_most<T: DeserializeOwned>(
        &self,
        max: usize,
        session: &Session,
        target: &str,
        deadline: Duration,
    ) -> Result<T, EngineError> {
        let reading = async {
            let answer = self.open(session, target).await?;
            let body = collect(answer, max).await?;
            serde_json::from_slice(&body).map_err(|error| EngineError::Cut(format!("it makes no sense: {error}")))
        };
        tokio::time::timeout(deadline, reading).await.unwrap_or(Err(EngineError::Unresponsive))
    }

    /// Opens what stands at `target` on the engine, for as long as the caller
    /// reads it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn open(&self, session: &Session, target: &str) -> Result<Response<Incoming>, EngineError> {
        let request = Request::get(target).header(header::HOST, "docker").body(Body::empty());
        self.submit(session, request.map_err(|error| EngineError::Cut(error.to_string()))?).await
    }

    /// Sends a request and gives the good answer, for as long as the caller
    /// reads it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn submit(&self, session: &Session, request: Request<Body>) -> Result<Response<Incoming>, EngineError> {
        let answer = self.send(session, Priority::Normal, request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }

    /// Posts `body` to `target` on the engine and gives what it answers; an
    /// answer without a body is null.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn post(
        &self,
        session: &Session,
        target: &str,
        body: &Value,
        deadline: Duration,
    ) -> Result<Value, EngineError> {
        let posting = async {
            let answer = self.send(session, Priority::Normal, posted(target, body)?).await?;
            if !answer.status().is_success() {
                return Err(refusal(answer).await);
            }
            let body = collect(answer, ANSWER_MAX).await?;
            Ok(serde_json::from_slice(&body).unwrap_or_default())
        };
        tokio::time::timeout(deadline, posting).await.unwrap_or(Err(EngineError::Slow))
    }

    /// Deletes what stands at `target` on the engine.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn delete(&self, session: &Session, target: &str, deadline: Duration) -> Result<(), EngineError> {
        let deleting = async {
            let request = Request::delete(target).header(header::HOST, "docker").body(Body::empty());
            let request = request.map_err(|error| EngineError::Cut(error.to_string()))?;
            let answer = self.send(session, Priority::Normal, request).await?;
            if !answer.status().is_success() {
                return Err(refusal(answer).await);
            }
            collect(answer, ANSWER_MAX).await.map(drop)
        };
        tokio::time::timeout(deadline, deleting).await.unwrap_or(Err(EngineError::Slow))
    }

    /// Posts nothing to `target` on the engine, and gives what it answers line
    /// by line, for as long as it works. `login` is for a registry that it asks.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn post_and_follow(
        &self,
        session: &Session,
        target: &str,
        login: Option<HeaderValue>,
    ) -> Result<JsonLines, EngineError> {
        let request = Request::post(target).header(header::HOST, "docker").body(Body::empty());
        let mut request = request.map_err(|error| EngineError::Cut(error.to_string()))?;
        if let Some(login) = login {
            request.headers_mut().insert(REGISTRY_AUTH, login);
        }
        let answer = self.send(session, Priority::Normal, request).await?;
        if answer.status().is_success() { Ok(JsonLines::new(answer)) } else { Err(refusal(answer).await) }
    }

    /// Posts `body` to `target` on the engine, which goes on with bytes both
    /// ways that a person waits for.
    ///
    /// # Errors
    /// [`EngineError`]; an engine that does not go on is one that refused.
    pub async fn upgrade(
        &self,
        session: &Session,
        target: &str,
        body: &Value,
        deadline: Duration,
    ) -> Result<TokioIo<Upgraded>, EngineError> {
        let upgrading = async {
            let mut request = posted(target, body)?;
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("tcp"));
            let answer = self.send(session, Priority::Interactive, request).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refusal(answer).await);
            }
            let upgraded = hyper::upgrade::on(answer).await;
            upgraded.map(TokioIo::new).map_err(|error| EngineError::Cut(error.to_string()))
        };
        tokio::time::timeout(deadline, upgrading).await.unwrap_or(Err(EngineError::Slow))
    }

    /// Calls the engine behind `session` through a typed client.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn call<T, F>(
        &self,
        session: &Arc<Session>,
        deadline: Duration,
        call: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let docker = self.docker(session)?;
        tokio::select! {
            done = call(docker) => done.map_err(explain),
            () = stuck(session) => Err(EngineError::Unresponsive),
            () = tokio::time::sleep(deadline) => Err(EngineError::Slow),
        }
    }
}

fn posted(target: &str, body: &Value) -> Result<Request<Body>, EngineError> {
    let request = Request::post(target).header(header::HOST, "docker");
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()));
    request.map_err(|error| EngineError::Cut(error.to_string()))
}

/// Why the engine did not do it, from its answer.
async fn refusal(answer: Response<Incoming>) -> EngineError {
    let status = answer.status();
    match collect(answer, REFUSAL_MAX).await {
        Ok(body) => {
            let said = serde_json::from_slice(&body).map(|refusal: Refusal| refusal.message);
            refused(status, &said.unwrap_or_default())
        }
        Err(error) => error,
    }
}

async fn collect(answer: Response<Incoming>, max: usize) -> Result<bytes::Bytes, EngineError> {
    let too_long = || EngineError::TooLong { kib: max / 1024 };
    let body = answer.into_body();
    if body.size_hint().lower() > max as u64 {
        return Err(too_long());
    }
    let body = Limited::new(body, max).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
        true => too_long(),
        false => EngineError::Cut(error.to_string()),
    });
    Ok(body?.to_bytes())
}

fn explain(error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            refused(StatusCode::from_u16(status_code).unwrap_or(StatusCode::BAD_GATEWAY), &message)
        }
        Error::HyperLegacyError { err } => classify(&err),
        Error::RequestTimeoutError => EngineError::Slow,
        other => EngineError::Cut(other.to_string()),
    }
}

/// A refusal in the engine's own words, cut to what a person reads.
fn refused(status: StatusCode, words: &str) -> EngineError {
    let words: String = words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    let message = if words.is_empty() { format!("the engine answered {status}") } else { words };
    EngineError::Refused { status, message }
}
