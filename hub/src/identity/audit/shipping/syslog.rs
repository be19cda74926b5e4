//! A syslog server: each record is a message.

pub(super) mod message;
pub(super) mod transport;

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest certificates of an authority, in bytes.
const AUTHORITY_MAX: usize = 64 * 1024;
const HOST_MAX: usize = 253;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams (RFC 5426): anything may be lost, and anybody on the way reads it.
    Udp,
    /// A stream with lengths (RFC 6587): anybody on the way reads it.
    Tcp,
    /// The same over TLS (RFC 5425).
    Tls,
}

/// A syslog server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// How messages travel.
    pub transport: Transport,
    /// Its name or address.
    pub host: String,
    /// Its port: usually 514, with TLS 6514.
    #[schema(minimum = 1)]
    pub port: u16,
    /// Certificates in PEM that its own must come from; without them those that
    /// this machine trusts. Only with `tls`.
    #[serde(default)]
    pub authority: Option<String>,
}

/// Why a server cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnfitSyslog {
    /// No name and no address.
    #[error("the host must be a name or an address, without a port")]
    Host,
    /// No port.
    #[error("the port must be between 1 and 65535")]
    Port,
    /// No certificates, or where there is no TLS.
    #[error("the authority must be certificates in PEM, and is for TLS only")]
    Authority,
}

impl Syslog {
    /// Whether it can be used.
    ///
    /// # Errors
    /// [`UnfitSyslog`].
    pub fn check(&self) -> Result<(), UnfitSyslog> {
        let is_name = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            (1..=HOST_MAX).contains(&text.len()) && text.chars().all(fits) && !text.starts_with(['-', '.'])
        };
        if self.host.parse::<IpAddr>().is_err() && !is_name(&self.host) {
            return Err(UnfitSyslog::Host);
        }
        if self.port == 0 {
            return Err(UnfitSyslog::Port);
        }
        let is_pem = |pem: &str| {
            let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            pem.len() <= AUTHORITY_MAX && !found.is_empty() && found.iter().all(Result::is_ok)
        };
        let fits = self.authority.as_deref().is_none_or(|pem| self.transport == Transport::Tls && is_pem(pem));
        if fits { Ok(()) } else { Err(UnfitSyslog::Authority) }
    }

    /// Whether somebody between here and there can read what is sent.
    pub fn is_exposed(&self) -> bool {
        let is_here = self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.transport != Transport::Tls && !is_here
    }
}
