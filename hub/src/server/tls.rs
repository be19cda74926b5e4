//! The certificate of the TCP port, for browsers and command lines. Agents do
//! not rely on it: the tunnel brings its own TLS.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::ListenOptions;

/// How long a self-signed certificate is valid. Some browsers refuse longer.
const VALIDITY: Duration = Duration::days(820);
/// A self-signed certificate is replaced at start when it ends within this.
const RENEW_BEFORE: Duration = Duration::days(60);

/// A certificate chain and its key.
#[derive(Debug)]
pub struct ServerCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    maker: CertificateMaker,
}

/// Who made the port's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateMaker {
    /// The hub, for itself: browsers warn of it.
    Hub,
    /// Whoever the operator had it from.
    Operator,
}

impl ServerCertificate {
    /// Who made it.
    pub const fn maker(&self) -> CertificateMaker {
        self.maker
    }
}

/// The certificate that the options name, or the self-signed one in
/// `directory`, made if it is missing or soon ends.
///
/// # Errors
/// When a file cannot be read, written or used.
pub fn load_certificate(
    options: &ListenOptions,
    directory: &Path,
    now: Timestamp,
) -> anyhow::Result<ServerCertificate> {
    match (&options.tls_cert, &options.tls_key) {
        (Some(certificate), Some(key)) => read(certificate, key, CertificateMaker::Operator),
        (None, None) => self_signed(directory, now.as_datetime()),
        (Some(_), None) | (None, Some(_)) => bail!("--tls-cert and --tls-key belong together"),
    }
}

/// An acceptor for browsers and command lines: TLS 1.2 and 1.3, HTTP/1.1.
pub fn acceptor(certificate: ServerCertificate) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("Failed to set the TLS versions")?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)
        .context("Failed to use the certificate and key of the port")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn self_signed(directory: &Path, now: OffsetDateTime) -> anyhow::Result<ServerCertificate> {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    if certificate.exists() && key.exists() {
        let found = read(&certificate, &key, CertificateMaker::Hub)?;
        if ends_after(&found.chain[0], now + RENEW_BEFORE) {
            return Ok(found);
        }
    }
    generate(&certificate, &key, now)?;
    tracing::info!(path = %certificate.display(), "made a self-signed certificate for the port");
    read(&certificate, &key, CertificateMaker::Hub)
}

fn read(certificate: &Path, key: &Path, maker: CertificateMaker) -> anyhow::Result<ServerCertificate> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("Failed to read certificates from {}", certificate.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("Failed to read a private key from {}", key.display()))?;
    Ok(ServerCertificate { chain, key, maker })
}

fn ends_after(certificate: &CertificateDer<'_>, moment: OffsetDateTime) -> bool {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.is_ok_and(|(_, certificate)| certificate.validity().not_after.to_datetime() > moment)
}

fn generate(certificate: &Path, key: &Path, now: OffsetDateTime) -> anyhow::Result<()> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(own_names())?;
    params.not_before = now - Duration::days(1);
    params.not_after = now + VALIDITY;
    params.distinguished_name.push(DnType::CommonName, "Windflow hub");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.self_signed(&pair)?;

    let directory = certificate.parent().context("The certificate has no directory")?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let private = Zeroizing::new(pair.serialize_pem());
    replace(key, private.as_bytes()).with_context(|| format!("Failed to write {}", key.display()))?;
    replace(certificate, signed.pem().as_bytes()).with_context(|| format!("Failed to write {}", certificate.display()))
}

fn own_names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if !names.contains(&host) && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        names.push(host);
    }
    names
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_stays_until_it_soon_ends() {
        let directory = tempfile::tempdir().unwrap();
        let now = time::macros::datetime!(2026-05-04 0:00 UTC);
        let first = self_signed(directory.path(), now).unwrap();
        let later = self_signed(directory.path(), now + Duration::days(700)).unwrap();
        assert_eq!(first.chain, later.chain);
        let late = self_signed(directory.path(), now + Duration::days(800)).unwrap();
        assert_ne!(first.chain, late.chain);
        acceptor(late).unwrap();
    }
}
