//! A throw-away fleet for connections within this process: an authority, a
//! hub's certificate and an agent's.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use windflow_protocol::identity::{FleetName, Purpose};
use windflow_protocol::ids::{AgentId, HubId};
use windflow_protocol::tls::{
    ClientIdentity, ClientTls, FleetTrust, HubIdentity, HubLeaf, authority_key, client_config, server_config,
};

/// Both ends' TLS, as the product has it.
pub struct Fleet {
    /// The hub's.
    pub hub: Arc<rustls::ServerConfig>,
    /// The agent's.
    pub agent: ClientTls,
}

impl Fleet {
    /// A fleet of one hub and one agent.
    pub fn new() -> Self {
        let issuer = issuer();
        let authority: CertificateDer<'static> = issuer.as_ref().der().clone();
        let hub = HubId::generate();
        let sign = |name: FleetName, usage: ExtendedKeyUsagePurpose| {
            let key = KeyPair::generate().expect("the system has randomness");
            let leaf = leaf(name, usage).signed_by(&key, &issuer).expect("the authority can sign");
            ClientIdentity { chain: vec![leaf.der().clone(), authority.clone()], key: key.into() }
        };
        let shown = sign(FleetName::Hub(hub), ExtendedKeyUsagePurpose::ServerAuth);
        let leaf = HubLeaf::new(shown.chain, shown.key).expect("the key is the certificate's");
        let identity = HubIdentity { hub, authority: authority.clone(), leaf: Arc::new(leaf) };
        let pin = authority_key(&authority).expect("the authority is a certificate");
        let trust = FleetTrust { pins: vec![pin], hub: Some(hub) };
        let agent = sign(FleetName::Agent(hub, AgentId::generate()), ExtendedKeyUsagePurpose::ClientAuth);
        Self {
            hub: server_config(&identity).expect("the authority is a certificate"),
            agent: client_config(Purpose::Session, trust, Some(agent)).expect("the key is the certificate's"),
        }
    }
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("the system has randomness");
    CertifiedIssuer::self_signed(params, key).expect("the parameters are good")
}

fn leaf(name: FleetName, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.to_string().try_into().expect("a fleet's name is ASCII"))];
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}
