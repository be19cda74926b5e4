//! What the script refuses, and what a machine looks like afterwards: as
//! before. Each refusal has an exit code of its own.

use windflow_tests::machine::Init;
use windflow_tests::places;
use windflow_tests::process::Output;
use windflow_tests::product::HubOptions;

use super::{SCRIPT, Site};

/// Runs the script with `arguments` and expects `code`, `sentence` on standard
/// error, and not one changed file.
fn refused(site: &Site, arguments: &str, token: &str, (code, sentence): (i32, &str)) -> Output {
    let before = site.machine.files();
    let output = site.install(arguments, token);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {}", output.stderr);
    assert!(output.stderr.contains(sentence), "{arguments}: {}", output.stderr);
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new(), "{arguments}");
    output
}

const GOOD_LOOKING: &str =
    "wfe1_0123456789_00000000000000000000000000000000_0000000000000000000000000000000000000000000000000000_0000000";

#[test]
fn wrong_usage_is_refused_before_anything_is_touched() {
    let site = Site::new(Init::None);
    let url = site.url();
    for (arguments, sentence) in [
        (String::new(), "Usage:"),
        ("--hub".to_owned(), "--hub needs a value"),
        ("--colour blue".to_owned(), "is not known"),
        (format!("--hub {url}"), "a token is needed"),
        ("--token wfe1_a_b_c_d".to_owned(), "the hub's address is needed"),
        (format!("--hub {url} --token 'wfe1_a b'"), "the token is not whole"),
        (format!("--hub {url} --token wfa1_a_b_c_d"), "no enrollment token"),
        ("--hub 'https://x/$(touch /srv/harm)' --token wfe1_a_b_c_d".to_owned(), "no address of a hub"),
        ("--hub ftp://x --token wfe1_a_b_c_d".to_owned(), "must begin with"),
        (format!("--hub {url} --sha256 abc"), "64 digits"),
        (format!("--hub {url} --engine docker.sock"), "--engine is"),
        (format!("--hub {url} --token-file /nowhere"), "no token in /nowhere"),
        ("--purge".to_owned(), "belongs to --uninstall"),
        ("hub --engine ';id'".to_owned(), "no address of an engine"),
    ] {
        refused(&site, &arguments, "", (64, sentence));
    }
}

#[test]
fn the_refused_token_is_not_repeated() {
    let site = Site::new(Init::None);
    let output = site.install(&format!("--hub {} --token-stdin", site.url()), "wfe1_secret'thing_x_y_z\n");
    assert_eq!(output.status.code(), Some(64));
    assert!(!output.stderr.contains("secret") && !output.stdout.contains("secret"));
}

#[test]
fn a_script_that_no_hub_filled_in_trusts_nothing_until_it_is_told_a_digest() {
    let site = Site::new(Init::None);
    let empty = std::fs::read(places::workspace().join("install.sh")).unwrap();
    site.machine.write("/srv/empty.sh", "600", &empty);
    let before = site.machine.files();
    let token = site.hub.enrollment_token(&[]);
    let arguments = format!("--hub {} --token-stdin --name told", site.url());
    let output = site.machine.shell_with_input(&format!("sh /srv/empty.sh {arguments}"), &token);
    assert_eq!(output.status.code(), Some(68), "{}", output.stderr);
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new());

    let agent = places::built("windflow-agent");
    let sum = site.machine.shell(&format!("sha256sum <{}", agent.display()));
    let digest = sum.split(' ').next().unwrap();
    let output = site.machine.shell_with_input(&format!("sh /srv/empty.sh {arguments} --sha256 {digest}"), &token);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
}

#[test]
fn an_agent_with_another_digest_is_neither_run_nor_installed() {
    let agents = tempfile::tempdir().unwrap();
    let path = agents.path().join("linux-x86_64/windflow-agent");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(places::built("windflow-agent"), &path).unwrap();
    let folder = agents.path().display().to_string();
    let arguments = vec!["--agent-dir".to_owned(), folder];
    let site = Site::with(Init::None, HubOptions { arguments, ..HubOptions::default() });
    let script = site.script();
    // What a thief on the way, or a disk error, makes of it.
    let evil = path.with_extension("evil");
    std::fs::write(&evil, "#!/bin/sh\ntouch /srv/harm\n").unwrap();
    std::fs::rename(evil, path).unwrap();

    let before = site.machine.files();
    site.machine.write(SCRIPT, "600", script.as_bytes());
    let line = format!("sh {SCRIPT} --hub {} --token {GOOD_LOOKING}", site.url());
    let output = site.machine.try_shell(&line);
    assert_eq!(output.status.code(), Some(68), "{}", output.stderr);
    assert!(output.stderr.contains("nothing was installed"), "{}", output.stderr);
    assert_eq!(site.machine.files().differences(&before), Vec::<String>::new());
    assert!(!site.machine.try_shell("test -e /srv/harm").status.success());
}

#[test]
fn a_hub_that_cannot_be_reached_is_a_failed_download() {
    let site = Site::new(Init::None);
    let nobody = format!("https://{}:9", site.machine.outside());
    refused(&site, &format!("--hub {nobody} --token {GOOD_LOOKING}"), "", (67, "cannot be fetched"));
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let site = Site::new(Init::None);
    site.machine.shell("mount -t tmpfs -o size=1m tmpfs /usr/local/bin");
    let arguments = format!("--hub {} --token {GOOD_LOOKING}", site.url());
    refused(&site, &arguments, "", (73, "the disk is too full"));
    // The same when it only shows while the agent is being written: no size is
    // known of a digest that was given by hand.
    let sum = site.machine.shell(&format!("sha256sum <{}", places::built("windflow-agent").display()));
    let digest = sum.split(' ').next().unwrap();
    refused(&site, &format!("{arguments} --sha256 {digest}"), "", (73, "the disk is full"));
    assert_eq!(site.machine.shell("find /usr/local/bin -mindepth 1"), "");
}

#[test]
fn a_token_of_another_hub_is_never_shown_to_this_one() {
    let (site, other) = (Site::new(Init::None), windflow_tests::product::Hub::start());
    let token = other.enrollment_token(&[]);
    let output = site.install(&format!("--hub {} --token-stdin --name lost", site.url()), &token);
    assert_eq!(output.status.code(), Some(68), "{}", output.stderr);
    assert!(output.stderr.contains("PIN_MISMATCH"), "{}", output.stderr);
    assert_eq!(site.hub.state_of("lost"), "absent");
}

#[test]
fn a_token_that_the_hub_refuses_starts_no_service() {
    let site = Site::new(Init::Systemd);
    let token = site.hub.enrollment_token(&[]);
    let id = token.split('_').nth(1).unwrap();
    site.hub.cli(["token", "revoke", id]).succeeded();
    let output = site.install(&format!("--hub {} --token-stdin", site.url()), &token);
    assert_eq!(output.status.code(), Some(71), "{}", output.stderr);
    assert!(!site.machine.try_shell("systemctl cat windflow-agent").status.success());
    site.machine.shell(&format!("sh {SCRIPT} --uninstall --purge"));
    assert!(!site.machine.files().has("/usr/local/bin/windflow-agent"));
}

#[test]
fn a_service_that_does_not_start_is_said_with_its_last_words() {
    let site = Site::new(Init::Systemd);
    // Simulated: an agent that enrolls and then cannot run.
    let agents = tempfile::tempdir().unwrap();
    let path = agents.path().join("broken");
    let agent = places::built("windflow-agent");
    let script = format!(
        "#!/bin/sh\ncase $1 in run) echo 'no legs today' >&2; exit 6 ;; *) exec {} \"$@\" ;; esac\n",
        agent.display()
    );
    std::fs::write(&path, script).unwrap();
    site.machine.bring(&path, "/srv/broken");
    let token = site.hub.enrollment_token(&[]);
    let output = site.install(&format!("--hub {} --token-stdin --agent-file /srv/broken", site.url()), &token);
    assert_eq!(output.status.code(), Some(70), "{}", output.stderr);
    assert!(output.stderr.contains("no legs today"), "{}", output.stderr);
}

#[test]
fn an_agent_that_does_not_get_through_is_installed_and_goes_on_trying() {
    let mut site = Site::new(Init::Systemd);
    let script = site.script();
    site.installed("patient");
    site.hub.kill();
    site.machine.shell("rm /etc/systemd/system/windflow-agent.service");
    site.machine.write(SCRIPT, "600", script.as_bytes());
    let output = site.machine.try_shell(&format!("sh {SCRIPT} --hub {} --wait 2", site.url()));
    assert_eq!(output.status.code(), Some(72), "{}", output.stderr);
    assert!(output.stderr.contains("windflow-agent doctor"), "{}", output.stderr);
    site.hub.start_again();
    site.hub.wait_for_state("patient", "online", std::time::Duration::from_secs(70));
}

#[test]
fn another_user_needs_sudo_or_is_told_so() {
    let site = Site::new(Init::None);
    site.machine.write("/opt/install.sh", "755", site.script().as_bytes());
    site.machine.shell("chmod 755 /opt");
    let as_nobody =
        |line: &str| site.machine.try_shell(&format!("setpriv --reuid 65534 --clear-groups sh -c '{line}'"));
    let line = format!("sh /opt/install.sh --hub {} --token {GOOD_LOOKING}", site.url());
    let refused = as_nobody(&line);
    assert_eq!(refused.status.code(), Some(66), "{}", refused.stderr);
    // Simulated: a sudo that shows what it was asked for.
    site.machine.write("/usr/local/bin/sudo", "755", b"#!/bin/sh\necho \"sudo: $*\"\n");
    site.machine.shell("chmod 755 /usr/local/bin");
    let asked = as_nobody(&line);
    assert!(asked.stdout.starts_with("sudo: -- sh /opt/install.sh --hub"), "{}{}", asked.stdout, asked.stderr);
}
