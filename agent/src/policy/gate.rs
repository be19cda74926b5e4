//! The gate between a hub and the engine: each request is read, taken apart,
//! judged by the policy, and written anew. What goes to the engine was made
//! here; nothing of what the hub sent is passed on as it came but the contents
//! of archives and, behind a request that passed, of terminals.
//!
//! A stream carries one request. The answer says so, and the next one comes on
//! a stream of its own, which costs nothing.

mod acts;
mod answer;
mod engine;
mod json;
mod railed;
mod refusal;
mod routes;
mod tap;
mod target;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::transport::Stream;

use self::answer::AnswerBody;
pub(crate) use self::answer::is_open_label;
use self::engine::Sending;
use self::refusal::Refusal;
use self::target::Target;
use super::recorder::Recording;
use super::{Policy, Profile};
use crate::engine::Engine;

/// The hub has this long to send what is not wanted, and to hear an answer to
/// its end.
const LINGER: Duration = Duration::from_secs(5);
/// Most programs of one session that are known at a time.
const EXECS_MAX: usize = 1024;

/// Bytes of what is recorded that are taken at once.
const RECORDED_AT_ONCE: usize = 16 * 1024;

type Upgrade = TokioIo<Upgraded>;

/// The gate of one session.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<Policy>,
    engine: Arc<Engine>,
    /// The ids of programs that this session made ready, the newest last.
    execs: Mutex<VecDeque<String>>,
    /// The sizes of terminals that are recorded, by what has them.
    sizes: Mutex<HashMap<String, watch::Sender<(u16, u16)>>>,
}

/// How a request ends that is not refused.
enum Outcome {
    /// Answered.
    Done(Response<AnswerBody>),
    /// Both ends go on with bytes, as long as what carries the engine's lives;
    /// maybe what the engine sends is written down.
    Upgraded(Response<AnswerBody>, OnUpgrade, JoinSet<()>, Option<Box<Recording>>),
}

/// The two ends of an upgrade.
struct Ends {
    near: OnUpgrade,
    far: OnUpgrade,
    recording: Option<Box<Recording>>,
    _carrier: JoinSet<()>,
}

/// Why a request has no answer of the engine.
enum Failure {
    Refused(Refusal),
    /// The engine could not be asked.
    Engine(anyhow::Error),
    /// The engine's own words, about what the request names.
    Missing(serde_json::Value),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Engine(error)
    }
}

impl Gate {
    /// A gate that has seen nothing.
    pub fn new(policy: Arc<Policy>, engine: Arc<Engine>) -> Self {
        Self { policy, engine, execs: Mutex::default(), sizes: Mutex::default() }
    }

    /// The policy that it goes by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Serves the one request of a stream.
    pub async fn serve(&self, stream: Stream) {
        let tap = tap::Tap::new(stream);
        let (ambiguity, given_back) = (tap.ambiguity(), tap.given_back());
        let upgrade = Mutex::new(None);
        let service = service_fn(|request: Request<Incoming>| {
            let is_ambiguous = ambiguity.load(Ordering::Acquire);
            let upgrade = &upgrade;
            async move { Ok::<_, Infallible>(self.answer(request, is_ambiguous, upgrade).await) }
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .max_buf_size(tap::HEAD_MAX)
            .serve_connection(TokioIo::new(tap), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a stream through the gate broke");
        }
        let ends = upgrade.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = ends {
            ends.join().await;
        }
        let stream = given_back.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stream) = stream {
            say_goodbye(stream).await;
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        is_ambiguous: bool,
        upgrade: &Mutex<Option<Ends>>,
    ) -> Response<AnswerBody> {
        let near = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        match self.judge(&head, &mut body, is_ambiguous).await {
            Ok(Outcome::Done(answer)) => answer,
            Ok(Outcome::Upgraded(answer, far, carrier, recording)) => {
                let ends = Ends { near, far, recording, _carrier: carrier };
                *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
                answer
            }
            Err(Failure::Refused(refusal)) => {
                let (method, path) = (&head.method, head.uri.path());
                tracing::info!(rule = refusal.rule, %method, path, "a request was refused by the host's policy");
                if let Some(body) = body {
                    acts::read_away(body).await;
                }
                refusal.answer(self.policy.profile()).map(AnswerBody::Whole)
            }
            Err(Failure::Missing(words)) => told(StatusCode::NOT_FOUND, &words),
            Err(Failure::Engine(error)) => {
                tracing::debug!(%error, "a request did not reach the engine");
                let words = serde_json::json!({ "message": "the engine did not answer the host's agent" });
                told(StatusCode::BAD_GATEWAY, &words)
            }
        }
    }

    /// Takes the body once it is to be looked at.
    async fn judge(&self, head: &Parts, body: &mut Option<Incoming>, is_ambiguous: bool) -> Result<Outcome, Failure> {
        if is_ambiguous {
            return Err(Refusal::malformed("request.length").into());
        }
        if self.policy.profile() == Profile::Full {
            return self.pass_railed(head, body).await;
        }
        let most = self.policy.settings.limits.body_max;
        let announced = body.as_ref().map_or(0, |body| body.size_hint().lower());
        if announced > most && !acts::is_archive(&head.uri) {
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, rule: "body.size" }.into());
        }
        let target = Target::parse(&head.uri)?;
        let found = routes::find(&head.method, &target.segments)?;
        if !self.policy.permits(found.route.class) {
            return Err(Refusal::class(found.route.class).into());
        }
        let query = target::query(head.uri.query(), found.route.query)?;
        let version = target.negotiated(self.engine_version());
        let body = body.take().ok_or_else(|| anyhow::anyhow!("a request has one body"))?;
        self.act(acts::Asking { head, found: &found, query, version }, body).await
    }

    /// The newest version of its API that the engine speaks.
    fn engine_version(&self) -> Option<u16> {
        match self.engine.status() {
            EngineStatus::Running(facts) => target::minor_of(&facts.api_version),
            EngineStatus::Unknown | EngineStatus::Absent | EngineStatus::Unresponsive => None,
        }
    }

    fn remember_exec(&self, id: &str) {
        let mut execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        if execs.len() == EXECS_MAX {
            execs.pop_front();
        }
        execs.push_back(id.to_owned());
    }

    fn knows_exec(&self, id: &str) -> bool {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == id)
    }

    /// Sends what passed, and makes its answer fit for the hub.
    async fn forward(&self, sending: Sending, redacts: bool) -> Result<Outcome, Failure> {
        let wishes = sending.headers.get(header::UPGRADE).cloned();
        let is_head = sending.method == Method::HEAD;
        let (mut answer, carrier) = engine::send(&self.engine, sending).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(protocol) = wishes else {
                return Err(anyhow::anyhow!("The engine switched without being asked to").into());
            };
            let far = hyper::upgrade::on(&mut answer);
            let mut passed_on = Response::new(AnswerBody::Whole(Full::default()));
            *passed_on.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *passed_on.headers_mut() = answer::passed(answer.headers());
            let headers = passed_on.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, protocol);
            return Ok(Outcome::Upgraded(passed_on, far, carrier, None));
        }
        if redacts && !is_head {
            return Ok(Outcome::Done(answer::redacted(answer).await?));
        }
        Ok(Outcome::Done(answer::streamed(answer, carrier)))
    }
}

/// Waits until the hub has let the stream go, and lets it finish what it still
/// sends: letting go first would cut what it has not heard yet.
async fn say_goodbye(mut stream: Stream) {
    let leaving = async {
        // It was ended before, as a rule, and a carrier may say so.
        stream.shutdown().await.ok();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Past the deadline the stream is dropped, which cuts it.
    tokio::time::timeout(LINGER, leaving).await.ok();
}

fn told(status: StatusCode, words: &serde_json::Value) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(words.to_string()));
    let mut answer = Response::new(AnswerBody::Whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

impl Ends {
    /// Carries bytes both ways until both directions have ended.
    async fn join(self) {
        let (near, far) = match tokio::try_join!(self.near, self.far) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "an upgrade was not carried through"),
        };
        let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
        let carried = match self.recording {
            Some(recording) => carry_recorded(near, far, *recording).await,
            None => tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop),
        };
        if let Err(error) = carried {
            tracing::debug!(%error, "an upgraded connection was cut");
        }
    }
}

/// The same, where nothing reaches the hub that was not written down before. What
/// cannot be written down ends both ways.
async fn carry_recorded(near: Upgrade, far: Upgrade, mut recording: Recording) -> io::Result<()> {
    let (mut from_near, mut to_near) = tokio::io::split(near);
    let (mut from_far, mut to_far) = tokio::io::split(far);
    let typed = async {
        tokio::io::copy(&mut from_near, &mut to_far).await?;
        to_far.shutdown().await
    };
    let shown = async {
        let mut piece = vec![0; RECORDED_AT_ONCE];
        loop {
            let count = from_far.read(&mut piece).await?;
            if count == 0 {
                break;
            }
            recording.write(&piece[..count]).await?;
            to_near.write_all(&piece[..count]).await?;
            to_near.flush().await?;
        }
        to_near.shutdown().await
    };
    let carried = tokio::try_join!(typed, shown).map(drop);
    recording.end().await?;
    carried
}

#[cfg(test)]
mod tests;
