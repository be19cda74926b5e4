//! `windflow-agent uninstall`: takes away what the installer put on this host,
//! by the list that it left, and nothing else. Containers stay as they are.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use super::Exit;

/// Largest manifest, in bytes.
const MANIFEST_MAX: u64 = 64 * 1024;
/// How long the service manager may take for one thing.
const SERVICE_DEADLINE: Duration = Duration::from_secs(60);
/// What every file and folder of ours is called, whatever follows.
const OURS: &str = "windflow-agent";
/// The service.
const SERVICE: &str = "windflow-agent";

#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    /// Remove this host's identity too; coming back then takes a new token.
    #[arg(long)]
    purge: bool,
    /// The list that the installer left.
    #[arg(long, value_name = "FILE", default_value = "/etc/windflow/agent.manifest", hide = true)]
    manifest: PathBuf,
}

/// Who starts the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Systemd,
    OpenRc,
    Nobody,
}

/// What the installer put here.
#[derive(Debug, PartialEq, Eq)]
struct Manifest {
    manager: Manager,
    files: Vec<PathBuf>,
    configs: Vec<PathBuf>,
    states: Vec<PathBuf>,
}

pub(super) async fn uninstall(args: UninstallArgs) -> Exit {
    match remove(&args).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("windflow-agent: {error:#}");
            Exit::Failure
        }
    }
}

async fn remove(args: &UninstallArgs) -> anyhow::Result<()> {
    let Some(manifest) = read(&args.manifest)? else {
        eprintln!("Nothing is installed here by the installer ({} is missing).", args.manifest.display());
        return Ok(());
    };
    ensure!(rustix::process::geteuid().is_root(), "Root is needed: run sudo windflow-agent uninstall");
    for command in stopping(manifest.manager) {
        run(command).await;
    }
    for file in &manifest.files {
        delete(file)?;
    }
    if manifest.manager == Manager::Systemd {
        run(&["systemctl", "daemon-reload"]).await;
    }
    if args.purge {
        for state in &manifest.states {
            unless_missing(std::fs::remove_dir_all(state), state)?;
        }
        for config in &manifest.configs {
            delete(config)?;
        }
    }
    delete(&args.manifest)?;
    if let Some(folder) = args.manifest.parent() {
        // It stays while the hub or a kept configuration is in it.
        std::fs::remove_dir(folder).ok();
    }
    report(args, &manifest);
    Ok(())
}

fn report(args: &UninstallArgs, manifest: &Manifest) {
    eprintln!("The agent is removed. The hub still lists this host: windflow-hub environment remove NAME");
    if !args.purge {
        for state in &manifest.states {
            eprintln!(
                "This host's identity is kept in {} for an agent that is installed again; delete the folder if none shall be.",
                state.display()
            );
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Manifest>> {
    let mut text = String::new();
    match std::fs::File::open(path).and_then(|file| file.take(MANIFEST_MAX).read_to_string(&mut text)) {
        Ok(_) => parse(&text).with_context(|| format!("{} is not what the installer wrote", path.display())).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("Failed to read {}", path.display())),
    }
}

fn parse(text: &str) -> anyhow::Result<Manifest> {
    let mut manifest =
        Manifest { manager: Manager::Nobody, files: Vec::new(), configs: Vec::new(), states: Vec::new() };
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match key {
            "service" => manifest.manager = manager(value)?,
            "file" => manifest.files.push(ours(value)?),
            "state" => manifest.states.push(ours(value)?),
            "config" => manifest.configs.push(checked(value)?),
            // For the installer alone.
            _ => {}
        }
    }
    Ok(manifest)
}

fn manager(text: &str) -> anyhow::Result<Manager> {
    match text {
        "systemd" => Ok(Manager::Systemd),
        "openrc" => Ok(Manager::OpenRc),
        "none" => Ok(Manager::Nobody),
        _ => anyhow::bail!("no service manager is called {text:?}"),
    }
}

/// A damaged list must not cost anybody's files.
fn ours(text: &str) -> anyhow::Result<PathBuf> {
    let path = checked(text)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ensure!(name.starts_with(OURS), "{text} is no file of the agent");
    Ok(path)
}

fn checked(text: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(text);
    let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
    ensure!(path.is_absolute() && !climbs, "{text} is no whole path");
    Ok(path)
}

fn stopping(manager: Manager) -> &'static [&'static [&'static str]] {
    match manager {
        Manager::Systemd => &[
            &["systemctl", "stop", SERVICE],
            &["systemctl", "--quiet", "disable", SERVICE],
            &["systemctl", "reset-failed", SERVICE],
        ],
        Manager::OpenRc => &[&["rc-service", "--quiet", SERVICE, "stop"], &["rc-update", "--quiet", "del", SERVICE]],
        Manager::Nobody => &[],
    }
}

/// A service that is gone already, or a manager that does not run, is no
/// reason to leave the files.
async fn run(command: &[&str]) {
    let mut process = tokio::process::Command::new(command[0]);
    process.args(&command[1..]).kill_on_drop(true).stdin(std::process::Stdio::null());
    process.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    match tokio::time::timeout(SERVICE_DEADLINE, process.status()).await {
        Ok(Ok(status)) => tracing::debug!(?command, %status, "asked the service manager"),
        Ok(Err(error)) => tracing::warn!(?command, %error, "the service manager cannot be asked"),
        Err(_) => tracing::warn!(?command, "the service manager does not answer"),
    }
}

fn delete(path: &Path) -> anyhow::Result<()> {
    unless_missing(std::fs::remove_file(path), path)
}

fn unless_missing(removed: std::io::Result<()>, path: &Path) -> anyhow::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("Failed to remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installers_list_is_understood() {
        let manifest = parse(
            "# What install.sh put here.\nservice systemd\nbin /usr/local/bin\ntoken 7k3qz9wm2d\n\
             file /usr/local/bin/windflow-agent\nconfig /etc/windflow/agent.env\nstate /var/lib/windflow-agent\n",
        )
        .unwrap();
        assert_eq!(manifest.manager, Manager::Systemd);
        assert_eq!(manifest.files, [PathBuf::from("/usr/local/bin/windflow-agent")]);
        assert_eq!(manifest.states, [PathBuf::from("/var/lib/windflow-agent")]);
    }

    #[test]
    fn a_damaged_list_removes_nothing() {
        for text in [
            "file /etc/passwd",
            "file windflow-agent",
            "file /a/../etc/windflow-agent/..",
            "file /x/../windflow-agent",
            "state /",
            "state /var/lib",
            "config ../x",
            "service sysv",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn without_a_list_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let args = UninstallArgs { purge: true, manifest: folder.path().join("agent.manifest") };
        assert_eq!(uninstall(args).await, Exit::Done);
    }
}
