//! The way to a hub: where it is, what opens its door, and how a connection to
//! it is made.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::{HeaderMap, HeaderValue, Uri, header};
use hyper::body::Body;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use tokio::net::UnixStream;
use tower::Service;
use url::{Host, Url};

use crate::config::{DataDir, RemoteOptions};

/// A connection to the hub, TLS included, must stand within this.
const DIAL_DEADLINE: Duration = Duration::from_secs(15);
/// How long an unused connection is kept: less than the hub keeps it.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// The way to one hub.
#[derive(Clone, Debug)]
pub struct HubWay {
    base: String,
    bearer: Option<HeaderValue>,
    dialer: Dialer,
}

impl HubWay {
    /// The way to the hub that the options name.
    ///
    /// # Errors
    /// When it is elsewhere and there is no token, no usable certificate
    /// authority, or no TLS.
    pub fn new(data_dir: &DataDir, options: &RemoteOptions) -> anyhow::Result<Self> {
        let Some(base) = &options.hub else {
            let dialer = Dialer::Local(data_dir.socket());
            return Ok(Self { base: "http://localhost".to_owned(), bearer: None, dialer });
        };
        check_url(base)?;
        let token = options.api_token().context("Put an API token into WINDFLOW_API_TOKEN to use --hub")?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
            .context("WINDFLOW_API_TOKEN is not an API token")?;
        bearer.set_sensitive(true);
        let base = base[..url::Position::AfterPath].trim_end_matches('/').to_owned();
        Ok(Self { base, bearer: Some(bearer), dialer: Dialer::Remote(connector(options)?) })
    }

    /// The address of `target`, a path and query, at this hub.
    ///
    /// # Errors
    /// When it is no path.
    pub fn address(&self, target: &str) -> anyhow::Result<Uri> {
        if !target.starts_with('/') {
            bail!("{target} is not a path");
        }
        Ok(format!("{}{target}", self.base).parse()?)
    }

    /// Adds what opens the hub's door. The hub on this machine asks for nothing
    /// but the right user.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(bearer) = &self.bearer {
            headers.insert(header::AUTHORIZATION, bearer.clone());
        }
    }

    /// What to say of a request that got no answer.
    pub fn explain(&self, error: &legacy::Error) -> anyhow::Error {
        let causes = std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
        let causes = causes.collect::<Vec<_>>().join(": ");
        match self.dialer {
            Dialer::Local(_) => anyhow!("the hub on this machine cannot be reached: {causes}"),
            Dialer::Remote(_) => anyhow!("the hub at {} cannot be reached: {causes}", self.base),
        }
    }

    /// A client whose connections go this way.
    pub fn client<B: Body<Data: Send> + Send>(&self) -> Client<Dialer, B> {
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_FOR).build(self.dialer.clone())
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
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let config = config.with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp))
}

/// Makes connections to the hub.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// To the hub on this machine, over its socket.
    Local(PathBuf),
    /// To a hub elsewhere.
    Remote(HttpsConnector<HttpConnector>),
}

impl Dialer {
    async fn dial(self, uri: Uri) -> anyhow::Result<HubStream> {
        match self {
            Self::Local(path) => {
                let stream =
                    UnixStream::connect(&path).await.map_err(|error| anyhow!(explain_silence(&path, &error)))?;
                Ok(HubStream(Box::new(TokioIo::new(stream))))
            }
            Self::Remote(mut connector) => {
                let stream = connector.call(uri).await.map_err(|error| anyhow!(error))?;
                Ok(HubStream(Box::new(stream)))
            }
        }
    }
}

/// What to do about a socket that nothing can be said to.
fn explain_silence(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "{path} is for root and the user that the hub runs as: run this with sudo, or name a hub with --hub and \
             sign in with WINDFLOW_API_TOKEN"
        ),
        _ => format!(
            "no hub answers on {path}; start one with `windflow-hub serve`, or name another with --hub: {error}"
        ),
    }
}

impl Service<Uri> for Dialer {
    type Response = HubStream;
    type Error = anyhow::Error;
    type Future = Pin<Box<dyn Future<Output = anyhow::Result<HubStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<anyhow::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = self.clone().dial(uri);
        Box::pin(async move {
            tokio::time::timeout(DIAL_DEADLINE, dial).await.context("the hub could not be dialled within 15 s")?
        })
    }
}

trait ReadWrite: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> ReadWrite for T {}

/// A connection to the hub, whichever way it went.
pub struct HubStream(Box<dyn ReadWrite>);

impl Connection for HubStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for HubStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for HubStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
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
}
