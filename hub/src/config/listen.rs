//! Where the hub listens.

mod rates;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

pub use self::rates::{RateLimit, RateOptions};

/// The one TCP port and its certificate.
#[derive(Args, Clone, Debug)]
pub struct ListenOptions {
    /// Address and port of the console, the API and the agents
    #[arg(long, env = "WINDFLOW_LISTEN", default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// PEM file with the certificate chain of the port, looked at again every 10 s [default: a self-signed one, made on first start]
    #[arg(
        long,
        visible_alias = "tls-certificate",
        env = "WINDFLOW_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of --tls-cert
    #[arg(long, env = "WINDFLOW_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}
