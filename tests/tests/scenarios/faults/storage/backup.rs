//! Backups made and restored with the real programs.

use std::time::Duration;

use serde_json::Value;
use windflow_tests::process::{run, run_with_input, write_private};
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::wait;

use super::{PASSPHRASE, back_up, restore, sqlite};
use crate::scenarios::SOON;
use crate::scenarios::worlds::{NAME, NO_ENGINE};

#[test]
fn f30_after_a_restore_agents_that_went_on_are_accepted_and_flagged() {
    let mut hub = Hub::start();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let open_token = hub.enrollment_token(&[]);
    let file = back_up(&hub, "old.backup");

    // What happens after the backup: sessions that move the ticket on, a new host, a revocation.
    for _ in 0..3 {
        agent.kill();
        hub.wait_for_state(NAME, "offline", SOON);
        agent.run();
        hub.wait_for_state(NAME, "online", Duration::from_secs(30));
    }
    let later = Agent::online(&hub, "later", AgentOptions::new(&hub, NO_ENGINE));
    let mut add = hub.command();
    add.args(["user", "add", "eve", "--password-stdin"]);
    run_with_input(&mut add, b"a long enough password", SOON).succeeded();
    hub.cli(["user", "disable", "eve"]).succeeded();
    hub.terminate();

    let refused = restore(&hub, &file, &[]).failed();
    assert!(refused.contains("--force"), "{refused}");
    let said = restore(&hub, &file, &["--force"]);
    assert!(said.stderr.contains("user.disable") && said.stderr.contains("enrollment_token.use"), "{said:?}");
    said.succeeded();
    assert!(hub.data_folder().join("windflow.db.before-restore").exists());
    hub.start_again();

    hub.wait_for_state(NAME, "online", Duration::from_secs(60));
    later.wait_for_status("refused", Duration::from_secs(60));
    let storage: Value = serde_json::from_str(&hub.request("GET", "/api/v1/storage", "").body).unwrap();
    assert_eq!(storage["agents_ahead"][0]["name"], NAME, "{storage}");
    assert_eq!(storage["agents_ahead"].as_array().unwrap().len(), 1, "{storage}");
    assert!(storage["restored"]["backup_of"].is_string(), "{storage}");
    assert!(storage["restored"]["forgotten"].as_array().unwrap().iter().any(|done| done["action"] == "user.disable"));

    let latecomer = Agent::new("latecomer", AgentOptions::new(&hub, NO_ENGINE));
    latecomer.enroll(&open_token).failed();
    assert_eq!(sqlite(&hub, "PRAGMA integrity_check").succeeded(), "ok");
}

#[test]
fn a_backup_is_made_over_the_network_and_with_the_hub_stopped_and_never_half() {
    let mut hub = Hub::start();
    let folder = tempfile::tempdir().unwrap();
    let passphrase = folder.path().join("passphrase");
    write_private(&passphrase, PASSPHRASE);
    let create = |name: &str, url: Option<String>| {
        let file = folder.path().join(name);
        let mut create = hub.command();
        create.args(["backup", "create"]).arg(&file).arg("--passphrase-file").arg(&passphrase);
        if let Some(url) = url {
            create.args(["--hub", &url]).env("WINDFLOW_API_TOKEN", hub.api_token());
        }
        (file, run(&mut create, SOON))
    };
    let plain = format!("http://{}", hub.address());
    let (remote, made) = create("remote", Some(plain.clone()));
    made.succeeded();
    let (_, again) = create("remote", Some(plain));
    assert!(again.failed().contains("exists already"));
    std::fs::write(&passphrase, "short\n").unwrap();
    assert!(create("weak", None).1.failed().contains("passphrase"));
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    hub.terminate();
    let create = |name: &str| {
        let file = folder.path().join(name);
        let mut create = hub.command();
        create.args(["backup", "create"]).arg(&file).arg("--passphrase-file").arg(&passphrase);
        (file, run(&mut create, SOON))
    };
    let (stopped, made) = create("stopped");
    made.succeeded();

    for file in [&remote, &stopped] {
        let mut verify = hub.command();
        verify.args(["backup", "verify"]).arg(file).arg("--passphrase-file").arg(&passphrase);
        run(&mut verify, SOON).succeeded();
        let bytes = std::fs::read(file).unwrap();
        assert!(!windflow_tests::product::contains(&bytes, b"ada"), "what is in a backup cannot be read");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "two backups and the passphrase: {left:?}");
}

#[test]
fn a_running_hub_is_not_restored_over() {
    let hub = Hub::start();
    let file = back_up(&hub, "a.backup");
    let refused = restore(&hub, &file, &["--force"]).failed();
    assert!(refused.contains("Stop the hub"), "{refused}");
    assert_eq!(hub.request("GET", "/api/v1/me", "").status, 200);
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_database_or_the_new_one() {
    let mut hub = Hub::start();
    hub.enrollment_token(&[]);
    let file = back_up(&hub, "a.backup");
    hub.enrollment_token(&[]);
    hub.terminate();
    let passphrase = hub.data_folder().join("passphrase");
    write_private(&passphrase, PASSPHRASE);
    let (mut old, mut new) = (0, 0);
    for moment in 0..20 {
        let mut command = hub.command();
        command.args(["backup", "restore", &file, "--force", "--passphrase-file"]).arg(&passphrase);
        let mut running = windflow_tests::process::Running::start(&command);
        let begun = std::time::Instant::now();
        let at = Duration::from_millis(moment * 100);
        wait::until_true("the moment of the crash", SOON, || begun.elapsed() >= at || running.ended().is_some());
        drop(running);
        hub.start_again();
        let open = "SELECT COUNT(*) FROM enrollment_tokens";
        match sqlite(&hub, open).succeeded().as_str() {
            "1" => new += 1,
            "2" => old += 1,
            other => panic!("neither the old nor the new database: {other} tokens"),
        }
        assert_eq!(sqlite(&hub, "PRAGMA integrity_check").succeeded(), "ok");
        if new > 0 {
            break;
        }
        hub.terminate();
    }
    println!("{old} restores were cut off before their end, {new} after");
}
