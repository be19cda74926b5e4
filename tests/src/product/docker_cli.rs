//! The ordinary `docker` command, pointed at an environment of a hub.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::Hub;
use crate::places;
use crate::process::{Output, Running, copy_surroundings, run, run_with_input, write_private};

/// How long a command may run.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// A configuration folder of the `docker` command. Dropping it removes it.
#[derive(Debug)]
pub struct DockerCli {
    host: String,
    folder: TempDir,
    trusts_what_is_in_its_folder: bool,
}

impl DockerCli {
    /// The command for the environment of this name.
    ///
    /// # Panics
    /// When the hub knows no such environment.
    pub fn new(hub: &Hub, environment: &str) -> Self {
        let found = hub.environment(environment).unwrap_or_else(|| panic!("there is no environment {environment}"));
        Self::for_address(hub.address(), &found.id, hub.api_token())
    }

    /// The command for an environment behind `address`, with this API token.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn for_address(address: SocketAddr, environment_id: &str, api_token: &str) -> Self {
        let host = format!("tcp://{address}/api/v1/environments/{environment_id}/engine");
        Self::configured(host, &[("Authorization", format!("Bearer {api_token}"))])
    }

    /// The same behind a reverse proxy at `address` that ends TLS with this
    /// certificate, given as PEM text.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn through_tls(address: SocketAddr, certificate: &str, environment_id: &str, api_token: &str) -> Self {
        let mut docker = Self::for_address(address, environment_id, api_token);
        write_private(&docker.folder.path().join("ca.pem"), certificate);
        docker.trusts_what_is_in_its_folder = true;
        docker
    }

    /// The command on a socket of this machine, without a token.
    ///
    /// # Panics
    /// When the configuration cannot be written.
    pub fn on_socket(socket: &Path) -> Self {
        Self::configured(format!("unix://{}", socket.display()), &[])
    }

    fn configured(host: String, headers: &[(&str, String)]) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-docker-").tempdir().expect("a temporary folder");
        let headers = headers.iter().cloned().collect::<BTreeMap<_, _>>();
        let configuration = serde_json::json!({
            "HttpHeaders": headers,
            "cliPluginsExtraDirs": [places::newer_engine().join("cli-plugins")],
        });
        write_private(&folder.path().join("config.json"), &configuration.to_string());
        Self { host, folder, trusts_what_is_in_its_folder: false }
    }

    /// Runs `docker ARGUMENTS` to its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        run(self.command().args(arguments), COMMAND_DEADLINE)
    }

    /// Runs `docker ARGUMENTS` to its end and lets it read `input`.
    ///
    /// # Panics
    /// When it does not end.
    pub fn run_with_input<const N: usize>(&self, arguments: [&str; N], input: &[u8]) -> Output {
        run_with_input(self.command().args(arguments), input, COMMAND_DEADLINE)
    }

    /// Runs `docker ARGUMENTS | FILTER` to its end, however much passes between
    /// the two.
    ///
    /// # Panics
    /// When it does not end `within` the given time.
    pub fn run_into<const N: usize>(&self, arguments: [&str; N], filter: &str, within: Duration) -> Output {
        let mut docker = self.command();
        docker.args(arguments);
        let mut piped = Command::new("sh");
        piped.args(["-c", &format!("\"$@\" | {filter}"), "sh"]).arg(docker.get_program()).args(docker.get_args());
        copy_surroundings(&docker, &mut piped);
        run(&mut piped, within)
    }

    /// Starts `docker ARGUMENTS` without waiting for its end.
    pub fn start<const N: usize>(&self, arguments: [&str; N]) -> Running {
        Running::start(self.command().args(arguments))
    }

    /// Starts `docker ARGUMENTS` on a terminal.
    pub fn start_on_terminal<const N: usize>(&self, arguments: [&str; N]) -> Running {
        Running::start_on_terminal(self.command().args(arguments))
    }

    /// The command without arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(places::newer_engine().join("bin/docker"));
        command.env("DOCKER_HOST", &self.host).env("DOCKER_CONFIG", self.folder.path());
        if self.trusts_what_is_in_its_folder {
            command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", self.folder.path());
        }
        command
    }
}
