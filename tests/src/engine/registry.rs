//! A real image registry on a loopback port.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::free_port;
use crate::places;
use crate::process::Process;
use crate::wait;

/// A registry. Engines take loopback registries without TLS. Dropping it ends
/// it and removes its images.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    /// Starts an empty registry and waits until it accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-registry-").tempdir().expect("a temporary folder");
        let port = free_port();
        let configuration = folder.path().join("registry.yml");
        std::fs::write(&configuration, configuration_text(folder.path(), port)).expect("the folder is ours");
        let mut command = Command::new(places::installed("docker-registry"));
        command.arg("serve").arg(&configuration);
        let process = Process::start("docker-registry", &command, &folder.path().join("log"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait::until_true("the registry", Duration::from_secs(10), || std::net::TcpStream::connect(address).is_ok());
        Self { port, _process: process, _folder: folder }
    }

    /// The name of `image` in this registry.
    pub fn name_of(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }
}

fn configuration_text(folder: &std::path::Path, port: u16) -> String {
    let data = folder.join("data");
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        data.display()
    )
}
