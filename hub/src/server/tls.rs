//! The certificate of the TCP port, for browsers and command lines. Agents do
//! not rely on it: the tunnel brings its own TLS.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use ring::digest::{Context as Hasher, SHA256};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::ListenOptions;

/// How long a self-signed certificate is valid. Some browsers refuse longer.
const VALIDITY: Duration = Duration::days(820);
/// A self-signed certificate is replaced when it ends within this.
const RENEW_BEFORE: Duration = Duration::days(60);
/// Largest file of certificates or a key, in bytes.
const FILE_MAX: usize = 256 * 1024;

/// Where the port's certificate and key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Two files that somebody else keeps.
    Files {
        /// The chain, the port's own certificate first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The hub's own directory, filled and renewed by the hub.
    SelfSigned(PathBuf),
}

/// Both files as they were at one moment.
pub struct PemPair {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for PemPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemPair").finish_non_exhaustive()
    }
}

/// A certificate that can be shown, and when it ends.
#[derive(Clone, Debug)]
pub struct Usable {
    /// The chain and what signs for it.
    pub certified: Arc<CertifiedKey>,
    /// The end of the port's own certificate.
    pub ends: OffsetDateTime,
}

impl CertificateSource {
    /// What the options name, or the hub's own `directory`.
    ///
    /// # Errors
    /// When only one of two files is named.
    pub fn new(options: &ListenOptions, directory: &Path) -> anyhow::Result<Self> {
        match (&options.tls_cert, &options.tls_key) {
            (Some(certificate), Some(key)) => Ok(Self::Files { certificate: certificate.clone(), key: key.clone() }),
            (None, None) => Ok(Self::SelfSigned(directory.to_owned())),
            (Some(_), None) | (None, Some(_)) => bail!("--tls-cert and --tls-key belong together"),
        }
    }

    /// Reads both files. A self-signed pair is made if it is missing or soon
    /// ends.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn read(&self, now: Timestamp) -> anyhow::Result<PemPair> {
        match self {
            Self::Files { certificate, key } => PemPair::read(certificate, key),
            Self::SelfSigned(directory) => self_signed(directory, now.as_datetime()),
        }
    }
}

impl PemPair {
    fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let certificate = read_file(certificate)?.to_vec();
        Ok(Self { certificate, key: read_file(key)? })
    }

    /// Tells one content of the files from another.
    pub fn digest(&self) -> Vec<u8> {
        let mut hasher = Hasher::new(&SHA256);
        hasher.update(&self.certificate.len().to_be_bytes());
        hasher.update(&self.certificate);
        hasher.update(&self.key);
        hasher.finish().as_ref().to_vec()
    }

    /// Makes the pair fit for use.
    ///
    /// # Errors
    /// When it holds no certificate or no key, or the two do not belong
    /// together.
    pub fn open(&self) -> anyhow::Result<Usable> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.context("The certificate file is not in PEM form")?;
        let Some(own) = chain.first() else { bail!("The certificate file holds no certificate") };
        let ends = end_of(own)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("The key file holds no private key in PEM form")?;
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
        let certified = certified.context("The certificate and the key do not belong together")?;
        Ok(Usable { certified: Arc::new(certified), ends })
    }
}

/// What browsers and command lines are met with: TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// When TLS cannot be set up.
pub fn config(certificates: Arc<dyn ResolvesServerCert>) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("Failed to set the TLS versions")?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn self_signed(directory: &Path, now: OffsetDateTime) -> anyhow::Result<PemPair> {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    if certificate.exists() && key.exists() {
        let found = PemPair::read(&certificate, &key)?;
        if found.open()?.ends > now + RENEW_BEFORE {
            return Ok(found);
        }
    }
    generate(&certificate, &key, now)?;
    tracing::info!(path = %certificate.display(), "made a self-signed certificate for the port");
    PemPair::read(&certificate, &key)
}

fn read_file(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_MAX + 1));
    let read = File::open(path).and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut content));
    read.with_context(|| format!("Failed to read {}", path.display()))?;
    if content.len() > FILE_MAX {
        bail!("{} is larger than {FILE_MAX} bytes", path.display());
    }
    Ok(content)
}

fn end_of(certificate: &CertificateDer<'_>) -> anyhow::Result<OffsetDateTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).context("The certificate cannot be read")?;
    Ok(parsed.validity().not_after.to_datetime())
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
    names.extend(outward_addresses().map(|address| address.to_string()));
    names
}

/// This machine's addresses as others see them: those with which it would reach
/// them. Documentation networks (RFC 5737, RFC 3849) stand for others; no
/// packet is sent.
fn outward_addresses() -> impl Iterator<Item = IpAddr> {
    let ways: [(IpAddr, SocketAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into()),
        (Ipv6Addr::UNSPECIFIED.into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into()),
    ];
    ways.into_iter().filter_map(|(any, far)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
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
        assert_eq!(first.digest(), later.digest());
        let late = self_signed(directory.path(), now + Duration::days(800)).unwrap();
        assert_ne!(first.digest(), late.digest());
        late.open().unwrap();
    }

    #[test]
    fn a_file_that_is_far_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large.pem");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read_file(&path).unwrap_err().to_string().contains("larger than"));
    }
}
