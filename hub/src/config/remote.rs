//! Which hub a command talks to.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use url::Url;

/// A hub elsewhere. Without one, commands talk to the hub on this machine over
/// the socket in its data directory.
#[derive(Args, Clone, Debug)]
pub struct RemoteOptions {
    /// Talk to the hub at this URL, with the API token in WINDFLOW_API_TOKEN [default: the hub on this machine]
    #[arg(long, global = true, env = "WINDFLOW_HUB", value_name = "URL")]
    pub hub: Option<Url>,
    /// PEM file with the certificate authority of --hub, for one that this machine does not trust
    #[arg(long, global = true, env = "WINDFLOW_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl RemoteOptions {
    /// The API token. It is taken from the environment only: arguments can be
    /// seen by everyone on the machine.
    #[expect(clippy::disallowed_methods, reason = "this is the configuration")]
    pub fn api_token(&self) -> Option<SecretString> {
        std::env::var("WINDFLOW_API_TOKEN").ok().filter(|token| !token.is_empty()).map(SecretString::from)
    }
}
