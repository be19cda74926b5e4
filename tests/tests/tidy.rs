//! The rules of the house that a program can check.

mod tidy {
    mod gates;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use windflow_tests::places::workspace;
use windflow_tests::process::run;

/// Lines of a source file, at most.
const FILE_LINES_MAX: usize = 600;
/// Entries of a folder with sources, at most.
const FOLDER_ENTRIES_MAX: usize = 10;
/// The same for the first level of a crate, which is its map.
const CRATE_ENTRIES_MAX: usize = 14;
/// The same for the hub's first level.
const HUB_ENTRIES_MAX: usize = 24;

/// A Rust source file of the project.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn imports(&self, what: &str) -> bool {
        let parts = [format!("use {what}::"), format!("{what}::"), format!("use {what};")];
        let code = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        { code }.any(|line| parts.iter().any(|part| starts_a_path(line, part)))
    }
}

/// Whether `part` stands in `line` at the start of a path, not in its middle.
fn starts_a_path(line: &str, part: &str) -> bool {
    line.match_indices(part).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':')
    })
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let offenders = sources().into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    assert_none("longer than 600 lines: split them", offenders.map(|source| source.name()));
}

/// A module and the folder of its parts are one entry.
#[test]
fn no_folder_has_more_entries_than_a_reader_can_hold() {
    let mut entries: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for path in tracked_files().iter().filter(|path| is_source_folder(path)) {
        for (child, folder) in path.ancestors().zip(path.ancestors().skip(1)) {
            entries.entry(folder.to_owned()).or_default().insert(child.with_extension(""));
        }
    }
    let offenders = entries.iter().filter(|(folder, _)| is_source_folder(folder));
    let offenders = offenders.filter(|(folder, children)| children.len() > entries_max(folder));
    assert_none(
        "folders with too many entries: group them",
        offenders.map(|(folder, children)| format!("{} has {}", folder.display(), children.len())),
    );
}

#[test]
fn every_source_file_opens_by_saying_what_it_owns() {
    let offenders = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none("files that do not open with //!", offenders.map(|source| source.name()));
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let nothing = ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "manager.rs", "misc.rs"];
    let says_nothing = |path: &PathBuf| path.file_name().is_some_and(|name| nothing.iter().any(|bad| name == *bad));
    let offenders = tracked_files().into_iter().filter(says_nothing);
    assert_none("files whose name says nothing", offenders.map(|path| path.display().to_string()));
}

#[test]
fn lints_are_expected_with_a_reason_and_never_just_allowed() {
    let allow = ["#[allow(", "#![allow("];
    let offenders = lines_with(&sources(), |line| allow.iter().any(|start| line.trim_start().starts_with(start)));
    assert_none("#[allow]: use #[expect(lint, reason)]", offenders);
}

#[test]
fn nothing_is_ignored_and_nothing_is_left_to_do() {
    let marks = ["#[ignore", "TODO", "FIXME", "XXX", "todo!(", "unimplemented!("];
    let others = sources().into_iter().filter(|source| !source.path.ends_with("tests/tidy.rs")).collect::<Vec<_>>();
    let offenders = lines_with(&others, |line| marks.iter().any(|mark| line.contains(mark)));
    assert_none("left to do", offenders);
}

#[test]
fn only_the_codec_knows_bincode_and_only_the_backoff_policy_knows_backoff() {
    let of_bincode = sources().into_iter().filter(|source| source.imports("bincode"));
    let of_bincode = of_bincode.filter(|source| source.path != Path::new("protocol/src/codec.rs"));
    assert_none("bincode outside protocol/src/codec.rs", of_bincode.map(|source| source.name()));

    // `crate::backoff` is the policy itself; the crate is named from its root.
    let of_backoff = sources().into_iter().filter(|source| source.imports("backoff"));
    let own = ["agent/src/backoff.rs", "tests/tests/tidy.rs"];
    let of_backoff = of_backoff.filter(|source| own.iter().all(|own| source.path != Path::new(own)));
    let of_backoff = of_backoff.filter(|source| !source.text.contains("use crate::backoff"));
    assert_none("backoff outside agent/src/backoff.rs", of_backoff.map(|source| source.name()));
}

#[test]
fn imports_point_from_hub_to_agent_to_protocol() {
    let forbidden = [("protocol/src", ["windflow_agent", "windflow_hub"].as_slice()), ("agent/src", &["windflow_hub"])];
    let sources = sources();
    let offenders = forbidden.iter().flat_map(|(folder, crates)| {
        let inside = sources.iter().filter(move |source| source.path.starts_with(folder));
        inside.filter(|source| crates.iter().any(|name| source.imports(name)))
    });
    assert_none("imports against the direction protocol <- agent <- hub", offenders.map(Source::name));
}

#[test]
fn the_protocol_knows_no_database_no_docker_and_no_web_framework() {
    let foreign = ["sqlx", "bollard", "axum", "hyper", "clap"];
    let sources = sources();
    let inside = sources.iter().filter(|source| source.path.starts_with("protocol/src"));
    let offenders = inside.filter(|source| foreign.iter().any(|name| source.imports(name)));
    assert_none("the protocol imports what is not its business", offenders.map(Source::name));
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |engine: &str| {
        let folder = Path::new("migrations").join(engine);
        let files = tracked_files().into_iter().filter(|path| path.starts_with(&folder));
        files.map(|path| path.strip_prefix(&folder).unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

#[test]
fn no_file_names_a_place_that_only_one_machine_has() {
    // Spelled in parts, so that this file does not name them either.
    let places = [["/wo", "rk/"], ["/fa", "rm/"], ["/ro", "ot/"], ["deb.deb", "ian.org"], ["static.crat", "es.io"]];
    let places = places.map(|parts| parts.concat());
    let names_one = |line: &str| places.iter().any(|place| line.contains(place.as_str()));
    let texts = tracked_files().into_iter().filter(|path| path.file_name().is_none_or(|name| name != "Cargo.lock"));
    let offenders = texts.flat_map(|path| {
        let text = std::fs::read_to_string(workspace().join(&path)).unwrap_or_default();
        let lines = text.lines().enumerate().filter(|(_, line)| names_one(line));
        lines.map(|(number, _)| format!("{}:{}", path.display(), number + 1)).collect::<Vec<_>>()
    });
    assert_none("a path of one machine or the host of a registry", offenders);
}

#[test]
fn every_script_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let scripts = tracked_files().into_iter().filter(|path| {
        let text = std::fs::read(workspace().join(path)).unwrap_or_default();
        text.starts_with(b"#!/")
    });
    let offenders = scripts.filter(|path| {
        let mode = std::fs::metadata(workspace().join(path)).unwrap().permissions().mode();
        mode & 0o111 == 0
    });
    assert_none("scripts that cannot be run", offenders.map(|path| path.display().to_string()));
}

fn sources() -> Vec<Source> {
    let rust = tracked_files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources = rust.filter_map(|path| {
        let text = std::fs::read_to_string(workspace().join(&path)).ok()?;
        Some(Source { path, text })
    });
    sources.collect()
}

/// Every file that belongs to the project, relative to its root.
fn tracked_files() -> Vec<PathBuf> {
    let mut list = Command::new("git");
    list.current_dir(workspace()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let files = run(&mut list, Duration::from_secs(20)).succeeded();
    let files: Vec<_> = files.lines().map(PathBuf::from).filter(|path| workspace().join(path).exists()).collect();
    assert!(files.len() > 20, "git lists too few files to be true");
    files
}

fn entries_max(folder: &Path) -> usize {
    match folder.to_str() {
        Some("hub/src") => HUB_ENTRIES_MAX,
        Some("protocol/src" | "agent/src") => CRATE_ENTRIES_MAX,
        _ => FOLDER_ENTRIES_MAX,
    }
}

fn is_source_folder(path: &Path) -> bool {
    let folders = ["protocol/src", "agent/src", "hub/src", "tests/src", "tests/tests", "web/src"];
    folders.iter().any(|folder| path.starts_with(folder))
}

fn lines_with(sources: &[Source], offends: impl Fn(&str) -> bool) -> Vec<String> {
    let places = sources.iter().flat_map(|source| {
        let lines = source.text.lines().enumerate().filter(|(_, line)| offends(line));
        lines.map(|(number, _)| format!("{}:{}", source.path.display(), number + 1))
    });
    places.collect()
}

fn assert_none(what: &str, offenders: impl IntoIterator<Item = String>) {
    let offenders = offenders.into_iter().collect::<Vec<_>>();
    assert!(offenders.is_empty(), "{what}:\n  {}", offenders.join("\n  "));
}
