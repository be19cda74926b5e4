//! Certificates for engines that listen on TCP with TLS.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

/// A certificate authority with one certificate for an engine and one for its
/// client, all as PEM text.
#[derive(Clone, Debug)]
pub struct EngineCertificates {
    /// The authority's certificate.
    pub authority: String,
    /// The client's certificate.
    pub client_certificate: String,
    /// The client's private key.
    pub client_key: String,
    engine_certificate: String,
    engine_key: String,
}

impl EngineCertificates {
    /// Makes all of them anew, for an engine at this address.
    ///
    /// # Panics
    /// Never: the parameters are constant and good.
    pub fn generate(engine: std::net::IpAddr) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, new_key()).expect("the parameters are good");
        let (engine_certificate, engine_key) =
            issue(&authority, &engine.to_string(), ExtendedKeyUsagePurpose::ServerAuth);
        let (client_certificate, client_key) = issue(&authority, "client", ExtendedKeyUsagePurpose::ClientAuth);
        Self { authority: authority.pem(), client_certificate, client_key, engine_certificate, engine_key }
    }

    /// Writes what a client needs into `folder`: `ca.pem`, `cert.pem` and
    /// `key.pem`, as the Docker CLI names them.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write_client_files(&self, folder: &Path) -> ClientFiles {
        ClientFiles {
            authority: write(folder, "ca.pem", &self.authority),
            certificate: write(folder, "cert.pem", &self.client_certificate),
            key: write(folder, "key.pem", &self.client_key),
        }
    }

    pub(super) fn engine_arguments(&self, folder: &Path) -> Vec<OsString> {
        let authority = write(folder, "tls-ca.pem", &self.authority);
        let certificate = write(folder, "tls-cert.pem", &self.engine_certificate);
        let key = write(folder, "tls-key.pem", &self.engine_key);
        vec![
            "--tlsverify".into(),
            "--tlscacert".into(),
            authority.into(),
            "--tlscert".into(),
            certificate.into(),
            "--tlskey".into(),
            key.into(),
        ]
    }
}

/// Where [`EngineCertificates::write_client_files`] put them.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The client's certificate.
    pub certificate: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

fn issue(authority: &CertifiedIssuer<'_, KeyPair>, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
    let key = new_key();
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
    params.extended_key_usages = vec![purpose];
    let certificate = params.signed_by(&key, authority).expect("the parameters are good");
    (certificate.pem(), key.serialize_pem())
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    crate::process::write_private(&path, content);
    path
}
