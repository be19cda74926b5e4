//! What no policy gives away: the places and the container of the agent itself,
//! and the doors of the engine. Whoever has those has the policy.

use std::path::{Component, Path, PathBuf};

use windflow_protocol::message::report::ObjectId;

use crate::engine::EngineAddress;

/// Doors of engines, and what the kernel shows of itself.
const OF_HOST: [&str; 8] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/var/run/containerd",
    "/run/containerd",
    "/var/run/podman",
    "/proc",
    "/sys/fs/cgroup",
    "/dev",
];

/// The places that are never mounted into a container.
#[derive(Clone, Debug, Default)]
pub struct Rails {
    places: Vec<PathBuf>,
    container: Option<ObjectId>,
    state: PathBuf,
}

impl Rails {
    /// Those of an agent with this state directory, policy and engine, which
    /// runs in `container`.
    pub fn new(state: &Path, policy: &Path, engine: &EngineAddress, container: Option<ObjectId>) -> Self {
        let mut places: Vec<PathBuf> = OF_HOST.map(PathBuf::from).into();
        places.push(state.to_owned());
        places.push(policy.parent().filter(|folder| *folder != Path::new("/")).unwrap_or(policy).to_owned());
        places.extend(std::env::current_exe());
        if let EngineAddress::Unix(socket) = engine {
            places.push(socket.clone());
        }
        // What the places are called without links, too.
        let resolved: Vec<_> = places.iter().filter_map(|place| place.canonicalize().ok()).collect();
        places.extend(resolved);
        places.sort();
        places.dedup();
        Self { places, container, state: state.to_owned() }
    }

    /// The agent's own folder.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The container that the agent itself runs in.
    pub const fn container(&self) -> Option<ObjectId> {
        self.container
    }

    pub(super) const fn is_in_a_container(&self) -> bool {
        self.container.is_some()
    }

    /// Whether `path` is one of the places, or in one.
    pub(super) fn hold(&self, path: &Path) -> bool {
        // As an engine reads it: without looking, and with.
        let (resolved, cleaned) = (path.canonicalize().ok(), cleaned(path));
        let paths = [Some(cleaned.as_path()), resolved.as_deref()];
        paths.into_iter().flatten().any(|path| self.places.iter().any(|place| path.starts_with(place)))
    }

    /// Whether `path` is one of the places, or in one, or one is in it.
    pub(super) fn are_touched_by(&self, path: &Path) -> bool {
        self.hold(path) || self.places.iter().any(|place| place.starts_with(path))
    }
}

/// A path without `.` and `..` in it, by its words alone.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_however_its_path_is_written() {
        let rails = Rails { places: OF_HOST.map(PathBuf::from).into(), ..Rails::default() };
        for path in ["/proc", "//proc/1/", "/./proc", "/nowhere/../proc/1", "/a/b/../../var/run/docker.sock"] {
            assert!(rails.hold(Path::new(path)), "{path}");
        }
        for path in ["/procs", "/srv/proc", "/", "/nowhere/../srv"] {
            assert!(!rails.hold(Path::new(path)), "{path}");
        }
    }
}
