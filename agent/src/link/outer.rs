//! The outermost TLS session of an `https://` hub: it only has to get through
//! the network. Whose certificate it shows is looked at and logged, never
//! decided by: the tunnel's own TLS session inside it is what counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::LinkError;

/// Makes outer TLS sessions.
#[derive(Debug, Default)]
pub(super) struct OuterTls {
    /// Once a session was looked at, the next ones are not: the system's roots
    /// take memory and time, for one line in a log.
    looked: AtomicBool,
}

impl OuterTls {
    /// Wraps `tcp` in TLS for the server called `host`.
    ///
    /// # Errors
    /// [`LinkError::OuterTls`].
    pub(super) async fn connect(&self, tcp: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, LinkError> {
        let invalid = |error| LinkError::OuterTls(std::io::Error::new(std::io::ErrorKind::InvalidInput, error));
        let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
        let observer = if self.looked.swap(true, Ordering::Relaxed) { None } else { system_verifier() };
        let connector = TlsConnector::from(Arc::new(config(observer)));
        connector.connect(name, tcp).await.map_err(LinkError::OuterTls)
    }
}

fn config(observer: Option<Arc<WebPkiServerVerifier>>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Onlooker { observer, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn system_verifier() -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()
}

#[derive(Debug)]
struct Onlooker {
    observer: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let look = |observer: &Arc<WebPkiServerVerifier>| {
            observer.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).err()
        };
        if let Some(error) = self.observer.as_ref().and_then(look) {
            tracing::info!(
                server.name = %server_name.to_str(),
                %error,
                "the outer certificate does not verify; this is harmless, the hub's own key is checked inside"
            );
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
