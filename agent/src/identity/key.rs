//! The agent's own key: made here, never leaves the host.

use std::path::Path;

use anyhow::Context;
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::tls::spki_digest;
use zeroize::Zeroizing;

/// A P-256 key. Wiped when dropped, never printed.
pub struct AgentKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
}

impl AgentKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> anyhow::Result<Self> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| anyhow::anyhow!("Failed to make a key: no randomness"))?;
        Self::from_pkcs8(Zeroizing::new(made.as_ref().to_vec()))
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let read = std::fs::read(path).with_context(|| format!("Failed to read {}", path.display()))?;
        Self::from_pkcs8(Zeroizing::new(read)).with_context(|| format!("{} holds no key", path.display()))
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new());
        let pair = pair.map_err(|rejected| anyhow::anyhow!("Not a P-256 key: {rejected}"))?;
        Ok(Self { pkcs8, pair })
    }

    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key for a TLS library.
    pub fn to_private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// What the key is known by at the hub.
    pub fn digest(&self) -> KeyDigest {
        spki_digest(&self.subject_public_key_info())
    }

    /// A request for a certificate (PKCS #10, DER). The hub takes the public
    /// key and nothing else from it.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn certificate_request(&self) -> anyhow::Result<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(self)?.der().to_vec())
    }
}

impl PublicKeyData for AgentKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for AgentKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = self.pair.sign(&SystemRandom::new(), message).map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signed.as_ref().to_vec())
    }
}

impl std::fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgentKey({})", self.digest())
    }
}
