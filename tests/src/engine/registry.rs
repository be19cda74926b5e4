//! A real image registry in the network of an engine.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::TestEngine;
use crate::places;
use crate::process::{Process, run};
use crate::wait;

/// Where it listens: each engine has a network of its own.
const ADDRESS: &str = "127.0.0.1:5000";

/// A registry that one engine can reach. Engines take loopback registries
/// without TLS. Dropping it ends it and removes its images.
#[derive(Debug)]
pub struct Registry {
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    /// Starts an empty registry next to a running `engine` and waits until it
    /// accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(engine: &TestEngine) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-registry-").tempdir().expect("a temporary folder");
        let configuration = folder.path().join("registry.yml");
        std::fs::write(&configuration, configuration_text(folder.path())).expect("the folder is ours");
        let mut command = Command::new(places::installed("docker-registry"));
        command.arg("serve").arg(&configuration);
        let process = Process::start("docker-registry", &engine.wrap(&command), &folder.path().join("log"));
        let mut probe = Command::new("busybox");
        probe.args(["wget", "-q", "-O", "-", &format!("http://{ADDRESS}/v2/")]);
        let mut probe = engine.wrap(&probe);
        wait::until_true("the registry", Duration::from_secs(10), || {
            run(&mut probe, Duration::from_secs(5)).status.success()
        });
        Self { _process: process, _folder: folder }
    }

    /// The name of `image` in this registry.
    pub fn name_of(&self, image: &str) -> String {
        format!("{ADDRESS}/{image}")
    }
}

fn configuration_text(folder: &std::path::Path) -> String {
    let data = folder.join("data");
    format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {ADDRESS}\n",
        data.display()
    )
}
