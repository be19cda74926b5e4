//! The script on a machine where it has been before.

use std::path::Path;

use tempfile::TempDir;
use windflow_tests::machine::Init;
use windflow_tests::places;
use windflow_tests::process::Output;
use windflow_tests::product::HubOptions;

use super::{SCRIPT, Site};

/// A folder of agents for a hub, whose agent pretends to be of some version.
struct Agents(TempDir);

impl Agents {
    fn of_version(version: &str) -> Self {
        let agents = Self(tempfile::tempdir().unwrap());
        agents.become_version(version);
        agents
    }

    /// Simulated: the agent of today behind a script that answers `--version`.
    fn become_version(&self, version: &str) {
        let agent = places::built("windflow-agent");
        let script = format!(
            "#!/bin/sh\ncase $1 in --version) echo windflow-agent {version} ;; *) exec {} \"$@\" ;; esac\n",
            agent.display()
        );
        let path = self.0.path().join("linux-x86_64/windflow-agent");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path.with_extension("new"), script).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn options(&self) -> HubOptions {
        let folder = self.0.path().display().to_string();
        HubOptions { arguments: vec!["--agent-dir".to_owned(), folder], ..HubOptions::default() }
    }
}

fn identity(site: &Site) -> String {
    site.machine.shell("sha256sum /var/lib/windflow-agent/identity/key.der")
}

fn main_process(site: &Site) -> String {
    site.machine.shell("systemctl show --value --property MainPID windflow-agent")
}

fn upgraded(site: &Site, arguments: &str) -> Output {
    site.install(&format!("--hub {} {arguments}", site.url()), "")
}

#[test]
fn the_same_command_again_changes_nothing_and_restarts_nothing() {
    let site = Site::new(Init::Systemd);
    let token = site.hub.enrollment_token(&[]);
    let arguments = format!("--hub {} --token-stdin --name same --porcelain", site.url());
    assert_eq!(site.install(&arguments, &token).status.code(), Some(0));
    let (files, process) = (site.machine.files(), main_process(&site));
    let again = site.install(&arguments, &token);
    assert_eq!(again.status.code(), Some(0), "{}", again.stderr);
    assert_eq!(again.stdout, "RESULT status=unchanged code=0 what=agent service=systemd\n");
    let states = |line: &String| !line.contains("var/lib/windflow-agent/");
    let changed: Vec<_> = site.machine.files().differences(&files).into_iter().filter(states).collect();
    assert_eq!(changed, Vec::<String>::new());
    assert_eq!(main_process(&site), process);
}

#[test]
fn the_script_of_a_newer_hub_upgrades_in_place_and_keeps_the_identity() {
    let agents = Agents::of_version("0.1.0");
    let site = Site::with(Init::Systemd, agents.options());
    site.installed("upgraded");
    let (before, process) = (identity(&site), main_process(&site));
    agents.become_version("0.2.0");
    let output = upgraded(&site, "");
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert_eq!(site.machine.shell("windflow-agent --version"), "windflow-agent 0.2.0");
    assert_eq!(site.machine.shell("/usr/local/bin/windflow-agent.previous --version"), "windflow-agent 0.1.0");
    assert_eq!(identity(&site), before);
    assert_ne!(main_process(&site), process);
    site.wait_until_online("upgraded");
}

#[test]
fn a_downgrade_is_refused_until_it_is_wanted() {
    let agents = Agents::of_version("0.10.0");
    let site = Site::with(Init::Systemd, agents.options());
    site.installed("downgraded");
    agents.become_version("0.9.0");
    let refused = upgraded(&site, "");
    assert_eq!(refused.status.code(), Some(69), "{}", refused.stderr);
    assert_eq!(site.machine.shell("windflow-agent --version"), "windflow-agent 0.10.0");
    assert_eq!(upgraded(&site, "--allow-downgrade").status.code(), Some(0));
    assert_eq!(site.machine.shell("windflow-agent --version"), "windflow-agent 0.9.0");
}

#[test]
fn an_identity_is_replaced_only_when_that_is_asked_for() {
    let site = Site::new(Init::Systemd);
    site.installed("first");
    let before = identity(&site);
    let token = site.hub.enrollment_token(&[]);
    let arguments = format!("--hub {} --token-stdin --name second", site.url());
    let refused = site.install(&arguments, &token);
    assert_eq!(refused.status.code(), Some(69), "{}", refused.stderr);
    assert!(refused.stderr.contains("--reenroll"), "{}", refused.stderr);
    assert_eq!(identity(&site), before);
    let replaced = site.install(&format!("{arguments} --reenroll"), &token);
    assert_eq!(replaced.status.code(), Some(0), "{}", replaced.stderr);
    assert_ne!(identity(&site), before);
    site.wait_until_online("second");
}

#[test]
fn what_somebody_configured_is_left_alone() {
    let site = Site::new(Init::Systemd);
    site.machine.write("/etc/windflow/agent.env", "600", b"WINDFLOW_LOG=debug\n");
    site.machine.write("/etc/systemd/system/windflow-agent.service.d/own.conf", "644", b"[Service]\nNice=5\n");
    let token = site.hub.enrollment_token(&[]);
    let arguments = format!("--hub {} --token-stdin --name configured", site.url());
    assert_eq!(site.install(&arguments, &token).status.code(), Some(0));
    assert_eq!(site.machine.shell("cat /etc/windflow/agent.env"), "WINDFLOW_LOG=debug");
    assert_eq!(site.machine.shell("systemctl show --value --property Nice windflow-agent"), "5");
}

#[test]
fn a_run_that_was_killed_at_any_step_can_be_repeated_and_undone() {
    let site = Site::new(Init::Systemd);
    let before = site.machine.files();
    let mut killed = 0;
    for step in 1.. {
        let token = site.hub.enrollment_token(&[]);
        let arguments = format!("--hub {} --token-stdin --name killed-{step}", site.url());
        site.machine.write(SCRIPT, "600", killed_at(&site.script(), step).as_bytes());
        let cut = site.machine.shell_with_input(&format!("sh {SCRIPT} {arguments}"), &token);
        let finished = cut.status.code() == Some(0);
        let repeated = site.install(&arguments, &token);
        assert_eq!(repeated.status.code(), Some(0), "after step {step}: {}", repeated.stderr);
        site.wait_until_online(&format!("killed-{step}"));
        site.machine.shell(&format!("sh {SCRIPT} --uninstall --purge"));
        assert_eq!(site.machine.files().differences(&before), Vec::<String>::new(), "after step {step}");
        if finished {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 4, "the script has only {killed} steps");
}

/// The script with a death, no clean-up, right after it announced a step.
fn killed_at(script: &str, step: u32) -> String {
    let announced = "step() { say \"$*\"; }";
    assert_eq!(script.matches(announced).count(), 1);
    let dying = "step() { say \"$*\"; steps=$((${steps:-0} + 1)); [ $steps -ne DEATH ] || kill -KILL $$; }";
    script.replace(announced, &dying.replace("DEATH", &step.to_string()))
}

#[test]
fn files_of_somebody_else_are_not_overwritten_until_that_is_wanted() {
    let site = Site::new(Init::Systemd);
    site.machine.bring(Path::new("/bin/true"), "/usr/local/bin/windflow-agent");
    let token = site.hub.enrollment_token(&[]);
    let arguments = format!("--hub {} --token-stdin --name adopted", site.url());
    let refused = site.install(&arguments, &token);
    assert_eq!(refused.status.code(), Some(69), "{}", refused.stderr);
    assert!(refused.stderr.contains("--adopt"), "{}", refused.stderr);
    assert_eq!(site.install(&format!("{arguments} --adopt"), &token).status.code(), Some(0));
    site.wait_until_online("adopted");
}
