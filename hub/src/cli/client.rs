//! Speaks the hub's API: over the Unix socket in the data directory, or over
//! HTTPS to a hub elsewhere.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use url::{Host, Url};

use super::exit::Failure;
use crate::config::{DataDir, RemoteOptions};

/// One request must be answered within this.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// Items asked for at once when a whole list is wanted.
const PAGE: usize = 200;

/// A way to the hub.
#[derive(Debug)]
pub enum HubClient {
    /// The hub on this machine.
    Local(DataDir),
    /// A hub elsewhere.
    Remote(Box<Remote>),
}

/// What it takes to talk to a hub elsewhere.
#[derive(Debug)]
pub struct Remote {
    base: Url,
    token: SecretString,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HubClient {
    /// The hub that the options name.
    ///
    /// # Errors
    /// When it is elsewhere and there is no token, no usable certificate
    /// authority, or no TLS.
    pub fn new(data_dir: &DataDir, options: &RemoteOptions) -> anyhow::Result<Self> {
        let Some(base) = options.hub.clone() else {
            return Ok(Self::Local(data_dir.clone()));
        };
        check_url(&base)?;
        let token = options.api_token().context("Put an API token into WINDFLOW_API_TOKEN to use --hub")?;
        let connector = connector(options)?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self::Remote(Box::new(Remote { base, token, client })))
    }

    /// Reads one object.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None).await
    }

    /// Does something, with a JSON body.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, None).await
    }

    /// Reads a whole list, page by page. `filters` go into the query.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn list(&self, path: &str, filters: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair("limit", &PAGE.to_string()).append_pair("offset", &items.len().to_string());
            let mut page = self.get(&format!("{path}?{}", query.finish())).await?;
            let Value::Array(fresh) = page["items"].take() else {
                return Err(Failure::Other(anyhow!("the hub's answer is not a list")));
            };
            let full = fresh.len() == PAGE;
            items.extend(fresh);
            if !full {
                return Ok(items);
            }
        }
    }

    /// The id of the one `what` that is called `name`; an id is taken as it is.
    ///
    /// # Errors
    /// [`Failure::NotFound`] when there is none, and when there are several a
    /// sentence that says so.
    pub async fn resolve(&self, what: &str, path: &str, name: &str) -> Result<String, Failure> {
        if name.parse::<uuid::Uuid>().is_ok() {
            return Ok(name.to_owned());
        }
        let found = self.list(path, &[("name", name)]).await?;
        let mut ids = found.iter().filter_map(|item| item["id"].as_str());
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (None, _) => Err(Failure::NotFound(format!("there is no {what} called {name}"))),
            (Some(_), Some(_)) => Err(Failure::Other(anyhow!("several are called {name}: name one {what} by its id"))),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            match self {
                Self::Local(data_dir) => exchange_locally(data_dir, request).await,
                Self::Remote(remote) => exchange_remotely(remote, request).await,
            }
        };
        let answer = tokio::time::timeout(REQUEST_DEADLINE, exchange).await;
        let (status, body) =
            answer.map_err(|_| Failure::Unreachable(anyhow!("the hub did not answer within 30 s")))??;
        interpret(status, &body)
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method);
        request = match self {
            Self::Local(_) => request.uri(path).header(header::HOST, "localhost"),
            Self::Remote(remote) => {
                let mut bearer =
                    header::HeaderValue::from_str(&format!("Bearer {}", remote.token.expose_secret().trim()))
                        .context("WINDFLOW_API_TOKEN is not an API token")?;
                bearer.set_sensitive(true);
                let url = remote.base.join(path.trim_start_matches('/'))?;
                request.uri(url.as_str()).header(header::AUTHORIZATION, bearer)
            }
        };
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }
}

fn check_url(base: &Url) -> anyhow::Result<()> {
    let loopback = match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match base.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => bail!("--hub must be an https:// URL: over plain HTTP the API token could be read on the way"),
    }
}

fn connector(options: &RemoteOptions) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = match &options.ca_file {
        None => config.with_native_roots().context("Failed to read this machine's certificate authorities")?,
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            let read = || format!("Failed to read certificates from {}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).with_context(read)? {
                roots.add(certificate.with_context(read)?).with_context(read)?;
            }
            config.with_root_certificates(roots)
        }
    };
    let config = config.with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
}

async fn exchange_locally(data_dir: &DataDir, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
    let path = data_dir.socket();
    let stream = UnixStream::connect(&path).await.with_context(|| {
        format!("no hub answers on {}; start one with `windflow-hub serve`, or name another with --hub", path.display())
    });
    let stream = TokioIo::new(stream.map_err(Failure::Unreachable)?);
    let lost = || "the hub ended the connection";
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.context(lost()).map_err(Failure::Unreachable)?;
    // Ends the connection's task when this function returns.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let response = sender.send_request(request).await.context(lost()).map_err(Failure::Unreachable)?;
    read(response).await
}

async fn exchange_remotely(remote: &Remote, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
    let response = remote.client.request(request).await;
    let response = response.with_context(|| format!("the hub at {} cannot be reached", remote.base));
    read(response.map_err(Failure::Unreachable)?).await
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<(StatusCode, Bytes), Failure> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| Failure::Unreachable(anyhow!("the hub's answer broke off: {error}")))?;
    Ok((status, body.to_bytes()))
}

fn interpret(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    if status.is_success() && body.is_empty() {
        return Ok(Value::Null);
    }
    let body: Option<Value> = serde_json::from_slice(body).ok();
    if status.is_success() {
        return body.ok_or_else(|| Failure::Other(anyhow!("the hub's answer is not JSON; is this a Windflow hub?")));
    }
    let message = body.as_ref().and_then(|body| body["error"]["message"].as_str());
    let message = message.map_or_else(|| format!("the hub answered {status}"), str::to_owned);
    Err(match status {
        StatusCode::NOT_FOUND => Failure::NotFound(message),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Failure::Refused(message),
        _ => Failure::Other(anyhow!(message)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_token_travels_over_tls_or_within_this_machine() {
        for good in ["https://hub.example:8443/", "http://127.0.0.1:8443", "http://[::1]:8443", "http://localhost"] {
            assert!(check_url(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["http://hub.example", "http://localhost.example", "ftp://localhost", "unix:///x"] {
            assert!(check_url(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_hubs_sentence_and_its_kind() {
        let body = br#"{"error":{"code":"x","message":"Not today."}}"#;
        let failure = |status| interpret(status, body).unwrap_err();
        assert!(matches!(failure(StatusCode::NOT_FOUND), Failure::NotFound(message) if message == "Not today."));
        assert!(matches!(failure(StatusCode::FORBIDDEN), Failure::Refused(message) if message == "Not today."));
        assert!(matches!(failure(StatusCode::CONFLICT), Failure::Other(error) if error.to_string() == "Not today."));
        assert_eq!(interpret(StatusCode::NO_CONTENT, b"").unwrap(), Value::Null);
    }
}
