//! Taking everything away again.

use windflow_tests::machine::Init;

use super::{SCRIPT, Site};

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn after_a_purge_the_file_system_is_as_it_was() {
    let site = Site::new(Init::Systemd);
    let before = site.machine.files();
    site.installed("removed");
    assert_ne!(site.machine.files(), before);
    for _ in 0..2 {
        site.machine.shell(&format!("sh {SCRIPT} --uninstall --purge"));
        assert_eq!(site.machine.files().differences(&before), nothing());
    }
    assert!(!site.machine.try_shell("systemctl cat windflow-agent").status.success());
    site.hub.wait_for_state("removed", "offline", super::SOON);
}

#[test]
fn without_a_purge_the_identity_stays_and_brings_the_host_back_without_a_token() {
    let site = Site::new(Init::Systemd);
    site.installed("returned");
    site.machine.shell(&format!("sh {SCRIPT} --uninstall"));
    site.hub.wait_for_state("returned", "offline", super::SOON);
    assert!(!site.machine.files().has("/usr/local/bin/windflow-agent"));
    let back = site.install(&format!("--hub {}", site.url()), "");
    assert_eq!(back.status.code(), Some(0), "{}", back.stderr);
    site.wait_until_online("returned");
}

#[test]
fn the_agent_uninstalls_itself_as_thoroughly_as_the_script() {
    let site = Site::new(Init::Systemd);
    let before = site.machine.files();
    site.installed("by-itself");
    let output = site.machine.try_shell("windflow-agent uninstall --purge");
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert_eq!(site.machine.files().differences(&before), nothing());
    assert!(!site.machine.try_shell("systemctl is-active windflow-agent").status.success());
}
