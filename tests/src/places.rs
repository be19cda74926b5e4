//! Where the programs are that the tests run. The only reader of the
//! environment in this package.

use std::path::{Path, PathBuf};

/// The folder of Docker 26 as `tests/setup.sh` unpacks it.
///
/// # Panics
/// When it is not there: the sentence names the command that makes it.
pub fn newer_engine() -> PathBuf {
    let folder = testbed().join("engine-26");
    assert!(folder.join("complete").exists(), "Docker 26 is not in {}: run tests/setup.sh first", folder.display());
    folder
}

/// The folder of a Debian package that `tests/setup.sh` unpacks and does not
/// install.
///
/// # Panics
/// When it is not there: the sentence names the command that makes it.
pub fn unpacked(package: &str) -> PathBuf {
    let folder = testbed().join(package);
    assert!(folder.join("complete").exists(), "{package} is not in {}: run tests/setup.sh first", folder.display());
    folder
}

/// A program of this workspace, from the folder that these tests were built
/// into.
///
/// # Panics
/// When it was not built: the sentence names the command that builds it.
pub fn built(program: &str) -> PathBuf {
    let path = build_folder().join(program);
    assert!(path.exists(), "{} is not there: run `cargo build --workspace --bins` first", path.display());
    path
}

/// The agent that needs nothing of the machine it runs on, as it is handed out.
///
/// # Panics
/// When it was not built: the sentence names the command that builds it.
pub fn static_agent() -> PathBuf {
    let target = build_folder().parent().expect("a profile is a folder of the target folder").join("static");
    let platforms = std::fs::read_dir(&target).into_iter().flatten().flatten();
    let mut agents = platforms.map(|platform| platform.path().join("debug/windflow-agent"));
    agents.find(|agent| agent.exists()).expect("the static agent was built: run `make static-agent` first")
}

/// A program that Debian installs.
///
/// # Panics
/// When it is not there: the sentence names the command that installs it.
pub fn installed(program: &str) -> PathBuf {
    optional(program).unwrap_or_else(|| panic!("{program} is not installed: run tests/setup.sh first"))
}

/// The same for a program that the tests can do without.
pub fn optional(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}

/// A program of the newest PostgreSQL that is installed.
///
/// # Panics
/// When there is none: the sentence names the command that installs it.
pub fn postgres(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin").join(program)).filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| panic!("PostgreSQL's {program} is not installed: run tests/setup.sh first"))
}

/// The library that gives a program another wall clock.
///
/// # Panics
/// When it is not installed: the sentence names the command that installs it.
pub fn clock_library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists()).unwrap_or_else(|| panic!("faketime is not installed: run tests/setup.sh first"))
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of the workspace")
}

/// The tunnel that ours is measured beside: what `WINDFLOW_RATHOLE` names, or
/// the one in the path.
#[expect(clippy::disallowed_methods, reason = "it is installed by hand, wherever that may be")]
pub fn rathole() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WINDFLOW_RATHOLE") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("rathole")).find(|program| program.exists())
}

#[expect(clippy::disallowed_methods, reason = "setup.sh reads the same variable")]
fn testbed() -> PathBuf {
    match std::env::var_os("WINDFLOW_TESTBED") {
        Some(folder) => folder.into(),
        None => build_folder().parent().expect("a profile is a folder of the target folder").join("testbed"),
    }
}

fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.ancestors().find(|folder| folder.join("deps").is_dir());
    profile.expect("tests run from cargo's target folder").to_owned()
}
