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

/// Whom a guarded registry lets in: bcrypt of the password, as the registry's
/// own `htpasswd` form has it.
const GUARD: &str = "puller:$2b$04$IJ65cmMpy9/pDPm5yLOA4utsiPj3EDi1mfoPCPvY5cOH6/6gdOj/2\n";

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
        Self::launch(engine, false)
    }

    /// The same of one that gives nothing away to whoever is not
    /// [`PULLER`](Self::PULLER).
    pub fn start_guarded(engine: &TestEngine) -> Self {
        Self::launch(engine, true)
    }

    /// The user name and the password that a guarded registry wants to see.
    pub const PULLER: (&str, &str) = ("puller", "let me pull images");

    fn launch(engine: &TestEngine, guarded: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-registry-").tempdir().expect("a temporary folder");
        let configuration = folder.path().join("registry.yml");
        let mut text = configuration_text(folder.path());
        if guarded {
            let guard = folder.path().join("htpasswd");
            std::fs::write(&guard, GUARD).expect("the folder is ours");
            text += &format!("auth:\n  htpasswd:\n    realm: registry\n    path: {}\n", guard.display());
        }
        std::fs::write(&configuration, text).expect("the folder is ours");
        let mut command = Command::new(places::installed("docker-registry"));
        command.arg("serve").arg(&configuration);
        let process = Process::start("docker-registry", &engine.wrap(&command), &folder.path().join("log"));
        let mut probe = Command::new("busybox");
        probe.args(["wget", "-q", "-O", "-", &format!("http://{ADDRESS}/v2/")]);
        let mut probe = engine.wrap(&probe);
        wait::until_true("the registry", Duration::from_secs(10), || {
            let answer = run(&mut probe, Duration::from_secs(5));
            // A guarded one answers, too: that it wants to know who asks.
            answer.status.success() || guarded && answer.stderr.contains("401")
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
