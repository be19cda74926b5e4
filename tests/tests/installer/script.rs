//! The script as a text: what a part of it does, and how it says things.

use windflow_tests::machine::{Init, Machine};
use windflow_tests::places;

use super::{SCRIPT, Site};

#[test]
fn a_script_that_was_cut_off_anywhere_changes_nothing() {
    let machine = Machine::boot(Init::None);
    let script = std::fs::read(places::workspace().join("install.sh")).unwrap();
    machine.write("/tmp/whole.sh", "600", &script);
    let before = machine.files();
    // Each part ends behind another line; the last ones end within the last.
    let cut = r#"
        cd /tmp
        lines=$(wc -l <whole.sh) bytes=$(wc -c <whole.sh)
        for count in $(seq 0 $((lines - 1))); do
            head -n "$count" whole.sh >part.sh
            sh part.sh --hub https://127.0.0.1:9 --token wfe1_a_b_c_d >>said 2>&1
        done
        for less in $(seq 1 10); do
            head -c $((bytes - less)) whole.sh >part.sh
            sh part.sh >>said 2>&1
        done
        ! grep -q windflow-install: said
    "#;
    machine.shell(cut);
    assert_eq!(machine.files().differences(&before), Vec::<String>::new());
}

#[test]
fn the_script_may_come_in_on_standard_input_but_then_not_the_token() {
    let site = Site::new(Init::None);
    let script = site.script();
    let token = site.hub.enrollment_token(&[]);
    let line = format!("sh -s -- --hub {} --token-stdin", site.url());
    let refused = site.machine.shell_with_input(&line, &script);
    assert_eq!(refused.status.code(), Some(64), "{}", refused.stderr);
    let line = format!("sh -s -- --hub {} --token {token} --name piped", site.url());
    let output = site.machine.shell_with_input(&line, &script);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert_eq!(site.hub.state_of("piped"), "offline");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_none_of_it() {
    let site = Site::new(Init::Systemd);
    site.machine.write(SCRIPT, "600", site.script().as_bytes());
    let before = site.machine.files();
    let token = site.hub.enrollment_token(&[]);
    let line = format!("sh {SCRIPT} --hub {} --token-stdin --dry-run --porcelain", site.url());
    let output = site.machine.shell_with_input(&line, &token);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("would enroll this host"), "{}", output.stderr);
    assert_eq!(output.stdout, "RESULT status=planned code=0 what=agent service=systemd\n");
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new());
}

#[test]
fn a_dry_run_of_a_removal_removes_nothing() {
    let site = Site::new(Init::Systemd);
    site.installed("stays");
    site.wait_until_online("stays");
    let before = site.machine.files();
    let output = site.machine.try_shell(&format!("sh {SCRIPT} --uninstall --purge --dry-run --porcelain"));
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    for part in ["/usr/local/bin/windflow-agent", "would remove /var/lib/windflow-agent"] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    assert_eq!(output.stdout, "RESULT status=planned code=0 what=agent service=systemd\n");
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new());
    site.machine.shell("systemctl is-active windflow-agent");
}

#[test]
fn the_units_are_what_systemd_accepts_and_calls_safe() {
    let machine = Machine::boot(Init::Systemd);
    let script = std::fs::read(places::workspace().join("install.sh")).unwrap();
    machine.write(SCRIPT, "600", &script);
    for (what, most) in [("agent", 25), ("hub", 25)] {
        machine.bring("/bin/true".as_ref(), &format!("/usr/local/bin/windflow-{what}"));
        machine.shell("id windflow || useradd --system windflow");
        let unit = format!("/etc/systemd/system/windflow-{what}.service");
        machine.shell(&format!("sh {SCRIPT} {what} --print-unit >{unit} && systemctl daemon-reload"));
        let said = machine.try_shell(&format!("systemd-analyze verify {unit} 2>&1")).stdout;
        let about_ours: Vec<_> = said.lines().filter(|line| line.contains("windflow")).collect();
        assert_eq!(about_ours, Vec::<&str>::new());
        // Ten times the exposure that systemd computes: 100 is none at all.
        let judged = machine.try_shell(&format!("systemd-analyze security --threshold={most} windflow-{what}.service"));
        assert!(judged.status.success(), "{}", judged.stdout);
    }
}
