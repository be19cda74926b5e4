//! The first install on a machine.

use windflow_tests::machine::Init;

use super::{SCRIPT, SOON, Site};

#[test]
fn the_command_that_the_hub_prints_makes_a_bare_machine_an_online_environment() {
    let site = Site::new(Init::Systemd);
    site.machine.shell("hostname fresh-host");
    let command = site.command("for-fresh");
    let output = site.machine.try_shell(&command);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("connected. Its fingerprint"), "{}", output.stderr);
    site.wait_until_online("fresh-host");
    assert_eq!(site.machine.shell("systemctl is-enabled windflow-agent"), "enabled");
}

#[test]
fn the_service_is_confined_and_comes_back_after_it_was_killed() {
    let site = Site::new(Init::Systemd);
    site.installed("confined");
    let machine = &site.machine;
    let property = |name: &str| machine.shell(&format!("systemctl show --value --property {name} windflow-agent"));
    assert_eq!(property("Type"), "notify");
    assert_eq!(property("NoNewPrivileges"), "yes");
    assert_eq!(property("ProtectSystem"), "strict");
    assert_eq!(property("CapabilityBoundingSet"), "");
    let process = property("MainPID");
    let status = machine.shell(&format!("cat /proc/{process}/status"));
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("CapEff:").ends_with("0000000000000000"), "{status}");
    assert!(line("Seccomp:").ends_with('2'), "{status}");

    machine.shell(&format!("kill -KILL {process}"));
    windflow_tests::wait::until_true("the service to come back", SOON, || property("NRestarts") == "1");
    machine.shell("windflow-agent status --wait connected --timeout 15");
}

#[test]
fn secrets_are_private_and_the_token_is_kept_nowhere() {
    let site = Site::new(Init::Systemd);
    let token = site.hub.enrollment_token(&[]);
    let secret = token.split('_').nth(2).unwrap();
    site.machine.write("/srv/token", "600", token.as_bytes());
    site.machine.write(SCRIPT, "600", site.script().as_bytes());
    // A trace is what people turn on when something goes wrong.
    let line = format!("HTTPS_PROXY= sh -x {SCRIPT} --hub {} --token-file /srv/token --name private", site.url());
    let output = site.machine.try_shell(&line);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert!(!output.stderr.contains(secret) && !output.stdout.contains(secret));

    let files = site.machine.files();
    assert_eq!(files.mode("/var/lib/windflow-agent/identity/key.der"), Some("600"));
    assert_eq!(site.machine.shell("stat -c %a /var/lib/windflow-agent"), "700");
    assert_eq!(site.machine.shell("stat -c %a /usr/local/bin/windflow-agent"), "755");
    let found = site
        .machine
        .try_shell(&format!("grep -r -l {secret} /etc /run /tmp /var/log /var/lib/windflow-agent /usr/local/bin"));
    assert_eq!(found.stdout, "", "the token is still in these files");
    assert!(!site.machine.try_shell("test -e /srv/token").status.success());
}

#[test]
fn a_machine_without_an_init_system_gets_the_agent_and_is_told_how_to_run_it() {
    let site = Site::new(Init::None);
    let output = site.installed("no-init");
    assert!(output.stderr.contains("/usr/local/bin/windflow-agent run"), "{}", output.stderr);
    assert_eq!(site.hub.state_of("no-init"), "offline");
}

#[test]
fn a_host_that_has_to_be_approved_is_told_so_with_its_fingerprint() {
    let site = Site::new(Init::Systemd);
    let token = site.hub.enrollment_token(&["--approve", "manual"]);
    let output = site.install(&format!("--hub {} --token-stdin --name waits --porcelain", site.url()), &token);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("has to approve this host"), "{}", output.stderr);
    assert_eq!(output.stdout, "RESULT status=pending code=0 what=agent service=systemd\n");
    site.hub.cli(["agent", "approve", "waits"]).succeeded();
    site.wait_until_online("waits");
}

#[test]
fn where_usr_local_is_read_only_the_agent_goes_to_opt() {
    let site = Site::new(Init::Systemd);
    site.machine.shell("mount --bind /usr/local /usr/local && mount -o remount,ro,bind /usr/local");
    site.installed("read-only");
    assert!(site.machine.files().has("/opt/windflow/bin/windflow-agent"));
    site.wait_until_online("read-only");
    site.machine.shell(&format!("sh {SCRIPT} --uninstall --purge"));
    assert!(!site.machine.try_shell("test -e /opt/windflow").status.success());
}
