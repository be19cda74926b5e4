//! `install.sh hub`: the hub as a service, and the hosts that it then brings in.

use windflow_tests::machine::{Init, Machine};
use windflow_tests::places;

const FOLDER: &str = "/srv/windflow";

/// A machine with a folder as `make build` and a checkout leave it.
fn machine_with_a_release(init: Init) -> Machine {
    let machine = Machine::boot(init);
    machine.bring(&places::workspace().join("install.sh"), &format!("{FOLDER}/install.sh"));
    for program in ["windflow-hub", "windflow-agent"] {
        machine.bring(&places::built(program), &format!("{FOLDER}/{program}"));
    }
    machine
}

#[test]
fn a_hub_is_installed_upgraded_and_removed_and_brings_in_its_own_machine() {
    let machine = machine_with_a_release(Init::Systemd);
    let before = machine.files();
    let output = machine.try_shell(&format!("sh {FOLDER}/install.sh hub --engine none --porcelain"));
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("set it up there with the code "), "{}", output.stderr);
    assert_eq!(output.stdout, "RESULT status=installed code=0 what=hub service=systemd\n");
    assert_eq!(machine.shell("stat -c '%U %a' /var/lib/windflow-hub"), "windflow 700");
    let process = machine.shell("systemctl show --value --property MainPID windflow-hub");
    assert_eq!(machine.shell(&format!("stat -c %U /proc/{process}")), "windflow");

    let again = machine.try_shell(&format!("sh {FOLDER}/install.sh hub --porcelain"));
    assert_eq!(again.stdout, "RESULT status=unchanged code=0 what=hub service=systemd\n", "{}", again.stderr);
    assert_eq!(machine.shell("systemctl show --value --property MainPID windflow-hub"), process);

    let planned = machine.try_shell(&format!("sh {FOLDER}/install.sh hub --uninstall --purge --dry-run"));
    assert!(planned.stderr.contains("would remove /var/lib/windflow-hub"), "{}", planned.stderr);
    assert_eq!(machine.shell("systemctl show --value --property MainPID windflow-hub"), process);
    machine.shell("test -e /var/lib/windflow-hub/master.key");

    machine.shell("hostname both-in-one");
    let command = machine.shell("windflow-hub token create own --public-url https://127.0.0.1:8443");
    machine.shell(&format!("{command}\n"));
    let list = machine.shell("windflow-hub environment list");
    assert!(list.contains("both-in-one") && list.contains("online"), "{list}");

    machine.shell(&format!("sh {FOLDER}/install.sh --uninstall --purge"));
    machine.shell(&format!("sh {FOLDER}/install.sh hub --uninstall --purge"));
    assert_eq!(machine.files().differences(&before), Vec::<String>::new());
}

#[test]
fn the_hubs_data_outlives_the_hub_unless_it_is_purged() {
    let machine = machine_with_a_release(Init::Systemd);
    machine.shell(&format!("sh {FOLDER}/install.sh hub --engine none"));
    machine.shell("echo 'seventeen quiet herons' | windflow-hub user add ada --role administrator --password-stdin");
    machine.shell(&format!("sh {FOLDER}/install.sh hub --uninstall"));
    assert!(!machine.files().has("/usr/local/bin/windflow-hub"));
    let back = machine.try_shell(&format!("sh {FOLDER}/install.sh hub --engine none"));
    assert!(back.stderr.contains("the hub is ready"), "{}", back.stderr);
    assert!(back.stderr.contains("SHA-256 fingerprint is "), "{}", back.stderr);
    assert!(!back.stderr.contains("with the code"), "there is a user: {}", back.stderr);
    assert!(machine.shell("windflow-hub user list").contains("ada"));
    for command in ["user list", "doctor"] {
        let nobodys = machine.try_shell(&format!("setpriv --reuid=65534 --clear-groups windflow-hub {command}"));
        assert!(!nobodys.status.success());
        assert!(nobodys.stderr.contains("run this with sudo"), "{}{}", nobodys.stdout, nobodys.stderr);
    }
}
