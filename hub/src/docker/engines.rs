//! HTTP to the engines, whatever carries it: one pooled client for all of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bollard::{BollardRequest, ClientVersion, Docker};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::transport::{Priority, ResetCode, StreamReset};

use super::connector::{Connector, PASSED_ON, authority};
use crate::tunnel::{Registry, Session, StreamError};

/// Idle connections kept to one engine, for requests and for terminals each.
const IDLE_PER_ENGINE: usize = 8;
/// How long an idle connection is kept: it costs a file descriptor in the
/// agent and one in the engine.
const IDLE_FOR: Duration = Duration::from_secs(15);
/// After this long without an answer, an engine known to be stuck is given up.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// The oldest Docker API this hub speaks: that of Engine 20.10.
const OLDEST_API: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// Most bytes that a typed call may bring.
const CALL_MAX: u64 = 4 * 1024 * 1024;
/// Seconds after which the typed client itself gives up: later than every
/// deadline of a call, the longest grace of a container included.
const CLIENT_SECONDS: u64 = 2 * 3600;

/// Why an engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No stream could be opened to it.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Its agent runs and nothing answers at the engine's address.
    #[error("nothing answers at the engine's address: is Docker running on the host?")]
    Absent,
    /// It accepts connections and does not answer.
    #[error("the engine does not answer: look at the host's Docker service")]
    Unresponsive,
    /// The stream was cut before the answer.
    #[error("the engine's answer was cut off: {0}")]
    Cut(String),
    /// It answered with more than is read.
    #[error("the engine's answer is longer than {kib} KiB, which the hub does not read")]
    TooLong {
        /// What is read at most.
        kib: usize,
    },
    /// It answered that it will not, or cannot.
    #[error("{message}")]
    Refused {
        /// Its status code.
        status: http::StatusCode,
        /// Its own words.
        message: String,
    },
    /// It takes longer than the call may.
    #[error("the engine has not done it in time and may still do it: look again in a moment")]
    Slow,
}

/// Sends requests to the engines behind the sessions.
#[derive(Clone, Debug)]
pub struct Engines {
    sessions: Registry,
    client: Client<Connector, Body>,
}

impl Engines {
    /// A client for every engine behind `sessions`.
    pub fn new(sessions: Registry) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_PER_ENGINE)
            .set_host(false)
            .build(Connector { sessions: sessions.clone(), budget: PASSED_ON });
        Self { sessions, client }
    }

    /// The live session of an environment.
    ///
    /// # Errors
    /// [`StreamError::Offline`], at once, where there is none.
    pub fn session(&self, environment: EnvironmentId) -> Result<Arc<Session>, StreamError> {
        self.sessions.of(environment)
    }

    /// Sends one request, its target being a path on the engine, and gives the
    /// answer's head; bodies stream both ways. It waits as long as the engine
    /// is alive, since Docker answers some requests only when they are done.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn send(
        &self,
        session: &Session,
        priority: Priority,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, EngineError> {
        *request.uri_mut() = address(session, priority, request.uri().path_and_query());
        let answer = self.client.request(request);
        tokio::select! {
            answer = answer => answer.map_err(|error| classify(&error)),
            () = stuck(session) => Err(EngineError::Unresponsive),
        }
    }

    /// A typed client for the engine behind `session`, for one call or a few:
    /// its answers together are bounded. It speaks API 1.41 until
    /// [`Docker::negotiate_version`] is called.
    ///
    /// # Errors
    /// [`EngineError`].
    pub(super) fn docker(&self, session: &Arc<Session>) -> Result<Docker, EngineError> {
        let session = Arc::clone(session);
        let connector = Connector { sessions: self.sessions.clone(), budget: CALL_MAX };
        let client: Client<Connector, Body> = Client::builder(TokioExecutor::new()).set_host(false).build(connector);
        let transport = move |request: BollardRequest| {
            let client = client.clone();
            let (mut parts, body) = request.into_parts();
            parts.uri = address(&session, Priority::Normal, parts.uri.path_and_query());
            parts.headers.insert(header::HOST, HeaderValue::from_static("docker"));
            let request = Request::from_parts(parts, Body::new(body));
            async move { client.request(request).await.map_err(bollard::errors::Error::from) }
        };
        let docker =
            Docker::connect_with_custom_transport(transport, Some("http://engine"), CLIENT_SECONDS, &OLDEST_API);
        docker.map_err(|error| EngineError::Cut(error.to_string()))
    }
}

fn address(session: &Session, priority: Priority, target: Option<&PathAndQuery>) -> Uri {
    Uri::builder()
        .scheme("http")
        .authority(authority(session.id, priority))
        .path_and_query(target.map_or("/", PathAndQuery::as_str))
        .build()
        .expect("a session id is a valid authority, and the target was parsed before")
}

/// Ends once the engine has been waited for and its agent finds it stuck.
pub(super) async fn stuck(session: &Session) {
    tokio::time::sleep(STUCK_AFTER).await;
    let mut engine = session.engine();
    let ended = engine.wait_for(|status| matches!(status, EngineStatus::Unresponsive)).await.is_err();
    if ended {
        // The request itself learns that the session is over.
        std::future::pending::<()>().await;
    }
}

pub(super) fn classify(error: &hyper_util::client::legacy::Error) -> EngineError {
    if StreamReset::code_of(error) == Some(ResetCode::EngineUnavailable) {
        return EngineError::Absent;
    }
    match stream_error_of(error) {
        Some(cause) => EngineError::Stream(cause),
        None => EngineError::Cut(root_cause(error)),
    }
}

fn stream_error_of(error: &(dyn std::error::Error + 'static)) -> Option<StreamError> {
    std::iter::successors(error.source(), |cause| cause.source()).find_map(|cause| cause.downcast_ref().cloned())
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let deepest = std::iter::successors(Some(error), |cause| cause.source()).last();
    deepest.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
