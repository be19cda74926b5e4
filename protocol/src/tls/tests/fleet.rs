//! A throw-away fleet: an authority, a hub, and whatever certificates a test
//! asks for.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;

use crate::identity::{FleetName, KeyDigest};
use crate::ids::{AgentId, HubId};
use crate::tls::{ClientIdentity, FleetTrust, HubIdentity, HubLeaf, authority_key};

pub(crate) struct Fleet {
    pub(crate) hub: HubId,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { hub: HubId::generate(), issuer }
    }

    pub(crate) fn authority(&self) -> CertificateDer<'static> {
        self.issuer.as_ref().der().clone()
    }

    pub(crate) fn pin(&self) -> KeyDigest {
        authority_key(&self.authority()).unwrap()
    }

    pub(crate) fn trust(&self) -> FleetTrust {
        FleetTrust { pins: vec![self.pin()], hub: Some(self.hub) }
    }

    pub(crate) fn agent(&self, agent: AgentId) -> ClientIdentity {
        self.issue(agent_params(FleetName::Agent(self.hub, agent)))
    }

    pub(crate) fn hub_identity(&self) -> HubIdentity {
        self.hub_showing(self.issue(hub_params(FleetName::Hub(self.hub))))
    }

    pub(crate) fn hub_showing(&self, identity: ClientIdentity) -> HubIdentity {
        let leaf = HubLeaf::new(identity.chain, identity.key).unwrap();
        HubIdentity { hub: self.hub, authority: self.authority(), leaf: Arc::new(leaf) }
    }

    pub(crate) fn issue(&self, params: CertificateParams) -> ClientIdentity {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        ClientIdentity { chain: vec![leaf.der().clone(), self.authority()], key: key.into() }
    }
}

pub(crate) fn hub_params(name: FleetName) -> CertificateParams {
    leaf_params(name, ExtendedKeyUsagePurpose::ServerAuth)
}

pub(crate) fn agent_params(name: FleetName) -> CertificateParams {
    leaf_params(name, ExtendedKeyUsagePurpose::ClientAuth)
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// Midnight of a day, in microseconds since 1970.
pub(crate) fn micros(year: i32, month: u8, day: u8) -> i64 {
    rcgen::date_time_ymd(year, month, day).unix_timestamp() * 1_000_000
}

fn leaf_params(name: FleetName, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(&name.to_string())];
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}
