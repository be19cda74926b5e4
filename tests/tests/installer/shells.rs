//! The same script in every shell, by every downloader, and under OpenRC.

use windflow_tests::machine::Init;

use super::{SCRIPT, Site};

/// Leaves one downloader on the machine.
fn leave_only(site: &Site, downloader: &str) {
    site.machine.shell("rm -f /usr/bin/curl /usr/bin/wget");
    match downloader {
        "curl" => site.machine.shell("cp /srv/kept/curl /usr/bin/curl"),
        "wget" => site.machine.shell("cp /srv/kept/wget /usr/bin/wget"),
        _ => site.machine.shell("ln -s /bin/busybox /usr/local/bin/wget"),
    };
}

#[test]
fn every_shell_and_every_downloader_installs_the_agent() {
    let site = Site::new(Init::Systemd);
    site.machine.shell("mkdir -p /srv/kept && cp /usr/bin/curl /usr/bin/wget /srv/kept/");
    let before = site.machine.files();
    for downloader in ["curl", "wget", "busybox wget"] {
        for shell in ["dash", "bash --posix", "busybox ash"] {
            leave_only(&site, downloader);
            let name = format!("{downloader}-{shell}").replace([' ', '-'], "");
            let token = site.hub.enrollment_token(&[]);
            let arguments = format!("--hub {} --token-stdin --name {name}", site.url());
            let output = site.install_by(shell, &arguments, &token);
            assert_eq!(output.status.code(), Some(0), "{shell}, {downloader}: {}", output.stderr);
            site.wait_until_online(&name);
            let removed = site.machine.try_shell(&format!("{shell} {SCRIPT} --uninstall --purge"));
            assert_eq!(removed.status.code(), Some(0), "{shell}: {}", removed.stderr);
            site.machine.shell("rm -f /usr/local/bin/wget; cp /srv/kept/curl /srv/kept/wget /usr/bin/");
            let own = |line: &String| !line.contains("usr/bin/curl") && !line.contains("usr/bin/wget");
            let left: Vec<_> = site.machine.files().differences(&before).into_iter().filter(own).collect();
            assert_eq!(left, Vec::<String>::new(), "{shell}, {downloader}");
        }
    }
}

#[test]
fn the_printed_command_works_with_wget_alone_too() {
    let site = Site::new(Init::Systemd);
    site.machine.shell("hostname wget-host && rm /usr/bin/curl");
    let output = site.machine.try_shell(&site.command("wget"));
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    site.wait_until_online("wget-host");
}

#[test]
fn the_printed_command_says_when_the_hub_cannot_be_reached_and_leaves_no_folder() {
    let mut site = Site::new(Init::None);
    let command = site.command("nowhere");
    site.hub.kill();
    let before = site.machine.shell("ls -A /tmp");
    for downloader in ["curl", "wget"] {
        let output = site.machine.try_shell(&command);
        assert!(!output.status.success());
        assert!(output.stderr.contains("cannot be reached from here"), "{downloader}: {}", output.stderr);
        assert!(!output.stderr.contains("not found"), "{downloader}: {}", output.stderr);
        assert_eq!(site.machine.shell("ls -A /tmp"), before, "{downloader}");
        site.machine.shell("rm -f /usr/bin/curl");
    }
}

#[test]
fn the_printed_command_runs_no_script_but_the_one_that_it_was_made_for() {
    let site = Site::new(Init::None);
    let command = site.command("swapped");
    // Simulated: a downloader that brings something else.
    site.machine.shell("rm /usr/bin/curl /usr/bin/wget");
    let evil = b"#!/bin/sh\nfor to; do case $to in windflow-install.sh) echo 'touch /srv/harm' >$to ;; esac; done\n";
    site.machine.write("/usr/bin/curl", "755", evil);
    let output = site.machine.try_shell(&command);
    assert!(!output.status.success());
    assert!(output.stdout.contains("FAILED"), "{}{}", output.stdout, output.stderr);
    assert!(!site.machine.try_shell("test -e /srv/harm").status.success());
}

#[test]
fn openrc_supervises_the_agent_and_lets_it_go() {
    let site = Site::new(Init::OpenRc);
    let before = site.machine.files();
    site.installed("openrc-host");
    site.wait_until_online("openrc-host");
    assert!(site.machine.shell("rc-update show default").contains("windflow-agent"));
    site.machine.shell("rc-service windflow-agent status");
    let process = || site.machine.try_shell("pgrep -x -f '/usr/local/bin/windflow-agent run'").stdout.trim().to_owned();
    let first = process();
    site.machine.shell(&format!("kill -KILL {first}"));
    windflow_tests::wait::until_true("the agent to come back", super::SOON, || {
        let now = process();
        !now.is_empty() && now != first
    });
    site.machine.shell(&format!("sh {SCRIPT} --uninstall --purge"));
    site.hub.wait_for_state("openrc-host", "offline", super::SOON);
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new());
}
