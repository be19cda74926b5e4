//! Policies as they stand in files, and what each profile lets through.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

/// A file with this policy.
struct Written {
    folder: tempfile::TempDir,
    path: PathBuf,
}

fn write(text: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Written { folder, path }
}

/// What a file of whoever runs the tests says.
pub(super) fn policy_of(text: &str) -> Policy {
    let written = write(text);
    let rails = Rails::default();
    match file::read(&written.path, rustix::process::getuid(), &rails) {
        Ok(Some(read)) => Policy::of(read, rails),
        Ok(None) => panic!("the file is there"),
        Err(error) => Policy::invalid(&error, rails),
    }
}

fn refuses(text: &str) -> Vec<String> {
    policy_of(text).facts().refuses
}

#[test]
fn each_profile_lets_through_what_the_one_before_does_and_more() {
    let of = |profile: &str| refuses(&format!("version = 1\nprofile = \"{profile}\""));
    let never = ["capture", "build", "swarm", "plugins"];
    let makes = ["deploy", "attach", "exec", "files.read", "files.write", "volumes", "networks", "images.load"];
    let monitor = [["operate", "pull", "prune"].as_slice(), &makes, &never].concat();
    assert_eq!(of("monitor"), monitor);
    assert_eq!(of("operate"), [["pull"].as_slice(), &makes, &never].concat());
    let deploys = ["pull", "exec", "files.read", "files.write", "images.load"];
    assert_eq!(of("deploy-safe"), [deploys.as_slice(), &never].concat());
    assert_eq!(of("full"), ["plugins"]);
}

#[test]
fn what_a_file_opens_is_open() {
    let text = "version = 1\nprofile = \"deploy-safe\"\nexec.enabled = true\nfiles.read = true\nfiles.write = true\n\
                images.allow = [\"docker.io/library/*\"]\nimages.load = true\nlogs.enabled = false";
    assert_eq!(refuses(text), ["logs", "capture", "build", "swarm", "plugins"]);
    let monitor = text.replace("deploy-safe", "monitor");
    assert!(refuses(&monitor).contains(&"exec".to_owned()), "a profile is the most there is");
}

#[test]
fn what_cannot_be_understood_leaves_nothing_but_looking() {
    for text in [
        "",
        "version = 1",
        "profile = \"full\"",
        "version = 2\nprofile = \"full\"",
        "version = 1\nprofile = \"root\"",
        "version = 1\nprofile = \"full\"\nprofiles = 1",
        "version = 1\nprofile = \"full\"\n[host]\nterminal = true",
        "version = 1\nprofile = \"full\"\n[maintenance]\nwindow = \"02:00-05:00\"",
        "version = 1\nprofile = \"full\"\n[images]\nbuild = true",
        "version = 1\nprofile = \"full\"\n[limits]\nbody_max = \"17m\"",
        "version = 1\nprofile = \"full\"\n[container]\nmax_memory = \"lots\"",
        "version = 1\nprofile = \"full\"\n[exec]\ncontainers = [\"debug\"]",
        "version = 1\nprofile = \"full\"\n[mounts]\nbinds = [{ source = \"data\" }]",
        "version = 1\nprofile = \"full\"\n[mounts]\nbinds = [{ source = \"/srv/../etc\" }]",
        "version = 1\nprofile = \"full\"\n[mounts]\nbinds = [{ source = \"/nonexistent/data\" }]",
        "version = 1\nprofile = \"full\"\nversion = 1",
        "version = 1\nprofile = \"full\"\n[exec]\nrecord = true",
        "version = 1\nprofile = \"operate\"\n[exec]\nrecord = true",
        "version = 1\nprofile = \"monitor\"\n[exec]\nrecord = true",
    ] {
        let policy = policy_of(text);
        assert_eq!(policy.profile(), Profile::Monitor, "{text}");
        assert!(policy.invalidity().is_some(), "{text}");
        assert!(policy.facts().digest.is_some() && policy.redacts(), "{text}");
    }
}

#[test]
fn a_host_without_a_file_has_no_policy_and_one_that_somebody_else_may_write_is_none() {
    let (written, own) = (write("version = 1\nprofile = \"full\""), rustix::process::getuid());
    let rails = Rails::default();
    let read = |path: &Path, owner| file::read(path, owner, &rails);
    assert!(read(&written.folder.path().join("absent"), own).unwrap().is_none());
    assert!(read(&written.path, own).unwrap().is_some());
    assert!(matches!(read(&written.path, rustix::process::Uid::from_raw(4321)), Err(FileError::NotRoots)));
    for mode in [0o664, 0o646, 0o666] {
        std::fs::set_permissions(&written.path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(read(&written.path, own), Err(FileError::NotRoots)), "{mode:o}");
    }
    assert!(matches!(read(written.folder.path(), own), Err(FileError::NotRoots)), "a folder");
    let dangling = written.folder.path().join("dangling");
    std::os::unix::fs::symlink("/nonexistent/policy.toml", &dangling).unwrap();
    assert!(matches!(read(&dangling, own), Err(FileError::Unreadable(_))));
    std::fs::write(&written.path, vec![b'#'; 70_000]).unwrap();
    std::fs::set_permissions(&written.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(read(&written.path, own), Err(FileError::TooLarge)));
}

#[test]
fn no_file_gives_away_what_is_the_agents_or_the_engines_own() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().canonicalize().unwrap().join("state");
    std::fs::create_dir_all(state.join("identity")).unwrap();
    let socket = folder.path().join("docker.sock");
    let engine = crate::engine::EngineAddress::Unix(socket);
    let rails = Rails::new(&state, Path::new("/etc/windflow/policy.toml"), &engine, None);
    for place in ["/", "/etc", "/etc/windflow", "/proc/1", "/dev/sda", "/run", "/run/docker.sock", "/sys/fs/cgroup"] {
        assert!(rails.are_touched_by(Path::new(place)), "{place}");
    }
    assert!(rails.are_touched_by(&state.join("identity")) && rails.are_touched_by(state.parent().unwrap()));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&state, &link).unwrap();
    assert!(rails.hold(&link), "a link to it is it");
    assert!(!rails.hold(Path::new("/srv/data")) && !rails.hold(Path::new("/etc")));
    let written = write("version = 1\nprofile = \"full\"\n[mounts]\nbinds = [{ source = \"/dev/null\" }]");
    assert!(file::read(&written.path, rustix::process::getuid(), &rails).is_err());
}

#[tokio::test]
async fn a_policy_that_changed_is_told_to_those_who_follow_it() {
    let written = write("version = 1\nprofile = \"full\"\nnonsense = 1");
    let keeper = Keeper::new(written.path.clone(), Rails::default());
    let mut follower = keeper.follow();
    assert_eq!(follower.borrow_and_update().as_ref().unwrap().profile(), Profile::Monitor);
    keeper.reload();
    assert!(!follower.has_changed().unwrap(), "it says what it said");
    std::fs::remove_file(&written.path).unwrap();
    keeper.reload();
    assert!(follower.has_changed().unwrap());
    assert!(keeper.current().is_none());
}
