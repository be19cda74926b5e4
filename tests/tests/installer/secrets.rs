//! What a machine of these tests keeps or says is searched for secrets when it
//! ends: here something is to be found.

use windflow_tests::machine::{Init, Machine};
use windflow_tests::secrets;

#[test]
#[should_panic(expected = "stands in var/lib/windflow-test/told of the machine")]
fn a_secret_in_a_file_of_a_machine_is_found() {
    let (machine, secret) = (Machine::boot(Init::None), secrets::fresh("what a file must not tell"));
    machine.shell_with_input("mkdir -p /var/lib/windflow-test && cat > /var/lib/windflow-test/told", &secret);
}

#[test]
#[should_panic(expected = "stands in the machine's journal")]
fn a_secret_that_a_service_of_a_machine_says_is_found() {
    let (machine, secret) = (Machine::boot(Init::Systemd), secrets::fresh("what a service must not say"));
    machine.shell_with_input("systemd-cat cat", &secret);
    machine.shell("journalctl --sync");
}
