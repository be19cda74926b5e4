//! Bad days of the hub's storage, by their rows in the fault matrix: a slow
//! disk (F25), a locked database (F26), a full disk (F27, and F28 on the side of an agent), a damaged database
//! (F29), an old backup (F30), a missing key (F31), crashes, and a Redis that several hubs share and lose.

mod agent;
mod backup;
mod crash;
mod damage;
mod disk;
mod locked;
mod peers;

use std::process::Command;

use windflow_tests::process::{Output, run, run_with_input, write_private};
use windflow_tests::product::Hub;

use crate::scenarios::SOON;

const PASSPHRASE: &str = "five gentle otters swim";

/// Makes a backup of the hub, running or not, and returns its path.
fn back_up(hub: &Hub, name: &str) -> String {
    let file = hub.data_folder().join(name).display().to_string();
    let mut create = hub.command();
    create.args(["backup", "create", &file]);
    run_with_input(&mut create, PASSPHRASE.as_bytes(), SOON).succeeded();
    file
}

/// Runs `backup restore FILE` and further arguments.
fn restore(hub: &Hub, file: &str, arguments: &[&str]) -> Output {
    let passphrase = hub.data_folder().join("passphrase");
    write_private(&passphrase, PASSPHRASE);
    let mut restore = hub.command();
    restore.args(["backup", "restore", file, "--passphrase-file"]).arg(&passphrase).args(arguments);
    run(&mut restore, SOON)
}

/// Asks the hub's database file, as another program on its machine would.
fn sqlite(hub: &Hub, sql: &str) -> Output {
    let mut command = Command::new("sqlite3");
    command.arg("-batch").arg(hub.data_folder().join("windflow.db")).arg(sql);
    run(&mut command, SOON)
}
