//! What the processes that the product starts tell everybody on the machine:
//! their command lines, and what is in their environment.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// The shortest time between two looks.
const GLANCE_EVERY: Duration = Duration::from_millis(50);

/// What one process told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    root: i32,
    /// Which process, and what of it.
    pub place: String,
    /// What it told.
    pub text: Vec<u8>,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched { roots: Vec::new(), seen: BTreeSet::new(), last: None });

struct Watched {
    roots: Vec<(i32, &'static str)>,
    seen: BTreeSet<Sighting>,
    last: Option<Instant>,
}

/// Looks at this process and at all below it from now on. What is in its own
/// environment was put there by the test that started it.
pub fn watch(root: Pid, name: &'static str) {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.roots.push((root.as_raw_nonzero().get(), name));
    watched.last = None;
    drop(watched);
    glance();
}

/// Looks at all processes that are watched, if that is not just over.
pub fn glance() {
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if watched.last.is_some_and(|last| last.elapsed() < GLANCE_EVERY) {
        return;
    }
    watched.last = Some(Instant::now());
    for (root, name) in watched.roots.clone() {
        watched.see(root, root, name);
    }
}

/// What was seen of this process and of those below it. They are watched no
/// longer.
pub fn seen_below(root: Pid) -> Vec<Sighting> {
    let root = root.as_raw_nonzero().get();
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, name)) = watched.roots.iter().copied().find(|(known, _)| *known == root) {
        watched.see(root, root, name);
    }
    watched.roots.retain(|(known, _)| *known != root);
    let (of_it, of_others) = std::mem::take(&mut watched.seen).into_iter().partition(|seen| seen.root == root);
    watched.seen = of_others;
    let of_it: BTreeSet<Sighting> = of_it;
    of_it.into_iter().collect()
}

impl Watched {
    fn see(&mut self, root: i32, process: i32, name: &str) {
        let read = |what: &str| fs::read(format!("/proc/{process}/{what}")).unwrap_or_default();
        let program = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        let whose = if process == root { name.to_owned() } else { format!("{program}, which {name} started") };
        self.seen.insert(Sighting { root, place: format!("the command line of {whose}"), text: read("cmdline") });
        if process != root {
            self.seen.insert(Sighting { root, place: format!("the environment of {whose}"), text: read("environ") });
        }
        for thread in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
                self.see(root, child, name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::Process;
    use crate::secrets::{Findings, fresh};
    use crate::wait;

    #[test]
    fn a_secret_in_the_arguments_or_the_environment_of_a_child_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (argument, variable) = (fresh("the argument"), fresh("the variable"));
        let mut command = Command::new("sh");
        let script = r#"SHOWN="$2" sh -c 'sleep 60; exit' "$1" & wait"#;
        command.args(["-c", script, "sh", &argument, &variable]);
        let parent = Process::start("a parent", &command, &folder.path().join("log"));
        watch(parent.id(), "the parent");
        let seen = || {
            let watched = WATCHED.lock().expect("nothing panicked");
            watched.seen.iter().any(|seen| seen.place.starts_with("the environment of sleep"))
        };
        wait::until_true("the child", Duration::from_secs(10), || {
            glance();
            seen()
        });
        let mut findings = Findings::none();
        findings.look_at_processes(&seen_below(parent.id()));
        let told = format!("{findings:?}");
        assert!(told.contains("the argument, as it is, stands in the command line of sh, which the parent"), "{told}");
        assert!(told.contains("the variable, as it is, stands in the environment of sleep"), "{told}");
        assert!(!told.contains(&argument) && !told.contains(&variable), "its value is not told");
    }
}
