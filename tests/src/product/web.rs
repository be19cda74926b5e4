//! A browser, as far as the hub can tell: HTTPS to whoever shows a certificate
//! that it trusts, from an address of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http::{Answer, exchange};

/// How long a request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Clone, Debug)]
pub struct WebClient {
    server: SocketAddr,
    trusted: CertificateDer<'static>,
    from: Option<IpAddr>,
}

impl WebClient {
    /// A client of the server at this address, which trusts this certificate
    /// alone, given as PEM text.
    ///
    /// # Panics
    /// When it is no certificate.
    pub fn new(server: SocketAddr, certificate: &str) -> Self {
        let trusted = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate in PEM form");
        Self { server, trusted, from: None }
    }

    /// The same from this address of the machine.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the server shows another certificate, or does not answer.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, String)], body: &str) -> anyhow::Result<Answer> {
        let ask = || -> anyhow::Result<Answer> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let exchange = async {
                let stream = TokioIo::new(self.connect().await?);
                exchange(stream, &self.server.to_string(), method, path, headers, body).await
            };
            runtime.block_on(async { tokio::time::timeout(REQUEST_DEADLINE, exchange).await })?
        };
        let answer = std::thread::scope(|scope| scope.spawn(ask).join()).expect("a request does not panic");
        answer.inspect(|answer| answer.assert_its_error_tells_nothing(method))
    }

    async fn connect(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = socket.connect(self.server).await?;
        Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::from(self.server.ip()), stream).await?)
    }
}
