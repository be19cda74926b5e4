//! The agents that this hub hands out, as files: `<os>-<arch>/windflow-agent`
//! in one folder. Each file is hashed when it is first asked for, and again
//! once it has changed.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard};

use ring::digest::{Context, SHA256};

/// The file's name on every platform.
const AGENT: &str = "windflow-agent";
/// Read at once while hashing, in bytes.
const CHUNK: usize = 64 * 1024;

/// A platform that an agent can be built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Linux on x86-64.
    LinuxX86_64,
    /// Linux on 64-bit ARM.
    LinuxAarch64,
}

/// The text names no platform.
#[derive(Debug, thiserror::Error)]
#[error("there is no such platform; agents exist for linux-x86_64 and linux-aarch64")]
pub struct UnknownPlatform;

impl Platform {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LinuxX86_64, Self::LinuxAarch64];

    /// `<os>-<arch>`, as `uname` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxX86_64 => "linux-x86_64",
            Self::LinuxAarch64 => "linux-aarch64",
        }
    }

    /// Whether this program runs on it.
    fn is_own(self) -> bool {
        self.as_str() == format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == text).ok_or(UnknownPlatform)
    }
}

/// An agent that can be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// What it runs on.
    pub platform: Platform,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

impl Binary {
    /// The digest as programs print it.
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.digest)
    }
}

/// Where the agents are.
#[derive(Debug)]
pub struct Shelf {
    folders: Vec<PathBuf>,
    /// A file that serves the hub's own platform.
    neighbour: Option<PathBuf>,
    hashed: Mutex<HashMap<PathBuf, (Stamp, [u8; 32])>>,
}

/// Changes whenever the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        let changed = (file.ctime(), file.ctime_nsec());
        Self { device: file.dev(), inode: file.ino(), size: file.len(), changed }
    }
}

impl Shelf {
    /// The agents in `folder`; without one, those in `agents` beside the
    /// program at `executable`, or a plain neighbour of it.
    pub fn new(folder: Option<PathBuf>, executable: Option<&Path>) -> Self {
        let beside = executable.and_then(Path::parent);
        let (folders, neighbour) = match (folder, beside) {
            (Some(folder), _) => (vec![folder], None),
            (None, Some(beside)) => (vec![beside.join("agents")], Some(beside.join(AGENT))),
            (None, None) => (Vec::new(), None),
        };
        Self { folders, neighbour, hashed: Mutex::default() }
    }

    /// Every agent that is there.
    pub async fn all(&self) -> Vec<Binary> {
        let mut found = Vec::new();
        for platform in Platform::ALL {
            found.extend(self.find(platform).await);
        }
        found
    }

    /// The agent for `platform`. One that cannot be read counts as missing, and
    /// the log says why.
    pub async fn find(&self, platform: Platform) -> Option<Binary> {
        for path in self.places(platform) {
            match self.look(platform, path.clone()).await {
                Ok(binary) => return Some(binary),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "an agent cannot be handed out"),
            }
        }
        None
    }

    fn places(&self, platform: Platform) -> Vec<PathBuf> {
        let named = self.folders.iter().map(|folder| folder.join(platform.as_str()).join(AGENT));
        named.chain(self.neighbour.clone().filter(|_| platform.is_own())).collect()
    }

    async fn look(&self, platform: Platform, path: PathBuf) -> io::Result<Binary> {
        let stamp = Stamp::of(&tokio::fs::metadata(&path).await?);
        let kept = self.hashed().get(&path).filter(|(of, _)| *of == stamp).map(|(_, digest)| *digest);
        let digest = match kept {
            Some(digest) => digest,
            None => {
                let file = path.clone();
                let digest = tokio::task::spawn_blocking(move || hash(&file)).await.map_err(io::Error::other)??;
                self.hashed().insert(path.clone(), (stamp, digest));
                digest
            }
        };
        Ok(Binary { platform, path, size: stamp.size, digest })
    }

    fn hashed(&self) -> MutexGuard<'_, HashMap<PathBuf, (Stamp, [u8; 32])>> {
        self.hashed.lock().expect("nobody panics while holding it")
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let (mut context, mut chunk) = (Context::new(&SHA256), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    Ok(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, content: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A new file rather than new content, as an installer does it.
        let beside = path.with_extension("new");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    #[tokio::test]
    async fn an_agent_is_found_by_its_platform_and_hashed_anew_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Some(folder.path().to_owned()), None);
        assert!(shelf.all().await.is_empty());
        let path = folder.path().join("linux-aarch64/windflow-agent");
        put(&path, "abc");
        let first = shelf.find(Platform::LinuxAarch64).await.unwrap();
        assert_eq!(first.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(first.size, 3);
        put(&path, "abd");
        assert_ne!(shelf.find(Platform::LinuxAarch64).await.unwrap().digest, first.digest);
        assert_eq!(shelf.find(Platform::LinuxX86_64).await, None);
    }

    #[tokio::test]
    async fn without_a_folder_the_hubs_neighbour_serves_its_own_platform_only() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("windflow-agent"), "own");
        let shelf = Shelf::new(None, Some(&folder.path().join("windflow-hub")));
        let found = shelf.all().await;
        assert!(found.iter().all(|binary| binary.platform.is_own()), "{found:?}");
        assert_eq!(found.len(), Platform::ALL.into_iter().filter(|platform| platform.is_own()).count());
    }

    #[test]
    fn a_platform_is_only_what_is_in_the_list() {
        for text in ["", "linux", "LINUX-X86_64", "linux-x86_64/..", "../linux-x86_64", "plan9-mips"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        for platform in Platform::ALL {
            assert_eq!(platform.as_str().parse::<Platform>().unwrap(), platform);
        }
    }
}
