//! A damaged database, a missing or wrong master key: the hub refuses, says
//! what to do, and touches nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use serde_json::Value;
use windflow_tests::places;
use windflow_tests::process::{run_with_input, write_private};
use windflow_tests::product::Hub;

use super::{PASSPHRASE, back_up, sqlite};
use crate::scenarios::SOON;

#[test]
fn f29_a_hub_with_a_damaged_database_refuses_with_the_command_that_restores_it() {
    let mut hub = Hub::start();
    hub.enrollment_token(&[]);
    let file = back_up(&hub, "a.backup");
    hub.terminate();
    let database = hub.data_folder().join("windflow.db");
    // Once in the middle, once in its very head.
    for (place, length) in [(4096, 8192), (0, 64)] {
        File::options().write(true).open(&database).unwrap().write_all_at(&vec![0xa5; length], place).unwrap();
        let damaged = std::fs::read(&database).unwrap();
        let refused = hub.start_refused();
        assert_eq!(refused.status.code(), Some(6), "{refused:?}");
        assert_eq!(std::fs::read(&database).unwrap(), damaged, "it was touched");

        let command = format!("windflow-hub --data-dir {} backup restore FILE", hub.data_folder().display());
        assert!(refused.stderr.contains(&command), "{refused:?}");
        let words = command.split(' ').skip(1).map(|word| if word == "FILE" { file.as_str() } else { word });
        let mut restore = Command::new(places::built("windflow-hub"));
        run_with_input(restore.args(words), PASSPHRASE.as_bytes(), SOON).succeeded();
        hub.start_again();
        assert_eq!(hub.request("GET", "/api/v1/me", "").status, 200);
        assert_eq!(sqlite(&hub, "SELECT COUNT(*) FROM enrollment_tokens").succeeded(), "1");
        hub.terminate();
    }
    assert!(hub.data_folder().join("windflow.db.before-restore-2").exists(), "both damaged files are kept");
}

#[test]
fn f31_a_hub_without_its_master_key_or_with_another_is_locked_says_which_it_needs_and_overwrites_nothing() {
    let mut hub = Hub::start();
    let status: Value = serde_json::from_str(&hub.cli(["keys", "status", "--output", "json"]).succeeded()).unwrap();
    let needed = status["master_key_id"].as_str().unwrap().to_owned();
    hub.terminate();
    let key_file = hub.data_folder().join("master.key");
    let database = hub.data_folder().join("windflow.db");
    let (key, rows) = (std::fs::read_to_string(&key_file).unwrap(), std::fs::read(&database).unwrap());
    let other = "another-master-key-that-was-never-used-here";

    std::fs::remove_file(&key_file).unwrap();
    for (found, sentence) in [(None, "master.key is missing"), (Some(other), "does not match this database")] {
        if let Some(text) = found {
            write_private(&key_file, text);
        }
        hub.start_again();
        assert!(hub.log().contains(sentence), "{}", hub.log());
        let ready = hub.request("GET", "/readyz", "");
        assert_eq!(ready.status, 503);
        assert!(ready.body.contains("locked") && !ready.body.contains(&needed), "{}", ready.body);
        assert_eq!(hub.request("GET", "/api/v1/me", "").status, 503);
        for refused in [hub.cli(["health"]), hub.cli(["keys", "status"])] {
            assert!(!refused.status.success(), "{refused:?}");
            assert!(refused.stderr.contains(sentence) && refused.stderr.contains(&needed), "{refused:?}");
        }
        hub.terminate();
        assert_eq!(std::fs::read_to_string(&key_file).ok().as_deref(), found, "the key file was touched");
        assert_eq!(std::fs::read(&database).unwrap(), rows, "the database was touched");
    }

    write_private(&key_file, &key);
    hub.start_again();
    assert_eq!(hub.request("GET", "/api/v1/me", "").status, 200);
}
