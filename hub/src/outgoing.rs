//! Requests that the hub makes to addresses somebody configured: identity
//! providers, and the webhook that audit records are sent to. There is no other
//! way out to those.
//!
//! A name is resolved once, what it leads to is judged, and the connection goes
//! to the very address that was judged. Redirects are not followed. An answer
//! has a deadline and a largest size. What went wrong stands in the log; a
//! caller learns of all that has to do with the other end one thing only, so
//! that nobody learns from the hub what else there is in its network.
//!
//! [`mail`] is no request: it goes to the one server that those who look after
//! the hub set, to addresses that are judged in the same way, and they are told
//! what it said.

mod address;
mod connection;
mod line;
pub mod mail;
mod resolver;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::sync::{OnceCell, Semaphore};
use url::{Position, Url};

use self::connection::TlsConfig;
pub use self::connection::{Authorities, InvalidAuthorities};
pub use self::connection::{Io, Socket};
pub use self::line::{LineError, Target};
pub use self::resolver::{Resolve, SystemResolver};

/// A whole exchange, from resolving the name to the end of the answer, must be
/// over within this.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const ANSWER_MAX: usize = 5 * 1024 * 1024;
/// Largest head of an answer, in bytes.
const HEAD_MAX: usize = 64 * 1024;
/// Requests that are made at once.
const AT_ONCE_MAX: usize = 32;
/// What the hub calls itself.
const USER_AGENT: &str = concat!("windflow-hub/", env!("CARGO_PKG_VERSION"));

/// What one integration may do.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Speak plain HTTP too.
    pub allow_http: bool,
    /// Reach addresses of this machine and of private networks.
    pub allow_private: bool,
    /// Who signs the other end's certificate; those that the machine trusts
    /// unless given. There is no way not to verify it.
    pub authorities: Option<Authorities>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Reads what stands at an address.
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Posts a form.
    pub fn post_form(url: Url, fields: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let call = Self { method: Method::POST, body: form.finish().into(), ..Self::get(url) };
        call.with(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }

    /// Posts a document in JSON.
    pub fn post_json(url: Url, document: String) -> Self {
        let call = Self { method: Method::POST, body: document.into(), ..Self::get(url) };
        call.with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Answer {
    /// The document in a good answer.
    pub fn document<T: DeserializeOwned>(&self) -> Option<T> {
        if self.status != StatusCode::OK {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }
}

/// Why there is no answer, as far as a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// The address itself is not one to ask.
    #[error("the address is not one that may be asked: it needs https and a host, and no user name")]
    NotAllowed,
    /// It leads only to addresses that this integration may not reach.
    #[error("the address leads to this machine or into a private network, which this may not reach")]
    Private,
    /// Anything else. The log says what.
    #[error("the address gives no usable answer")]
    NoAnswer,
}

/// What went wrong, for the log.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the address may not be asked")]
    NotAllowed,
    #[error("it resolves only to addresses that may not be reached")]
    Private,
    #[error("it does not resolve")]
    Unresolved(#[source] Option<std::io::Error>),
    #[error("no connection")]
    Unconnected(#[source] Option<std::io::Error>),
    #[error("no TLS")]
    Tls(#[source] std::io::Error),
    #[error("the authorities that this machine trusts cannot be read")]
    Roots(#[source] std::io::Error),
    #[error("no HTTP")]
    Http(#[source] hyper::Error),
    #[error("the answer is too long or was cut")]
    Body(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    #[error("it took too long")]
    Slow,
}

impl Failure {
    const fn told(&self) -> OutgoingError {
        match self {
            Self::NotAllowed => OutgoingError::NotAllowed,
            Self::Private => OutgoingError::Private,
            Self::Unresolved(_)
            | Self::Unconnected(_)
            | Self::Tls(_)
            | Self::Roots(_)
            | Self::Http(_)
            | Self::Body(_)
            | Self::Request(_)
            | Self::Slow => OutgoingError::NoAnswer,
        }
    }
}

/// Makes the requests.
#[derive(Debug)]
pub struct Outgoing {
    resolver: Arc<dyn Resolve>,
    turns: Semaphore,
    deadline: Duration,
    trusted: OnceCell<TlsConfig>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new(Arc::new(SystemResolver))
    }
}

impl Outgoing {
    /// Resolves names with `resolver`.
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, turns: Semaphore::new(AT_ONCE_MAX), deadline: DEADLINE, trusted: OnceCell::new() }
    }

    /// Makes one request. An answer is one whatever its status; a redirect is
    /// one too.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub async fn send(&self, rules: &Rules, call: Call) -> Result<Answer, OutgoingError> {
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let done = tokio::time::timeout(self.deadline, self.exchange(rules, call)).await;
        done.unwrap_or(Err(Failure::Slow)).map_err(|failure| {
            let cause = anyhow::Error::new(failure);
            tracing::warn!(host, cause = %format_args!("{cause:#}"), "an outgoing request has no usable answer");
            cause.downcast_ref::<Failure>().map_or(OutgoingError::NoAnswer, Failure::told)
        })
    }

    async fn exchange(&self, rules: &Rules, call: Call) -> Result<Answer, Failure> {
        check(rules, &call.url)?;
        let _turn = self.turns.acquire().await.map_err(|_| Failure::Slow)?;
        let socket = self.connect(rules, &call.url).await?;
        let request = written(call)?;
        let mut http = hyper::client::conn::http1::Builder::new();
        let (mut sender, connection) =
            http.max_buf_size(HEAD_MAX).handshake(TokioIo::new(socket)).await.map_err(Failure::Http)?;
        let answering = async {
            let answer = sender.send_request(request).await.map_err(Failure::Http)?;
            let (head, body) = answer.into_parts();
            if body.size_hint().lower() > ANSWER_MAX as u64 {
                return Err(Failure::Body(None));
            }
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| Failure::Body(Some(error)))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        // The connection ends before the last of the answer is taken from it.
        let carrying = async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an outgoing connection broke");
            }
            std::future::pending().await
        };
        tokio::select! {
            answer = answering => answer,
            never = carrying => never,
        }
    }

    async fn connect(&self, rules: &Rules, url: &Url) -> Result<Socket, Failure> {
        let tcp = connection::dial(&*self.resolver, rules.allow_private, url).await?;
        if url.scheme() == "http" {
            return Ok(Box::new(tcp));
        }
        connection::secure(tcp, self.tls_config(rules).await?, url).await
    }

    async fn tls_config(&self, rules: &Rules) -> Result<TlsConfig, Failure> {
        match &rules.authorities {
            Some(own) => Ok(own.config()),
            None => Ok(self.trusted.get_or_try_init(connection::trusted).await?.clone()),
        }
    }
}

/// Whether the text of the address alone is fine.
fn check(rules: &Rules, url: &Url) -> Result<(), Failure> {
    let scheme = url.scheme() == "https" || (rules.allow_http && url.scheme() == "http");
    let plain = url.username().is_empty() && url.password().is_none();
    if scheme && plain && url.has_host() { Ok(()) } else { Err(Failure::NotAllowed) }
}

fn written(call: Call) -> Result<http::Request<Full<Bytes>>, Failure> {
    let Call { method, url, headers, body } = call;
    let request = http::Request::builder().method(method).uri(&url[Position::BeforePath..Position::AfterQuery]);
    let request = request.header(header::HOST, &url[Position::BeforeHost..Position::AfterPort]);
    let request = request.header(header::USER_AGENT, USER_AGENT).header(header::ACCEPT, "application/json");
    let mut request = request.body(Full::new(body)).map_err(Failure::Request)?;
    request.headers_mut().extend(headers);
    Ok(request)
}
